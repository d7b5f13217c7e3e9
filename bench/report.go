package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/go-analyze/charts"
)

// result is one line of the table: the medians of a plugin's runs of a case.
type result struct {
	Case    string
	Shape   string
	Workers int
	Latency int
	Service string
	Plugin  string
	// CPU beyond that of the null output in the same round, and its ratio to the
	// C plugin's: both medians over the rounds.
	CPU, Ratio          float64
	Wall, MaxRSS        float64
	Requests, Bytes     int64
	Records             int64
	Others              int64
	Rounds              []float64 // CPU of each
	NullCPU, NullMaxRSS float64
}

// measure runs all that is asked for, and says how far it is.
func (b *benchmark) measure(ctx context.Context) (all []result, err error) {
	for _, c := range b.cases {
		for _, service := range b.services {
			plugins := b.plugins(service)
			runs := make(map[string][]figures)
			for round := range b.rounds {
				for _, p := range plugins {
					fmt.Fprintf(os.Stderr, "%v: %s, round %d of %d: %s … ", c, service, round+1, b.rounds, p.Kind)
					f, err := b.ship(ctx, p, c)
					if err != nil {
						return nil, err
					}
					fmt.Fprintf(os.Stderr, "%.2f s of CPU, %.1f s\n", f.CPU, f.Wall)
					runs[p.Kind] = append(runs[p.Kind], f)
				}
			}
			for _, p := range plugins[1:] {
				all = append(all, summarize(c, service, p.Kind, runs))
			}
		}
	}
	return all, nil
}

// plugins are what is compared for a service; null comes first.
func (b *benchmark) plugins(service string) []plugin {
	all := []plugin{
		{Kind: "null", service: service},
		{Kind: "c", service: service, name: cNames[service]},
		{Kind: "ours", service: service, name: service, so: filepath.Join(b.bin, service+".so")},
	}
	for _, o := range b.others {
		if strings.Contains(filepath.Base(o.path), service) {
			all = append(all, plugin{Kind: o.path, service: service, name: o.name, so: o.path})
		}
	}
	return all
}

func summarize(c caseOf, service, kind string, runs map[string][]figures) result {
	mine, null, c0 := runs[kind], runs["null"], runs["c"]
	r := result{Case: c.String(), Shape: c.shape, Workers: c.workers, Latency: c.latency, Service: service, Plugin: kind,
		Requests: mine[0].Requests, Bytes: mine[0].Bytes, Records: mine[0].Records, Others: mine[0].Others}
	var ratios, walls, rss, nulls, nullRSS []float64
	for i := range mine {
		cpu := mine[i].CPU - null[i].CPU
		r.Rounds = append(r.Rounds, cpu)
		ratios = append(ratios, cpu/(c0[i].CPU-null[i].CPU))
		walls = append(walls, mine[i].Wall)
		rss = append(rss, mine[i].MaxRSS)
		nulls = append(nulls, null[i].CPU)
		nullRSS = append(nullRSS, null[i].MaxRSS)
	}
	r.CPU, r.Ratio, r.Wall, r.MaxRSS = median(r.Rounds), median(ratios), median(walls), median(rss)
	r.NullCPU, r.NullMaxRSS = median(nulls), median(nullRSS)
	return r
}

func median(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func printTable(w io.Writer, all []result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	last := ""
	for _, r := range all {
		if r.Case != last {
			t.Flush()
			fmt.Fprintf(w, "\n%s\n", r.Case)
			fmt.Fprintln(t, "service\tplugin\tCPU s over null\tof C's\twall s\tpeak MB\trequests\tMB sent\trecords\t")
			last = r.Case
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f\t%.1f\t%.0f\t%d\t%.1f\t%d\t\n", r.Service, filepath.Base(r.Plugin), r.CPU, r.Ratio, r.Wall, r.MaxRSS, r.Requests, float64(r.Bytes)/1e6, r.Records)
	}
	t.Flush()
}

func writeJSON(path string, all []result) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func redraw(from, chart string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var all []result
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("cannot read %s: %w", from, err)
	}
	return draw(chart, all)
}

// draw draws the CPU of the first case's plugins.
func draw(path string, all []result) error {
	if len(all) == 0 {
		return fmt.Errorf("cannot draw %s: there are no figures", path)
	}
	var services, kinds []string
	values := make(map[string][]float64)
	for _, r := range all {
		if r.Case != all[0].Case {
			continue
		}
		if !slices.Contains(services, r.Service) {
			services = append(services, r.Service)
		}
		kind := map[string]string{"c": "Fluent Bit's C plugin", "ours": "this one"}[r.Plugin]
		if kind == "" {
			kind = filepath.Base(r.Plugin)
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
		values[kind] = append(values[kind], r.CPU)
	}
	rows := make([][]float64, len(kinds))
	for i, k := range kinds {
		rows[i] = values[k]
	}
	opt := charts.NewBarChartOptionWithData(rows)
	opt.Title.Text = "CPU seconds over Fluent Bit alone"
	opt.Title.Subtext = all[0].Case
	opt.CategoryAxis.Labels = services
	opt.Legend.SeriesNames = kinds
	opt.Legend.Offset = charts.OffsetRight
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: 720, Height: 400})
	if err := p.BarChart(opt); err != nil {
		return fmt.Errorf("cannot draw %s: %w", path, err)
	}
	svg, err := p.Bytes()
	if err != nil {
		return err
	}
	return os.WriteFile(path, svg, 0o644)
}
