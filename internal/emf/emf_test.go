package emf

import (
	"testing"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/jsonenc"
)

func TestIs(t *testing.T) {
	metrics := a(m("Namespace", "n"))
	for _, tt := range []struct {
		name string
		body msgp.Raw
		want bool
	}{
		{"document", m("_aws", m("Timestamp", 1, "CloudWatchMetrics", metrics), "x", 1), true},
		{"key at the end", m("x", 1, "_aws", m("CloudWatchMetrics", metrics)), true},
		{"no metrics", m("_aws", m("Timestamp", 1)), false},
		{"metrics that are no list", m("_aws", m("CloudWatchMetrics", "x")), false},
		{"no map", m("_aws", "CloudWatchMetrics"), false},
		{"below", m("log", m("_aws", m("CloudWatchMetrics", metrics))), false},
		{"text", m("log", `{"_aws":{"CloudWatchMetrics":[]}}`), false},
		{"none", m("log", "hello"), false},
		{"list", a(1), false},
	} {
		if got := MayBe(tt.body) && Is(tt.body); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
	for text, want := range map[string]bool{
		`{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{}]},"x":1}`: true,
		` {"x":"}", "_aws" : { "CloudWatchMetrics" : [] } } `:     true,
		`{"_aws":{"CloudWatchMetrics":"x"}}`:                      false,
		`{"x":{"_aws":{"CloudWatchMetrics":[]}}}`:                 false,
		`time="now" "_aws" "CloudWatchMetrics"`:                   false,
		`{"_aws":{"CloudWatch`:                                    false,
		`hello`:                                                   false,
		``:                                                        false,
	} {
		for _, value := range [][]byte{msgp.AppendString(nil, text), msgp.AppendBytes(nil, []byte(text))} {
			if got := IsText(value); got != want {
				t.Errorf("%s: got %v", text, got)
			}
		}
	}
	if IsText(m("_aws", 1)) {
		t.Error("a map is taken for text")
	}
}

// What most records cost.
func TestMayBeAllocates(t *testing.T) {
	body := m("log", "hello", "kubernetes", m("pod_name", "web"))
	if n := testing.AllocsPerRun(100, func() { _ = MayBe(body) && Is(body) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRecord has records as Fluent Bit's inputs cpu and mem make them.
func TestRecord(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []string
		body msgp.Raw
		want string
	}{
		{"cpu", []string{"metric_namespace", "fleet"}, m("cpu_p", 5.5, "user_p", 3.0, "system_p", 2.5, "cpu0.p_cpu", 6.0),
			`{"_aws":{"Timestamp":1500,"CloudWatchMetrics":[{"Namespace":"fleet","Dimensions":[[]],"Metrics":[{"Name":"cpu_p","Unit":"Percent","StorageResolution":60},{"Name":"user_p","Unit":"Percent","StorageResolution":60},{"Name":"system_p","Unit":"Percent","StorageResolution":60}]}]},"cpu_p":5.5,"user_p":3,"system_p":2.5,"cpu0.p_cpu":6}`},
		{"mem", []string{"metric_dimensions", "host,az;host"}, m("Mem.total", 8, "Swap.free", 1, "host", "h"),
			`{"_aws":{"Timestamp":1500,"CloudWatchMetrics":[{"Namespace":"fluent-bit-metrics","Dimensions":[["host","az"],["host"]],"Metrics":[{"Name":"Mem.total","Unit":"Bytes","StorageResolution":60},{"Name":"Swap.free","Unit":"Bytes","StorageResolution":60}]}]},"Mem.total":8,"Swap.free":1,"host":"h"}`},
		{"another record", nil, m("log", "cpu_p"), ""},
		{"keys that are no text", nil, m(1, 2, "cpu_p", 3), ""},
		{"no map", nil, a("cpu_p"), ""},
	} {
		c := config(t, tt.opts...)
		if c.Set != (tt.opts != nil) {
			t.Errorf("%s: set is %v", tt.name, c.Set)
		}
		doc, ok := c.Record(nil, 1500, tt.body)
		if ok != (tt.want != "") {
			t.Errorf("%s: got %v", tt.name, ok)
		}
		if !ok {
			continue
		}
		if text, rest, err := jsonenc.AppendJSON(nil, doc); err != nil || len(rest) != 0 || string(text) != tt.want {
			t.Errorf("%s: got  %s %v\nwant %s", tt.name, text, err, tt.want)
		}
	}
}
