package buildfile

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// summaryArg is at which place the calls that make diagnostics take the summary.
var summaryArg = map[string]int{"add": 2, "addf": 2, "plain": 0, "mistake": 1, "wrong": 2, "failed": 1}

// TestEveryDiagnosticHasACode reads this package's own source: each summary in it belongs to a row of the table, and each row has one.
func TestEveryDiagnosticHasACode(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	used := make(map[string]bool)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			var e ast.Expr
			switch n := n.(type) {
			case *ast.CallExpr:
				if i, ok := summaryArg[calleeName(n.Fun)]; ok && i < len(n.Args) {
					e = n.Args[i]
				}
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Summary" {
					e = n.Value
				}
			}
			summary := sampleSummary(e)
			if strings.Trim(summary, "§") == "" {
				return true
			}
			found++
			d := &Diagnostic{Summary: summary}
			if d.Code() == "E300" {
				t.Errorf("%s: %q has no code", name, summary)
			}
			used[d.Code()] = true
			return true
		})
	}
	if found < 80 {
		t.Errorf("only %d summaries found: does this test still read the source?", found)
	}
	for _, row := range codeTable {
		if !used[row.code] && row.summary != "" {
			t.Errorf("%s: nothing reads %q", row.code, row.summary)
		}
	}
}

func calleeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// sampleSummary returns what the expression e of a summary may read, with § for what is not written there.
func sampleSummary(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(e.Value)
		return s
	case *ast.Ident:
		if e.Name == "FileName" {
			return FileName
		}
	case *ast.BinaryExpr:
		return sampleSummary(e.X) + sampleSummary(e.Y)
	case *ast.CallExpr:
		if calleeName(e.Fun) == "Sprintf" {
			s := sampleSummary(e.Args[0])
			return strings.NewReplacer("%q", `"§"`, "%s", "§", "%d", "§").Replace(s)
		}
	}
	return "§"
}
