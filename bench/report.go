package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is all that a benchmark has measured, and what is written as JSON.
type report struct {
	Machine machine
	Commit  string
	Records int // of the kubernetes shape
	Rounds  int
	Results []result
	Idle    []idle
}

// result is one line of a table: the medians of a plugin's runs of a case.
type result struct {
	Case    string
	Shape   string
	Workers int
	Latency int
	Service string
	Plugin  string
	// CPU seconds beyond those of the null output in the same round, and its ratio
	// to that of the C plugin with as many workers, 0 where there is none: medians
	// over the rounds.
	CPU, Ratio        float64
	Rounds            []float64 // CPU of each
	Own, OwnRatio     float64   // CPU seconds of all threads but the pipeline's, from which null's are not taken; 0: not known
	NullCPU, NullPeak float64
	Wall, Peak        float64 // seconds until the last record was acknowledged; MB
	Anon              float64 // MB of memory that is no file's; 0: not known
	Requests          float64 // median, too
	Bytes, Wire       float64 // of bodies; of all that came by TCP
	Records           int64
	Others            int64  // requests that carry no records
	Failed            string `json:",omitempty"` // what went wrong in a round; the figures are of the others
}

// perRecord is microseconds of CPU for each record.
func (r result) perRecord() float64 { return r.CPU * 1e6 / float64(max(1, r.Records)) }

// round is what one round of a case has measured of a service, by kind of
// plugin. What failed is not there.
type round map[string]figures

func summarize(c caseOf, service, kind string, rounds []round) result {
	r := result{Case: c.String(), Shape: c.shape, Workers: c.workers, Latency: c.latency, Service: service, Plugin: kind}
	var ratios, owns, ownRatios, walls, peaks, anons, nulls, nullPeaks, requests, bodies, wires []float64
	for _, runs := range rounds {
		mine, ok := runs[kind]
		null, nullOK := runs[kindNull]
		if !ok || !nullOK {
			continue
		}
		cpu := mine.CPU - null.CPU
		r.Rounds = append(r.Rounds, cpu)
		if base, ok := runs[kindC]; ok && base.CPU > null.CPU {
			ratios = append(ratios, cpu/(base.CPU-null.CPU))
		}
		if mine.Own > 0 {
			owns = append(owns, mine.Own)
			if base := runs[kindC]; base.Own > 0 {
				ownRatios = append(ownRatios, mine.Own/base.Own)
			}
		}
		walls, peaks, anons = append(walls, mine.Wall), append(peaks, mine.Peak), append(anons, mine.Anon)
		nulls, nullPeaks = append(nulls, null.CPU), append(nullPeaks, null.Peak)
		requests = append(requests, float64(mine.Requests))
		bodies, wires = append(bodies, float64(mine.Bytes)), append(wires, float64(mine.Wire))
		r.Records, r.Others = mine.Records, mine.Others
	}
	r.CPU, r.Ratio, r.Wall, r.Peak = median(r.Rounds), median(ratios), median(walls), median(peaks)
	r.Own, r.OwnRatio, r.Anon = median(owns), median(ownRatios), median(anons)
	r.NullCPU, r.NullPeak = median(nulls), median(nullPeaks)
	r.Requests, r.Bytes, r.Wire = median(requests), median(bodies), median(wires)
	return r
}

// median is 0 of nothing.
func median(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	n := len(s)
	switch {
	case n == 0:
		return 0
	case n%2 == 0:
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[n/2]
}

// origin says where figures come from.
func (r report) origin() string {
	return fmt.Sprintf("commit %s, %d records of 0.9 KB, %d rounds, on %v", r.Commit, r.Records, r.Rounds, r.Machine)
}

// find returns the result of a case, nil if there is none.
func (r report) find(c caseOf, service, kind string) *result {
	for i, one := range r.Results {
		if one.Case == c.String() && one.Service == service && one.Plugin == kind {
			return &r.Results[i]
		}
	}
	return nil
}

// failure is what went wrong with our own plugins. What the others lose is in the
// tables.
func (r report) failure() error {
	var all []error
	for _, one := range r.Results {
		if one.Plugin == kindOurs && one.Failed != "" {
			all = append(all, fmt.Errorf("%s, %s: %s", one.Service, one.Case, one.Failed))
		}
	}
	for _, i := range r.Idle {
		if i.Plugin == kindOurs && i.Failed != "" {
			all = append(all, fmt.Errorf("idle: %s", i.Failed))
		}
	}
	return errors.Join(all...)
}

// label is what a kind of plugin is called in tables and charts.
func label(kind string) string {
	switch kind {
	case kindC:
		return "Fluent Bit's C plugin"
	case kindCDefault:
		return "the same, workers unset"
	case kindOurs:
		return "aws-for-fluent-bit"
	}
	return filepath.Base(kind)
}

func printReport(w io.Writer, r report) {
	fmt.Fprintf(w, "\n%s\n", r.origin())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	last := ""
	for _, one := range r.Results {
		if one.Case != last {
			t.Flush()
			fmt.Fprintf(w, "\n%s\n", one.Case)
			fmt.Fprintln(t, "service\tplugin\tCPU s over null\tof C's\tCPU s of its threads\tof C's\twall s\tpeak MB\tof C's\tanonymous MB\tof C's\trequests\tof C's\tMB on the wire\trecords\t")
			last = one.Case
		}
		base := r.find(caseOf{one.Shape, one.Workers, one.Latency}, one.Service, kindC)
		if base == nil {
			base = new(result)
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%s\t%s\t%s\t%.1f\t%.0f\t%s\t%.0f\t%s\t%.0f\t%s\t%.1f\t%d\t\n", one.Service, label(one.Plugin), one.CPU, ratio(one.Ratio, 1), known(one.Own), ratio(one.OwnRatio, 1), one.Wall,
			one.Peak, ratio(one.Peak, base.Peak), one.Anon, ratio(one.Anon, base.Anon), one.Requests, ratio(one.Requests, base.Requests), one.Wire/1e6, one.Records)
	}
	t.Flush()
	if len(r.Idle) > 0 {
		fmt.Fprint(w, "\nidle: the plugins of all services, loaded together, over Fluent Bit with the null output\n")
		fmt.Fprintln(t, "plugins\tRSS MB\tPSS MB\tprivate MB\t")
		for _, i := range r.Idle {
			fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t\n", label(i.Plugin), i.RSS, i.PSS, i.Private)
		}
		t.Flush()
	}
	for _, one := range r.Results {
		if one.Failed != "" {
			fmt.Fprintf(w, "FAILED: %s, %s, %s: %s\n", label(one.Plugin), one.Service, one.Case, one.Failed)
		}
	}
	for _, i := range r.Idle {
		if i.Failed != "" {
			fmt.Fprintf(w, "FAILED: idle, %s: %s\n", label(i.Plugin), i.Failed)
		}
	}
}

// known is a figure that there may be none of.
func known(n float64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", n)
}

// ratio is a figure's to that of the C plugin.
func ratio(mine, base float64) string {
	if base <= 0 || mine == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", mine/base)
}

func writeJSON(path string, r report) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func readReport(path string) (r report, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return r, nil
}

// firstError is the first line of what went wrong.
func firstError(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
