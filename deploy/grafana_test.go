package deploy

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/delivery"
)

// dashboard is what the test looks at of Grafana's JSON model.
type dashboard struct {
	Title, UID string
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ H, W, X, Y int }
		Targets                  []struct{ RefID, Expr, LegendFormat string }
	}
}

// The dashboard shows every metric that there is and names none that there is
// not; each of its queries keeps to the outputs and instances that are chosen.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	exists, shown := make(map[string]bool), make(map[string]bool)
	new(delivery.Counters).Each(func(m delivery.Metric) { exists["fluentbit_aws_"+m.Name] = true })
	metric := regexp.MustCompile(`\bfluentbit_aws_\w+`)
	for _, name := range metric.FindAllString(string(text), -1) {
		if !exists[name] {
			t.Errorf("there is no metric %s", name)
		}
	}
	ids := make(map[int]bool)
	filled := make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: no title, or an id that another has", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := filled[[2]int{x, y}]; ok || x >= 24 {
					t.Fatalf("panel %q lies over %q, or beyond the edge", p.Title, other)
				}
				filled[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q has no description or no query", p.Title)
		}
		for _, target := range p.Targets {
			checkQuery(t, p.Title, target.Expr)
			for _, name := range metric.FindAllString(target.Expr, -1) {
				shown[name] = true
			}
		}
	}
	for name := range exists {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
	for _, v := range d.Templating.List {
		if v.Definition != "" && !metric.MatchString(v.Definition) {
			t.Errorf("variable %s asks for %q", v.Name, v.Definition)
		}
	}
}

var selector = regexp.MustCompile(`fluentbit_\w+(\{[^}]*\})?`)

// checkQuery looks at what is easily forgotten in a query: a counter is of use
// as a rate or an increase only.
func checkQuery(t *testing.T, panel, query string) {
	t.Helper()
	if strings.Count(query, "(") != strings.Count(query, ")") || strings.Count(query, "{") != strings.Count(query, "}") {
		t.Errorf("panel %q: unbalanced: %s", panel, query)
	}
	for _, m := range selector.FindAllStringSubmatchIndex(query, -1) {
		series := query[m[0]:m[1]]
		if !strings.Contains(series, `instance=~"$instance"`) {
			t.Errorf("panel %q: %s does not keep to the instance", panel, series)
		}
		name, _, _ := strings.Cut(series, "{")
		if strings.HasPrefix(name, "fluentbit_aws_") && !strings.Contains(series, `name=~"$name"`) {
			t.Errorf("panel %q: %s does not keep to the output", panel, series)
		}
		counter := strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_bucket")
		asRate := strings.HasSuffix(query[:m[0]], "rate(") || strings.HasSuffix(query[:m[0]], "increase(")
		ranged := strings.HasPrefix(query[m[1]:], "[$__r")
		if asRate != ranged || counter && !asRate && panel != "Unaccounted" || !counter && asRate {
			t.Errorf("panel %q: %s is a counter: %v, taken as a rate: %v, over a range: %v", panel, series, counter, asRate, ranged)
		}
	}
}
