// Command bench puts the three output plugins beside Fluent Bit's own C plugins
// and, on request, beside other Go plugins, under a real fluent-bit.
//
// Each run reads the same records from files and ships them over TLS to a sink
// on loopback, which costs the shipper nothing but the connection. A run into
// the null output is in every round: what a plugin costs is what its run took
// beyond that one. Figures are medians over the rounds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
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
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// benchmark is what the command line asks for.
type benchmark struct {
	fluentBit string
	bin       string // the directory of our plugins
	others    []other
	services  []string
	cases     []caseOf
	records   int
	rounds    int
	dir       string // scratch
}

// other is a plugin of somebody else's: name is what it registers.
type other struct{ name, path string }

// caseOf is one line of the table.
type caseOf struct {
	shape   string
	workers int
	latency int // of the sink's answers, in milliseconds
}

func (c caseOf) String() string {
	return fmt.Sprintf("%s records, workers %d, answers after %d ms", c.shape, c.workers, c.latency)
}

func run() error {
	b := benchmark{}
	var services, shapes, workers, latencies, others, jsonPath, chartPath, chartFrom string
	flag.StringVar(&b.bin, "bin", "../bin", "the directory of our plugins")
	flag.StringVar(&services, "services", "cloudwatch,kinesis,firehose", "which to measure")
	flag.StringVar(&shapes, "shapes", "kubernetes", "record shapes: kubernetes (0.9 KB), small (100 B), big (16 KB), trickle (200 files that grow slowly)")
	flag.StringVar(&workers, "workers", "1", "numbers of workers")
	flag.StringVar(&latencies, "latencies", "0", "milliseconds until the sink answers")
	flag.IntVar(&b.records, "records", 300_000, "kubernetes records a run; of the other shapes, the same bytes")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds")
	flag.StringVar(&others, "others", "", "other plugins as name=path.so with commas between them, with the options of our plugin of the service that their path names")
	flag.StringVar(&jsonPath, "json", "", "write the figures to this file")
	flag.StringVar(&chartPath, "chart", "", "write the CPU chart to this file, as SVG")
	flag.StringVar(&chartFrom, "chart-from", "", "only draw the chart, from this file of figures")
	flag.Parse()
	if chartFrom != "" {
		return redraw(chartFrom, chartPath)
	}

	var err error
	if b.fluentBit, err = exec.LookPath("fluent-bit"); err != nil {
		fmt.Println("SKIP: there is no fluent-bit on the PATH")
		return nil
	}
	b.services = strings.Split(services, ",")
	if b.others, err = parseOthers(others); err != nil {
		return err
	}
	if b.cases, err = parseCases(shapes, workers, latencies); err != nil {
		return err
	}
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, err := b.measure(ctx)
	if err != nil {
		return err
	}
	printTable(os.Stdout, results)
	if jsonPath != "" {
		if err := writeJSON(jsonPath, results); err != nil {
			return err
		}
	}
	if chartPath != "" {
		return draw(chartPath, results)
	}
	return nil
}

func parseOthers(text string) ([]other, error) {
	var all []other
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		name, path, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("cannot read -others %q: allowed is name=path.so", part)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		all = append(all, other{name, path})
	}
	return all, nil
}

func parseCases(shapes, workers, latencies string) ([]caseOf, error) {
	w, err := numbers("workers", workers)
	if err != nil {
		return nil, err
	}
	l, err := numbers("latencies", latencies)
	if err != nil {
		return nil, err
	}
	var all []caseOf
	for _, shape := range strings.Split(shapes, ",") {
		if !slices.Contains([]string{"kubernetes", "small", "big", "trickle"}, shape) {
			return nil, fmt.Errorf("cannot use -shapes %q: allowed is kubernetes, small, big, trickle", shape)
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
		var n int
		if _, err := fmt.Sscanf(part, "%d", &n); err != nil || n < 0 {
			return nil, fmt.Errorf("cannot use -%s %q: allowed are whole numbers with commas between them", name, part)
		}
		all = append(all, n)
	}
	return all, nil
}
