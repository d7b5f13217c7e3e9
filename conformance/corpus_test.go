package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// What Fluent Bit's own inputs and filters write, captured by a plugin of our
// own (capture/capture.c), is kept with what it means as JSON in
//
//	internal/chunk/testdata/fluentbit/VERSION/CASE.msgpack and .jsonl
//
// where internal/chunk's tests read it without a fluent-bit. After a look at
// what has changed it is written anew, also for another version, with
//
//	go test -run TestCorpus -update
//	FLUENT_BIT=/path/to/fluent-bit go test -run TestCorpus -update

var update = flag.Bool("update", false, "write the captured chunks into internal/chunk/testdata")

const corpusDir = "../internal/chunk/testdata/fluentbit"

// captured is a line of a .jsonl file: an event, or a marker of a group.
type captured struct {
	Time     string          `json:"time"` // seconds and nanoseconds, or "group" or "end"
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Body     json.RawMessage `json:"body"`
}

// corpus are the cases. Names of files in the configuration are those of files,
// PORT is a free port, and drive is called when fluent-bit is up.
var corpus = []struct {
	name    string
	config  string
	files   map[string]string
	drive   func(t *testing.T, port int)
	records int
	since   int // first major version that has the input
}{
	{name: "dummy", records: 2, config: `
[INPUT]
    name dummy
    tag  dummy
    samples 2
    start_time_sec 1767225600
    start_time_nsec 123456789
    fixed_timestamp true
    dummy {"log":"hello\n","n":-5,"big":18446744073709551615,"f":1.5,"ok":true,"none":null,"list":[1,"two",[]],"map":{},"text":"日本 \u0000 \ud83d\ude00"}
`},
	{name: "dummy-metadata", records: 1, since: 3, config: `
[INPUT]
    name dummy
    tag  dummy
    samples 1
    start_time_sec 1767225600
    start_time_nsec 5
    metadata {"stream":"stdout","n":1}
    dummy {"log":"with metadata"}
`},
	{name: "tail", records: 4, config: `
[INPUT]
    name tail
    tag  tail
    path app.log
    offset_key at
    read_from_head on
`, files: map[string]string{"app.log": "plain line\n{\"not\":\"parsed\"}\ntab\tand \xff bad UTF-8\nПривет 😀\n"}},
	{name: "tail-cri", records: 3, config: `
[INPUT]
    name tail
    tag  tail
    path app.log
    parser cri
    read_from_head on
`, files: map[string]string{"app.log": "2026-01-01T00:00:00.123456789Z stdout F first\n2026-01-01T00:00:00.5Z stderr P half of\n2026-01-01T01:00:01.000000001+01:00 stdout F \n"}},
	{name: "kubernetes", records: 2, config: `
[INPUT]
    name tail
    tag  kube.*
    path var/log/containers/*.log
    parser docker
    read_from_head on
[FILTER]
    name kubernetes
    match kube.*
    kube_tag_prefix kube.DIR.var.log.containers.
    kube_meta_preload_cache_dir meta
    merge_log on
    keep_log off
`, files: map[string]string{
		"var/log/containers/web-6799fc88d8-x2v7p_shop_nginx-" + strings.Repeat("ab", 32) + ".log": `{"log":"{\"level\":\"info\",\"user\":{\"id\":7}}\n","stream":"stdout","time":"2026-01-01T00:00:00.123456789Z"}` + "\n" +
			`{"log":"not JSON\n","stream":"stderr","time":"2026-01-01T00:00:00.5Z"}` + "\n",
		"meta/shop_web-6799fc88d8-x2v7p.meta": `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-6799fc88d8-x2v7p","namespace":"shop","uid":"11111111-2222-3333-4444-555555555555","labels":{"app":"web","app.kubernetes.io/name":"web"},"annotations":{"note":"日本"}},"spec":{"nodeName":"node-1","containers":[{"name":"nginx","image":"nginx:1.25"}]},"status":{"podIP":"10.0.0.7","containerStatuses":[{"name":"nginx","image":"nginx:1.25","imageID":"nginx@sha256:abc"}]}}`,
	}},
	{name: "forward", records: 40, config: `
[INPUT]
    name forward
    listen 127.0.0.1
    port PORT
`, drive: func(t *testing.T, port int) {
		l := load{begin: time.UnixMilli(1767225600123)}
		m := newMaker(11)
		for i := range 40 {
			l.bodies = append(l.bodies, m.body(8*min(i, 25)+i/26))
		}
		forward(t, port, "forward", l.chunks(len(l.bodies)))
	}},
	{name: "opentelemetry", records: 3, since: 3, config: `
[INPUT]
    name opentelemetry
    listen 127.0.0.1
    port PORT
    tag otel
`, drive: func(t *testing.T, port int) {
		body := `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeLogs":[{"scope":{"name":"lib","version":"1.2"},"logRecords":[
{"timeUnixNano":"1767225600123456789","severityNumber":9,"severityText":"INFO","body":{"stringValue":"hello"},"attributes":[{"key":"n","value":{"intValue":"5"}}],"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708"},
{"timeUnixNano":"1767225601000000000","body":{"kvlistValue":{"values":[{"key":"a","value":{"doubleValue":1.5}},{"key":"b","value":{"boolValue":true}}]}}}]}]},
{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"other"}}]},"scopeLogs":[{"scope":{},"logRecords":[{"timeUnixNano":"1767225602000000000","body":{"stringValue":"in another group"}}]}]}]}`
		for range 200 {
			resp, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/v1/logs", port), "application/json", strings.NewReader(body))
			if err != nil {
				time.Sleep(50 * time.Millisecond)
				continue
			}
			resp.Body.Close()
			if resp.StatusCode/100 != 2 {
				t.Fatalf("in_opentelemetry answers %s", resp.Status)
			}
			return
		}
		t.Fatal("in_opentelemetry is not there")
	}},
}

const corpusParsers = `[PARSER]
    Name cri
    Format regex
    Regex ^(?<time>[^ ]+) (?<stream>stdout|stderr) (?<logtag>[^ ]*) (?<log>.*)$
    Time_Key time
    Time_Format %Y-%m-%dT%H:%M:%S.%L%z
[PARSER]
    Name docker
    Format json
    Time_Key time
    Time_Format %Y-%m-%dT%H:%M:%S.%L
`

func TestCorpus(t *testing.T) {
	out, err := exec.Command(program(t), "--version").Output()
	m := regexp.MustCompile(`Fluent Bit v((\d+)\.\d+\.\d+)`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("no version: %q, %v", out, err)
	}
	version := string(m[1])
	major, err := strconv.Atoi(string(m[2]))
	if err != nil {
		t.Fatal(err)
	}
	plugin := filepath.Join(t.TempDir(), "capture.so")
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	if out, err := exec.Command(cc, "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", plugin, "capture/capture.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, c := range corpus {
		t.Run(c.name, func(t *testing.T) {
			if major < c.since {
				t.Skipf("SKIP: Fluent Bit %s has no such input", version)
			}
			chunk := capture(t, plugin, c.config, c.files, c.drive, c.records)
			lines, err := expect(chunk)
			if err != nil {
				t.Fatal(err)
			}
			if !*update {
				kept, err := os.ReadFile(filepath.Join(corpusDir, version, c.name+".jsonl"))
				if os.IsNotExist(err) {
					t.Skipf("SKIP: nothing is kept of Fluent Bit %s", version)
				}
				if err != nil {
					t.Fatal(err)
				}
				if got, want := steady(lines), steady(kept); got != want {
					t.Errorf("fluent-bit now writes\n%s\nand the corpus has\n%s", got, want)
				}
				return
			}
			dir := filepath.Join(corpusDir, version)
			must(os.MkdirAll(dir, 0o755))
			must(os.WriteFile(filepath.Join(dir, c.name+".msgpack"), chunk, 0o644))
			must(os.WriteFile(filepath.Join(dir, c.name+".jsonl"), lines, 0o644))
		})
	}
}

// steady leaves out the times of records that had none of their own, and names
// of temporary directories.
func steady(lines []byte) string {
	s := regexp.MustCompile(`"time":"\d+\.\d+"`).ReplaceAll(lines, []byte(`"time":""`))
	return string(regexp.MustCompile(`"file":"[^"]*"`).ReplaceAll(s, []byte(`"file":""`)))
}

// capture runs fluent-bit until that many events were captured, and returns
// their chunks behind each other, as chunks may be joined.
func capture(t *testing.T, plugin, config string, files map[string]string, drive func(*testing.T, int), records int) []byte {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	for name, text := range files {
		path := filepath.Join(dir, "in", name)
		must(os.MkdirAll(filepath.Dir(path), 0o755))
		must(os.WriteFile(path, []byte(text), 0o600))
		config = strings.ReplaceAll(config, "path "+name, "path "+path)
	}
	in := filepath.Join(dir, "in")
	config = strings.ReplaceAll(config, "path var/", "path "+in+"/var/")
	config = strings.ReplaceAll(config, "kube_meta_preload_cache_dir meta", "kube_meta_preload_cache_dir "+in+"/meta")
	config = strings.ReplaceAll(config, "DIR", strings.ReplaceAll(strings.TrimPrefix(in, "/"), "/", "."))
	config = strings.ReplaceAll(config, "PORT", strconv.Itoa(port))
	parsers := filepath.Join(dir, "parsers.conf")
	must(os.WriteFile(parsers, []byte(corpusParsers), 0o600))
	outDir := filepath.Join(dir, "out")
	must(os.MkdirAll(outDir, 0o755))
	t.Setenv("CAPTURE_DIR", outDir)
	f := startFluentBit(t, "[SERVICE]\n    flush 0.5\n    grace 1\n    parsers_file "+parsers+"\n"+config+"[OUTPUT]\n    name capture\n    match *\n", plugin)
	if drive != nil {
		drive(t, port)
	}
	var all []byte
	for range 600 {
		time.Sleep(50 * time.Millisecond)
		names, err := filepath.Glob(filepath.Join(outDir, "*.msgpack"))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		all = nil
		for _, n := range names {
			data, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, data...)
		}
		lines, err := expect(all)
		if err == nil && bytes.Count(lines, []byte("\n"))-bytes.Count(lines, []byte(`"time":"group"`))-bytes.Count(lines, []byte(`"time":"end"`)) >= records {
			f.stop()
			return all
		}
	}
	_, err := expect(all)
	t.Fatalf("fewer than %d records were captured: %v", records, err)
	return nil
}

// expect writes what a chunk means, a line for each element, with msgpack and
// JSON libraries that the plugins do not use.
func expect(chunk []byte) ([]byte, error) {
	var out bytes.Buffer
	in := bytes.NewReader(chunk)
	d := msgpack.NewDecoder(in)
	for in.Len() > 0 {
		var line captured
		if n, err := d.DecodeArrayLen(); err != nil || n != 2 {
			return nil, fmt.Errorf("an element of %d values, %v", n, err)
		}
		c, err := d.PeekCode()
		if err != nil {
			return nil, err
		}
		header := msgpcode.IsFixedArray(c) || c == msgpcode.Array32 // the wide form from 3.x on
		if header {
			if n, err := d.DecodeArrayLen(); err != nil || n != 2 {
				return nil, fmt.Errorf("a header of %d values, %v", n, err)
			}
		}
		if line.Time, err = expectTime(d); err != nil {
			return nil, err
		}
		if header {
			if line.Metadata, err = expectValue(d); err != nil {
				return nil, err
			}
		}
		if line.Body, err = expectValue(d); err != nil {
			return nil, err
		}
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		if err := e.Encode(line); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

func expectTime(d *msgpack.Decoder) (string, error) {
	typ, n, err := d.DecodeExtHeader()
	if err != nil || typ != 0 || n != 8 {
		return "", fmt.Errorf("a time of type %d and %d bytes, %v", typ, n, err)
	}
	b := make([]byte, 8)
	if err := d.ReadFull(b); err != nil {
		return "", err
	}
	switch sec := int32(binary.BigEndian.Uint32(b)); sec { // include/fluent-bit/flb_log_event.h
	case -1:
		return "group", nil
	case -2:
		return "end", nil
	}
	sec, nsec := int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint32(b[4:]))
	if nsec >= 1e9 {
		// Up to 4.2, in_opentelemetry writes (nanoseconds since 1970) - seconds
		// there, of which 32 bits are left. What it was can be found again.
		nsec = ((nsec+sec-sec*1e9)%(1<<32) + 1<<32) % (1 << 32)
	}
	return fmt.Sprintf("%d.%09d", sec, nsec), nil
}

// expectValue is the JSON that the plugins' rules give a value.
func expectValue(d *msgpack.Decoder) (json.RawMessage, error) {
	c, err := d.PeekCode()
	if err != nil {
		return nil, err
	}
	switch {
	case msgpcode.IsFixedMap(c) || c == msgpcode.Map16 || c == msgpcode.Map32:
		n, err := d.DecodeMapLen()
		if err != nil {
			return nil, err
		}
		out := []byte{'{'}
		for i := range n {
			k, err := expectValue(d)
			if err != nil {
				return nil, err
			}
			if k[0] != '"' {
				k = quote(string(k))
			}
			v, err := expectValue(d)
			if err != nil {
				return nil, err
			}
			if i > 0 {
				out = append(out, ',')
			}
			out = append(append(append(out, k...), ':'), v...)
		}
		return append(out, '}'), nil
	case msgpcode.IsFixedArray(c) || c == msgpcode.Array16 || c == msgpcode.Array32:
		n, err := d.DecodeArrayLen()
		if err != nil {
			return nil, err
		}
		out := []byte{'['}
		for i := range n {
			v, err := expectValue(d)
			if err != nil {
				return nil, err
			}
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, v...)
		}
		return append(out, ']'), nil
	case msgpcode.IsString(c) || msgpcode.IsBin(c):
		b, err := d.DecodeBytes()
		return quote(string(b)), err
	case msgpcode.IsExt(c):
		return expectExt(d)
	case c == msgpcode.Float:
		f, err := d.DecodeFloat32()
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) || err != nil {
			return json.RawMessage("null"), err
		}
		return json.Marshal(f)
	case c == msgpcode.Double:
		f, err := d.DecodeFloat64()
		if math.IsNaN(f) || math.IsInf(f, 0) || err != nil {
			return json.RawMessage("null"), err
		}
		return json.Marshal(f)
	}
	v, err := d.DecodeInterface() // nil, bool, integers
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func expectExt(d *msgpack.Decoder) (json.RawMessage, error) {
	typ, n, err := d.DecodeExtHeader()
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if err := d.ReadFull(b); err != nil && err != io.EOF {
		return nil, err
	}
	if typ == 0 && n == 8 && binary.BigEndian.Uint32(b[4:]) < 1e9 {
		return fmt.Appendf(nil, "%d.%09d", binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])), nil
	}
	return fmt.Appendf(nil, `{"type":%d,"data":%q}`, typ, base64.StdEncoding.EncodeToString(b)), nil
}

// quote is a string in JSON; it leaves < > & alone.
func quote(s string) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	must(e.Encode(s))
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
