//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// SEND_FAILURE_TIMEOUT ends Fluent Bit with status 1 when nothing gets across
// for that long, and without it Fluent Bit goes on.
func TestSendFailureTimeout(t *testing.T) {
	config := section("INPUT", "Name dummy", "Rate 5") + section("OUTPUT", "Name cloudwatch", "Match *", "workers 1",
		"region us-east-2", "log_group_name g", "log_stream_name s", fmt.Sprintf("endpoint http://127.0.0.1:%d", freePort(t)))

	p := start(t, run{config: config, env: []string{"SEND_FAILURE_TIMEOUT=2s"}})
	if code := p.end(30 * time.Second); code != 1 {
		t.Errorf("fluent-bit ended with status %d, want 1", code)
	}
	if errs := strings.Join(p.said("error"), "\n"); !strings.Contains(errs, "SEND_FAILURE_TIMEOUT is 2s: fluent bit is ended") {
		t.Errorf("the log does not say why: %s", errs)
	}

	p = start(t, run{config: config})
	time.Sleep(5 * time.Second)
	select {
	case <-p.exited:
		t.Error("fluent-bit ended without being told to")
	default:
	}
}
