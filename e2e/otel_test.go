//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// What Fluent Bit's input opentelemetry puts beside records makes names, and is
// added to the events.
func TestOpenTelemetry(t *testing.T) {
	aws := startAWS(t, awslocal.Config{})
	port := freePort(t)
	p := start(t, run{config: section("INPUT", "Name opentelemetry", "Listen 127.0.0.1", fmt.Sprintf("Port %d", port)) +
		section("OUTPUT", "Name cloudwatch", "Match *", "workers 1", "region us-east-2", "endpoint "+aws.URL, "auto_create_group on",
			"log_group_name /$(otel_resource['service.name']|none)", "log_stream_name $(otel_scope['name']|none)-$(otel_record['severity_text']|none)",
			"otel_attributes on")})
	body := fmt.Sprintf(`{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"web"}}]},
		"scopeLogs":[{"scope":{"name":"lib","version":"1"},"logRecords":[{"timeUnixNano":"%d","severityText":"WARN","body":{"stringValue":"hello"},
		"attributes":[{"key":"user","value":{"stringValue":"me"}}]}]}]}]}`, time.Now().UnixNano())
	p.wait("the input takes records", 30*time.Second, func() bool {
		resp, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/v1/logs", port), "application/json", strings.NewReader(body))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode < 300
	})
	p.wait("the record", 30*time.Second, func() bool { return aws.Logs().Total() > 0 })
	p.stop(20 * time.Second)
	got := aws.Logs().Stream("/web", "lib-WARN").Messages()
	if len(got) != 1 {
		t.Fatalf("got %q in the stream, and all of %+v", got, aws.Logs().Groups())
	}
	for _, part := range []string{`"hello"`, `"otel_resource":{"attributes":{"service.name":"web"}`, `"otel_scope":{"name":"lib"`, `"otel_record":{`, `"attributes":{"user":"me"}`} {
		if !strings.Contains(got[0], part) {
			t.Errorf("got %s, want it to have %s", got[0], part)
		}
	}
	if lines := slices.DeleteFunc(p.problems(), harmless); len(lines) > 0 {
		t.Errorf("the log has\n%s", strings.Join(lines, "\n"))
	}
}
