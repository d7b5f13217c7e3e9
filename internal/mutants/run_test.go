package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A package with each kind of operator, its tests, and what gremlins says of it.
const sample = `package p

import "time"

const size = 8 * 2

type count int

const Wait = size * time.Millisecond

func Edge(a, b int) bool { return a < b }

func Sum(a count, s string) (count, string) { return a + count(len(s)), s + "!" }

func Times(n int) (sum int) {
	for i := 0; i != n; i++ {
		sum += -i % 3
	}
	return sum
}

func Unseen(a int) bool { return a == 1 }
`

const sampleTest = `package p

import "testing"

func TestP(t *testing.T) {
	if !Edge(1, 2) || Edge(2, 1) {
		t.Error("edge")
	}
	if n, s := Sum(1, "ab"); n != 3 || s != "ab!" {
		t.Error("sum")
	}
	if Times(5) != -4 {
		t.Error("times")
	}
	if Wait <= 0 {
		t.Error("wait")
	}
}
`

const sampleListing = `{"files":[{"file_name":"p.go","mutations":[
	{"type":"ARITHMETIC_BASE","status":"NOT COVERED","line":5,"column":16},
	{"type":"ARITHMETIC_BASE","status":"NOT COVERED","line":9,"column":19},
	{"type":"CONDITIONALS_BOUNDARY","status":"RUNNABLE","line":11,"column":37},
	{"type":"CONDITIONALS_NEGATION","status":"RUNNABLE","line":11,"column":37},
	{"type":"ARITHMETIC_BASE","status":"RUNNABLE","line":13,"column":56},
	{"type":"ARITHMETIC_BASE","status":"RUNNABLE","line":13,"column":75},
	{"type":"CONDITIONALS_NEGATION","status":"RUNNABLE","line":16,"column":16},
	{"type":"INCREMENT_DECREMENT","status":"RUNNABLE","line":16,"column":23},
	{"type":"ARITHMETIC_BASE","status":"RUNNABLE","line":17,"column":10},
	{"type":"INVERT_NEGATIVES","status":"RUNNABLE","line":17,"column":10},
	{"type":"ARITHMETIC_BASE","status":"RUNNABLE","line":17,"column":13},
	{"type":"CONDITIONALS_NEGATION","status":"NOT COVERED","line":22,"column":36}]},
	{"file_name":"below/q.go","mutations":[{"type":"ARITHMETIC_BASE","status":"RUNNABLE","line":1,"column":1}]}]}`

// TestRun has the sample's changes run, with lists of those that are argued.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	change, err := os.ReadFile("change/change.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod":                            "module aws-for-fluent-bit\n\ngo 1.25\n",
		"internal/mutants/change/change.go": string(change),
		"p/p.go":                            sample,
		"p/p_test.go":                       sampleTest,
		"gremlins":                          "#!/bin/sh\nwhile [ \"$1\" != --output ]; do shift; done\ncat >\"$2\" <<'END'\n" + sampleListing + "\nEND\n",
		"argued.md": "## p/p.go\n\nAny will do.\n\n```diff\n-const size = 8 * 2\n+const size = 8 / 2\n```\n" +
			"## p/p.go Edge\n\nIt is the same.\n\n```diff\n-func Edge(a, b int) bool { return a < b }\n+func Edge(a, b int) bool { return a <= b }\n```\n" +
			"## p/p.go Unseen\n\nNobody asks.\n\n```diff\n-func Unseen(a int) bool { return a == 1 }\n+func Unseen(a int) bool { return a != 1 }\n```\n",
		"old.md": "## p/p.go Edge\n\nIt was so.\n\n```diff\n-return a < b + 1\n+return a <= b + 1\n```\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, tt := range []struct {
		argued string
		again  bool
		good   bool
		dir    string
		want   []string
	}{
		{"argued.md", false, true, "./p", []string{"11 changes:    6 killed,   1 timed out,   1 do not build,   3 lived, of which 3 argued"}},
		{"argued.md", false, false, "./none", []string{"none                 cannot be looked at: cannot run go list", "total                   0 changes"}},
		{"old.md", true, false, "./p", []string{"of which 0 argued", "no such change any more: p/p.go Edge: return a < b + 1", "p/p.go:22: Unseen (no test runs it", "+ func Unseen(a int) bool { return a != 1 }"}},
	} {
		var out bytes.Buffer
		s := settings{gremlins: "./gremlins", argued: tt.argued, keep: filepath.Join(dir, "kept"), again: tt.again, workers: 2, least: 500 * time.Millisecond, out: &out}
		good, err := s.run([]string{tt.dir})
		if err != nil || good != tt.good {
			t.Errorf("%s: got %v, %v\n%s", tt.argued, good, err, out.String())
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: want %q in\n%s", tt.argued, want, out.String())
			}
		}
	}
}
