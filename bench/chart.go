package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-analyze/charts"
)

// draw draws the CPU of the first case's plugins, as SVG.
func draw(r report) ([]byte, error) {
	if len(r.Results) == 0 {
		return nil, errors.New("cannot draw a chart: there are no figures")
	}
	first := r.Results[0]
	var services, kinds []string
	for _, one := range r.Results {
		if one.Case != first.Case {
			continue
		}
		if !slices.Contains(services, one.Service) {
			services = append(services, one.Service)
		}
		if !slices.Contains(kinds, one.Plugin) {
			kinds = append(kinds, one.Plugin)
		}
	}
	var rows [][]float64
	var names []string
	c := caseOf{first.Shape, first.Workers, first.Latency}
	for _, kind := range kinds {
		row := make([]float64, len(services))
		for i, service := range services {
			if one := r.find(c, service, kind); one != nil {
				row[i] = math.Round(one.perRecord()*100) / 100
			}
		}
		rows, names = append(rows, row), append(names, label(kind))
	}
	opt := charts.NewBarChartOptionWithData(rows)
	opt.Title.Text = "CPU per record over Fluent Bit alone, in µs"
	opt.Title.Subtext = c.String()
	opt.CategoryAxis.Labels = services
	opt.Legend.SeriesNames = names
	opt.Legend.Offset = charts.OffsetStr{Left: charts.PositionCenter, Top: "345"}
	opt.ValueAxis[0].Min = charts.Ptr(0.0)
	for i := range opt.SeriesList {
		opt.SeriesList[i].Label.Show = charts.Ptr(true)
	}
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: 720, Height: 400})
	if err := p.BarChart(opt); err != nil {
		return nil, fmt.Errorf("cannot draw a chart: %w", err)
	}
	return p.Bytes()
}

// The sentence stands between these in README.md.
const (
	sentenceBegins = "<!-- by make bench-peers -->"
	sentenceEnds   = "<!-- end -->"
)

// sentence says what the chart shows, and idle memory.
func sentence(r report) string {
	if len(r.Results) == 0 {
		return ""
	}
	first := r.Results[0]
	c := caseOf{first.Shape, first.Workers, first.Latency}
	var b bytes.Buffer
	if r.Records < 100_000 || r.Rounds < 3 {
		b.WriteString("Of a short run, until there is a long one: ")
	}
	fmt.Fprintf(&b, "CPU per record over Fluent Bit alone, %d %v, medians of %d rounds", r.Records, c, r.Rounds)
	sep := ": "
	for _, one := range r.Results {
		if one.Case == first.Case && one.Plugin == kindOurs {
			fmt.Fprintf(&b, "%s`%s` %.2f µs, %s of the C plugin's", sep, one.Service, one.perRecord(), ratio(one.Ratio, 1))
			sep = "; "
		}
	}
	for _, i := range r.Idle {
		if i.Plugin == kindOurs && i.Failed == "" {
			fmt.Fprintf(&b, "; idle, all three take %.1f MB", i.RSS)
		}
	}
	fmt.Fprintf(&b, ". Measured by `make bench-peers` at commit %s on %v; all figures are in [bench/figures.json](bench/figures.json).", r.Commit, r.Machine)
	return b.String()
}

// putSentence puts the sentence into a document.
func putSentence(text []byte, r report) ([]byte, error) {
	head, rest, ok := bytes.Cut(text, []byte(sentenceBegins))
	_, rest, ok2 := bytes.Cut(rest, []byte(sentenceEnds))
	if !ok || !ok2 {
		return nil, fmt.Errorf("cannot find %s and %s", sentenceBegins, sentenceEnds)
	}
	return slices.Concat(head, []byte(sentenceBegins+"\n"+sentence(r)+"\n"+sentenceEnds), rest), nil
}
