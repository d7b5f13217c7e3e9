// Command mutants shows which changes to the code no test notices: it turns a <
// into a <= or a >=, a + into a -, one by one, and runs the package's tests each
// time. A change that lives is one that they do not notice.
//
//	go run ./internal/mutants -gremlins gremlins -argued conformance/mutants.md ./internal/chunk ./internal/records+./kinesis
//
// A package may have its tests in others too, which come after a plus.
//
// Which changes there are is said by gremlins (github.com/go-gremlins/gremlins).
// It could run them too, and would build and link the tests for each; here they
// are built once for all, with each operator replaced by a call that asks whether
// it is its turn (see change), which makes minutes of hours. And gremlins leaves
// out what Go's coverage has no block for, the conditions of a case; they are run
// here. Files with C in them are not: what drives them is internal/host, by the
// built library.
//
// A change that lives has to be in the list of those for which there is an
// argument (-argued), or the exit status is 1. So it is for an entry of the list
// that is no change of the code any more. What gremlins found and what became of
// it is kept in -keep, so that -again runs only what was not killed before.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func main() {
	s := settings{out: os.Stdout}
	flag.StringVar(&s.gremlins, "gremlins", "gremlins", "the command that lists the changes")
	flag.StringVar(&s.argued, "argued", "", "the list of changes that may live")
	flag.StringVar(&s.keep, "keep", "", "a directory for results")
	flag.BoolVar(&s.verbose, "v", false, "list those that timed out, too")
	flag.BoolVar(&s.again, "again", false, "take what was killed before, of the same code, for killed")
	flag.DurationVar(&s.least, "least", 5*time.Second, "the time for a run of tests, besides five times what they take")
	flag.IntVar(&s.workers, "workers", runtime.NumCPU(), "how many tests run at a time")
	flag.Parse()
	good, err := s.run(flag.Args())
	if err != nil {
		fmt.Fprintf(os.Stderr, "cannot look for mutants: %v\n", err)
		os.Exit(2)
	}
	if !good {
		os.Exit(1)
	}
}

// run goes through the packages, and reports whether all that lived is argued.
func (s *settings) run(patterns []string) (good bool, err error) {
	argued, err := readArgued(s.argued)
	if err != nil {
		return false, err
	}
	root, err := os.Getwd()
	if err != nil {
		return false, err
	}
	if s.work, err = os.MkdirTemp("", "mutants"); err != nil {
		return false, err
	}
	defer os.RemoveAll(s.work)
	s.root = root

	var total tally
	good = true
	for _, pattern := range patterns {
		dirs := strings.Split(pattern, "+")
		for i, dir := range dirs {
			dirs[i] = filepath.ToSlash(filepath.Clean(strings.TrimPrefix(dir, "./")))
		}
		dir := dirs[0]
		mutants, err := s.onPackage(dirs)
		if err != nil {
			fmt.Fprintf(s.out, "%-20s cannot be looked at: %v\n", dir, err)
			good = false
			continue
		}
		t := count(mutants, argued)
		fmt.Fprintf(s.out, "%-20s %s\n", dir, t)
		s.tell(mutants, argued)
		for _, e := range argued.gone(dir, mutants) {
			fmt.Fprintf(s.out, "  no such change any more: %s\n", e)
			good = false
		}
		total.add(t)
	}
	fmt.Fprintf(s.out, "%-20s %s\n", "total", total)
	return good && total.lived == total.argued, nil
}

// tell lists what is not killed and not argued, and what timed out if asked to.
func (s *settings) tell(mutants []*mutant, argued list) {
	for _, m := range mutants {
		if m.end == lived && !argued.has(m) || m.end == timedOut && s.verbose {
			note := ""
			if m.end == timedOut {
				note = " (timed out)"
			} else if !m.covered {
				note = " (no test runs it)"
			}
			fmt.Fprintf(s.out, "  %s:%d: %s%s\n    - %s\n    + %s\n", m.file, m.line, m.function, note, m.before, m.after)
		}
	}
}

// tally says what became of the changes of a package.
type tally struct{ all, killed, timedOut, notViable, lived, argued, notCovered int }

func count(mutants []*mutant, argued list) (t tally) {
	for _, m := range mutants {
		t.all++
		switch m.end {
		case killed:
			t.killed++
		case timedOut:
			t.timedOut++
		case notViable:
			t.notViable++
		case lived:
			t.lived++
			if argued.has(m) {
				t.argued++
			}
			if !m.covered {
				t.notCovered++
			}
		}
	}
	return t
}

func (t *tally) add(o tally) {
	t.all += o.all
	t.killed += o.killed
	t.timedOut += o.timedOut
	t.notViable += o.notViable
	t.lived += o.lived
	t.argued += o.argued
	t.notCovered += o.notCovered
}

func (t tally) String() string {
	return fmt.Sprintf("%4d changes: %4d killed, %3d timed out, %3d do not build, %3d lived, of which %d argued, %d not covered",
		t.all, t.killed, t.timedOut, t.notViable, t.lived, t.argued, t.notCovered)
}
