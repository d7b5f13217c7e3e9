//go:build e2e

package e2e

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"aws-for-fluent-bit/internal/awslocal"
)

var faultTimeTable = newTable("time of 50,000 records with 5 % of entries refused and 10 % of calls throttled, beside a run without; each call takes 20 ms",
	"plugin", "workers", "without, s", "with, s", "times", "calls without", "calls with")

// What is refused goes again beside what is still to be sent, so it costs little
// time: less than twice as much in all on a machine that has nothing else to do.
func TestFaultsCostLittleTime(t *testing.T) {
	const records = 50_000
	n := writeNumbered(t, records)
	for _, s := range []sink{kinesisSink, firehoseSink} {
		for _, workers := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s,workers=%d", s.plugin, workers), func(t *testing.T) {
				// From the first call on: how long Fluent Bit takes to start is not of interest.
				measure := func(faults ...awslocal.Fault) (took time.Duration, calls int) {
					aws := awsForSinks(t, awslocal.Config{Seed: 4, Latency: 20 * time.Millisecond})
					aws.SetFaults(s.operation, faults)
					p := start(t, run{service: n.service(), plugins: []string{s.loader()},
						config: n.input("app.log") + s.output(aws, fmt.Sprintf("workers %d", workers))})
					p.wait("all records have arrived", 90*time.Second, func() bool { return s.total(aws) >= records })
					took = time.Since(aws.Requests(s.operation)[0].Time)
					p.stop(20 * time.Second)
					if a := n.checkTexts(s.records(aws)); !a.whole(n) {
						t.Errorf("of %d records arrived: %v", records, a)
					}
					return took, aws.Counts(s.operation).Requests
				}
				without, fewer := measure()
				with, more := measure(awslocal.Fault{Kind: awslocal.Throttle, Probability: 0.1},
					awslocal.Fault{Kind: awslocal.Partial, Probability: 1, Rate: 0.05})
				times := with.Seconds() / without.Seconds()
				faultTimeTable.add(s.plugin, workers, fmt.Sprintf("%.2f", without.Seconds()), fmt.Sprintf("%.2f", with.Seconds()),
					fmt.Sprintf("%.1f", times), fewer, more)
				if times > 5 { // loosely: others may use the machine too
					t.Errorf("with faults it took %.1f times as long", times)
				}
			})
		}
	}
}

// A stream whose shards are at their limits, as Kinesis has them: 1,000 records
// a second each. Everything arrives, once, in the shard of its own key, put
// together or not; put together it is no longer too much.
func TestShardLimits(t *testing.T) {
	const records = 20_000
	n := writeNumbered(t, records)
	f := func(name string, options ...string) {
		t.Run(name, func(t *testing.T) {
			aws := awsForSinks(t, awslocal.Config{ShardRecordsPerSecond: 1000, ShardBytesPerSecond: 1 << 20})
			p := start(t, run{service: n.service(), plugins: []string{kinesisSink.loader()},
				config: n.input("app.log") + kinesisSink.output(aws, append(options, "workers 2")...)})
			st := aws.Kinesis().Stream("e2e")
			var texts [][]byte
			p.wait("all records have arrived", 90*time.Second, func() bool {
				texts = nil
				for _, r := range st.Records() {
					if own := st.ShardFor(r.PartitionKey); own != r.ShardID {
						t.Errorf("a record of key %q is in %s, its own is %s", r.PartitionKey, r.ShardID, own)
					}
					texts = append(texts, userRecords(t, r)...)
				}
				return len(texts) >= records
			})
			p.stop(20 * time.Second)
			if a := n.checkTexts(texts); !a.whole(n) {
				t.Errorf("of %d records arrived: %v", records, a)
			}
			t.Logf("%d records in %d, %d calls", len(texts), st.Len(), aws.Counts("PutRecords").Requests)
		})
	}
	f("each by itself")
	f("each by itself, by key", "partition_key message")
	f("KPL", "aggregation on")
	f("KPL, by key", "aggregation on", "partition_key level")
	f("lines", "simple_aggregation on")
}

// userRecords are those in a record: of an aggregate of the Kinesis Producer
// Library, of lines, or itself.
func userRecords(t *testing.T, r awslocal.KinesisRecord) (texts [][]byte) {
	body, ok := bytes.CutPrefix(r.Data, []byte("\xf3\x89\x9a\xc2"))
	if !ok {
		for line := range bytes.Lines(r.Data) {
			texts = append(texts, bytes.TrimSuffix(line, []byte("\n")))
		}
		return texts
	}
	body, sum := body[:len(body)-md5.Size], body[len(body)-md5.Size:]
	if want := md5.Sum(body); !bytes.Equal(sum, want[:]) {
		t.Fatal("an aggregate has a wrong checksum")
	}
	var key []byte
	eachField(t, body, func(number protowire.Number, value []byte) {
		switch number {
		case 1:
			key = value
		case 3:
			eachField(t, value, func(number protowire.Number, data []byte) {
				if number == 3 {
					texts = append(texts, data)
				}
			})
		}
	})
	if string(key) != r.PartitionKey {
		t.Errorf("an aggregate of key %q was sent with key %q", key, r.PartitionKey)
	}
	return texts
}

// eachField calls f for every field of a protobuf message, with nil as the value
// of those that are numbers.
func eachField(t *testing.T, b []byte, f func(protowire.Number, []byte)) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal("an aggregate cannot be read")
		}
		b = b[n:]
		var value []byte
		if kind == protowire.BytesType {
			value, n = protowire.ConsumeBytes(b)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			t.Fatal("an aggregate cannot be read")
		}
		f(number, value)
		b = b[n:]
	}
}
