package buildfile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

// A target is a declared target on its way to an engine.Target.
type target struct {
	pkg  *pkg
	rule string
	kind *kind
	// name is what references call it, and the end of its label.
	name  string
	label engine.Label
	rng   hcl.Range
	// at is where it stands in the file of its package, in bytes.
	at int
	// call is set for a call of a rule that a block declares.
	call  *call
	block *hclsyntax.Block

	description string
	tags        []string
	private     bool

	repeated bool
	forEach  *expr
	over     *target
	// eachOf is what each.value is, and fields those of a query's items, if known.
	eachOf *shape
	fields []string
	// keys are those of the instances, and items what they are made for, if the file says them.
	keys  map[string]bool
	items []engine.Item

	axes []string
	// matrixValue is a matrix that is computed, known when the files are loaded.
	matrixValue map[string]cty.Value
	axisExprs   []*axis
	axisShape   map[string]*shape
	// axisKeys are the keys of an axis where the file says them, and allAxes those of all axes, once the build knows them.
	axisKeys [][]string
	allAxes  atomic.Pointer[[][]string]

	where    *expr
	attrs    []*attribute
	needs    []use
	engine   *engine.Target
	referred bool
	bad      bool
}

// ref writes t as expressions do.
func (t *target) ref() string { return t.rule + "." + t.name }

// An attribute is one attribute of a target's rule. If it is the same for every instance its value is folded.
type attribute struct {
	field *field
	name  string
	expr  *expr
	rng   hcl.Range
	fold  *folded
	// The parts of attributes that rules evaluate themselves.
	named  []engine.Named[*expr]
	list   []*expr
	stream *stream
}

func attr(t *target, name string) *hclsyntax.Attribute { return t.block.Body.Attributes[name] }

// compileTargets compiles the bodies of all targets.
func (w *Workspace) compileTargets(diags *Diagnostics) {
	for _, dir := range sortedKeys(w.packages) {
		p := w.packages[dir]
		p.resolveSecrets()
		p.resolvePools()
		p.compileLocals()
		p.compileFunctions()
		for _, kind := range sortedKeys(p.rules) {
			p.rules[kind].checkPresets()
		}
	}
	for _, t := range w.declared() {
		if t.call != nil {
			t.pkg.compileCall(t)
		} else {
			t.pkg.compileBody(t)
		}
	}
	for _, p := range w.opened {
		p.compileLocals()
	}
	if p := w.packages[""]; p != nil {
		p.compileDefaults()
	}
}

func (p *pkg) compileBody(t *target) {
	list := attributes(t.block.Body)
	slices.SortStableFunc(list, func(a, b *hclsyntax.Attribute) int { return rank(a) - rank(b) })
	for _, a := range list {
		switch a.Name {
		case "for_each", "matrix", "description", "tags", "private":
		case "where":
			p.compileWhere(t, a)
		default:
			p.compileAttr(t, a)
		}
	}
	for _, f := range t.kind.fields {
		if f.required && attr(t, f.name) == nil && !p.broken {
			p.diags.addf(p.src, t.rng, fmt.Sprintf("Missing attribute %q", f.name), "A %s needs it: %s", t.rule, f.doc)
			t.bad = true
		}
	}
	p.checkTogether(t)
	if !p.broken {
		p.checkCompare(t)
	}
}

// rank orders the attributes: what rows are decides what the columns can read, and what self.out is stands in out, stdout and dir.
func rank(a *hclsyntax.Attribute) int {
	switch a.Name {
	case "rows", "out", "stdout", "dir":
		return 0
	}
	return 1
}

// checkTogether reports attributes that exclude or need one another.
func (p *pkg) checkTogether(t *target) {
	if p.broken {
		return
	}
	for _, x := range exclusions[t.rule] {
		var there []*hclsyntax.Attribute
		sure := 0
		for _, name := range x.names {
			if a := attr(t, name); a != nil && !isNull(a.Expr) {
				there = append(there, a)
				if surelySet(a.Expr) {
					sure++
				}
			}
		}
		switch {
		case len(there) == 0 && x.needed:
			p.diags.addf(p.src, t.rng, "Missing "+either(x.names), "A %s has one of them.", t.rule)
		case sure > 1:
			last := slices.MaxFunc(there, func(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte })
			p.diags.addf(p.src, last.NameRange, "Only one of "+either(x.names), "A %s has at most one of them. Remove the others.", t.rule)
		default:
			continue
		}
		t.bad = true
	}
	needed := companions[t.rule]
	for _, name := range sortedKeys(needed) {
		a := attr(t, name)
		if a == nil || isNull(a.Expr) || attr(t, needed[name]) != nil {
			continue
		}
		p.diags.addf(p.src, a.NameRange, fmt.Sprintf("%q without %q", name, needed[name]), "In a %s, %s means something only beside %s.", t.rule, name, needed[name])
		t.bad = true
	}
}

func either(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

func isNull(e hclsyntax.Expression) bool {
	l, ok := unparen(e).(*hclsyntax.LiteralValueExpr)
	return ok && l.Val.IsNull()
}

// surelySet reports whether e can't be null.
func surelySet(e hclsyntax.Expression) bool {
	switch e := unparen(e).(type) {
	case *hclsyntax.TemplateExpr, templateNode, *hclsyntax.TupleConsExpr, *hclsyntax.ObjectConsExpr, *hclsyntax.ForExpr:
		return true
	case *hclsyntax.LiteralValueExpr:
		return !e.Val.IsNull()
	}
	return false
}

func (p *pkg) compileWhere(t *target, a *hclsyntax.Attribute) {
	allowed := allow{each: true, axes: true, of: t.eachOf, targets: true}
	if isNull(a.Expr) {
		return
	}
	if t.rule == "query" {
		allowed.axes = false
	} else if !t.repeated && len(t.axes) == 0 {
		p.diags.add(p.src, a.NameRange, "Nothing to filter", "where drops instances, but "+t.ref()+" has neither for_each nor matrix.")
		return
	}
	t.where = p.compile(a.Expr, t, "where", allowed, false)
	t.bad = t.bad || t.where.bad
	t.needs = append(t.needs, t.where.uses...)
}

func (p *pkg) compileAttr(t *target, a *hclsyntax.Attribute) {
	f := t.kind.byName[a.Name]
	if f == nil {
		p.unknownAttr(a, "A "+t.rule, t.kind.names)
		t.bad = true
		return
	}
	at := &attribute{field: f, name: a.Name, rng: a.Expr.Range()}
	t.attrs = append(t.attrs, at)
	before := len(p.diags.list)
	switch f.typ {
	case typeRows:
		p.compileRows(t, at, a)
	case typePageExpr:
		at.expr = p.compile(a.Expr, t, a.Name, allow{page: true, targets: true}, false)
		t.needs = append(t.needs, at.expr.uses...)
	case typeExpr, typeExprs, typeNamedExprs:
		p.compileColumns(t, at, a)
	default:
		at.expr = p.compile(a.Expr, t, a.Name, allow{each: true, axes: true, of: t.eachOf, targets: true, secrets: f.typ == typeConfidential}, f.raw)
		t.needs = append(t.needs, at.expr.uses...)
		if at.expr.constant() && !at.expr.bad {
			p.fold(t, at)
		}
		if f.source && !at.expr.bad && !p.broken {
			p.checkSources(t, at)
		}
	}
	if a.Name == "script" {
		p.warnInterpolation(t, at)
	}
	t.bad = t.bad || len(p.diags.list) > before || at.expr != nil && at.expr.bad
}

// fold arranges for at to be evaluated once: now, or where it reads files, when it is needed first.
func (p *pkg) fold(t *target, at *attribute) {
	at.fold = &folded{eval: func() (reflect.Value, *evalError) {
		s := newScope(noContext, p, t, nil)
		v := reflect.New(at.field.typ).Elem()
		err := s.decodeAttr(at, v)
		return v, err
	}}
	if at.expr.files || p.broken {
		return
	}
	if _, err := at.fold.value(); err != nil {
		p.diags.list = append(p.diags.list, err.diagnostic())
	}
}

// compileColumns compiles the expressions that a rule evaluates for each row.
func (p *pkg) compileColumns(t *target, at *attribute, a *hclsyntax.Attribute) {
	allowed := allow{each: true, of: t.rowShape(), targets: true}
	one := func(e hclsyntax.Expression, name string) *expr {
		c := p.compile(e, t, name, allowed, false)
		t.needs = append(t.needs, c.uses...)
		return c
	}
	source := unparen(a.Expr)
	switch at.field.typ {
	case typeExpr:
		at.list = []*expr{one(a.Expr, a.Name)}
	case typeExprs:
		list, ok := source.(*hclsyntax.TupleConsExpr)
		if !ok {
			at.list = []*expr{one(a.Expr, a.Name)}
			return
		}
		for _, e := range list.Exprs {
			at.list = append(at.list, one(e, a.Name))
		}
	case typeNamedExprs:
		obj, ok := source.(*hclsyntax.ObjectConsExpr)
		if !ok {
			p.diags.addf(p.src, at.rng, "Invalid "+a.Name, "Write %s = { NAME = EXPRESSION, … }.", a.Name)
			return
		}
		for _, item := range obj.Items {
			name, ok := literalKey(item.KeyExpr)
			if !ok {
				p.diags.add(p.src, item.KeyExpr.Range(), "Invalid name", "The names in "+a.Name+" are literals.")
				continue
			}
			if slices.ContainsFunc(at.named, func(n engine.Named[*expr]) bool { return n.Name == name }) {
				p.diags.add(p.src, item.KeyExpr.Range(), "Duplicate name", fmt.Sprintf("%q is already in %s.", name, a.Name))
				continue
			}
			at.named = append(at.named, engine.Named[*expr]{Name: name, Value: one(item.ValueExpr, a.Name+"."+name)})
		}
	}
}

// rowShape returns what each.value is in the columns of t.
func (t *target) rowShape() *shape {
	a := attr(t, "rows")
	if a == nil {
		return nil
	}
	for _, at := range t.attrs {
		if at.name == "rows" && at.stream != nil {
			return at.stream.of
		}
	}
	return nil
}
