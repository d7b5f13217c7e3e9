// Package readme holds README.md against the code.
package readme

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"aws-for-fluent-bit/cloudwatch"
	"aws-for-fluent-bit/firehose"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/kinesis"
)

const root = "../.."

// row is a row of an option table.
type row struct{ option, test string }

// optionTables returns the rows by the title of their section, as
// "Options of `kinesis`".
func optionTables(t *testing.T) map[string][]row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	tables := make(map[string][]row)
	title := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			title = strings.TrimLeft(line, "# ")
		}
		if !strings.HasPrefix(title, "Options of") || !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 6 {
			t.Errorf("%s: %d cells in the row %s", title, len(cells), line)
			continue
		}
		tables[title] = append(tables[title], row{strings.Trim(cells[0], "`"), strings.Trim(cells[5], "`")})
	}
	return tables
}

// Every option that a plugin reads has a row, and every row's option is read.
func TestOptions(t *testing.T) {
	silent := logrus.New()
	silent.SetOutput(io.Discard)
	env := func() delivery.Env {
		return delivery.Env{Name: "x.0", Log: logrus.NewEntry(silent), Counters: new(delivery.Counters)}
	}
	tables := optionTables(t)
	f := func(plugin string, open func(options.Getter) error, titles ...string) {
		t.Helper()
		var asked, rows []string
		err := open(func(name string) string {
			asked = append(asked, name)
			return ""
		})
		if err == nil {
			t.Errorf("%s starts without any option", plugin)
		}
		for _, title := range titles {
			if len(tables[title]) == 0 {
				t.Errorf("no table %q", title)
			}
			for _, r := range tables[title] {
				if slices.Contains(rows, r.option) {
					t.Errorf("%s: option %s is in two rows", plugin, r.option)
				}
				rows = append(rows, r.option)
			}
		}
		for _, o := range asked {
			if !slices.Contains(rows, o) {
				t.Errorf("%s reads option %s, which README.md does not have", plugin, o)
			}
		}
		for _, o := range rows {
			if !slices.Contains(asked, o) {
				t.Errorf("README.md has option %s, which %s does not read", o, plugin)
			}
		}
	}
	const all, records = "Options of all three", "Options of `kinesis` and `firehose`"
	f("cloudwatch", func(g options.Getter) error { _, err := cloudwatch.New(env(), g); return err }, all, "Options of `cloudwatch`")
	f("kinesis", func(g options.Getter) error { _, err := kinesis.New(env(), g); return err }, all, records, "Options of `kinesis`")
	f("firehose", func(g options.Getter) error { _, err := firehose.New(env(), g); return err }, all, records, "Options of `firehose`")
}

// Every test that a row names is there.
func TestTestsExist(t *testing.T) {
	known := make(map[string]map[string]bool) // by directory
	for title, rows := range optionTables(t) {
		for _, r := range rows {
			dir, name, ok := strings.Cut(r.test, ".")
			if !ok {
				t.Errorf("%s: option %s has no test", title, r.option)
				continue
			}
			if known[dir] == nil {
				known[dir] = testsIn(t, dir)
			}
			if !known[dir][name] {
				t.Errorf("%s: option %s names the test %s, which is not there", title, r.option, r.test)
			}
		}
	}
}

func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]bool)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[fn.Name.Name] = true
			}
		}
	}
	return tests
}

// Every target of make that the documents name is there, and every file.
func TestTargetsAndLinks(t *testing.T) {
	var makefile []byte
	for _, name := range []string{"Makefile", "release.mk", "checks.mk", "bench.mk"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		makefile = append(makefile, text...)
	}
	docs, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil || len(docs) == 0 {
		t.Fatalf("%d pages, %v", len(docs), err)
	}
	for _, doc := range append(docs, filepath.Join(root, "README.md"), filepath.Join(root, "DESIGN.md")) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?m)(?:`|^| )make ([a-z0-9-]+)(?:`| [A-Z0-9_]+=|$)").FindAllStringSubmatch(string(text), -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile) {
				t.Errorf("%s names `make %s`, which the Makefile does not have", doc, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([^):]+)\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			}
		}
	}
}
