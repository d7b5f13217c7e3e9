package main

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
)

// line is what a record of a shape costs in a plugin, in instructions.
type line struct {
	Plugin, Shape string
	Stages        map[string]float64
}

// ours is all but SHA-256, which no change to this code makes cheaper, and which
// is not what runs outside of valgrind.
func (l line) ours() (sum float64) {
	for stage, n := range l.Stages {
		if stage != stageSHA {
			sum += n
		}
	}
	return sum
}

type table []line

const about = `# Instructions for each record

Counted by callgrind (%s, %s, %s/%s) from a chunk in memory to the answer of the signed request on a plain connection to loopback: ` + "`make instructions`" + ` writes this file, and
` + "`make instructions-check`" + ` says which lines a change has made dearer or cheaper. Two runs differ by less than 1 %%. A figure is good for its version of Go, and
for a processor with AVX2.

*All* is without *SHA-256*: valgrind knows no SHA extensions, so Go falls back to its AVX2 code there, with about 30 instructions for a byte, where most processors
of today take about two. TLS is not in it, and neither are the garbage collector (` + "`GOGC=off`" + `) and Fluent Bit's own work. *walk* is finding the records in
the chunk, *names* the plugin's own code with groups, streams and partition keys, *JSON* the text, *batch* the body of the request with its base64, *delivery* what is remembered
and counted, *call* the SDK and net/http, *memory* what is moved, cleared and compared for all of them, *runtime* the rest of it: allocation, goroutines, waiting.
`

func (t table) markdown(valgrind string) string {
	var b strings.Builder
	fmt.Fprintf(&b, about, valgrind, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	b.WriteString("\n| Plugin | Records | All |")
	for _, s := range stages {
		fmt.Fprintf(&b, " %s |", s)
	}
	b.WriteString("\n|---|---|---:|" + strings.Repeat("---:|", len(stages)) + "\n")
	for _, l := range t {
		fmt.Fprintf(&b, "| %s | %s | %.0f |", l.Plugin, l.Shape, l.ours())
		for _, s := range stages {
			fmt.Fprintf(&b, " %.0f |", math.Max(0, l.Stages[s]))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// readTable reads what markdown has written.
func readTable(text string) (t table, err error) {
	columns := -1
	for row := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(row), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !strings.HasPrefix(row, "|") || strings.HasPrefix(row, "|-"):
			continue
		case columns < 0:
			columns = len(cells)
			if got, want := strings.Join(cells[min(3, columns):], ","), strings.Join(stages, ","); got != want {
				return nil, fmt.Errorf("the table has the stages %s, want %s: write it anew", got, want)
			}
			continue
		case len(cells) != columns:
			return nil, fmt.Errorf("a row has %d cells, want %d: %s", len(cells), columns, row)
		}
		l := line{Plugin: cells[0], Shape: cells[1], Stages: make(map[string]float64)}
		for i, s := range stages {
			if l.Stages[s], err = strconv.ParseFloat(cells[3+i], 64); err != nil {
				return nil, fmt.Errorf("cannot read the row %s: %w", strings.TrimSpace(row), err)
			}
		}
		t = append(t, l)
	}
	if len(t) == 0 {
		return nil, errors.New("there is no table")
	}
	return t, nil
}

// compare says for each line of now how it differs from the same of before, with
// the stages that make the difference. The error is about lines that have become
// dearer by more than tolerance, in percent.
func compare(before, now table, tolerance float64) (report string, err error) {
	if len(now) == 0 {
		return "", errors.New("nothing was counted")
	}
	var b strings.Builder
	dearer := 0
	for _, l := range now {
		was, ok := before.find(l)
		if !ok {
			fmt.Fprintf(&b, "%s, %s: %.0f, not counted before\n", l.Plugin, l.Shape, l.ours())
			continue
		}
		off := percent(was.ours(), l.ours())
		verdict := ""
		if off > tolerance {
			verdict = ": DEARER"
			dearer++
		} else if off < -tolerance {
			verdict = ": cheaper, write the table anew"
		}
		fmt.Fprintf(&b, "%s, %s: %.0f, was %.0f (%+.1f %%)%s\n", l.Plugin, l.Shape, l.ours(), was.ours(), off, verdict)
		if verdict == "" {
			continue
		}
		for _, s := range stages {
			if d := l.Stages[s] - was.Stages[s]; s != stageSHA && math.Abs(d) > was.ours()/200 {
				fmt.Fprintf(&b, "    %s: %.0f, was %.0f\n", s, l.Stages[s], was.Stages[s])
			}
		}
	}
	if dearer > 0 {
		err = fmt.Errorf("%d of %d lines have become dearer by more than %g %%", dearer, len(now), tolerance)
	}
	return b.String(), err
}

func percent(was, is float64) float64 { return (is - was) / math.Max(was, 1) * 100 }

func (t table) find(like line) (line, bool) {
	for _, l := range t {
		if l.Plugin == like.Plugin && l.Shape == like.Shape {
			return l, true
		}
	}
	return line{}, false
}
