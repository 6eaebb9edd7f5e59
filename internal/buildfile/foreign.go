package buildfile

import (
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// warnInterpolation warns of text in a script that somebody else may have chosen.
func (p *pkg) warnInterpolation(t *target, at *attribute) {
	if t.forEach != nil && t.forEach.constant() {
		return // chosen by whoever wrote the script
	}
	n := foreignText(t, at.expr.Expression)
	if n == nil {
		return
	}
	p.diags.list = append(p.diags.list, &Diagnostic{
		Warning: true, Summary: "A script with foreign text in it", src: p.src, rng: n.Range(),
		Detail: "Whoever names what this is repeated for writes a part of the script. Pass it in env, or through shellquote().",
	})
}

// told are the attributes of an instance that say nothing that somebody else chose, or are paths that cbuild makes.
var told = []string{"blake3", "bin", "exit_code", "key", "log", "ok", "out", "outcome", "partial", "rows", "sha256", "size"}

// foreignText returns a part of the text e that is the key or the element which t is repeated for, or is made of it; nil if there is none.
func foreignText(t *target, e hclsyntax.Expression) *eachNode {
	var parts []hclsyntax.Expression
	switch e := unparen(e).(type) {
	case *eachNode:
		if e.kind == matrixKey || e.kind == matrixValue {
			return nil
		}
		if of := t.eachOf; e.kind == eachValue && of != nil && of.target != nil && len(e.steps) > 0 {
			if word, ok := e.steps[len(e.steps)-1].word(); ok && slices.Contains(told, word) {
				return nil
			}
		}
		return e
	case templateNode:
		parts = e.Parts
	case *hclsyntax.TemplateWrapExpr:
		parts = []hclsyntax.Expression{e.Wrapped}
	case *hclsyntax.TupleConsExpr:
		parts = e.Exprs
	case condNode:
		parts = []hclsyntax.Expression{e.TrueResult, e.FalseResult}
	case tryNode:
		parts = e.Args
	case funcNode:
		if e.Name != "shellquote" && e.Name != "hash" && e.Name != "length" {
			parts = e.Args
		}
	case *localNode:
		parts = []hclsyntax.Expression{e.local.compiled.Expression}
	}
	for _, part := range parts {
		if n := foreignText(t, part); n != nil {
			return n
		}
	}
	return nil
}
