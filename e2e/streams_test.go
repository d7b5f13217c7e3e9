//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// sink is a plugin with its service, as a test sees them.
type sink struct {
	plugin    string
	operation string // that carries records
	options   []string
	total     func(*awslocal.Server) int      // records accepted
	records   func(*awslocal.Server) [][]byte // their data
}

var kinesisSink = sink{
	plugin: "kinesis", operation: "PutRecords",
	options: []string{"stream e2e", "request_format cbor"}, // as at AWS's own endpoints
	total:   func(aws *awslocal.Server) int { return aws.Kinesis().Total() },
	records: func(aws *awslocal.Server) (all [][]byte) {
		for _, r := range aws.Kinesis().Stream("e2e").Records() {
			all = append(all, r.Data)
		}
		return all
	},
}

var firehoseSink = sink{
	plugin: "firehose", operation: "PutRecordBatch",
	options: []string{"delivery_stream e2e"},
	total:   func(aws *awslocal.Server) int { return aws.Firehose().Total() },
	records: func(aws *awslocal.Server) (all [][]byte) {
		for _, r := range aws.Firehose().Stream("e2e").Records() {
			all = append(all, bytes.TrimSuffix(r, []byte("\n")))
		}
		return all
	},
}

var cloudwatchSink = sink{
	plugin: "cloudwatch", operation: "PutLogEvents",
	options: []string{"log_group_name e2e", "log_stream_name all", "auto_create_group true"},
	total:   func(aws *awslocal.Server) int { return aws.Logs().Total() },
	records: func(aws *awslocal.Server) (all [][]byte) {
		for _, m := range aws.Logs().Stream("e2e", "all").Messages() {
			all = append(all, []byte(m))
		}
		return all
	},
}

// awsForSinks has a stream and a delivery stream called e2e.
func awsForSinks(t *testing.T, cfg awslocal.Config) *awslocal.Server {
	cfg.KinesisStreams = map[string]int{"e2e": 4}
	cfg.DeliveryStreams = []string{"e2e"}
	return startAWS(t, cfg)
}

// output is an [OUTPUT] of the sink.
func (s sink) output(aws *awslocal.Server, more ...string) string {
	lines := append([]string{"Name " + s.plugin, "Match *", "region us-east-2", "endpoint " + aws.URL, "Retry_Limit no_limits"}, s.options...)
	return section("OUTPUT", append(lines, more...)...)
}

func (s sink) loader() string { return filepath.Join(bin, s.plugin+".so") }

var partialTable = newTable("50,000 records into Kinesis and Firehose; faults: 5 % of entries refused, 10 % of calls throttled",
	"plugin", "workers", "faults", "delivered", "duplicates", "calls", "seconds", "CPU s")

// Only what was refused goes again: everything there, nothing twice.
func TestPartialFailures(t *testing.T) {
	const records = 50_000
	n := writeNumbered(t, records)
	for _, s := range []sink{kinesisSink, firehoseSink} {
		for _, workers := range []int{1, 4} {
			for _, faults := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s,workers=%d,faults=%v", s.plugin, workers, faults), func(t *testing.T) {
					aws := awsForSinks(t, awslocal.Config{Seed: 3})
					if faults {
						aws.SetFaults(s.operation, []awslocal.Fault{
							{Kind: awslocal.Throttle, Probability: 0.1},
							{Kind: awslocal.Partial, Probability: 1, Rate: 0.05},
						})
					}
					began := time.Now()
					p := start(t, run{service: n.service(), plugins: []string{s.loader()},
						config: n.input("app.log") + s.output(aws, fmt.Sprintf("workers %d", workers))})
					p.wait("all records have arrived", 90*time.Second, func() bool { return s.total(aws) >= records })
					took := time.Since(began)
					p.stop(20 * time.Second)
					a := n.checkTexts(s.records(aws))
					partialTable.add(s.plugin, workers, faults, a.distinct, a.duplicates, aws.Counts(s.operation).Requests,
						fmt.Sprintf("%.1f", took.Seconds()), fmt.Sprintf("%.2f", p.cpu().Seconds()))
					if !a.whole(n) {
						t.Errorf("of %d records arrived: %v", records, a)
					}
					want := fmt.Sprintf("account: in %d, sent %d", records, records)
					if !slices.ContainsFunc(p.said("info"), func(l string) bool { return strings.Contains(l, want) }) {
						t.Errorf("the log has no line %q", want)
					}
					if faults {
						if played := aws.FaultsPlayed()[s.operation]; played[awslocal.Throttle] == 0 || played[awslocal.Partial] == 0 {
							t.Errorf("faults played: %v", played)
						}
					} else if lines := p.said("error", "warn"); len(slices.DeleteFunc(lines, harmless)) > 0 {
						t.Errorf("the log has errors or warnings: %q", lines)
					}
				})
			}
		}
	}
}

// All three plugins in one process, from one library.
func TestThreePlugins(t *testing.T) {
	const records = 20_000
	n := writeNumbered(t, records)
	aws := awsForSinks(t, awslocal.Config{})
	sinks := []sink{cloudwatchSink, kinesisSink, firehoseSink}
	config := n.input("app.log")
	for _, s := range sinks {
		config += s.output(aws, "workers 2")
	}
	p := start(t, run{service: n.service(), config: config})
	p.wait("all records have arrived everywhere", time.Minute, func() bool {
		return !slices.ContainsFunc(sinks, func(s sink) bool { return s.total(aws) < records })
	})
	p.stop(20 * time.Second)
	for _, s := range sinks {
		if a := n.checkTexts(s.records(aws)); !a.whole(n) {
			t.Errorf("of %d records arrived by %s: %v", records, s.plugin, a)
		}
	}
}
