package conformance

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sirupsen/logrus"
	"github.com/vmihailenco/msgpack/v5"

	cloudwatchplugin "aws-for-fluent-bit/cloudwatch"
	firehoseplugin "aws-for-fluent-bit/firehose"
	"aws-for-fluent-bit/internal/delivery"
	kinesisplugin "aws-for-fluent-bit/kinesis"
)

// The cases that others test their plugins with, told anew, and what became of
// them here. Where the outcome is another one on purpose, differs says why. Their
// tables of names are in cloudwatch/names_test.go, and the de-aggregators of the
// Kinesis Client Library in kinesis/aggregate_conformance_test.go.
//
//	cloudwatch  aws/amazon-cloudwatch-logs-for-fluent-bit, cloudwatch/*_test.go
//	kinesis     aws/amazon-kinesis-streams-for-fluent-bit, kinesis/kinesis_test.go
//	firehose    aws/amazon-kinesis-firehose-for-fluent-bit, firehose/firehose_test.go, plugins/plugins_test.go
//	flb         fluent/fluent-bit, tests/runtime/out_cloudwatch.c, tests/internal/log_event_decoder.c
//	integ       aws/aws-for-fluent-bit, integ/
//	agent       aws/amazon-cloudwatch-agent, plugins/outputs/cloudwatchlogs/internal/pusher
//	vector      vectordotdev/vector, src/sinks/aws_cloudwatch_logs, aws_kinesis
//	fluentd     fluent-plugins-nursery/fluent-plugin-cloudwatch-logs, test/plugin
type peerCase struct {
	source  string
	differs string
	plugin  string
	options map[string]string
	records []peerRecord
	calls   [][]string // the records of each call
	check   func(t *testing.T, calls []call)
	refused string // what the error of the start says
	dropped uint64
}

type peerRecord struct {
	after time.Duration // since the first
	body  any
}

// call is a call to put records, read by encoding/json.
type call struct {
	LogGroupName, LogStreamName string
	SequenceToken               *string
	LogEvents                   []struct {
		Timestamp int64
		Message   string
	}
	Records []struct {
		Data         []byte
		PartitionKey string
	}
}

func (c call) texts() (all []string) {
	for _, e := range c.LogEvents {
		all = append(all, e.Message)
	}
	for _, r := range c.Records {
		all = append(all, string(r.Data))
	}
	return all
}

func logs(texts ...string) (list []peerRecord) {
	for _, s := range texts {
		list = append(list, peerRecord{0, map[string]any{"log": s}})
	}
	return list
}

func same(n int, body any) (list []peerRecord) {
	for range n {
		list = append(list, peerRecord{0, body})
	}
	return list
}

const day = 24 * time.Hour

// cutAt wants one record, cut at a character, in at most limit bytes and at least
// a character's less, mark and end included.
func cutAt(limit int, end string) func(*testing.T, []call) {
	return func(t *testing.T, calls []call) {
		t.Helper()
		if len(calls) != 1 || len(calls[0].texts()) != 1 {
			t.Fatalf("%d calls", len(calls))
		}
		s := calls[0].texts()[0]
		if len(s) > limit || len(s) < limit-utf8.UTFMax || !strings.HasSuffix(s, "[Truncated...]"+end) || !utf8.ValidString(s) {
			t.Errorf("%d bytes, which end in %q; want at most %d", len(s), s[max(0, len(s)-40):], limit)
		}
	}
}

func counts(want ...int) func(*testing.T, []call) {
	return func(t *testing.T, calls []call) {
		t.Helper()
		var got []int
		for _, c := range calls {
			got = append(got, len(c.texts()))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("calls of %v records, want %v", got, want)
		}
	}
}

var logKey = map[string]string{"log_key": "log"}

var peerCases = []peerCase{
	// CloudWatch Logs.
	{source: "cloudwatch TestAddEvent", plugin: "cloudwatch", records: []peerRecord{{0, map[string]any{"somekey": []byte("some value")}}}, calls: [][]string{{`{"somekey":"some value"}`}}},
	{source: "cloudwatch TestAddEventEmptyRecord: no call at all", plugin: "cloudwatch", options: logKey, records: logs(""), dropped: 1},
	{source: "cloudwatch TestPutLogEvents: nothing to send, no call", plugin: "cloudwatch"},
	{source: "cloudwatch TestTruncateLargeLogEvent", plugin: "cloudwatch", options: map[string]string{"log_key": "log", "max_event_size": "262118"},
		records: logs(strings.Repeat("a", 256*1024+100)), check: cutAt(262118, "")},
	{source: "cloudwatch TestTruncateLargeLogEvent: 256 KiB less 26", differs: "the service takes 1 MB since 2025", plugin: "cloudwatch", options: logKey,
		records: logs(strings.Repeat("a", 256*1024+100)), calls: [][]string{{strings.Repeat("a", 256*1024+100)}}},
	{source: "cloudwatch TestTruncateLargeLogEventWithSpecialCharacterOneTrailingFragment", plugin: "cloudwatch", options: map[string]string{"log_key": "log", "max_event_size": "262118"},
		records: logs(strings.Repeat("a", 262118-14-1) + strings.Repeat("𒁈", 10)), check: cutAt(262118, "")},
	{source: "cloudwatch …WithSpecialCharacterTwoTrailingFragments", plugin: "cloudwatch", options: map[string]string{"log_key": "log", "max_event_size": "262118"},
		records: logs(strings.Repeat("a", 262118-14-2) + strings.Repeat("𒁈", 10)), check: cutAt(262118, "")},
	{source: "cloudwatch …WithSpecialCharacterThreeTrailingFragments", plugin: "cloudwatch", options: map[string]string{"log_key": "log", "max_event_size": "262118"},
		records: logs(strings.Repeat("a", 262118-14-3) + strings.Repeat("𒁈", 10)), check: cutAt(262118, "")},
	{source: "cloudwatch TestAddEventAndBatchSpanLimit: 24 hours less a nanosecond are one call", plugin: "cloudwatch", options: logKey,
		records: []peerRecord{{0, map[string]any{"log": "a"}}, {day - 1, map[string]any{"log": "b"}}}, calls: [][]string{{"a", "b"}}},
	{source: "cloudwatch TestAddEventAndBatchSpanLimit: 24 hours are two", plugin: "cloudwatch", options: logKey,
		records: []peerRecord{{0, map[string]any{"log": "a"}}, {day, map[string]any{"log": "b"}}}, calls: [][]string{{"a"}, {"b"}}},
	{source: "cloudwatch TestAddEventAndBatchSpanLimitOnReverseOrder", plugin: "cloudwatch", options: logKey,
		records: []peerRecord{{day, map[string]any{"log": "late"}}, {0, map[string]any{"log": "early"}}}, calls: [][]string{{"early"}, {"late"}}},
	{source: "cloudwatch TestAddEventAndEventsCountLimit", plugin: "cloudwatch", options: logKey, records: same(10_001, map[string]any{"log": "x"}), check: counts(10_000, 1)},
	{source: "cloudwatch TestAddEventAndBatchSizeLimit: 26 bytes are counted for each", plugin: "cloudwatch", options: logKey,
		records: same(3, map[string]any{"log": strings.Repeat("x", 1048576/2-26)}), check: counts(2, 1)},
	{source: "cloudwatch TestAddEventAndBatchSizeLimit: one byte more", plugin: "cloudwatch", options: logKey,
		records: append(logs(strings.Repeat("x", 1048576/2-26)), logs(strings.Repeat("y", 1048576/2-25))...), check: counts(1, 1)},
	{source: "cloudwatch TestLogFormatHandler, TestValidate: no region", plugin: "cloudwatch", options: map[string]string{"region": ""}, refused: "option region"},
	{source: "cloudwatch TestValidate: no stream", plugin: "cloudwatch", options: map[string]string{"log_stream_name": ""}, refused: "log_stream_name and log_stream_prefix"},
	{source: "cloudwatch TestTagKeysToMap: a tag without a value", differs: "a tag that the configuration does not finish is said, not guessed",
		plugin: "cloudwatch", options: map[string]string{"new_log_group_tags": "key1=value, k8"}, refused: "option new_log_group_tags"},
	{source: "cloudwatch TestParseDataMapTags: a map in a name", plugin: "cloudwatch", differs: "a map is no name: the default one is used, instead of nothing at its place",
		options: map[string]string{"log_stream_name": "$(pam['item2']['subitem']).$(pam['item2'])"}, records: []peerRecord{{0, map[string]any{"pam": map[string]any{"item2": map[string]any{"subitem": "x"}}}}},
		check: func(t *testing.T, calls []call) {
			if calls[0].LogStreamName != "/fluentbit-default" {
				t.Errorf("stream %q", calls[0].LogStreamName)
			}
		}},
	{source: "cloudwatch TestSetGroupStreamNames: ] missing", differs: "a template that cannot be read stops the start", plugin: "cloudwatch",
		options: map[string]string{"log_stream_name": "/aws/ecs/$(details['region')"}, refused: "option log_stream_name"},
	{source: "cloudwatch: white space around a message is cut off", differs: "a trace's indentation is part of it", plugin: "cloudwatch", options: logKey,
		records: logs("\tat x.y(z)\n"), calls: [][]string{{"\tat x.y(z)\n"}}},
	{source: "flb out_cloudwatch put_events_escapes_stream_name, create_stream_escapes_json", plugin: "cloudwatch", options: map[string]string{"log_key": "log", "log_stream_name": `a"b\c`},
		records: logs("x"), check: func(t *testing.T, calls []call) {
			if calls[0].LogStreamName != `a"b\c` {
				t.Errorf("stream %q", calls[0].LogStreamName)
			}
		}},
	{source: "flb out_cloudwatch event_size_at_limit", plugin: "cloudwatch", options: logKey, records: logs(strings.Repeat("x", 1048550)), calls: [][]string{{strings.Repeat("x", 1048550)}}},
	{source: "flb out_cloudwatch event_size_over_limit", differs: "cut with a mark, as AWS's plugin does it", plugin: "cloudwatch", options: logKey, records: logs(strings.Repeat("x", 1048551)), check: cutAt(1048550, "")},
	{source: "flb out_cloudwatch event_truncation_with_backslash", plugin: "cloudwatch", options: logKey, records: logs(strings.Repeat(`\`, 1048551)), check: cutAt(1048550, "")},
	{source: "flb: the limit counts the escaped text", differs: "the service counts the message, in which an escape is one character", plugin: "cloudwatch", options: logKey,
		records: logs(strings.Repeat("\n", 600_000)), calls: [][]string{{strings.Repeat("\n", 600_000)}}},
	{source: "flb log_event_decoder: an empty chunk", plugin: "cloudwatch"},
	{source: "agent batch_test: events come out in the order of time, stably", plugin: "cloudwatch", options: logKey,
		records: []peerRecord{{2 * time.Second, map[string]any{"log": "c"}}, {0, map[string]any{"log": "a1"}}, {time.Second, map[string]any{"log": "b"}}, {0, map[string]any{"log": "a2"}}},
		calls:   [][]string{{"a1", "a2", "b", "c"}}},
	{source: "agent queue_test TestRequestIsLessThan1MB", plugin: "cloudwatch", options: logKey, records: same(8, map[string]any{"log": strings.Repeat("W", 250_000)}), check: counts(4, 4)},
	{source: "agent TestIgnoreOutOfTimeRangeEvent: 14 days old, 2 hours ahead", differs: "the service judges, by its own clock and the group's retention, and its answer is read and counted",
		plugin: "cloudwatch", options: logKey, records: []peerRecord{{-15 * day, map[string]any{"log": "old"}}, {3 * time.Hour, map[string]any{"log": "new"}}}, calls: [][]string{{"old"}, {"new"}}},
	{source: "agent: 200 bytes are counted for each event", differs: "the service counts 26", plugin: "cloudwatch", options: logKey, records: same(9000, map[string]any{"log": strings.Repeat("x", 90)}), check: counts(9000)},
	{source: "vector test_rejects_oversized", differs: "cut with a mark instead of dropped", plugin: "cloudwatch", options: logKey, records: logs(strings.Repeat("x", 2<<20)), check: cutAt(1048550, "")},
	{source: "vector partitioned: a template per event", plugin: "cloudwatch", options: map[string]string{"log_key": "log", "log_stream_name": "$(s)"},
		records: []peerRecord{{0, map[string]any{"log": "a", "s": "one"}}, {0, map[string]any{"log": "b", "s": "two"}}, {0, map[string]any{"log": "c", "s": "one"}}},
		check: func(t *testing.T, calls []call) {
			got := map[string]string{}
			for _, c := range calls {
				got[c.LogStreamName] += strings.Join(c.texts(), "")
			}
			if len(calls) != 2 || got["one"] != "ac" || got["two"] != "b" {
				t.Errorf("%v in %d calls", got, len(calls))
			}
		}},
	{source: "vector: a template that cannot be rendered drops the event", differs: "a record with a default name is worth more than none", plugin: "cloudwatch",
		options: map[string]string{"log_key": "log", "log_stream_name": "$(missing)"}, records: logs("a"), calls: [][]string{{"a"}}},
	{source: "fluentd test_24h_apart", plugin: "cloudwatch", options: logKey, records: []peerRecord{{0, map[string]any{"log": "a"}}, {day + time.Second, map[string]any{"log": "b"}}}, calls: [][]string{{"a"}, {"b"}}},
	{source: "fluentd test_scrub: invalid UTF-8", plugin: "cloudwatch", options: logKey, records: logs("a\xffb\xe6\x97"), calls: [][]string{{"a\ufffdb\ufffd\ufffd"}}},
	{source: "integ: log_key of a record that lacks it", plugin: "cloudwatch", options: logKey, records: []peerRecord{{0, map[string]any{"other": "x"}}}, dropped: 1},

	// Kinesis Data Streams.
	{source: "kinesis TestAddRecord", plugin: "kinesis", records: []peerRecord{{0, map[string]any{"testkey": []byte("test value")}}}, calls: [][]string{{`{"testkey":"test value"}`}}},
	{source: "kinesis TestStringOrByteArray", plugin: "kinesis", options: map[string]string{"log_key": "log", "partition_key": "k"},
		records: []peerRecord{{0, map[string]any{"log": []byte("bytes"), "k": []byte("bin")}}, {0, map[string]any{"log": "text", "k": "str"}}}, calls: [][]string{{"bytes", "text"}},
		check: func(t *testing.T, calls []call) {
			if calls[0].Records[0].PartitionKey != "bin" || calls[0].Records[1].PartitionKey != "str" {
				t.Errorf("keys %+v", calls[0].Records)
			}
		}},
	{source: "kinesis TestTruncateLargeLogEvent: 1 MiB less the key", plugin: "kinesis", options: map[string]string{"log_key": "log", "partition_key": "k"},
		records: []peerRecord{{0, map[string]any{"log": strings.Repeat("a", 1<<20), "k": "key"}}}, check: cutAt(1<<20-3, "")},
	{source: "kinesis: a cut record loses its newline", differs: "it keeps it: records in a file are told apart by it", plugin: "kinesis", options: map[string]string{"log_key": "log", "partition_key": "k", "append_newline": "true"},
		records: []peerRecord{{0, map[string]any{"log": strings.Repeat("a", 1<<20), "k": "key"}}}, check: cutAt(1<<20-3, "\n")},
	{source: "kinesis TestDotReplace", plugin: "kinesis", options: map[string]string{"replace_dots": "-"},
		records: []peerRecord{{0, ordered("message.key", "some.message", "kubernetes", ordered("app", "test app label", "app.kubernetes.io/name", "test key with dots"))}},
		calls:   [][]string{{`{"message-key":"some.message","kubernetes":{"app":"test app label","app-kubernetes-io/name":"test key with dots"}}`}}},
	{source: "kinesis TestGetPartitionKey: nested by ->", plugin: "kinesis", options: map[string]string{"partition_key": "testKey->testKey->testKey"},
		records: []peerRecord{{0, map[string]any{"testKey": map[string]any{"testKey": map[string]any{"testKey": "test value"}}}}},
		check: func(t *testing.T, calls []call) {
			if got := calls[0].Records[0].PartitionKey; got != "test value" {
				t.Errorf("key %q", got)
			}
		}},
	{source: "kinesis TestGetPartitionKey: missing, and integ's wrong_key", plugin: "kinesis", options: map[string]string{"partition_key": "wrong_key"}, records: logs("a"),
		check: func(t *testing.T, calls []call) {
			if got := calls[0].Records[0].PartitionKey; len(got) != 8 {
				t.Errorf("key %q, want a random one of 8 characters", got)
			}
		}},
	{source: "integ: data_keys log,source and append_newline", plugin: "kinesis", options: map[string]string{"data_keys": "log,source", "append_newline": "true"},
		records: []peerRecord{{0, ordered("log", "x", "other", 1, "source", "stdout")}}, calls: [][]string{{`{"log":"x","source":"stdout"}` + "\n"}}},
	{source: "kinesis TestAddRecordAndFlush: 500 in a call", plugin: "kinesis", options: logKey, records: same(1001, map[string]any{"log": "x"}), check: counts(500, 500, 1)},
	{source: "kinesis: 5 MiB in a call", differs: "the service takes 10 MiB since 2025", plugin: "kinesis", options: logKey, records: same(12, map[string]any{"log": strings.Repeat("x", 1_000_000)}), check: counts(10, 2)},
	{source: "kinesis: partition_key log is refused", differs: "there is no reason for that", plugin: "kinesis", options: map[string]string{"partition_key": "log"}, records: logs("abc"),
		check: func(t *testing.T, calls []call) {
			if got := calls[0].Records[0].PartitionKey; got != "abc" {
				t.Errorf("key %q", got)
			}
		}},

	// Data Firehose.
	{source: "firehose TestAddRecord", plugin: "firehose", records: []peerRecord{{0, map[string]any{"testkey": []byte("test value")}}}, calls: [][]string{{`{"testkey":"test value"}` + "\n"}}},
	{source: "firehose TestAddRecordWithSimpleAggregationEnable", plugin: "firehose", options: map[string]string{"log_key": "log", "simple_aggregation": "true"}, records: logs("a", "b", "c"), calls: [][]string{{"a\nb\nc\n"}}},
	{source: "firehose TestTruncateLargeLogEvent: 1,024,000", plugin: "firehose", options: logKey, records: logs(strings.Repeat("a", 1_024_100)), check: cutAt(1_024_000, "\n")},
	{source: "firehose TestSendCurrentBatch: nothing, no call", plugin: "firehose"},
	{source: "firehose TestDotReplace: all the way down", plugin: "firehose", options: map[string]string{"replace_dots": "-"},
		records: []peerRecord{{0, ordered("a.b", []any{ordered("c.d", ordered("e.f", "g.h"))})}}, calls: [][]string{{`{"a-b":[{"c-d":{"e-f":"g.h"}}]}` + "\n"}}},
	{source: "firehose plugins_test TestDecodeMap", plugin: "firehose", records: []peerRecord{{0, ordered("b", []byte("bytes"), "m", ordered("b", []byte("in")), "l", []any{[]byte("list")})}},
		calls: [][]string{{`{"b":"bytes","m":{"b":"in"},"l":["list"]}` + "\n"}}},
	{source: "firehose plugins_test TestDataKeys: no space between them is expected", differs: "spaces around the commas do no harm", plugin: "firehose", options: map[string]string{"data_keys": "this, that"},
		records: []peerRecord{{0, ordered("this", 1, "other", 2, "that", 3)}}, calls: [][]string{{`{"this":1,"that":3}` + "\n"}}},
	{source: "firehose plugins_test TestGetBoolParam: nonsense is the default", differs: "nonsense stops the start", plugin: "firehose", options: map[string]string{"simple_aggregation": "maybe"}, refused: "option simple_aggregation"},
	{source: "firehose: 4 MiB in a call", plugin: "firehose", options: logKey, records: same(9, map[string]any{"log": strings.Repeat("x", 999_999)}), check: counts(4, 4, 1)},
	{source: "vector firehose check_batch_events", plugin: "firehose", options: logKey, records: same(501, map[string]any{"log": "x"}), check: counts(500, 1)},
}

// ordered is a map whose keys keep their order.
func ordered(pairs ...any) msgpack.RawMessage {
	var b strings.Builder
	e := msgpack.NewEncoder(&b)
	must(e.EncodeMapLen(len(pairs) / 2))
	for _, p := range pairs {
		must(e.Encode(p))
	}
	return msgpack.RawMessage(b.String())
}

func TestPeers(t *testing.T) {
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CA_BUNDLE": ""} {
		t.Setenv(k, v)
	}
	differ := 0
	for _, c := range peerCases {
		if c.differs != "" {
			differ++
		}
		t.Run(c.source, func(t *testing.T) { c.run(t) })
	}
	fmt.Printf("%d cases of others, %d of them with another outcome on purpose\n", len(peerCases), differ)
}

func (c peerCase) run(t *testing.T) {
	s := &lastBody{}
	server := httptest.NewServer(s)
	defer server.Close()
	log := logrus.New()
	log.SetOutput(io.Discard)
	counters := new(delivery.Counters)
	env := delivery.Env{Name: c.plugin + ".0", Log: logrus.NewEntry(log), Counters: counters}
	all := with(server.URL, map[string]string{"log_group_name": "g", "log_stream_name": "s", "stream": "s", "delivery_stream": "s"})
	for k, v := range c.options {
		all[k] = v
	}
	get := func(name string) string { return all[name] }
	var plugin interface {
		Flush(delivery.Chunk) delivery.Result
		Close()
	}
	var err error
	switch c.plugin {
	case "cloudwatch":
		plugin, err = cloudwatchplugin.New(env, get)
	case "kinesis":
		plugin, err = kinesisplugin.New(env, get)
	case "firehose":
		plugin, err = firehoseplugin.New(env, get)
	}
	if c.refused != "" {
		if err == nil || !strings.Contains(err.Error(), c.refused) {
			t.Errorf("the start gives %v, want %s", err, c.refused)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer plugin.Close()
	begin := time.Now().Truncate(time.Second)
	var chunk []byte
	for _, r := range c.records {
		body, err := msgpack.Marshal(r.body)
		if err != nil {
			t.Fatal(err)
		}
		at := begin.Add(r.after)
		chunk = append(chunk, "\x92\xd7\x00"...)
		chunk = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(chunk, uint32(at.Unix())), uint32(at.Nanosecond()))
		chunk = append(chunk, body...)
	}
	if result := plugin.Flush(delivery.Chunk{Tag: "syslog.0", Data: chunk}); result != delivery.OK {
		t.Errorf("the flush gives %v", result)
	}
	if got := counters.DroppedAll(); got != c.dropped {
		t.Errorf("%d records were dropped, want %d", got, c.dropped)
	}
	var calls []call
	for _, body := range s.bodies {
		var one call
		if err := json.Unmarshal(body, &one); err != nil {
			t.Fatal(err)
		}
		calls = append(calls, one)
	}
	if c.check != nil {
		if len(calls) == 0 {
			t.Fatal("no call was made")
		}
		c.check(t, calls)
	}
	if c.check == nil || c.calls != nil {
		var got [][]string
		for _, one := range calls {
			got = append(got, one.texts())
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.calls) {
			t.Errorf("got %.300q, want %.300q", got, c.calls)
		}
	}
}
