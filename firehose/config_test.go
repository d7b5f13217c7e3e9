package firehose

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
func parse(opts map[string]string) (records.Config, *options.Set, error) {
	s := options.New(func(name string) string { return opts[name] })
	c := parseConfig(s)
	delivery.New(delivery.Env{}, s)
	return c, s, s.Err()
}

// least are the options that must be set.
var least = map[string]string{"region": "us-west-2", "delivery_stream": "logs"}

func TestDefaults(t *testing.T) {
	c, _, err := parse(least)
	if err != nil {
		t.Fatal(err)
	}
	if c.Form.Room() != 1_024_000 || c.Form.Concatenates() {
		t.Errorf("records have room for %d bytes, put together: %v", c.Form.Room(), c.Form.Concatenates())
	}
	c.Form = records.Form{} // its own tests: TestForm, and records.TestParseForm
	want := records.Config{
		AWS:         awsx.Options{Service: "firehose", Region: "us-west-2", RoleDuration: time.Hour, TLSMinVersion: "1.2", Timeout: 10 * time.Second},
		Stream:      "logs",
		Concurrency: 32,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// good is for each option a value that is not its default.
var good = recordstest.Good(map[string]string{
	"region":          "eu-central-1",
	"delivery_stream": "Logs_1.x-y",
	"max_record_size": "12K",
})

func TestEveryOption(t *testing.T) {
	c, s, err := parse(good)
	if err != nil {
		t.Fatal(err)
	}
	recordstest.WantRead(t, s.Names(), good)
	if c.Form.Room() != 12<<10-2<<10-64 || !c.Form.Concatenates() {
		t.Errorf("records have room for %d bytes, put together: %v", c.Form.Room(), c.Form.Concatenates())
	}
	c.Form = records.Form{}
	want := records.Config{
		AWS:         recordstest.GoodAWS("firehose", "eu-central-1"),
		Letters:     "dead",
		Stream:      "Logs_1.x-y",
		Concurrency: 64,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// bad are for each option values that it does not take, and what the error says
// of those it does.
var bad = append([][3]string{
	{"delivery_stream", "my stream", "1 to 64 letters, digits and the characters _ . -"},
	{"delivery_stream", strings.Repeat("s", 65), "1 to 64"},
	{"delivery_stream", "arn:aws:firehose:us-east-1:123456789012:deliverystream/s", "1 to 64"},
	{"max_record_size", "1M", "a size from 4096 to 1024000 bytes"},
}, recordstest.Bad...)

func TestBadOptions(t *testing.T) { subject.BadOptions(t, slices.Sorted(maps.Keys(good)), bad) }

func TestRequiredOptions(t *testing.T) {
	_, _, err := parse(nil)
	for _, want := range []string{"option delivery_stream: it is required and not set", "option region: it is required and not set"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, _, err := parse(map[string]string{"region": "us-west-2", "delivery_stream": strings.Repeat("s", 64)}); err != nil {
		t.Error(err)
	}
}
