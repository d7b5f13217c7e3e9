// Command bench puts the three output plugins beside Fluent Bit's own C plugins
// and, on request, beside other Go plugins, under a real fluent-bit.
//
// Each run ships the same records from files over TLS to a sink on loopback,
// which costs the shipper nothing but the connection. A run into the null output
// is in every round: what a plugin costs is what its run took beyond that one.
// Figures are medians over the rounds.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "sink" {
		if err := serveSink(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// benchmark is what the command line asks for.
type benchmark struct {
	fluentBit     string
	bin           string // the directory of our plugins
	others        []other
	services      []string
	cases         []caseOf
	records       int
	rounds        int
	trickleRounds int
	dir           string // scratch
	progress      *progress

	jsonPath, chartPath, readmePath string // to be written; "": not
	redraw                          bool   // from the figures that are there
}

// other is a plugin of somebody else's: name is what it registers.
type other struct{ name, path string }

// caseOf is one table of the output.
type caseOf struct {
	shape   string
	workers int
	latency int // of the sink's answers, in milliseconds
}

func (c caseOf) String() string {
	return fmt.Sprintf("%s records, workers %d, answers after %d ms", c.shape, c.workers, c.latency)
}

// defaultCases end in about half an hour: the first one is drawn; then
// the same with other workers and with a service that takes its time, the other
// shapes at both ends, and files that trickle. -cases and the like have the rest.
const defaultCases = "kubernetes:1:0,kubernetes:0:0,kubernetes:4:0,kubernetes:0:50,kubernetes:1:50,kubernetes:4:50," +
	"small:1:0,small:4:50,big:1:0,big:4:50,trickle:4:50"

// parse reads the command line. Help and what is wrong with a flag go to usage.
func parse(args []string, usage io.Writer) (b benchmark, err error) {
	var services, cases, shapes, workers, latencies, others, from string
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(usage)
	set.StringVar(&b.bin, "bin", "../bin", "the directory of our plugins")
	set.StringVar(&services, "services", "cloudwatch,kinesis,firehose", "which to measure")
	set.StringVar(&cases, "cases", defaultCases, "what to run, as shape:workers:latency with commas between them")
	set.StringVar(&shapes, "shapes", "", "in place of -cases, with -workers and -latencies, and each with each: kubernetes (0.9 KB), small (100 B), big (16 KB), trickle (200 files that grow slowly)")
	set.StringVar(&workers, "workers", "", "numbers of workers, 1 if -shapes or -latencies is set alone")
	set.StringVar(&latencies, "latencies", "", "milliseconds until the sink answers, 0 if -shapes or -workers is set alone")
	set.IntVar(&b.records, "records", 300_000, "kubernetes records a run; of the other shapes, the same bytes")
	set.IntVar(&b.rounds, "rounds", 3, "rounds")
	set.IntVar(&b.trickleRounds, "trickle-rounds", 3, "rounds of the trickle shape, of which a run takes 11 s whatever the plugin")
	set.StringVar(&others, "others", "", "other plugins as name=path.so with commas between them, with the options of our plugin of the service that their file name has in it")
	set.StringVar(&from, "from", ".", "where the relative paths of -others begin")
	set.StringVar(&b.jsonPath, "json", "", "write the figures to this file")
	set.StringVar(&b.chartPath, "chart", "", "write the CPU chart to this file, as SVG")
	set.StringVar(&b.readmePath, "readme", "", "put the sentence about the figures into this file")
	set.BoolVar(&b.redraw, "redraw", false, "measure nothing: make the chart and the sentence of the figures in -json")
	if err := set.Parse(args); err != nil {
		return b, err
	}
	if b.rounds < 1 || b.trickleRounds < 1 || b.records < 1 {
		return b, fmt.Errorf("cannot run -rounds %d -trickle-rounds %d -records %d: allowed is 1 and more", b.rounds, b.trickleRounds, b.records)
	}
	b.services = strings.Split(services, ",")
	for _, s := range b.services {
		if cNames[s] == "" {
			return b, fmt.Errorf("cannot measure -services %q: allowed are cloudwatch, kinesis, firehose", s)
		}
	}
	if b.others, err = parseOthers(others, from); err != nil {
		return b, err
	}
	if b.cases, err = parseCases(cases, shapes, workers, latencies); err != nil {
		return b, err
	}
	b.bin, err = filepath.Abs(b.bin)
	return b, err
}

func run(args []string) error {
	b, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	if b.redraw {
		r, err := readReport(b.jsonPath)
		if err != nil {
			return err
		}
		return b.publish(r)
	}
	if b.fluentBit, err = exec.LookPath("fluent-bit"); err != nil {
		fmt.Println("SKIP bench-peers: no fluent-bit on the PATH")
		return nil
	}
	if b.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := report{Machine: thisMachine(b.fluentBit), Commit: commit(), Records: b.records, Rounds: b.rounds}
	fmt.Fprintln(os.Stderr, r.origin())
	if err := b.uncache(); err != nil {
		return err
	}
	if err := b.measure(ctx, &r); err != nil {
		return err
	}
	printReport(os.Stdout, r)
	if err := writeJSON(b.jsonPath, r); err != nil {
		return err
	}
	if err := b.publish(r); err != nil {
		return err
	}
	return r.failure()
}

// publish writes what is made of the figures.
func (b *benchmark) publish(r report) error {
	if b.chartPath != "" {
		svg, err := draw(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.chartPath, svg, 0o644); err != nil {
			return err
		}
	}
	if b.readmePath == "" {
		return nil
	}
	text, err := os.ReadFile(b.readmePath)
	if err != nil {
		return err
	}
	if text, err = putSentence(text, r); err != nil {
		return fmt.Errorf("%s: %w", b.readmePath, err)
	}
	return os.WriteFile(b.readmePath, text, 0o644)
}

func parseOthers(text, from string) ([]other, error) {
	var all []other
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		name, path, ok := strings.Cut(part, "=")
		if !ok || name == "" || path == "" {
			return nil, fmt.Errorf("cannot read -others %q: allowed is name=path.so", part)
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(from, path)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		if serviceOf(path) == "" {
			return nil, fmt.Errorf("cannot tell the service of -others %q: allowed are files with cloudwatch, kinesis or firehose in their name", part)
		}
		all = append(all, other{name, path})
	}
	return all, nil
}

// serviceOf is which service a plugin's file is for, "" for none. What has both
// names in it, as kinesis_firehose, is for Firehose.
func serviceOf(path string) string {
	for _, service := range []string{"firehose", "kinesis", "cloudwatch"} {
		if strings.Contains(filepath.Base(path), service) {
			return service
		}
	}
	return ""
}

// parseCases reads -cases, or where one of the others is set, makes each of them
// with each.
func parseCases(cases, shapes, workers, latencies string) (all []caseOf, err error) {
	if shapes == "" && workers == "" && latencies == "" {
		for _, text := range strings.Split(cases, ",") {
			parts := strings.Split(text, ":")
			if len(parts) != 3 {
				return nil, fmt.Errorf("cannot read -cases %q: allowed is shape:workers:latency", text)
			}
			some, err := product(parts[0], parts[1], parts[2])
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	}
	either := func(text, otherwise string) string {
		if text == "" {
			return otherwise
		}
		return text
	}
	return product(either(shapes, "kubernetes"), either(workers, "1"), either(latencies, "0"))
}

func product(shapes, workers, latencies string) (all []caseOf, err error) {
	w, err := numbers("workers", workers)
	if err != nil {
		return nil, err
	}
	l, err := numbers("latencies", latencies)
	if err != nil {
		return nil, err
	}
	for _, shape := range strings.Split(shapes, ",") {
		if !slices.Contains(shapeNames, shape) {
			return nil, fmt.Errorf("cannot use the shape %q: allowed are %s", shape, strings.Join(shapeNames, ", "))
		}
		for _, n := range w {
			for _, ms := range l {
				all = append(all, caseOf{shape, n, ms})
			}
		}
	}
	return all, nil
}

func numbers(name, text string) (all []int, err error) {
	for _, part := range strings.Split(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("cannot use -%s %q: allowed are whole numbers with commas between them", name, part)
		}
		all = append(all, n)
	}
	return all, nil
}
