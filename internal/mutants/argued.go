package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// entry is a change that lives and may: the list says why.
type entry struct{ file, function, before, after string }

func (e entry) String() string {
	return fmt.Sprintf("%s %s: %s -> %s", e.file, e.function, e.before, e.after)
}

func (m *mutant) entry() entry { return entry{m.file, m.function, m.before, m.after} }

// list has the entries, by what they say of the code and not by line numbers,
// which change with every line above.
type list map[entry]bool

func (l list) has(m *mutant) bool { return l[m.entry()] }

// gone returns the entries of the package in dir that are none of its mutants.
func (l list) gone(dir string, mutants []*mutant) (gone []entry) {
	found := make(list)
	for _, m := range mutants {
		found[m.entry()] = true
	}
	for e := range l {
		if e.file[:strings.LastIndexByte(e.file, '/')] == dir && !found[e] {
			gone = append(gone, e)
		}
	}
	return gone
}

func readArgued(name string) (list, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := parseArgued(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// parseArgued reads the list: a heading for each function, "## file function" (or
// of a file, for what is outside of functions), and below it why, in prose, and
// the lines before and after the change, as diff does, in pairs:
//
//	## internal/chunk/lookup.go find
//
//	What follows finds the same end.
//
//	```diff
//	-if start < 0 {
//	+if start <= 0 {
//	```
func parseArgued(in io.Reader) (list, error) {
	l := make(list)
	var at entry
	var fenced, reasoned bool
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		switch {
		case strings.HasPrefix(text, "```"):
			fenced = !fenced
		case !fenced && strings.HasPrefix(text, "## "):
			at, reasoned = entry{}, false
			at.file, at.function, _ = strings.Cut(strings.TrimPrefix(text, "## "), " ")
			if !strings.Contains(at.file, "/") {
				return nil, fmt.Errorf("line %d: %q is no file with its directory", n, at.file)
			}
		case !fenced:
			reasoned = reasoned || text != ""
		case at.file == "":
			return nil, fmt.Errorf("line %d: a change without the heading of a file", n)
		case !reasoned:
			return nil, fmt.Errorf("line %d: a change without a reason above it", n)
		case strings.HasPrefix(text, "-") && at.before == "":
			at.before = strings.TrimSpace(text[1:])
		case strings.HasPrefix(text, "+") && at.before != "":
			at.after = strings.TrimSpace(text[1:])
			if l[at] {
				return nil, fmt.Errorf("line %d: the change is in the list already", n)
			}
			l[at] = true
			at.before, at.after = "", ""
		default:
			return nil, fmt.Errorf("line %d: want a line with - and then one with +", n)
		}
	}
	return l, lines.Err()
}
