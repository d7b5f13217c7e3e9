package main

import (
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	f := func(name, in string, want count, good bool, shows, hides string) {
		t.Helper()
		var out strings.Builder
		got, err := read(strings.NewReader(in), &out, false)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got != want || got.good() != good {
			t.Errorf("%s: got %+v good %v, want %+v good %v", name, got, got.good(), want, good)
		}
		if !strings.Contains(out.String(), shows) {
			t.Errorf("%s: %q is not in the output:\n%s", name, shows, out.String())
		}
		if hides != "" && strings.Contains(out.String(), hides) {
			t.Errorf("%s: %q is in the output:\n%s", name, hides, out.String())
		}
	}
	const passed = `{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
`
	const end = `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`
	f("good", passed+end, count{passed: 1, packages: 1}, true, "ok  \tp\t0.1s\ntests: 1 passed, 0 failed, 0 skipped in 1 packages\n", "chatter")
	f("skipped", passed+`{"Action":"output","Package":"p","Test":"TestB","Output":"no fluent-bit\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
`+end, count{passed: 1, skipped: 1, packages: 1}, true, "no fluent-bit\n", "chatter")
	f("failed", passed+`{"Action":"output","Package":"p","Test":"TestB","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p"}
`, count{passed: 1, failed: 1, packages: 1, broken: 1}, false, "got 1, want 2\n", "chatter")
	f("died", passed+`{"Action":"output","Package":"p","Output":"panic: test timed out\n"}
{"Action":"fail","Package":"p"}
`, count{passed: 1, packages: 1, broken: 1}, false, "panic: test timed out\n", "")
	f("does not build", `{"ImportPath":"p","Action":"build-output","Output":"p.go:1: syntax error\n"}
{"Action":"fail","Package":"p"}
`, count{packages: 1, broken: 1}, false, "p.go:1: syntax error\n", "")
	f("no JSON", "go: cannot find main module\n", count{}, false, "go: cannot find main module\n", "")
	f("no tests", "", count{}, false, "tests: 0 passed", "")
	f("a package without tests", passed+end+`{"Action":"skip","Package":"q"}
`, count{passed: 1, packages: 1}, true, "in 1 packages", "")
}
