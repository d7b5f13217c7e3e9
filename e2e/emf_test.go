//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// Fluent Bit's own metrics reach cloudwatch as documents of the embedded metric
// format, and so do the records of the input cpu; the other plugins, which have
// no use for metrics, get none.
func TestFluentBitMetrics(t *testing.T) {
	aws := startAWS(t, awslocal.Config{KinesisStreams: map[string]int{"data": 1}})
	common := []string{"Match *", "workers 1", "region us-east-2", "endpoint " + aws.URL}
	p := start(t, run{config: section("INPUT", "Name fluentbit_metrics", "Tag own", "scrape_interval 1", "scrape_on_start true") +
		section("INPUT", "Name cpu", "Tag cpu", "Interval_Sec 1") +
		section("OUTPUT", append(common, "Name cloudwatch", "auto_create_group on", "log_group_name g", "log_stream_name $(tag)-$(name|none)", "metric_namespace fleet")...) +
		section("OUTPUT", append(common, "Name kinesis", "stream data")...)})
	stream := func(name string) []string { return aws.Logs().Stream("g", name).Messages() }
	p.wait("documents of both", 30*time.Second, func() bool {
		return len(stream("own-cpu.1")) > 0 && len(stream("cpu-none")) > 0 && len(aws.Kinesis().Stream("data").Records()) > 0
	})
	p.stop(20 * time.Second)
	for name, want := range map[string][]string{
		"own-cpu.1": {`"Namespace":"fleet","Dimensions":[["name"]],"Metrics":[{"Name":"fluentbit_input_records_total","Unit":"Count"`, `"name":"cpu.1","prom_metric_type":"counter"`},
		"cpu-none":  {`"Namespace":"fleet","Dimensions":[[]],"Metrics":[{"Name":"cpu_p","Unit":"Percent"`, `"cpu_p":`},
	} {
		if !slices.ContainsFunc(stream(name), func(doc string) bool {
			return !slices.ContainsFunc(want, func(part string) bool { return !strings.Contains(doc, part) })
		}) {
			t.Errorf("%s has %.1000q, want %q", name, stream(name), want)
		}
		if got := aws.Logs().Stream("g", name).Format(); got != "json/emf" {
			t.Errorf("%s came with the header %q", name, got)
		}
	}
	for _, r := range aws.Kinesis().Stream("data").Records() {
		if !strings.Contains(string(r.Data), `"cpu_p":`) {
			t.Errorf("Kinesis has %s", r.Data)
		}
	}
	if lines := slices.DeleteFunc(p.problems(), harmless); len(lines) > 0 {
		t.Errorf("the log has\n%s", strings.Join(lines, "\n"))
	}
}
