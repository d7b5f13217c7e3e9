package emf

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/options"
)

func config(t testing.TB, opts ...string) Config {
	t.Helper()
	s := options.New(func(name string) string {
		for i := 0; i < len(opts); i += 2 {
			if opts[i] == name {
				return opts[i+1]
			}
		}
		return ""
	})
	c := ParseConfig(s)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

var now = time.Unix(1_700_000_000, 5)

// documents returns a chunk's documents as JSON.
func documents(t testing.TB, c Config, data []byte) (all []string, left int) {
	t.Helper()
	for len(data) > 0 {
		records, rest, n, err := c.Next(nil, data, now)
		if err != nil {
			t.Fatal(err)
		}
		data, left = rest, left+n
		r := chunk.NewReader(records)
		for {
			ev, err := r.Next()
			if err != nil {
				break
			}
			if ev.Time != (chunk.Time{Sec: 1_700_000_000, Nsec: 5}) {
				t.Errorf("got time %v", ev.Time)
			}
			doc, _, err := jsonenc.AppendJSON(nil, ev.Body)
			if err != nil || !Is(ev.Body) || !IsText(msgp.AppendStringFromBytes(nil, doc)) {
				t.Errorf("%s: not a document: %v", doc, err)
			}
			all = append(all, string(doc))
		}
	}
	return all, left
}

// TestRealMetrics has a chunk of Fluent Bit 5.1.1's input prometheus_scrape, of
// testdata/prometheus.txt.
func TestRealMetrics(t *testing.T) {
	data, err := os.ReadFile("testdata/prometheus.msgpack")
	if err != nil {
		t.Fatal(err)
	}
	if !IsMetrics(data) {
		t.Fatal("these are metrics")
	}
	got, left := documents(t, config(t), data)
	if left != 1 {
		t.Errorf("%d samples are left out, want the one that is not a number", left)
	}
	head := func(dimensions, metric string) string {
		space, _, _ := strings.Cut(metric, "_") // as its parser takes names apart
		if space == metric {
			space = defaultNamespace
		}
		return `{"_aws":{"Timestamp":1795417123763,"CloudWatchMetrics":[{"Namespace":"` + space + `","Dimensions":[[` + dimensions + `]],"Metrics":[{"Name":"` + metric + `",`
	}
	want := []string{
		head(`"method","code"`, "http_requests_total") + `"Unit":"Count","StorageResolution":60}]}]},"method":"post","code":"200","prom_metric_type":"counter","http_requests_total":1027}`,
		head(`"method"`, "http_requests_total") + `"Unit":"Count","StorageResolution":60}]}]},"method":"get","prom_metric_type":"counter","http_requests_total":3}`,
		head(``, "temperature") + `"StorageResolution":60}]}]},"prom_metric_type":"gauge","temperature":-4.5}`,
		head(`"zone"`, "other") + `"StorageResolution":60}]}]},"zone":"a","prom_metric_type":"untyped","other":7}`,
		head(``, "rpc_seconds") + `"StorageResolution":60}]}]},"prom_metric_type":"summary","rpc_seconds":{"Min":0.2,"Max":0.9,"Sum":10,"Count":20}}`,
		head(``, "latency_seconds") + `"StorageResolution":60}]}]},"prom_metric_type":"histogram","latency_seconds":{"Min":0,"Max":1,"Sum":3.25,"Count":5}}`,
	}
	if len(got) != len(want) {
		t.Fatalf("got %d documents, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

// m is a msgpack map of keys and values, in order.
func m(pairs ...any) msgp.Raw {
	b := msgp.AppendMapHeader(nil, uint32(len(pairs)/2))
	for _, v := range pairs {
		b = with(b, v)
	}
	return b
}

func with(b []byte, v any) []byte {
	if raw, ok := v.(msgp.Raw); ok {
		return append(b, raw...)
	}
	b, err := msgp.AppendIntf(b, v)
	if err != nil {
		panic(err)
	}
	return b
}

func a(values ...any) msgp.Raw {
	b := msgp.AppendArrayHeader(nil, uint32(len(values)))
	for _, v := range values {
		b = with(b, v)
	}
	return b
}

// collection is a chunk of one metric with one sample.
func collection(meta, sample msgp.Raw, static ...any) msgp.Raw {
	return m("meta", m("cmetrics", m(), "external", m(), "processing", m("static_labels", a(static...))),
		"metrics", a(m("meta", meta, "values", a(sample))))
}

func meta(kind int, more ...any) msgp.Raw {
	return m(append([]any{"ver", 2, "type", kind, "opts", m("ns", "node", "ss", "cpu", "name", "x", "desc", "")}, more...)...)
}

func bitsOf(v float64) uint64 { return math.Float64bits(v) }

// TestSamples has of each kind of value what becomes of it.
func TestSamples(t *testing.T) {
	labels := a("mode", "core", nil)
	bounds := []any{"buckets", a(1.0, 2.0, 4.0)}
	for _, tt := range []struct {
		name         string
		meta, sample msgp.Raw
		want         string // the end of the document; "": there is none
	}{
		{"counter", meta(counter, "labels", labels), m("ts", uint64(5e9), "value", 2.5, "labels", a("user", "0")), `"Timestamp":5000,"CloudWatchMetrics":[{"Namespace":"node","Dimensions":[["mode","core"]],"Metrics":[{"Name":"node_cpu_x","Unit":"Count","StorageResolution":60}]}]},"mode":"user","core":"0","prom_metric_type":"counter","node_cpu_x":2.5}`},
		{"label without a value", meta(gauge, "labels", labels), m("ts", uint64(1), "value", 1.0, "labels", a("", "0", "none")), `"Dimensions":[["core"]],"Metrics":[{"Name":"node_cpu_x","StorageResolution":60}]}]},"core":"0","prom_metric_type":"gauge","node_cpu_x":1}`},
		{"no label", meta(untyped, "labels", labels), m("ts", uint64(1), "value", 1.0), `"Dimensions":[[]],"Metrics":[{"Name":"node_cpu_x","StorageResolution":60}]}]},"prom_metric_type":"untyped","node_cpu_x":1}`},
		{"signed", meta(gauge), m("ts", uint64(1), "value", -9.2e18, "value_type", 1, "value_int64", int64(-9223372036854775808)), `"node_cpu_x":-9223372036854775808}`},
		{"unsigned", meta(gauge), m("ts", uint64(1), "value", 1.8e19, "value_type", 2, "value_uint64", uint64(18446744073709551615)), `"node_cpu_x":18446744073709551615}`},
		{"not a number", meta(gauge), m("ts", uint64(1), "value", math.NaN()), ""},
		{"infinity", meta(gauge), m("ts", uint64(1), "value", math.Inf(-1)), ""},
		{"unit", m("type", gauge, "opts", m("ns", "", "ss", "", "name", "x", "unit", "By")), m("ts", uint64(1), "value", 1.0), `"Namespace":"fluent-bit-metrics","Dimensions":[[]],"Metrics":[{"Name":"x","Unit":"Bytes","StorageResolution":60}]}]},"prom_metric_type":"gauge","x":1}`},
		{"unit that CloudWatch does not know", m("type", counter, "opts", m("name", "x", "unit", "{turns}")), m("ts", uint64(1), "value", 1.0), `"Metrics":[{"Name":"x","StorageResolution":60}]`},

		{"buckets, each with those before", meta(histogram, bounds...), m("histogram", m("buckets", a(0, 1, 3, 3), "sum", 7.0, "count", 3)), `{"Min":1,"Max":4,"Sum":7,"Count":3}}`},
		{"buckets, each for itself", meta(histogram, bounds...), m("histogram", m("buckets", a(0, 1, 0, 2), "sum", 12.0, "count", 3)), `{"Min":1,"Max":4,"Sum":12,"Count":3}}`},
		{"average beyond the bounds", meta(histogram, bounds...), m("histogram", m("buckets", a(0, 0, 0, 2), "sum", 100.0, "count", 2)), `{"Min":4,"Max":50,"Sum":100,"Count":2}}`},
		{"below the first bound", meta(histogram, "buckets", a(-5.0, 2.0)), m("histogram", m("buckets", a(1, 1, 1), "sum", -7.0, "count", 1)), `{"Min":-7,"Max":-5,"Sum":-7,"Count":1}}`},
		{"no buckets", meta(histogram, "buckets", a()), m("histogram", m("buckets", a(2), "sum", 4.0, "count", 2)), `{"Min":0,"Max":2,"Sum":4,"Count":2}}`},
		{"more buckets than bounds", meta(histogram, "buckets", a(1.0)), m("histogram", m("buckets", a(0, 1, 7), "sum", 4.0, "count", 8)), `{"Min":0.5,"Max":1,"Sum":4,"Count":8}}`},
		{"infinite bound", meta(histogram, "buckets", a(1.0, math.Inf(1))), m("histogram", m("buckets", a(0, 2, 2), "sum", 4.0, "count", 2)), `{"Min":1,"Max":2,"Sum":4,"Count":2}}`},
		{"infinite sum", meta(histogram, bounds...), m("histogram", m("buckets", a(0, 1, 1, 1), "sum", math.Inf(1), "count", 1)), ""},
		{"empty histogram", meta(histogram, bounds...), m("histogram", m("buckets", a(0, 0, 0, 0), "sum", 0.0, "count", 0)), ""},

		{"summary", meta(summary), m("summary", m("quantiles_set", 1, "quantiles", a(bitsOf(3), bitsOf(math.NaN()), bitsOf(9)), "count", 2, "sum", bitsOf(11))), `{"Min":3,"Max":9,"Sum":11,"Count":2}}`},
		{"summary without quantiles", meta(summary), m("summary", m("quantiles_set", 0, "quantiles", a(bitsOf(0)), "count", 2, "sum", bitsOf(11))), `{"Min":5.5,"Max":5.5,"Sum":11,"Count":2}}`},
		{"summary of what is negative, without quantiles", meta(summary), m("summary", m("quantiles_set", 0, "quantiles", a(bitsOf(0)), "count", 2, "sum", bitsOf(-11))), `{"Min":-5.5,"Max":-5.5,"Sum":-11,"Count":2}}`},
		{"empty summary", meta(summary), m("summary", m("quantiles_set", 1, "quantiles", a(bitsOf(math.NaN())), "count", 0, "sum", bitsOf(0))), ""},

		{"exponential", meta(expHistogram), m("exp_histogram", m("scale", 0, "zero_count", 0, "positive_offset", 1, "positive_buckets", a(0, 2, 1), "negative_offset", 0, "negative_buckets", a(), "count", 3, "sum_set", 1, "sum", bitsOf(21))),
			`"prom_metric_type":"histogram","node_cpu_x":{"Min":4,"Max":16,"Sum":21,"Count":3}}`},
		{"exponential, of a coarse scale", meta(expHistogram), m("exp_histogram", m("scale", -1, "zero_count", 0, "positive_offset", 0, "positive_buckets", a(1, 1), "count", 2, "sum_set", 1, "sum", bitsOf(10))), `{"Min":1,"Max":16,"Sum":10,"Count":2}}`},
		{"exponential, below and at zero", meta(expHistogram), m("exp_histogram", m("scale", 0, "zero_count", 1, "positive_offset", 0, "positive_buckets", a(), "negative_offset", 0, "negative_buckets", a(1, 1), "count", 3, "sum_set", 1, "sum", bitsOf(-6))), `{"Min":-4,"Max":0,"Sum":-6,"Count":3}}`},
		{"exponential, all below, sum not told", meta(expHistogram), m("exp_histogram", m("scale", 0, "zero_count", 0, "positive_buckets", a(), "negative_offset", 0, "negative_buckets", a(1, 1), "count", 2, "sum_set", 0, "sum", 0)), `{"Min":-4,"Max":-1,"Sum":-5,"Count":2}}`},
	} {
		got, left := documents(t, config(t), collection(tt.meta, tt.sample))
		switch {
		case tt.want == "" && (len(got) != 0 || left != 1):
			t.Errorf("%s: got %q, want nothing", tt.name, got)
		case tt.want != "" && (len(got) != 1 || left != 0 || !strings.Contains(got[0], tt.want)):
			t.Errorf("%s: got %q\nwant %s", tt.name, got, tt.want)
		}
	}
}

// TestStaticLabels: those of all metrics come to a metric without any.
func TestStaticLabels(t *testing.T) {
	got, _ := documents(t, config(t), collection(meta(gauge), m("ts", uint64(1), "value", 1.0), a("env", "prod"), a("team", "a")))
	if len(got) != 1 || !strings.Contains(got[0], `"env":"prod","team":"a"`) {
		t.Errorf("got %q", got)
	}
}

// TestMostDimensions: CloudWatch takes 30 in a set.
func TestMostDimensions(t *testing.T) {
	for _, n := range []int{30, 31} {
		s := options.New(func(name string) string {
			if name == "metric_dimensions" {
				return strings.Repeat("a,", n)
			}
			return ""
		})
		if ParseConfig(s); (s.Err() == nil) != (n == 30) {
			t.Errorf("%d names: got %v", n, s.Err())
		}
	}
}

func TestToFloat(t *testing.T) {
	for want, v := range map[float64][]byte{
		-5: msgp.AppendInt64(nil, -5), 7: {7}, 1.5: msgp.AppendFloat32(nil, 1.5), -0.25: msgp.AppendFloat64(nil, -0.25),
		1 << 63: msgp.AppendUint64(nil, 1<<63), -(1 << 63): msgp.AppendInt64(nil, -1<<63), 0: msgp.AppendString(nil, "1"),
	} {
		if got := toFloat(v); got != want {
			t.Errorf("%x: got %v, want %v", v, got, want)
		}
	}
}

// TestDimensions makes sets of those labels that a sample has.
func TestDimensions(t *testing.T) {
	labels, static := a("mode", "core"), []any{a("host", "h1"), a("empty", ""), a("odd")}
	sample := m("ts", uint64(1), "value", 1.0, "labels", a("user", "0"))
	for _, tt := range []struct{ dimensions, want string }{
		{"", `["mode","core","host"]`},
		{"host", `["host"]`},
		{"host, mode ; core,", `["host","mode"],["core"]`},
		{"host,none;host;none", `["host"]`},
		{"none", `[]`},
	} {
		got, _ := documents(t, config(t, "metric_dimensions", tt.dimensions, "metric_namespace", "fleet"), collection(meta(gauge, "labels", labels), sample, static...))
		if want := `"Namespace":"fleet","Dimensions":[` + tt.want + `],`; len(got) != 1 || !strings.Contains(got[0], want) || !strings.Contains(got[0], `"mode":"user","core":"0","host":"h1","prom`) {
			t.Errorf("%q: got %q, want %s", tt.dimensions, got, want)
		}
	}
	many, values := a(), a()
	for i := range 40 {
		many = with(many, string(rune('a'+i)))
		values = with(values, "v")
	}
	many[0], values[0] = 0xdc, 0xdc // an array of 40
	many, values = append(msgp.Raw{0xdc, 0, 40}, many[1:]...), append(msgp.Raw{0xdc, 0, 40}, values[1:]...)
	got, _ := documents(t, config(t), collection(meta(gauge, "labels", many), m("ts", uint64(1), "value", 1.0, "labels", values)))
	if !strings.Contains(got[0], `"}","~"]],"Metrics"`) { // the 30th is the last
		t.Errorf("a set of 40 labels has become %s", got[0])
	}
}

// TestBrokenMetrics reads what comes before the fault, and says what it is.
func TestBrokenMetrics(t *testing.T) {
	good := collection(meta(gauge), m("ts", uint64(1), "value", 1.0))
	for _, tt := range []struct {
		name string
		data msgp.Raw
		want string
	}{
		{"cut off", good[:len(good)-1], "cannot read metrics"},
		{"the next kind", collection(meta(6), m()), "a metric is of an unknown kind, 6"},
		{"unknown kind", collection(meta(9), m()), "a metric is of an unknown kind, 9"},
		{"no name", collection(m("type", 0), m()), "a metric has no name"},
		{"no description", m("metrics", a(m("values", a()))), "a metric has no description"},
		{"no metrics", m("meta", m()), "there are none"},
	} {
		c := config(t)
		records, rest, _, err := c.Next(nil, append(bytes.Clone(good), tt.data...), now)
		if err != nil || len(records) == 0 || !bytes.Equal(rest, tt.data) {
			t.Fatalf("%s: got %d bytes, %v", tt.name, len(records), err)
		}
		_, _, _, err = c.Next(nil, rest, now)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	for _, data := range []msgp.Raw{nil, a(), m(), m("meta", 1), {0x81}, a(1, m("metrics", a()))} {
		if IsMetrics(data) {
			t.Errorf("%x is taken for metrics", data)
		}
	}
}

// FuzzNext never panics, and ends.
func FuzzNext(f *testing.F) {
	data, err := os.ReadFile("testdata/prometheus.msgpack")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(collection(meta(histogram, "buckets", a(1.0)), m("histogram", m("buckets", a(0, 1), "sum", 4.0, "count", 8)))))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Config{}
		for len(data) > 0 {
			records, rest, _, err := c.Next(nil, data, now)
			r := chunk.NewReader(records)
			for {
				if _, err := r.Next(); err != nil {
					if err.Error() != "EOF" {
						t.Fatal(err)
					}
					break
				}
			}
			if err != nil {
				return
			}
			if len(rest) >= len(data) {
				t.Fatal("no progress")
			}
			data = rest
		}
	})
}
