package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/records/recordstest"
)

// What callgrind writes: a function in two parts, calls, whose line of cost is not
// the caller's own, and recursion.
const sampleOut = `# callgrind format
version: 1
positions: line
events: Ir
summary: 177

ob=/drive
fl=a.go
fn=aws-for-fluent-bit/internal/chunk.(*Reader).Next
0 100
cfn=runtime.memmove
calls=3 0
0 9000
0 11
fn=runtime.memmove
0 50
fl=a.go
fn=aws-for-fluent-bit/internal/chunk.(*Reader).Next
0 1
fn=f'2
0 5
fn=f
0 10

totals: 177
`

func TestReadCallgrind(t *testing.T) {
	got, err := readCallgrind(strings.NewReader(sampleOut))
	want := map[string]int64{"aws-for-fluent-bit/internal/chunk.(*Reader).Next": 112, "runtime.memmove": 50, "f": 15}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, text := range []string{"", "version: 1\n", "fn=f\n0 many\n"} {
		if got, err := readCallgrind(strings.NewReader(text)); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestStages(t *testing.T) {
	f := func(function, want string) {
		t.Helper()
		if got := stageOf(function); got != want {
			t.Errorf("%s: got %s, want %s", function, got, want)
		}
	}
	f("crypto/internal/fips140/sha256.blockAVX2.abi0", "SHA-256")
	f("crypto/internal/fips140/hmac.(*HMAC).Sum", "call")
	f("aws-for-fluent-bit/internal/chunk.(*Reader).Next", "walk")
	f("aws-for-fluent-bit/internal/jsonenc.copyPlain", "JSON")
	f("aws-for-fluent-bit/cloudwatch.(*batch).close", "batch")
	f("aws-for-fluent-bit/cloudwatch.(*names).target", "names")
	f("aws-for-fluent-bit/internal/base64.encodeBlocks.abi0", "batch")
	f("github.com/segmentio/asm/base64.encodeAVX2.abi0", "batch")
	f("runtime.memmove", "memory")
	f("memeqbody", "memory")
	f("runtime.mallocgc", "runtime")
	f("net/http.(*Transport).roundTrip", "call")
	for _, b := range belongs {
		found := false
		for _, s := range stages {
			found = found || s == b.stage
		}
		if !found {
			t.Errorf("%s is of the stage %s, which is no column", b.prefix, b.stage)
		}
	}
}

func sample(json float64) table {
	l := line{Plugin: "kinesis", Shape: "small 100 B", Stages: make(map[string]float64)}
	for _, s := range stages {
		l.Stages[s] = 100
	}
	l.Stages["JSON"], l.Stages[stageSHA] = json, 5000
	return table{l, {Plugin: "firehose", Shape: "big 16 KB", Stages: l.Stages}}
}

func TestTable(t *testing.T) {
	text := sample(1000).markdown("valgrind-3.19.0")
	if want := "| kinesis | small 100 B | 1700 | 100 | 100 | 1000 |"; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
	got, err := readTable(text)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(sample(1000)) {
		t.Errorf("got %v, %v", got, err)
	}
	f := func(text, want string) {
		t.Helper()
		if _, err := readTable(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("# nothing", "no table")
	f(strings.ReplaceAll(text, "| walk |", "| stroll |"), "write it anew")
	f(strings.ReplaceAll(text, "| 1700 |", "| 1700 | 1 |"), "cells")
	f(strings.ReplaceAll(text, "| 1000 |", "| many |"), "many")
}

func TestCompare(t *testing.T) {
	f := func(json, tolerance float64, wantErr string, want ...string) {
		t.Helper()
		report, err := compare(sample(1000), sample(json), tolerance)
		if (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("JSON %v: got %v, want %q", json, err, wantErr)
		}
		for _, text := range want {
			if !strings.Contains(report, text) {
				t.Errorf("JSON %v: no %q in\n%s", json, text, report)
			}
		}
	}
	f(1000, 3, "", "kinesis, small 100 B: 1700, was 1700 (+0.0 %)\n")
	f(1050, 3, "", "(+2.9 %)\n")
	f(1052, 3, "2 of 2 lines", "(+3.1 %): DEARER\n    JSON: 1052, was 1000\n")
	f(900, 3, "", "(-5.9 %): cheaper")
	report, err := compare(nil, sample(1), 3)
	if err != nil || !strings.Contains(report, "not counted before") {
		t.Errorf("a new line: %v, %s", err, report)
	}
	if _, err := compare(sample(1), nil, 3); err == nil {
		t.Error("nothing counted is good")
	}
}

// The program that is counted delivers every variant and shape.
func TestDrive(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.Setenv(name, value)
	}
	srv := httptest.NewServer(recordstest.Sink())
	defer srv.Close()
	for _, v := range variants {
		for _, s := range shapes {
			if err := drive([]string{v.name, s.name, "1", srv.URL}); err != nil {
				t.Errorf("%s, %s: %v", v.name, s.name, err)
			}
		}
	}
	for _, args := range [][]string{nil, {"kinesis", "none", "1", srv.URL}, {"none", shapes[0].name, "1", srv.URL}, {"kinesis", shapes[0].name, "one", srv.URL}} {
		if err := drive(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// The table that is checked in is of these variants, shapes and stages.
func TestCheckedIn(t *testing.T) {
	text, err := os.ReadFile("../../bench/instructions.md")
	if err != nil {
		t.Fatal(err)
	}
	got, err := readTable(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range variants {
		for _, s := range shapes {
			if _, ok := got.find(line{Plugin: v.name, Shape: s.name}); !ok {
				t.Errorf("no line for %s, %s: run make instructions", v.name, s.name)
			}
		}
	}
	if len(got) != len(variants)*len(shapes) {
		t.Errorf("%d lines, want %d: run make instructions", len(got), len(variants)*len(shapes))
	}
}

func TestRunRefuses(t *testing.T) {
	f := func(write, check, only, want string) {
		t.Helper()
		if err := run(write, check, only, 3); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q, %q, %q: got %v", write, check, only, err)
		}
	}
	f("", "", "", "-write")
	f("a", "b", "", "-write")
	f("a", "", "kinesis", "-only")
	t.Setenv("PATH", "")
	if err := run("", "a", "", 3); err != nil {
		t.Errorf("without valgrind: %v, want SKIP", err)
	}
}
