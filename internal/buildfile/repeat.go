package buildfile

import (
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// declare runs through all packages: variables, then what targets are repeated for, so that references to them can be understood.
func (w *Workspace) declare(diags *Diagnostics) {
	w.resolveImports()
	w.expandCalls()
	w.varFiles = w.readVarFiles(diags)
	for _, dir := range sortedKeys(w.packages) {
		w.packages[dir].resolveVariables()
	}
	w.checkAssignments(diags)
	for _, dir := range sortedKeys(w.packages) {
		for _, kind := range sortedKeys(w.packages[dir].rules) {
			for _, param := range w.packages[dir].rules[kind].params {
				w.packages[dir].settle(param)
			}
		}
	}
	all := w.declared()
	for _, t := range all {
		if t.call != nil {
			continue
		}
		t.repeated = t.rule == "query" || attr(t, "for_each") != nil
		t.axes = t.pkg.axisNames(t)
		if t.rule == "query" {
			t.fields = t.pkg.queryFields(t)
		}
	}
	for _, t := range all {
		t.pkg.describe(t)
	}
	for _, t := range all {
		if t.call == nil {
			t.pkg.compileRepetition(t)
		}
	}
}

// declared returns the targets of all packages, and those in rules that nobody calls.
func (w *Workspace) declared() (all []*target) {
	for _, dir := range sortedKeys(w.packages) {
		all = append(all, w.packages[dir].order...)
	}
	return append(all, w.untold...)
}

// queryFields returns the fields of the items of t, if they are written as an object, or its registry as a literal and known.
func (p *pkg) queryFields(t *target) []string {
	if items := attr(t, "items"); items != nil {
		return literalFields(items.Expr)
	}
	a := attr(t, "registry")
	if a == nil || p.ws.opts.Fields == nil {
		return nil
	}
	v, diags := a.Expr.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		return nil
	}
	return p.ws.opts.Fields(v.AsString())
}

// literalFields returns the names of the members of the items that e makes, if it writes them.
func literalFields(e hclsyntax.Expression) []string {
	f, ok := unparen(e).(*hclsyntax.ForExpr)
	if !ok || f.Group {
		return nil
	}
	obj, ok := unparen(f.ValExpr).(*hclsyntax.ObjectConsExpr)
	if !ok || !literalKeys(obj) {
		return nil
	}
	names := []string{}
	for _, item := range obj.Items {
		name, _ := literalKey(item.KeyExpr)
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// axisNames returns the names of the axes of a matrix: in the order in which they are written, or sorted if it is computed.
func (p *pkg) axisNames(t *target) []string {
	a := attr(t, "matrix")
	if a == nil || isNull(a.Expr) || t.kind.Single {
		return nil
	}
	obj, ok := unparen(a.Expr).(*hclsyntax.ObjectConsExpr)
	if !ok {
		return p.computedAxes(t, a)
	}
	var names []string
	for _, item := range obj.Items {
		if name, ok := literalKey(item.KeyExpr); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// literalKey returns the key of an object's member if it is a name or a quoted literal.
func literalKey(e hclsyntax.Expression) (string, bool) {
	v, diags := e.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		return "", false
	}
	return v.AsString(), true
}

// compileRepetition compiles for_each and matrix.
func (p *pkg) compileRepetition(t *target) {
	if a := attr(t, "for_each"); a != nil {
		p.compileForEach(t, a)
	}
	if t.rule == "query" {
		t.eachOf = t.elements()
	}
	if a := attr(t, "matrix"); a != nil && !isNull(a.Expr) {
		if t.kind.Single {
			p.diags.addf(p.src, a.NameRange, "No matrix here", "A %s cannot be repeated.", t.rule)
			t.axes = nil
			return
		}
		p.compileMatrix(t, a)
	}
}

func (p *pkg) compileForEach(t *target, a *hclsyntax.Attribute) {
	if t.kind.Single {
		p.diags.addf(p.src, a.NameRange, "No for_each here", "A %s cannot be repeated.", t.rule)
		t.repeated = t.rule == "query"
		return
	}
	e := p.compile(a.Expr, t, "for_each", allow{targets: true}, true)
	t.forEach = e
	t.bad = t.bad || e.bad
	t.needs = append(t.needs, e.streamed()...)
	of := collection(e.Expression)
	if n, ok := unparen(e.Expression).(*targetNode); ok && n.key == nil && len(n.steps) == 0 && len(n.target.axes) > 0 {
		of = n.target
	}
	if of != nil {
		t.over, t.eachOf = of, of.elements()
		return
	}
	t.eachOf = passedOn(e.Expression)
	if e.constant() && !e.bad && !e.files && !p.broken {
		p.checkConstant(t, e)
	}
}

// checkConstant finds the keys of, and mistakes in, a for_each that is known before the build.
func (p *pkg) checkConstant(t *target, e *expr) {
	s := newScope(noContext, p, t, nil)
	items, err := s.elements(e)
	if err != nil {
		p.diags.list = append(p.diags.list, err.diagnostic())
		t.bad = true
		return
	}
	t.items, t.keys = items, make(map[string]bool, len(items))
	for _, item := range items {
		t.keys[item.Key] = true
	}
}

// passedOn returns the shape of the elements of a `for` that passes on those of a collection.
func passedOn(e hclsyntax.Expression) *shape {
	switch e := unparen(e).(type) {
	case *hclsyntax.ForExpr:
		if !isName(e.ValExpr, e.ValVar) || e.Group {
			return nil
		}
		if of := elementsOf(e.CollExpr); of != nil {
			return of
		}
		return passedOn(e.CollExpr)
	case *localNode:
		if e.streams() {
			return passedOn(e.local.compiled.Expression)
		}
	}
	return nil
}
