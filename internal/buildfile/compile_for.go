package buildfile

import (
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"cbuild/engine"
)

// collection returns the target whose elements the rewritten expression e holds, if it is a bare reference to a collection.
func collection(e hclsyntax.Expression) *target {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return collection(e.Expression)
	case *targetNode:
		if e.target.repeated && e.key == nil {
			return e.target
		}
	case *localNode:
		if e.streams() {
			return collection(e.local.compiled.Expression)
		}
	}
	return nil
}

// streams reports whether n is all of what its expression is.
func (n *localNode) streams() bool {
	return len(n.steps) == 0 && n.local.compiled != nil && n.local.through()
}

// elementsOf returns the shape of the elements of the rewritten expression e, if it is a bare reference to a collection, or to a target that
// is repeated for a matrix only.
func elementsOf(e hclsyntax.Expression) *shape {
	if t := collection(e); t != nil {
		return t.elements()
	}
	if t := matrixOnly(e); t != nil {
		return t.elements()
	}
	return nil
}

// matrixOnly returns the target that the rewritten expression e refers to, if that is repeated for nothing but a matrix: its elements are
// those of its first axis.
func matrixOnly(e hclsyntax.Expression) *target {
	switch e := unparen(e).(type) {
	case *targetNode:
		if !e.target.repeated && len(e.target.axes) > 0 && len(e.steps) == 0 {
			return e.target
		}
	case *localNode:
		if e.streams() {
			return matrixOnly(e.local.compiled.Expression)
		}
	}
	return nil
}

// forExpr rewrites a `for` expression. Its variables hide what is outside.
func (c *compiler) forExpr(e *hclsyntax.ForExpr, spine bool) {
	e.CollExpr = c.rewrite(e.CollExpr, spine && !e.Group)
	mentioned := new(need)
	value := binding{name: e.ValVar, as: c.unique(e.ValVar), need: mentioned}
	value.of = elementsOf(e.CollExpr)
	depth := len(c.bound)
	key := binding{name: e.KeyVar, as: c.unique(e.KeyVar), need: new(need)}
	if e.KeyVar != "" {
		c.bound = append(c.bound, key)
	}
	c.bound = append(c.bound, value)
	// In a stream the element itself is passed on as it is, so `for k, r in x : k => r` needs no attribute of r.
	if !spine || !isName(e.ValExpr, e.ValVar) {
		e.ValExpr = c.rewrite(e.ValExpr, false)
	}
	if e.KeyExpr != nil {
		e.KeyExpr = c.rewrite(e.KeyExpr, false)
	}
	if e.CondExpr != nil {
		e.CondExpr = c.rewrite(e.CondExpr, false)
	}
	c.bound = c.bound[:depth]
	if c.args != nil {
		if !isBound(e.ValExpr) && isName(e.ValExpr, e.ValVar) {
			e.ValExpr = &boundNode{e.ValExpr, value.as, nil}
		}
		e.KeyVar, e.ValVar = key.as, value.as
	}
	if n, ok := unparen(e.CollExpr).(*targetNode); ok {
		n.need = mentioned
		n.raw = c.raw && mentioned.all
		if isName(e.ValExpr, e.ValVar) {
			// Evaluated as a whole after all, the elements are needed.
			n.need = nil
		}
	}
}

func unparen(e hclsyntax.Expression) hclsyntax.Expression {
	for {
		p, ok := e.(*hclsyntax.ParenthesesExpr)
		if !ok {
			return e
		}
		e = p.Expression
	}
}

// isBound reports whether e is a rewritten reference to a variable of a `for`.
func isBound(e hclsyntax.Expression) bool {
	_, ok := unparen(e).(*boundNode)
	return ok
}

// isName reports whether e is nothing but the name.
func isName(e hclsyntax.Expression, name string) bool {
	switch e := unparen(e).(type) {
	case *hclsyntax.ScopeTraversalExpr:
		return len(e.Traversal) == 1 && e.Traversal.RootName() == name
	case *boundNode:
		return len(e.steps) == 0 && e.name == name
	}
	return false
}

// splat rewrites x[*].a. The elements of a collection come as a list.
func (c *compiler) splat(e *hclsyntax.SplatExpr) {
	e.Source = c.rewrite(e.Source, false)
	n, ok := unparen(e.Source).(*targetNode)
	if ok && n.target.repeated && n.key == nil {
		n.list, n.raw, n.need = true, false, new(need)
		var steps []step
		if rel, ok := e.Each.(*hclsyntax.RelativeTraversalExpr); ok {
			if _, ok := rel.Source.(*hclsyntax.AnonSymbolExpr); ok {
				steps = traversalSteps(rel.Traversal)
			}
		}
		c.check(n.target.elements(), steps, n.full+"[*]", n.need)
	}
	c.splatKeys(e.Each)
}

// splatKeys rewrites the indexes behind a splat.
func (c *compiler) splatKeys(e hclsyntax.Expression) {
	switch e := e.(type) {
	case *hclsyntax.RelativeTraversalExpr:
		c.splatKeys(e.Source)
	case *hclsyntax.IndexExpr:
		c.splatKeys(e.Collection)
		e.Key = c.rewrite(e.Key, false)
	}
}

// streamed returns the uses of e, with collections on its spine followed as they grow.
func (e *expr) streamed() []use {
	uses := slices.Clone(e.uses)
	for i := range uses {
		if uses[i].spine {
			uses[i].mode = engine.StreamMode
		}
	}
	return uses
}
