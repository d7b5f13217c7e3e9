package readme

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"aws-for-fluent-bit/cloudwatch"
	"aws-for-fluent-bit/firehose"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/kinesis"
)

// comparisonRow is a row of docs/comparison.md that has a column "Here".
type comparisonRow struct {
	section string // the title of its second level
	subject string
	here    string
	test    string
}

// comparison returns the rows, whose cells it has counted.
func comparison(t *testing.T) (rows []comparisonRow) {
	t.Helper()
	section, columns := "", 0
	for line := range strings.Lines(document(t, "docs/comparison.md")) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = title
		}
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		row := cells(line)
		last := len(row) - 1
		switch {
		case row[last] == "Test" && row[last-1] == "Here":
			columns = len(row)
		case columns == 0 || strings.HasPrefix(line, "|-"):
		case len(row) != columns || slices.Contains(row, ""):
			t.Errorf("%s: %d cells of %d in the row %s", section, len(row), columns, line)
		default:
			rows = append(rows, comparisonRow{section, row[0], row[last-1], row[last]})
		}
	}
	if len(rows) < 80 {
		t.Errorf("docs/comparison.md has %d rows", len(rows))
	}
	return rows
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checks are the plugins by their names.
var checks = map[string]func(options.Getter) error{"cloudwatch": cloudwatch.Check, "kinesis": kinesis.Check, "firehose": firehose.Check}

// optionsOf returns what a plugin reads.
func optionsOf(plugin string) (names []string) {
	_ = checks[plugin](func(name string) string {
		names = append(names, name)
		return ""
	}) // the error is that nothing is set
	return names
}

// option is an option in a text, maybe with a value behind it. Fluent Bit's have
// dots, capitals or names that it knows.
var option = regexp.MustCompile("`([a-z][a-z0-9_]*)(?: [^`]*)?`")

// named returns the options that a text names. The plugins' names are none.
func named(text string) (names []string) {
	for _, m := range option.FindAllStringSubmatch(text, -1) {
		if checks[m[1]] == nil && !options.IsFluentBits(m[1]) && m[1] != "make" {
			names = append(names, m[1])
		}
	}
	return names
}

// cells returns those of a table's row.
func cells(line string) (cells []string) {
	line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "|"), "|")
	for cell := range strings.SplitSeq(line, "|") {
		cells = append(cells, strings.TrimSpace(cell))
	}
	return cells
}

// readBy are the plugins whose options a section of docs/comparison.md names.
var readBy = map[string][]string{
	"CloudWatch Logs":      {"cloudwatch"},
	"Kinesis Data Streams": {"kinesis"},
	"Data Firehose":        {"firehose"},
	"All three":            {"cloudwatch", "kinesis", "firehose"},
}

// ofAny is the section whose options need be read by any plugin.
const ofAny = "What users asked for elsewhere"

// What docs/comparison.md says of us names options that are read, and it leaves
// no option out.
func TestComparedOptions(t *testing.T) {
	var all []string
	for plugin := range checks {
		all = append(all, optionsOf(plugin)...)
	}
	var compared []string
	for _, row := range comparison(t) {
		if readBy[row.section] == nil && row.section != ofAny {
			t.Errorf("section %q is of no plugin", row.section)
			continue
		}
		for _, option := range named(row.here) {
			if !slices.Contains(all, option) {
				t.Errorf("%s, %s: no plugin reads option %s", row.section, row.subject, option)
			}
			for _, plugin := range readBy[row.section] {
				if !slices.Contains(optionsOf(plugin), option) {
					t.Errorf("%s, %s: %s reads no option %s", row.section, row.subject, plugin, option)
				}
				compared = append(compared, option)
			}
		}
	}
	slices.Sort(all)
	for _, option := range slices.Compact(all) {
		if !slices.Contains(compared, option) && !options.IsFluentBits(option) {
			t.Errorf("docs/comparison.md has no option %s in the column Here", option)
		}
	}
}

// The tests that it names are there, and what we have has one.
func TestComparedTests(t *testing.T) {
	known := make(map[string]map[string]bool) // by directory
	for _, row := range comparison(t) {
		if strings.HasPrefix(row.here, "–") && row.test == "–" {
			continue
		}
		for test := range strings.SplitSeq(row.test, ", ") {
			dir, name, ok := strings.Cut(strings.Trim(test, "`"), ".")
			if !ok {
				t.Errorf("%s, %s: %q is no test", row.section, row.subject, test)
				continue
			}
			if known[dir] == nil {
				known[dir] = testsIn(t, dir)
			}
			if !known[dir][name] {
				t.Errorf("%s, %s: the test %s is not there", row.section, row.subject, test)
			}
		}
	}
}

// The translation of other agents' options names options that there are, and has
// a row for each that the example of Vector in e2e sets.
func TestMigrationFromAgents(t *testing.T) {
	_, text, _ := strings.Cut(document(t, "docs/migration.md"), "## From Vector")
	text, _, _ = strings.Cut(text, "## From the image")
	var all, rows []string
	for plugin := range checks {
		all = append(all, optionsOf(plugin)...)
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		row := cells(line)
		rows = append(rows, row[0])
		for _, option := range named(row[1]) {
			if !slices.Contains(all, option) {
				t.Errorf("migration.md: no plugin reads option %s of the row %s", option, line)
			}
		}
	}
	there := strings.Join(rows, "\n")
	if len(rows) < 30 {
		t.Errorf("migration.md has %d rows for agents", len(rows))
	}
	_, example, _ := strings.Cut(document(t, "e2e/testdata/moved/vector.toml"), "[sinks.")
	for _, m := range regexp.MustCompile(`(?m)^([a-z_.]+) = `).FindAllStringSubmatch(example, -1) {
		if option := strings.Replace(m[1], "tags.team", "tags", 1); !strings.Contains(there, "`"+option+"`") {
			t.Errorf("migration.md has no row for Vector's %s", option)
		}
	}
}
