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
	pkg   *pkg
	rule  string
	kind  *kind
	label engine.Label
	rng   hcl.Range
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
func (t *target) ref() string { return t.rule + "." + t.label.Name }

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

// declare runs through all packages: variables, then what targets are repeated for, so that references to them can be understood.
func (w *Workspace) declare(diags *Diagnostics) {
	w.varFiles = w.readVarFiles(diags)
	for _, dir := range sortedKeys(w.packages) {
		w.packages[dir].resolveVariables()
	}
	w.checkAssignments(diags)
	for _, dir := range sortedKeys(w.packages) {
		p := w.packages[dir]
		for _, t := range p.order {
			t.repeated = t.rule == "query" || attr(t, "for_each") != nil
			t.axes = p.axisNames(t)
			if t.rule == "query" {
				t.fields = p.queryFields(t)
			}
		}
		for _, t := range p.order {
			p.compileRepetition(t)
		}
	}
}

func attr(t *target, name string) *hclsyntax.Attribute { return t.block.Body.Attributes[name] }

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
		t.needs[len(t.needs)-1].mode = engine.StreamMode
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
		if of := collection(e.CollExpr); of != nil {
			return of.elements()
		}
		return passedOn(e.CollExpr)
	case *localNode:
		if len(e.steps) == 0 && e.local.compiled != nil {
			return passedOn(e.local.compiled.Expression)
		}
	}
	return nil
}

// compileTargets compiles the bodies of all targets.
func (w *Workspace) compileTargets(diags *Diagnostics) {
	for _, dir := range sortedKeys(w.packages) {
		p := w.packages[dir]
		p.compileLocals()
		for _, t := range p.order {
			p.compileBody(t)
		}
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
		case "for_each", "matrix":
		case "where":
			p.compileWhere(t, a)
		case "description":
			p.constAttr(a, func(v cty.Value) error { return decodeString(&t.description, v) })
		case "tags":
			p.constAttr(a, func(v cty.Value) error { return decodeStrings(&t.tags, v) })
		case "private":
			p.constAttr(a, func(v cty.Value) error { return decodeBool(&t.private, v) })
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
		if slices.Contains(laterAttrs[t.rule], a.Name) || slices.Contains(laterAttrs[""], a.Name) {
			p.diags.addf(p.src, a.NameRange, fmt.Sprintf("The attribute %q is not yet supported", a.Name), "This version of cbuild does not have it for %s.", t.rule)
		} else {
			p.unknownAttr(a, "A "+t.rule, t.kind.names)
		}
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
		at.expr = p.compile(a.Expr, t, a.Name, allow{each: true, axes: true, of: t.eachOf, targets: true}, f.raw)
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

// compileDefaults resolves cbuild { default = […] }.
func (p *pkg) compileDefaults() {
	if p.root == nil {
		return
	}
	a := p.root.Body.Attributes["default"]
	if a == nil {
		return
	}
	p.ws.hasDefaults = true
	list, ok := unparen(a.Expr).(*hclsyntax.TupleConsExpr)
	if !ok {
		p.diags.add(p.src, a.Expr.Range(), "Invalid default", "Write a list of references: default = [run.NAME].")
		return
	}
	for _, e := range list.Exprs {
		if t := p.defaultTarget(e); t != nil {
			p.ws.defaults = append(p.ws.defaults, t)
		}
	}
}

// defaultTarget resolves an element of default: a reference, or a label in quotes.
func (p *pkg) defaultTarget(e hclsyntax.Expression) *target {
	if label, ok := literalKey(e); ok {
		targets, err := p.ws.match(label, p.dir)
		if err == nil && len(targets) == 1 && targets[0].private && targets[0].pkg != p {
			p.diags.add(p.src, e.Range(), "Private target "+label, fmt.Sprintf("Only //%s may refer to it. Remove private = true at %s, or this reference.",
				targets[0].pkg.dir, where(attr(targets[0], "private").SrcRange)))
			return nil
		}
		if err != nil || len(targets) != 1 {
			p.diags.add(p.src, e.Range(), "Unknown target "+label, "Write the label of a target, as in \"//dir:name\".")
			return nil
		}
		return targets[0]
	}
	c := p.compile(e, nil, "default", allow{targets: true}, false)
	n, ok := c.Expression.(*targetNode)
	if !ok || len(n.steps) > 0 || n.key != nil {
		if !c.bad {
			p.diags.add(p.src, e.Range(), "Invalid default", "Write references to targets, as in run.NAME.")
		}
		return nil
	}
	return n.target
}
