//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

var sizingTable = newTable("sizing: 200,000 records of 0.2 KB from a file; each call takes 50 ms, as to a region nearby",
	"plugin", "workers", "storage", "records/s", "calls", "CPU s per 100,000", "memory MB, most")

// What docs/sizing.md says is measured here. It takes a minute and asserts
// little, so it runs only when it is asked for: E2E_SIZING=1.
func TestSizing(t *testing.T) {
	if os.Getenv("E2E_SIZING") == "" {
		t.Skip("SKIP: set E2E_SIZING=1 to measure")
	}
	const records = 200_000
	n := writeNumbered(t, records)
	for _, s := range []sink{cloudwatchSink, kinesisSink, firehoseSink} {
		for _, c := range []struct {
			workers int
			storage string
		}{{1, "memory"}, {2, "memory"}, {4, "memory"}, {2, "filesystem"}} {
			t.Run(fmt.Sprintf("%s,workers=%d,%s", s.plugin, c.workers, c.storage), func(t *testing.T) {
				aws := awsForSinks(t, awslocal.Config{Latency: 50 * time.Millisecond, Discard: true})
				service := n.service()
				input := n.input("app.log")
				if c.storage == "filesystem" {
					service += "\nstorage.path " + t.TempDir()
					input += "    storage.type filesystem\n"
				}
				began := time.Now()
				p := start(t, run{service: service, config: input + "\n" + s.output(aws, fmt.Sprintf("workers %d", c.workers))})
				p.wait("all records have arrived", 3*time.Minute, func() bool { return aws.Counts(s.operation).Records >= records })
				took := time.Since(began)
				most := peak(t, p)
				p.stop(20 * time.Second)
				sizingTable.add(s.plugin, c.workers, c.storage, int(records/took.Seconds()), aws.Counts(s.operation).Requests,
					fmt.Sprintf("%.2f", p.cpu().Seconds()*100_000/records), most>>20)
			})
		}
	}
}

// peak is the most resident memory that the running process has had, in bytes.
func peak(t *testing.T, p *process) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatal("no VmHWM in /proc/pid/status")
	}
	kb, _ := strconv.Atoi(string(m[1])) // digits only
	return kb << 10
}
