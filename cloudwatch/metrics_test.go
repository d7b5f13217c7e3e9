package cloudwatch

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

const emfText = `{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"n","Dimensions":[["d"]],"Metrics":[{"Name":"x"}]}]},"d":"<é>","x":1.50}`

func emfRecord() map[string]any {
	return map[string]any{"_aws": map[string]any{"CloudWatchMetrics": []any{}}}
}

// formats are the headers of the PutLogEvents calls so far, "" for none.
func (r *rig) formats() (all []string) {
	for _, call := range r.srv.Requests("PutLogEvents") {
		if call.Status == 200 {
			all = append(all, call.Header.Get("X-Amzn-Logs-Format"))
		}
	}
	return all
}

// TestFormatAuto has the header on the calls that have a document in them, and
// on no others, be they the next ones of the same connection.
func TestFormatAuto(t *testing.T) {
	t.Parallel()
	plain := record{0, line("hello")}
	asText := record{1, line(emfText)}
	for format, want := range map[string][]string{"auto": {"json/emf", "", "json/emf", ""}, "json": {"", "", "", ""}, "json/emf": {"json/emf", "json/emf", "json/emf", "json/emf"}} {
		r := newRig(t, awslocal.Config{}, "log_format", format, logKey, "log", "log_key_missing", "record")
		r.srv.Logs().CreateStream("g", "s")
		r.flush(delivery.OK, chunkOf(plain, asText, plain))
		r.flush(delivery.OK, chunkOf(plain))
		r.flush(delivery.OK, chunkOf(record{0, emfRecord()}))
		r.flush(delivery.OK, chunkOf(record{0, line(`about "_aws" and "CloudWatchMetrics"`)}))
		if got := r.formats(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", format, got, want)
		}
		if got := r.messages("g", "s"); got[5] != emfText || got[3] != `{"_aws":{"CloudWatchMetrics":[]}}` {
			t.Errorf("%s: got %q", format, got)
		}
		r.account(6, 6, 0)
	}
}

// TestFormatAutoWhole sends documents as they are, whatever the options make of
// other records.
func TestFormatAutoWhole(t *testing.T) {
	t.Parallel()
	doc := emfRecord()
	for _, opts := range [][]string{{logKey, "log"}, {"data_keys", "log"}, {"exclude_keys", "_aws"}} {
		for format, there := range map[string]bool{"auto": true, "json": false} {
			r := newRig(t, awslocal.Config{}, append(opts, "log_format", format)...)
			r.flush(delivery.OK, chunkOf(record{0, doc}, record{1, line("hello")}))
			if got := slices.Contains(r.messages("g", "s"), `{"_aws":{"CloudWatchMetrics":[]}}`); got != there {
				t.Errorf("%s %q: got %q", format, opts, r.messages("g", "s"))
			}
		}
	}
}

// TestFormatOfParts keeps the header when a call is made again in parts: out of
// order, of more than a day, refused as a whole, or too large for one call.
func TestFormatOfParts(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, "log_format", "auto", logKey, "log")
	r.srv.Logs().CreateStream("g", "s")
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.Error, Status: 400, Code: "InvalidParameterException"})
	const day = -30 * 3600 * 1000
	r.flush(delivery.OK, chunkOf(record{0, line(emfText)}, record{day, line(emfText)}, record{-1, line(emfText)}, record{day + 1, line(emfText)}))
	if got := r.formats(); !slices.Equal(got, []string{"json/emf", "json/emf", "json/emf"}) {
		t.Errorf("got %q", got)
	}
	r.account(4, 4, 0)

	// The document goes with the batch that it has room in.
	r = newRig(t, awslocal.Config{}, "log_format", "auto", logKey, "log", "concurrency", "1")
	r.srv.Logs().CreateStream("g", "s")
	r.flush(delivery.OK, chunkOf(record{0, line(strings.Repeat("x", maxBatchBytes-100))}, record{1, line(emfText)}))
	if got := r.formats(); !slices.Equal(got, []string{"", "json/emf"}) {
		t.Errorf("got %q", got)
	}

	// And with the events that are left to the next batch.
	r = newRig(t, awslocal.Config{Latency: 20 * time.Millisecond}, "log_format", "auto", logKey, "log")
	r.srv.Logs().CreateStream("g", "s")
	r.NoneFor(time.Hour)
	half := strings.Repeat("x", maxBatchBytes/2)
	r.flush(delivery.OK, chunkOf(record{0, line(half)}, record{1, line(emfText)}, record{1, line(half)}, record{2, line(half)}))
	if got := r.formats(); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"", "json/emf", "json/emf"}) {
		t.Errorf("got %q", got)
	}
}

func readMetrics(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("../internal/emf/testdata/prometheus.msgpack")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestMetrics makes documents of a chunk of metrics, whose labels names may be
// made of; options for records do not touch them.
func TestMetrics(t *testing.T) {
	t.Parallel()
	data := readMetrics(t)
	r := newRig(t, awslocal.Config{}, logKey, "log", "data_keys", "log", "metric_namespace", "fleet", "metric_dimensions", "method",
		"log_stream_name", "$(method|none)")
	begin := time.Now().UnixMilli()
	r.flush(delivery.OK, append(slices.Clone(data), data...))
	r.flush(delivery.OK, data)
	r.account(18, 18, 0)
	got := r.messages("g", "post")
	want := `{"_aws":{"Timestamp":1795417123763,"CloudWatchMetrics":[{"Namespace":"fleet","Dimensions":[["method"]],"Metrics":[{"Name":"http_requests_total","Unit":"Count","StorageResolution":60}]}]},` +
		`"method":"post","code":"200","prom_metric_type":"counter","http_requests_total":1027}`
	if len(got) != 3 || got[0] != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, e := range r.srv.Logs().Stream("g", "post").Events() {
		if e.Timestamp < begin || e.Timestamp > time.Now().UnixMilli() {
			t.Errorf("an event has the time %d", e.Timestamp)
		}
	}
	if n := r.srv.Logs().Stream("g", "none").Len(); n != 12 {
		t.Errorf("%d events without the label, want 12", n)
	}
	if slices.Contains(r.formats(), "") {
		t.Errorf("got headers %q", r.formats())
	}
	r.log.Want(t, "info", `metrics of tag "tag" are sent as documents of CloudWatch's embedded metric format`)
	r.log.Want(t, "warning", `1 samples of metrics of tag "tag" have no value and are left out`)
}

// TestMetricsWhole says nothing where all samples have a value.
func TestMetricsWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{})
	type m = map[string]any
	data, err := msgp.AppendIntf(nil, m{"meta": m{}, "metrics": []any{m{"meta": m{"type": 1, "opts": m{"name": "x"}}, "values": []any{m{"ts": uint64(1), "value": 1.5}}}}})
	if err != nil {
		t.Fatal(err)
	}
	r.flush(delivery.OK, data)
	r.account(1, 1, 0)
	r.log.None(t, "left out")
}

// TestMetricsAgain remembers which samples of a chunk are delivered.
func TestMetricsAgain(t *testing.T) {
	t.Parallel()
	data := readMetrics(t)
	r := newRig(t, awslocal.Config{}, "log_stream_name", "$(method|none)")
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.AccessDenied, Target: "get"})
	r.srv.Logs().CreateStream("g", "get")
	r.flush(delivery.Retry, data)
	r.flush(delivery.OK, data)
	r.account(6, 6, 0)
	r.wantCount(delivery.Skipped, 5)
}

// TestMetricsBroken sends what comes before the fault, and gives up the rest.
func TestMetricsBroken(t *testing.T) {
	t.Parallel()
	data := readMetrics(t)
	r := newRig(t, awslocal.Config{})
	r.flush(delivery.Error, append(slices.Clone(data), data[:100]...))
	r.account(6, 6, 0)
	r.log.Want(t, "error", "a chunk of tag", "cannot read metrics")
}

// TestInputMetrics makes documents of the records of the inputs cpu and mem, if
// an option about metrics is set.
func TestInputMetrics(t *testing.T) {
	t.Parallel()
	cpu := msgp.Raw(msgp.AppendFloat64(msgp.AppendString(msgp.AppendMapHeader(nil, 1), "cpu_p"), 5.5))
	for namespace, want := range map[string]string{
		"": `{"cpu_p":5.5}`,
		"fleet": fmt.Sprintf(`{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"fleet","Dimensions":[[]],"Metrics":[{"Name":"cpu_p","Unit":"Percent","StorageResolution":60}]}]},"cpu_p":5.5}`,
			now.UnixMilli()),
	} {
		r := newRig(t, awslocal.Config{}, "metric_namespace", namespace)
		r.flush(delivery.OK, chunkOf(record{0, cpu}, record{0, line("hello")}))
		if got := r.messages("g", "s"); !slices.Equal(got, []string{want, `{"log":"hello"}`}) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := r.formats(); got[0] != map[string]string{"fleet": "json/emf"}[namespace] {
			t.Errorf("%q: got headers %q", namespace, got)
		}
	}
}
