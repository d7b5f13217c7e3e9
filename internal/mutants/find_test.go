package main

import "testing"

func TestReaderAdd(t *testing.T) {
	const source = "package p\n\nvar n = 2 * 3\n\ntype T[E any] struct{}\n\nfunc (t *T[E]) f(a, b int) int {\n\tif a <= b {\n\t\ta++\n\t}\n\treturn a - b\n}\n\nfunc g() bool { return true }\n"
	for _, tt := range []struct {
		kind                    string
		line, column            int
		function, before, after string
	}{
		{"ARITHMETIC_BASE", 3, 11, "", "var n = 2 * 3", "var n = 2 / 3"},
		{"CONDITIONALS_BOUNDARY", 8, 7, "T.f", "if a <= b {", "if a < b {"},
		{"CONDITIONALS_NEGATION", 8, 7, "T.f", "if a <= b {", "if a > b {"},
		{"INCREMENT_DECREMENT", 9, 4, "T.f", "a++", "a--"},
		{"INVERT_NEGATIVES", 11, 11, "T.f", "return a - b", "return a + b"},
	} {
		r, err := newReader("d/p.go", []byte(source))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second is the same one
			if err := r.add(tt.kind, tt.line, tt.column, true); err != nil {
				t.Fatal(err)
			}
		}
		if len(r.mutants) != 1 {
			t.Fatalf("got %d mutants", len(r.mutants))
		}
		if got, want := r.mutants[0].entry(), (entry{"d/p.go", tt.function, tt.before, tt.after}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	r, _ := newReader("d/p.go", []byte(source))
	if err := r.add("ARITHMETIC_BASE", 14, 1, true); err == nil {
		t.Error("found an operator where there is none")
	}
}
