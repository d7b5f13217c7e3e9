// Command testcount reads what `go test -json` writes and says what a reader
// wants to know: a line for each package, the whole output of what failed, the
// reason of what was skipped, and at the end how many of each there were.
//
//	go test -json ./... | go run ./internal/testcount
//
// With -v it passes all output on. Its exit status is 1 if anything failed, did
// not build, or if no test ran at all.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of `go test -json`; `go doc test2json` explains the fields.
type event struct {
	Action     string
	Package    string
	Test       string
	Output     string
	ImportPath string // of build-output
}

type count struct{ passed, failed, skipped, packages, broken int }

func main() {
	verbose := flag.Bool("v", false, "pass all output on")
	flag.Parse()
	c, err := read(os.Stdin, os.Stdout, *verbose)
	if err != nil {
		fmt.Fprintf(os.Stderr, "cannot read the output of go test -json: %v\n", err)
		os.Exit(1)
	}
	if !c.good() {
		os.Exit(1)
	}
}

func (c count) good() bool { return c.failed == 0 && c.broken == 0 && c.passed > 0 }

func read(in io.Reader, out io.Writer, verbose bool) (c count, err error) {
	held := make(map[string]string) // output of tests and packages that are not finished
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil {
				c.take(e, held, out, verbose)
			} else {
				fmt.Fprint(out, line) // the go command itself: a broken build, a race report
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return c, err
		}
	}
	fmt.Fprintf(out, "tests: %d passed, %d failed, %d skipped in %d packages", c.passed, c.failed, c.skipped, c.packages)
	if c.broken > 0 {
		fmt.Fprintf(out, "; %d packages failed as a whole", c.broken)
	}
	fmt.Fprintln(out)
	return c, nil
}

func (c *count) take(e event, held map[string]string, out io.Writer, verbose bool) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		if verbose {
			fmt.Fprint(out, e.Output)
		} else {
			held[key] += e.Output
		}
	case "build-output":
		fmt.Fprint(out, e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			c.test(e, held[key], out)
		} else {
			c.pkg(e, held[key], out, verbose)
		}
		delete(held, key)
	}
}

func (c *count) test(e event, output string, out io.Writer) {
	switch e.Action {
	case "pass":
		c.passed++
	case "fail":
		c.failed++
		fmt.Fprint(out, output)
	case "skip":
		c.skipped++
		fmt.Fprint(out, output)
	}
}

func (c *count) pkg(e event, output string, out io.Writer, verbose bool) {
	if e.Action != "skip" { // a package without tests is "skipped"
		c.packages++
	}
	if e.Action == "fail" {
		c.broken++
		fmt.Fprint(out, output) // a panic, a timeout or a race ends a package without failing a test
		return
	}
	for _, line := range strings.SplitAfter(output, "\n") {
		if strings.HasPrefix(line, "ok ") && !verbose {
			fmt.Fprint(out, line)
		}
	}
}
