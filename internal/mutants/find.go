package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// mutant is one change of one operator.
type mutant struct {
	file     string // with its directory
	line     int
	function string // that it is in, with its receiver, or "" outside of one
	before   string // the line, without the space around it
	after    string

	number  int // among those of the package
	offset  int // of the operator in the file
	op, put string
	covered bool // by Go's coverage, which does not know the conditions of a case
	end     end
}

// end is what became of a mutant.
type end string

const (
	unknown   end = ""
	killed    end = "killed"
	timedOut  end = "timed-out"
	notViable end = "not-viable"
	lived     end = "lived"
)

// puts has what gremlins puts in the place of an operator, by its name for it.
var puts = map[string]map[string]string{
	"ARITHMETIC_BASE":       {"+": "-", "-": "+", "*": "/", "/": "*", "%": "*"},
	"CONDITIONALS_BOUNDARY": {">=": ">", ">": ">=", "<=": "<", "<": "<="},
	"CONDITIONALS_NEGATION": {"==": "!=", "!=": "==", ">=": "<", ">": "<=", "<=": ">", "<": ">="},
	"INCREMENT_DECREMENT":   {"++": "--", "--": "++"},
	"INVERT_NEGATIVES":      {"-": "+"},
}

// listing is what gremlins writes.
type listing struct {
	Files []struct {
		Name      string `json:"file_name"`
		Mutations []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
			Line   int    `json:"line"`
			Column int    `json:"column"`
		} `json:"mutations"`
	} `json:"files"`
}

// find asks gremlins for the mutants of the package in dir, whose files are given.
func (s *settings) find(dir string, files []string, env []string) ([]*mutant, error) {
	report := filepath.Join(s.work, "listing.json")
	var out []byte
	var err error
	for range tries { // it runs the tests, too
		cmd := exec.Command(s.gremlins, "unleash", "--silent", "--dry-run", "--output", report, "./"+dir)
		cmd.Dir, cmd.Env = s.root, env
		if out, err = cmd.CombinedOutput(); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w\n%s", s.gremlins, err, out)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return nil, err
	}
	var l listing
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", report, err)
	}
	built := make(map[string]bool)
	for _, f := range files {
		built[f] = true
	}
	var all []*mutant
	for _, f := range l.Files {
		if !built[f.Name] { // of another package below this one or another system, or with C in it
			continue
		}
		source, err := os.ReadFile(filepath.Join(s.root, dir, f.Name))
		if err != nil {
			return nil, err
		}
		r, err := newReader(dir+"/"+f.Name, source)
		if err != nil {
			return nil, err
		}
		for _, m := range f.Mutations {
			if err := r.add(m.Type, m.Line, m.Column, m.Status == "RUNNABLE"); err != nil {
				return nil, err
			}
		}
		all = append(all, r.mutants...)
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.file != b.file {
			return a.file < b.file
		}
		if a.offset != b.offset {
			return a.offset < b.offset
		}
		return a.put < b.put
	})
	for i, m := range all {
		m.number = i
	}
	return all, nil
}

// reader makes mutants of places in a file.
type reader struct {
	name    string
	source  []byte
	set     *token.FileSet
	file    *ast.File
	seen    map[[2]any]bool
	mutants []*mutant
}

func newReader(name string, source []byte) (*reader, error) {
	r := &reader{name: name, source: source, set: token.NewFileSet(), seen: make(map[[2]any]bool)}
	var err error
	r.file, err = parser.ParseFile(r.set, name, source, parser.SkipObjectResolution)
	return r, err
}

// add makes a mutant of the kind at a place. Gremlins names a minus twice, as
// arithmetic and as a sign; once is enough.
func (r *reader) add(kind string, line, column int, covered bool) error {
	start := r.set.File(r.file.Pos()).LineStart(line)
	offset := r.set.Position(start).Offset + column - 1
	op, put := "", ""
	for o, p := range puts[kind] {
		if strings.HasPrefix(string(r.source[offset:]), o) && len(o) > len(op) {
			op, put = o, p
		}
	}
	if op == "" {
		return fmt.Errorf("%s:%d:%d: no operator of the kind %s", r.name, line, column, kind)
	}
	key := [2]any{offset, put}
	if r.seen[key] {
		return nil
	}
	r.seen[key] = true
	from := r.set.Position(start).Offset
	text, _, _ := strings.Cut(string(r.source[from:]), "\n")
	at := offset - from
	r.mutants = append(r.mutants, &mutant{
		file: r.name, line: line, function: r.function(offset), offset: offset, op: op, put: put, covered: covered,
		before: strings.TrimSpace(text), after: strings.TrimSpace(text[:at] + put + text[at+len(op):]),
	})
	return nil
}

// function returns the name of the function at an offset.
func (r *reader) function(offset int) string {
	for _, d := range r.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || offset < r.set.Position(f.Pos()).Offset || offset >= r.set.Position(f.End()).Offset {
			continue
		}
		if f.Recv == nil {
			return f.Name.Name
		}
		return receiver(f.Recv.List[0].Type) + "." + f.Name.Name
	}
	return ""
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
