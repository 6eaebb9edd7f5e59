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
	n := foreignText(t, at.expr.Expression, make(map[*local]bool))
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

// foreignText returns a part of the text e that is the key or the element which t is repeated for, or is made of it; nil if there is none,
// but in the locals that were looked at before.
func foreignText(t *target, e hclsyntax.Expression, before map[*local]bool) *eachNode {
	if l, ok := unparen(e).(*localNode); ok {
		if before[l.local] {
			return nil
		}
		before[l.local] = true
	}
	if e, ok := unparen(e).(*eachNode); ok {
		if e.kind == matrixKey || e.kind == matrixValue {
			return nil
		}
		if of := t.eachOf; e.kind == eachValue && of != nil && of.target != nil && len(e.steps) > 0 {
			if word, ok := e.steps[len(e.steps)-1].word(); ok && slices.Contains(told, word) {
				return nil
			}
		}
		return e
	}
	for _, part := range textParts(e) {
		if n := foreignText(t, part, before); n != nil {
			return n
		}
	}
	return nil
}

// textParts returns the expressions that e makes its text of as they are.
func textParts(e hclsyntax.Expression) (parts []hclsyntax.Expression) {
	switch e := unparen(e).(type) {
	case templateNode:
		return e.Parts
	case *hclsyntax.TemplateWrapExpr:
		return []hclsyntax.Expression{e.Wrapped}
	case *hclsyntax.TupleConsExpr:
		return e.Exprs
	case condNode:
		return []hclsyntax.Expression{e.TrueResult, e.FalseResult}
	case tryNode:
		return e.Args
	case funcNode:
		if e.Name != "shellquote" && e.Name != "hash" && e.Name != "length" {
			return e.Args
		}
	case *userCallNode:
		for i, arg := range e.args {
			if e.fn.shows(i) {
				parts = append(parts, arg)
			}
		}
		if e.args == nil {
			return e.Args
		}
	case *localNode:
		if e.local.param == nil || !e.local.param.files {
			return []hclsyntax.Expression{e.local.compiled.Expression}
		}
	}
	return parts
}
