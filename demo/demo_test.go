package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/jsonenc"
)

// sampleNode writes the sample logs and reads them back as the built-in host does.
func sampleNode(t *testing.T) (root string, lines []line, places []place) {
	t.Helper()
	root = t.TempDir()
	logs := filepath.Join(root, "var/log/containers")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	lines, err := writeSamples("logs", logs, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n, err := newNode(".")
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := n.chunks(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chunks {
		p := place{names: []string{c.tag}}
		r := chunk.NewReader(c.data)
		for {
			ev, err := r.Next()
			if err != nil {
				break // io.EOF; what is missing for another reason is missed below
			}
			text, _, err := jsonenc.AppendJSON(nil, ev.Body)
			if err != nil {
				t.Fatal(err)
			}
			p.records = append(p.records, arrival{time.UnixMilli(ev.Time.UnixMilli()).UTC(), string(text)})
		}
		places = append(places, p)
	}
	return root, lines, places
}

func TestSamples(t *testing.T) {
	_, lines, places := sampleNode(t)
	if len(lines) < 300 || len(lines) > 1000 {
		t.Errorf("%d sample records: a demo wants 300 to 1000", len(lines))
	}
	if a := check(lines, places); !a.good() {
		t.Errorf("what the built-in host reads is not what was written: %v: %q", a, a.wrong)
	}
	ids := make(map[string]bool)
	for _, l := range lines {
		if ids[l.id()] {
			t.Errorf("two lines with the id %s", l.id())
		}
		ids[l.id()] = true
	}
}

// The record of https://docs.fluentbit.io/manual/pipeline/filters/kubernetes's
// kind: parsed text under data, the pod under kubernetes, the text as it was.
func TestNodeRecord(t *testing.T) {
	_, _, places := sampleNode(t)
	f := func(log, want string) {
		t.Helper()
		for _, p := range places {
			for _, r := range p.records {
				if strings.Contains(r.text, log) {
					if !strings.Contains(r.text, want) {
						t.Errorf("got %s\nwhich does not have %s", r.text, want)
					}
					return
				}
			}
		}
		t.Errorf("no record with %s", log)
	}
	f(`"log":"10.1.128.166 - - [`, `"data":{"remote":"10.1.128.166","host":"-","user":"-","method":"GET","path":"/","code":"200","size":"612","referer":"-","agent":"hey/0.0.1"},"kubernetes":{"pod_name":"nginx-5468c5d4d7-n2swr"`)
	f(`\"source\": \"mobile\"`, `"data":{"message":"A new user signed up!","service":"user-service","metadata":{"source":"mobile"}}`)
	f(`18446744073709551615`, `"http":{"method":"GET","status":200,"bytes":18446744073709551615,"ratio":1e-7,"cached":true}`)
	f(`\"coupon\":null`, `"lines":[{"sku":"茶-001","n":2},{"sku":"カップ-7","n":1}],"coupon":null}`)
	f(`cut off in the middle`, `cut off in the middle of\n","stream":"stdout","time":"`)
	f(`"logtag":"F"`, `"stream":"stdout","logtag":"F","log":"{`)
}

func TestCheck(t *testing.T) {
	_, lines, good := sampleNode(t)
	f := func(name string, spoil func(records []arrival) []arrival, want string) {
		t.Helper()
		places := slices.Clone(good)
		places[0].records = spoil(slices.Clone(places[0].records))
		a := check(lines, places)
		n := len(lines)
		if got := a.String(); got != strings.NewReplacer("N-1", fmt.Sprint(n-1), "N", fmt.Sprint(n)).Replace(want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		if a.good() != (name == "as it is") {
			t.Errorf("%s: good is %v", name, a.good())
		}
	}
	edit := func(old, repl string) func([]arrival) []arrival {
		return func(r []arrival) []arrival {
			r[0].text = strings.Replace(r[0].text, old, repl, 1)
			return r
		}
	}
	f("as it is", func(r []arrival) []arrival { return r }, "delivered N of N records, lost 0, duplicates 0")
	f("lost", func(r []arrival) []arrival { return r[1:] }, "delivered N-1 of N records, lost 1, duplicates 0")
	f("twice", func(r []arrival) []arrival { return append(r, r[0]) }, "delivered N of N records, lost 0, duplicates 1")
	f("one for another", func(r []arrival) []arrival { r[0] = r[1]; return r }, "delivered N-1 of N records, lost 1, duplicates 1")
	f("no JSON", edit("{", ""), "delivered N-1 of N records, lost 1, duplicates 0, changed 1")
	f("another text", edit(`"log":"`, `"log":"x`), "delivered N of N records, lost 0, duplicates 0, changed 1")
	f("another pod", edit(`"pod_name":"`, `"pod_name":"x`), "delivered N of N records, lost 0, duplicates 0, changed 1")
	f("another run", edit(`"time":"2`, `"time":"1`), "delivered N-1 of N records, lost 1, duplicates 0, changed 1")
	if (account{}).good() {
		t.Error("nothing of nothing is taken for good")
	}
}

func TestReadConfig(t *testing.T) {
	t.Setenv("DEMO_ENDPOINT", "http://127.0.0.1:1")
	sections, err := readConfig("fluent-bit.conf", "output")
	if err != nil {
		t.Fatal(err)
	}
	var plugins []string
	for _, s := range sections {
		plugins = append(plugins, s.get("name"))
		if got := s.get("ENDPOINT"); got != "http://127.0.0.1:1" {
			t.Errorf("endpoint of %s is %q", s.get("Name"), got)
		}
		if got := s.get("none"); got != "" {
			t.Errorf("a key that is not set is %q", got)
		}
	}
	var want []string
	for _, d := range destinations {
		want = append(want, d.plugin)
	}
	if !slices.Equal(plugins, want) {
		t.Errorf("fluent-bit.conf has outputs %q, the demo looks at %q", plugins, want)
	}

	bad := filepath.Join(t.TempDir(), "bad.conf")
	if err := os.WriteFile(bad, []byte("key value\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(bad, "output"); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a key outside of a section: %v", err)
	}
}

func TestParseLine(t *testing.T) {
	f := func(text string, want line, ok bool) {
		t.Helper()
		got, err := parseLine(text)
		if got != want && ok || (err == nil) != ok {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	f(`{"log":"a\n","stream":"stderr","time":"2026-01-02T03:04:05Z"}`, line{time: "2026-01-02T03:04:05Z", log: "a\n"}, true)
	f(`2026-01-02T03:04:05Z stdout F a  b`, line{time: "2026-01-02T03:04:05Z", log: "a  b"}, true)
	f(`2026-01-02T03:04:05Z stdout P half of`, line{}, false) // nothing here puts the halves together
	f(`2026-01-02T03:04:05Z stdout`, line{}, false)
	f(`{"log":`, line{}, false)
}

func TestAccountLines(t *testing.T) {
	const log = `[2026/11/23 03:38:09.297] [ info] [output:cloudwatch:cloudwatch.0] account: in 1, sent 0, pending 1
[2026/11/23 03:38:10.297] [ info] [output:cloudwatch:big] account: in 5, sent 5
[2026/11/23 03:38:11.297] [ info] [output:cloudwatch:cloudwatch.0] account: in 2, sent 2
[2026/11/23 03:38:11.297] [ info] [output:kinesis:kinesis.0] account: in 3, sent 3
`
	got := accountLines(log, "cloudwatch")
	if want := []string{"cloudwatch.0: in 2, sent 2", "big: in 5, sent 5"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
