package kinesis

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// parse reads a configuration as New does.
func parse(opts map[string]string) (config, *options.Set, error) {
	s := options.New(func(name string) string { return opts[name] })
	c := parseConfig(s)
	delivery.New(delivery.Env{}, s)
	return c, s, s.Err()
}

// least are the options that must be set.
var least = map[string]string{"region": "us-west-2", "stream": "events"}

func with(opts ...string) map[string]string {
	m := maps.Clone(least)
	for i := 0; i < len(opts); i += 2 {
		m[opts[i]] = opts[i+1]
	}
	return m
}

func TestDefaults(t *testing.T) {
	c, _, err := parse(least)
	if err != nil {
		t.Fatal(err)
	}
	if c.Form.Room() != 1<<20 || c.Form.Concatenates() {
		t.Errorf("records have room for %d bytes, put together: %v", c.Form.Room(), c.Form.Concatenates())
	}
	c.Form = records.Form{} // its own tests: TestForm, and records.TestParseForm
	want := config{
		Config: records.Config{
			AWS:    awsx.Options{Service: "kinesis", Region: "us-west-2", RoleDuration: time.Hour, TLSMinVersion: "1.2", Timeout: 10 * time.Second},
			Stream: "events", Concurrency: 32,
		},
		aggregate: 256 << 10,
		format:    "auto",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// good is for each option a value that is not its default.
var good = recordstest.Good(map[string]string{
	"region":                           "eu-central-1",
	"stream":                           "arn:aws:kinesis:eu-central-1:123456789012:stream/events",
	"partition_key":                    "kubernetes->pod_name",
	"append_newline":                   "true",
	"max_record_size":                  "10M",
	"aggregation":                      "on",
	"aggregation_max_size":             "64K",
	"simple_aggregation":               "off", // not with aggregation
	"request_format":                   "json",
	"concurrency":                      "64",
	"experimental_concurrency":         "10",
	"experimental_concurrency_retries": "0",
})

func TestEveryOption(t *testing.T) {
	c, s, err := parse(good)
	if err != nil {
		t.Fatal(err)
	}
	recordstest.WantRead(t, s.Names(), good)
	if c.Form.Room() != 10<<20 {
		t.Errorf("records have room for %d bytes", c.Form.Room())
	}
	c.Form = records.Form{}
	want := config{
		Config: records.Config{AWS: recordstest.GoodAWS("kinesis", "eu-central-1"), Letters: "dead",
			Stream: "arn:aws:kinesis:eu-central-1:123456789012:stream/events", Concurrency: 64},
		key:         &partitionKey{path: []string{"kubernetes", "pod_name"}},
		aggregation: true,
		aggregate:   64 << 10,
		format:      "json",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// bad are for each option values that it does not take, and what the error says
// of those it does.
var bad = append([][3]string{
	{"request_format", "xml", "auto, cbor, json"},
	{"stream", "my stream", "a name of 1 to 128 letters, digits and the characters _ . -, or a stream's ARN"},
	{"stream", strings.Repeat("s", 129), "1 to 128"},
	{"stream", "arn:aws:firehose:us-east-1:123456789012:deliverystream/s", "or a stream's ARN"},
	{"stream", "arn:aws:kinesis:us-east-1:12345:stream/s", "or a stream's ARN"},
	{"partition_key", "a->", "a key, keys of nested maps as kubernetes->pod_name, or a record accessor"},
	{"append_newline", "maybe", "true, on, yes, 1, false, off, no or 0"},
	{"max_record_size", "11M", "a size from 4096 to 10485760 bytes"},
	{"aggregation", "kpl", "true, on"},
	{"aggregation_max_size", "1K", "a size from 4096 to 10485760 bytes"},
	{"experimental_concurrency", "11", "a whole number from 0 to 10"},
	{"experimental_concurrency", "-1", "a whole number from 0 to 10"},
	{"experimental_concurrency_retries", "-1", "a whole number from 0 to 1000"},
}, recordstest.Bad...)

func TestBadOptions(t *testing.T) { subject.BadOptions(t, slices.Sorted(maps.Keys(good)), bad) }

func TestConflicts(t *testing.T) {
	for _, tt := range []struct {
		opts []string
		want string
	}{
		{[]string{"stream", ""}, "option stream: it is required and not set"},
		{[]string{"region", ""}, "option region: it is required and not set"},
		{[]string{"aggregation", "true", "simple_aggregation", "true"},
			"options aggregation and simple_aggregation: both are on, allowed is one of them"},
		{[]string{"stream", "arn:aws:kinesis:eu-west-1:123456789012:stream/s"},
			`options stream and region: the stream is in region "eu-west-1", option region is "us-west-2"`},
	} {
		if _, _, err := parse(with(tt.opts...)); err == nil || err.Error() != tt.want {
			t.Errorf("%v: got %v, want %s", tt.opts, err, tt.want)
		}
	}
}

func TestStreamNames(t *testing.T) {
	for _, name := range []string{"s", "Events_1.x-y", strings.Repeat("s", 128),
		"arn:aws:kinesis:us-west-2:123456789012:stream/Events_1.x-y"} {
		if _, _, err := parse(with("stream", name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for region, name := range map[string]string{
		"cn-north-1":    "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/s",
		"us-gov-west-1": "arn:aws-us-gov:kinesis:us-gov-west-1:123456789012:stream/s",
	} {
		if _, _, err := parse(with("stream", name, "region", region)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// With a partition key there is an order to keep, so calls go one by one unless
// the options say otherwise.
func TestConcurrencyOption(t *testing.T) {
	for _, tt := range []struct {
		opts []string
		want int
	}{
		{nil, 32},
		{[]string{"partition_key", "k"}, 1},
		{[]string{"partition_key", "k", "concurrency", "3"}, 3},
		{[]string{"partition_key", "k", "experimental_concurrency", "5"}, 5},
		{[]string{"experimental_concurrency", "0"}, 32},
		{[]string{"experimental_concurrency", "7"}, 7},
		{[]string{"experimental_concurrency", "7", "concurrency", "2"}, 2},
	} {
		if c, _, err := parse(with(tt.opts...)); err != nil || c.Concurrency != tt.want {
			t.Errorf("%v: got %d and %v, want %d", tt.opts, c.Concurrency, err, tt.want)
		}
	}
}

// What is put together is no larger than a record may be.
func TestAggregationSizeOption(t *testing.T) {
	for _, tt := range []struct {
		opts []string
		want int
	}{
		{nil, 256 << 10},
		{[]string{"aggregation_max_size", "10M"}, 1 << 20},
		{[]string{"aggregation_max_size", "10M", "max_record_size", "10M"}, 10 << 20},
		{[]string{"max_record_size", "8K"}, 8 << 10},
		// Room for what snappy's worst case adds.
		{[]string{"max_record_size", "12K", "simple_aggregation", "true", "compression", "snappy"}, 12<<10 - 2<<10 - 64},
	} {
		if c, _, err := parse(with(tt.opts...)); err != nil || c.aggregate != tt.want {
			t.Errorf("%v: got %d and %v, want %d", tt.opts, c.aggregate, err, tt.want)
		}
	}
}
