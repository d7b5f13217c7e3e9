//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"aws-for-fluent-bit/internal/awslocal"
)

// formInput gives formRecords records that are all the same but for n.
func formInput(t *testing.T) (input, service string) {
	t.Helper()
	dir := t.TempDir()
	var log strings.Builder
	for i := range formRecords {
		fmt.Fprintf(&log, `{"message":"hello <b> & \"ü\"","a.b":{"c.d":[{"e.f":1.5}]},"keep":"me","big":"%s","n":%d}`+"\n", strings.Repeat("xü", 2000), i)
	}
	for name, text := range map[string]string{"form.log": log.String(), "parsers.conf": section("PARSER", "Name json", "Format json")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return section("INPUT", "Name tail", "Tag form", "Path "+filepath.Join(dir, "form.log"), "Parser json", "Read_from_Head On"),
		"Parsers_File " + filepath.Join(dir, "parsers.conf")
}

const formRecords = 4

// form is what the options make of the records.
type form struct {
	name    string // of the stream too
	options []string
	open    func([]byte) ([]byte, error) // takes off what is around the text of a record; nil: nothing is
	want    []string                     // patterns of the records; @ stands for how they end
}

// each is a pattern for formRecords records of one text, with # for the number.
func each(text string) (patterns []string) {
	for i := range formRecords {
		patterns = append(patterns, strings.ReplaceAll(text, "#", fmt.Sprint(i)))
	}
	return patterns
}

// check looks at what has arrived, in the order of the records.
func (f form) check(t *testing.T, plugin string, data [][]byte, end string) {
	t.Helper()
	if len(data) != len(f.want) {
		t.Errorf("%s %s: got %d records, want %d", plugin, f.name, len(data), len(f.want))
		return
	}
	for i, pattern := range f.want {
		text := data[i]
		if f.open != nil {
			var err error
			if text, err = f.open(text); err != nil {
				t.Errorf("%s %s: record %d: %v", plugin, f.name, i, err)
				continue
			}
		}
		pattern = "(?s)^" + strings.ReplaceAll(pattern, "@", end) + "$"
		if !regexp.MustCompile(pattern).Match(text) {
			t.Errorf("%s %s: record %d is %.300q, want %s", plugin, f.name, i, text, pattern)
		}
	}
}

func gunzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func inflate(b []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func unzstd(b []byte) ([]byte, error) {
	r, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.DecodeAll(b, nil)
}

// unKPL takes the magic number and the checksum off an aggregate.
func unKPL(b []byte) ([]byte, error) {
	text, ok := bytes.CutPrefix(b, []byte("\xf3\x89\x9a\xc2"))
	if !ok || len(text) < md5.Size {
		return nil, errors.New("not an aggregate of the Kinesis Producer Library")
	}
	return text[:len(text)-md5.Size], nil
}

const lines = "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n"

// commonForms are those that Kinesis and Firehose both have.
var commonForms = []form{
	{name: "whole", want: each(`{"message":"hello <b> & \\"ü\\"","a.b":{"c.d":\[{"e.f":1.5}\]},"keep":"me","big":"(?:xü){1000}(?:xü){1000}","n":#}@`)},
	{name: "data-keys", options: []string{"data_keys n , keep,none"}, want: each(`{"keep":"me","n":#}@`)},
	{name: "log-key", options: []string{"log_key message"}, want: each(`hello <b> & "ü"@`)},
	{name: "log-key-number", options: []string{"log_key n"}, want: each(`#@`)},
	{name: "replace-dots", options: []string{"data_keys a.b,n", "replace_dots _"}, want: each(`{"a_b":{"c_d":\[{"e_f":1.5}\]},"n":#}@`)},
	{name: "time-key", options: []string{"data_keys n", "time_key at"}, want: each(`{"n":#,"at":"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d"}@`)},
	{name: "time-format", options: []string{"data_keys n", "time_key at", "time_key_timezone utc", "time_key_format %H:%M:%S.%L %z"},
		want: each(`{"n":#,"at":"\d\d:\d\d:\d\d\.\d\d\d \+0000"}@`)},
	{name: "gzip", options: []string{"data_keys n", "compression gzip"}, open: gunzip, want: each(`{"n":#}@`)},
	{name: "zlib", options: []string{"data_keys n", "compression zlib"}, open: inflate, want: each(`{"n":#}@`)},
	{name: "zstd", options: []string{"data_keys n", "compression zstd"}, open: unzstd, want: each(`{"n":#}@`)},
	{name: "together", options: []string{"data_keys n", "simple_aggregation on"}, want: []string{lines}},
	{name: "together-gzip", options: []string{"data_keys n", "simple_aggregation on", "compression gzip"}, open: gunzip, want: []string{lines}},
	{name: "cut", options: []string{"max_record_size 4K", "log_key big"}, want: each(`(?:xü){1000}(?:xü){300,365}x?\[Truncated\.\.\.\]@`)},
}

// kinesisForms are those of Kinesis alone.
var kinesisForms = []form{
	{name: "newline", options: []string{"data_keys n", "append_newline on"}, want: each("{\"n\":#}\n")},
	{name: "kpl", options: []string{"data_keys n", "aggregation on", "partition_key keep"}, open: unKPL,
		want: []string{`.*me.*{"n":0}.*{"n":1}.*{"n":2}.*{"n":3}.*`}}, // TestConformanceKCL has it read in full
	{name: "by-arn", options: []string{"data_keys n"}, want: each(`{"n":#}`)},
}

// What the options make of a record, as it arrives.
func TestForms(t *testing.T) {
	cfg := awslocal.Config{KinesisStreams: map[string]int{}}
	ofKinesis := append(slices.Clone(commonForms), kinesisForms...)
	for _, f := range ofKinesis {
		cfg.KinesisStreams[f.name] = 1
	}
	for _, f := range commonForms {
		cfg.DeliveryStreams = append(cfg.DeliveryStreams, f.name)
	}
	aws := startAWS(t, cfg)
	input, service := formInput(t)
	config := input
	output := func(f form, lines ...string) {
		lines = append(lines, "Match *", "workers 1", "region us-east-2", "endpoint "+aws.URL)
		config += section("OUTPUT", append(lines, f.options...)...)
	}
	for _, f := range ofKinesis {
		stream := f.name
		if f.name == "by-arn" {
			stream = aws.Kinesis().Stream(f.name).ARN
		}
		output(f, "Name kinesis", "stream "+stream)
	}
	for _, f := range commonForms {
		output(f, "Name firehose", "delivery_stream "+f.name)
	}
	fromKinesis := func(f form) (data [][]byte) {
		for _, r := range aws.Kinesis().Stream(f.name).Records() {
			data = append(data, r.Data)
		}
		return data
	}
	fromFirehose := func(f form) [][]byte { return aws.Firehose().Stream(f.name).Records() }

	p := start(t, run{config: config, service: service, plugins: []string{kinesisSink.loader(), firehoseSink.loader()}})
	p.wait("all records have arrived everywhere", 30*time.Second, func() bool {
		return !slices.ContainsFunc(ofKinesis, func(f form) bool { return len(fromKinesis(f)) < len(f.want) }) &&
			!slices.ContainsFunc(commonForms, func(f form) bool { return len(fromFirehose(f)) < len(f.want) })
	})
	p.stop(20 * time.Second)
	for _, f := range ofKinesis {
		f.check(t, "kinesis", fromKinesis(f), "")
	}
	for _, f := range commonForms {
		f.check(t, "firehose", fromFirehose(f), "\n")
	}
}

// atATime returns how many of the calls were under way at the same time, at most.
func atATime(calls []*awslocal.Request) (most int) {
	for _, c := range calls {
		under := 0
		for _, o := range calls {
			if !o.Time.After(c.Time) && o.Time.Add(o.Took).After(c.Time) {
				under++
			}
		}
		most = max(most, under)
	}
	return most
}

// concurrency bounds the calls that one chunk has in flight at a time, and so
// does experimental_concurrency; with a partition key there is one at a time.
func TestConcurrency(t *testing.T) {
	const records = 5000 // of one chunk, in 10 calls
	n := writeNumbered(t, records)
	f := func(s sink, atMost int, options ...string) {
		t.Run(strings.Join(append([]string{s.plugin}, options...), ","), func(t *testing.T) {
			aws := awsForSinks(t, awslocal.Config{Latency: 50 * time.Millisecond})
			p := start(t, run{service: n.service(), plugins: []string{s.loader()}, config: n.input("app.log") + s.output(aws, append(options, "workers 1")...)})
			p.wait("all records have arrived", 30*time.Second, func() bool { return s.total(aws) >= records })
			p.stop(20 * time.Second)
			if a := n.checkTexts(s.records(aws)); !a.whole(n) {
				t.Errorf("of %d records arrived: %v", records, a)
			}
			most := atATime(aws.Requests(s.operation))
			if most > atMost || atMost > 1 && most == 1 {
				t.Errorf("%d calls at a time, allowed are %d", most, atMost)
			}
		})
	}
	f(kinesisSink, 8, "concurrency 8")
	f(kinesisSink, 1, "concurrency 1")
	f(kinesisSink, 3, "experimental_concurrency 3", "experimental_concurrency_retries 2")
	f(kinesisSink, 1, "partition_key service")
	f(firehoseSink, 8, "concurrency 8")
	f(firehoseSink, 2, "concurrency 2")
}
