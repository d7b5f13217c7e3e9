package main

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// called are the functions of package change that stand for the operators.
var called = map[token.Token]string{
	token.LSS: "Less", token.LEQ: "LessEqual", token.GTR: "Greater", token.GEQ: "GreaterEqual",
	token.ADD: "Add", token.SUB: "Sub", token.MUL: "Mul", token.QUO: "Div", token.REM: "Rem",
}

// edit is text to put in the place of old bytes at an offset. Of those at one
// offset, what closes an expression comes first, the inner one before the outer.
type edit struct {
	offset, old, order int
	text               string
}

// rewriter replaces the operators of a file. It adds no lines, so that what the
// compiler says of the result is of the same line of the source.
type rewriter struct {
	set      *token.FileSet
	info     *types.Info
	pkg      *types.Package
	mutants  map[int][]*mutant // by the operator's offset
	switched map[*mutant]bool
	edits    []edit
	visited  int
}

// rewrite returns the source with its operators replaced, and which of the mutants
// it has; the others can only be built one by one.
func rewrite(set *token.FileSet, file *ast.File, source []byte, pkg *types.Package, info *types.Info, mutants []*mutant) ([]byte, map[*mutant]bool) {
	r := &rewriter{set: set, info: info, pkg: pkg, mutants: make(map[int][]*mutant), switched: make(map[*mutant]bool)}
	for _, m := range mutants {
		r.mutants[m.offset] = append(r.mutants[m.offset], m)
	}
	ast.Walk(r, file)
	if len(r.edits) == 0 {
		return source, r.switched
	}
	r.edits = append(r.edits, edit{offset: r.offset(file.Name.End()), text: `; import mutant_ "aws-for-fluent-bit/internal/mutants/change"`})
	sort.SliceStable(r.edits, func(i, j int) bool {
		a, b := r.edits[i], r.edits[j]
		return a.offset < b.offset || a.offset == b.offset && a.order < b.order
	})
	var out []byte
	at := 0
	for _, e := range r.edits {
		out = append(append(out, source[at:e.offset]...), e.text...)
		at = e.offset + e.old
	}
	return append(out, source[at:]...), r.switched
}

func (r *rewriter) offset(p token.Pos) int { return r.set.Position(p).Offset }

// Visit replaces the operator of a node, if there is one, and then those inside.
func (r *rewriter) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.GenDecl:
		if n.Tok == token.CONST {
			return nil
		}
	case *ast.ArrayType:
		ast.Walk(r, n.Elt) // not the length
		return nil
	case *ast.BinaryExpr:
		r.binary(n)
	case *ast.UnaryExpr:
		if ms := r.mutants[r.offset(n.OpPos)]; len(ms) > 0 {
			if t, ok := r.typeOf(n); ok {
				r.wrap(n, fmt.Sprintf("mutant_.Neg[%s](%d, ", t, ms[0].number), len(n.Op.String()), ")", ms)
			}
		}
	case *ast.IncDecStmt:
		if ms := r.mutants[r.offset(n.TokPos)]; len(ms) > 0 {
			if t, ok := r.typeOf(n.X); ok {
				r.put(n.TokPos, 2, fmt.Sprintf("%c= mutant_.Step[%s](%d)", n.Tok.String()[0], t, ms[0].number), ms)
			}
		}
	}
	return r
}

func (r *rewriter) binary(n *ast.BinaryExpr) {
	ms := r.mutants[r.offset(n.OpPos)]
	if len(ms) == 0 {
		return
	}
	if n.Op == token.EQL || n.Op == token.NEQ {
		r.wrap(n, "((", 0, fmt.Sprintf(") != mutant_.Is(%d))", ms[0].number), ms)
		return
	}
	function, operand := called[n.Op], ast.Expr(n)
	numbers := fmt.Sprint(ms[0].number)
	if len(ms) == 2 {
		numbers = numbersOf(n.Op, ms)
		if operand = n.X; r.info.Types[n.X].Value != nil {
			operand = n.Y // the type of a constant may not be that of the comparison
		}
	}
	t, ok := r.typeOf(operand)
	if function == "" || !ok || r.info.Types[n].Value != nil { // a constant may overflow, which does not build
		return
	}
	if b := r.info.Types[operand].Type.Underlying().(*types.Basic); len(ms) == 1 && b.Info()&types.IsString != 0 {
		ms[0].end = notViable // texts cannot be subtracted
		return
	}
	r.wrap(n, fmt.Sprintf("mutant_.%s[%s](%s, ", function, t, numbers), 0, ")", ms)
	r.put(n.OpPos, len(n.Op.String()), ",", ms)
}

// numbersOf returns the numbers of a comparison's two mutants: first the one that
// shifts its edge.
func numbersOf(op token.Token, ms []*mutant) string {
	edge, not := ms[0], ms[1]
	if edge.put != puts["CONDITIONALS_BOUNDARY"][op.String()] {
		edge, not = not, edge
	}
	return fmt.Sprintf("%d, %d", edge.number, not.number)
}

// typeOf returns the name of an expression's type, where it is a number or a
// text, and where it has a name in this file without another import.
func (r *rewriter) typeOf(e ast.Expr) (string, bool) {
	t := r.info.Types[e].Type
	if t == nil {
		return "", false
	}
	if b, ok := t.(*types.Basic); ok && b.Info()&types.IsUntyped != 0 {
		t = types.Default(t)
	}
	_, isParam := t.(*types.TypeParam)
	basic, isBasic := t.Underlying().(*types.Basic)
	if isParam || !isBasic || basic.Info()&(types.IsNumeric|types.IsString) == 0 {
		return "", false
	}
	foreign := false
	name := types.TypeString(t, func(p *types.Package) string {
		if p == r.pkg {
			return ""
		}
		foreign = foreign || p.Name() != "time"
		return p.Name()
	})
	return name, !foreign
}

// wrap puts text before and behind an expression.
func (r *rewriter) wrap(n ast.Expr, before string, old int, behind string, ms []*mutant) {
	r.visited++
	r.edits = append(r.edits,
		edit{offset: r.offset(n.Pos()), old: old, text: before, order: r.visited},
		edit{offset: r.offset(n.End()), text: behind, order: -r.visited})
	for _, m := range ms {
		r.switched[m] = true
	}
}

func (r *rewriter) put(at token.Pos, old int, text string, ms []*mutant) {
	r.edits = append(r.edits, edit{offset: r.offset(at), old: old, text: text})
	for _, m := range ms {
		r.switched[m] = true
	}
}

// checked is a package with the types of its expressions.
type checked struct {
	set     *token.FileSet
	files   []*ast.File
	sources [][]byte
	pkg     *types.Package
	info    *types.Info
}

// check reads a package. exports has the compiler's export data of its imports.
func check(root, dir string, names []string, exports map[string]string) (*checked, error) {
	c := &checked{set: token.NewFileSet(), info: &types.Info{Types: make(map[ast.Expr]types.TypeAndValue)}}
	for _, name := range names {
		source, err := os.ReadFile(filepath.Join(root, dir, name))
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(c.set, dir+"/"+name, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		c.files, c.sources = append(c.files, file), append(c.sources, source)
	}
	config := types.Config{
		FakeImportC: true,
		Importer: importer.ForCompiler(c.set, "gc", func(path string) (io.ReadCloser, error) {
			return os.Open(exports[path])
		}),
		Error: func(error) {}, // what has no type is left alone
	}
	c.pkg, _ = config.Check(strings.TrimSuffix(dir, "/"), c.set, c.files, c.info)
	return c, nil
}
