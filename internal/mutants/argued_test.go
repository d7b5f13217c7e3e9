package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestParseArgued(t *testing.T) {
	got, err := parseArgued(strings.NewReader("# Changes\n\nWhat this is.\n\n" +
		"## a/b.go T.f\n\nBoth end the same.\n\n```diff\n-if x < 1 {\n+if x <= 1 {\n-\treturn -1\n+\treturn +1\n```\n\n" +
		"## a/b.go\n\nAny will do.\n\n```diff\n-var n = 2 * 3\n+var n = 2 / 3\n```\n"))
	want := list{
		{"a/b.go", "T.f", "if x < 1 {", "if x <= 1 {"}:   true,
		{"a/b.go", "T.f", "return -1", "return +1"}:      true,
		{"a/b.go", "", "var n = 2 * 3", "var n = 2 / 3"}: true,
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}

	for in, want := range map[string]string{
		"```diff\n-a\n+b\n```\n":                           "line 2: a change without the heading",
		"## b.go f\n":                                      "line 1: \"b.go\" is no file with its directory",
		"## a/b.go f\n\n```diff\n-a\n+b\n```\n":            "line 4: a change without a reason",
		"## a/b.go f\nyes\n```diff\n+b\n```\n":             "line 4: want a line with -",
		"## a/b.go f\nyes\n```diff\n-a\n-b\n```\n":         "line 5: want a line with -",
		"## a/b.go f\nyes\n```diff\n-a\n+b\n-a\n+b\n```\n": "line 7: the change is in the list already",
	} {
		if _, err := parseArgued(strings.NewReader(in)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", in, err, want)
		}
	}
}

func TestReadArgued(t *testing.T) {
	if l, err := readArgued(""); l != nil || err != nil {
		t.Errorf("no list: %v, %v", l, err)
	}
	if _, err := readArgued(t.TempDir() + "/none"); err == nil {
		t.Error("a list that is not there is read")
	}
	if _, err := readArgued("../../conformance/mutants.md"); err != nil {
		t.Error(err)
	}
}

func TestGone(t *testing.T) {
	l := list{{file: "a/b.go", before: "x"}: true, {file: "a/b.go", before: "y"}: true, {file: "a/c/d.go", before: "z"}: true}
	got := l.gone("a", []*mutant{{file: "a/b.go", before: "x"}})
	if !slices.Equal(got, []entry{{file: "a/b.go", before: "y"}}) {
		t.Errorf("got %v", got)
	}
}
