package buildfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

// Calls of rules are nested at most maxRuleDepth deep, and there are at most maxRuleCalls of them: a few lines that call one another twice
// would come to more than any memory.
const (
	maxRuleDepth = 32
	maxRuleCalls = 50_000
)

// A call is a block whose type is a rule that a block declares. It is a target whose outs are its outputs.
type call struct {
	rule   *userRule
	target *target
	from   *pkg // where it is written
	// inner is what the names in the rule mean in this call.
	inner *pkg
	// params are the values of the parameters, outputs what can be read of the call.
	params, outputs map[string]*local
	depth           int
	// untold is set if it is none: its parameters have no values.
	untold bool
}

// A callSite is the block of a call, for messages about what is in the rule.
type callSite struct {
	src *source
	rng hcl.Range
}

// expandCalls replaces the calls of rules by targets.
func (w *Workspace) expandCalls() {
	dirs := sortedKeys(w.packages)
	for _, dir := range dirs {
		p := w.packages[dir]
		for _, kind := range sortedKeys(p.rules) {
			p.rules[kind].checkBlocks(nil)
		}
	}
	for _, dir := range dirs {
		p := w.packages[dir]
		calls := p.pending
		p.pending = nil
		for _, b := range calls {
			p.expand(b, "", 0)
		}
		slices.SortStableFunc(p.order, func(x, y *target) int { return x.at - y.at })
	}
	for _, dir := range dirs {
		p := w.packages[dir]
		for _, kind := range sortedKeys(p.rules) {
			if r := p.rules[kind]; !r.called && !r.bad && !p.broken && !r.computed() {
				r.tell()
			}
		}
	}
}

// computed reports whether a matrix in the rule has axes that only a call says.
func (r *userRule) computed() bool {
	return slices.ContainsFunc(r.block.Body.Blocks, func(b *hclsyntax.Block) bool {
		a := b.Body.Attributes["matrix"]
		if a == nil {
			return false
		}
		_, literal := unparen(a.Expr).(*hclsyntax.ObjectConsExpr)
		return !literal
	})
}

// tell opens a rule that nobody calls, for the mistakes in it.
func (r *userRule) tell() {
	p := r.pkg
	t := &target{pkg: p, rule: r.kind, name: r.kind, label: engine.Label{Dir: p.dir, Name: r.kind}, rng: r.block.DefRange(), block: r.block, kind: &kind{}}
	t.call = &call{rule: r, target: t, from: p, params: make(map[string]*local), outputs: make(map[string]*local)}
	for _, param := range r.params {
		t.call.params[param.name] = &local{name: param.name, word: "param", pkg: p, param: param}
	}
	t.call.untold = true
	p.ws.untold = append(p.ws.untold, t)
	t.call.open()
}

// expand declares the call b, whose targets have labels that begin with prefix.
func (p *pkg) expand(b *hclsyntax.Block, prefix string, depth int) {
	rule := p.ruleNamed(b.Type)
	if rule == nil {
		p.unknownBlock(b)
		return
	}
	t := p.newTarget(b, prefix)
	if t == nil {
		return
	}
	rule.called = true
	t.kind, t.call = &kind{}, &call{rule: rule, target: t, from: p, depth: depth, params: make(map[string]*local), outputs: make(map[string]*local)}
	p.ws.calls++
	switch {
	case rule.bad || rule.pkg.broken || p.broken:
		t.bad = true
	case depth >= maxRuleDepth:
		t.bad = true
		p.diags.addf(p.src, b.DefRange(), "Too deeply nested", "Rules call one another more than %d deep.", maxRuleDepth)
	case p.ws.calls > maxRuleCalls+1:
		t.bad = true
	case p.ws.calls > maxRuleCalls:
		t.bad = true
		p.diags.addf(p.src, b.DefRange(), "Too many calls", "Rules are called more than %d times, those in other rules included.", maxRuleCalls)
	default:
		t.call.bind()
		t.call.open()
	}
}

// bind gives the parameters their values.
func (c *call) bind() {
	p, b := c.from, c.target.block
	var names []string
	for _, param := range c.rule.params {
		names = append(names, param.name)
		a := b.Body.Attributes[param.name]
		l := &local{name: param.name, word: "param", pkg: p, attr: a, param: param, allow: allow{targets: true}}
		switch preset := param.preset(); {
		case a != nil && !isNull(a.Expr):
		case preset != nil:
			l.pkg, l.attr = c.rule.pkg, c.rule.pkg.fresh(param.block).Body.Attributes["default"]
		default:
			about := ""
			if param.description != "" {
				about = ": " + param.description
			}
			p.diags.addf(p.src, b.DefRange(), fmt.Sprintf("Missing attribute %q", param.name), "%s needs it%s. It is declared at %s.", article(c.rule.kind), strings.TrimRight(about, "."), where(param.block.TypeRange))
			c.target.bad = true
			continue
		}
		c.params[param.name] = l
	}
	for _, a := range attributes(b.Body) {
		switch {
		case slices.Contains(refusedAttrs, a.Name):
			p.diags.addf(p.src, a.NameRange, "No "+a.Name+" here", "A call of a rule is not repeated: repeat the targets in the rule, or write several calls.")
		case slices.Contains(names, a.Name) || slices.Contains(callAttrs, a.Name):
			continue
		default:
			p.unknownAttr(a, article(c.rule.kind), slices.Sorted(slices.Values(slices.Concat(names, callAttrs))))
		}
		c.target.bad = true
	}
	p.noBlocks(b)
}

// open declares what is in the rule, for this call.
func (c *call) open() {
	r, p, t := c.rule, c.from, c.target
	src := *r.pkg.src
	if !c.untold {
		src.call = &callSite{p.src, t.block.DefRange()}
	}
	block := r.pkg.fresh(r.block)
	in := &pkg{
		ws: p.ws, dir: r.pkg.dir, src: &src, diags: p.diags, outer: r.pkg, call: c, json: r.pkg.json,
		variables: r.pkg.variables, secrets: r.pkg.secrets, pools: r.pkg.pools, functions: r.pkg.functions, imports: r.pkg.imports,
		locals: make(map[string]*local), targets: make(map[string]*target), untold: p.untold || c.untold,
	}
	c.inner = in
	p.ws.opened = append(p.ws.opened, in)
	var calls []*hclsyntax.Block
	prefix := t.label.Name + "/"
	for _, b := range block.Body.Blocks {
		_, builtin := p.ws.kinds[b.Type]
		switch {
		case b.Type == "locals":
			in.declareLocals(b)
		case b.Type == "output":
			name := b.Labels[0]
			c.outputs[name] = &local{name: name, word: "output", pkg: in, attr: b.Body.Attributes["value"], allow: allow{targets: true}}
		case builtin:
			if inner := in.newTarget(b, prefix); inner != nil {
				in.noBlocks(b)
			}
		case b.Type != "param":
			calls = append(calls, b)
		}
	}
	for _, b := range calls {
		if !in.missingRule(b.Type) {
			in.expand(b, prefix, c.depth+1)
		}
	}
}

// missingRule reports whether a rule is not there because of a mistake that was told.
func (p *pkg) missingRule(kind string) bool {
	for q := p; q != nil; q = q.outer {
		if q.missingRules[kind] {
			return true
		}
	}
	return false
}

// home returns the package in which the targets of p are, which differs from where they are written in a call of a rule.
func (p *pkg) home() *pkg {
	for p.call != nil {
		p = p.call.from
	}
	return p
}

// newTarget declares the target b, whose label begins with prefix, or returns nil.
func (p *pkg) newTarget(b *hclsyntax.Block, prefix string) *target {
	name, ok := p.labelled(b)
	if !ok {
		return nil
	}
	if had := p.targets[name]; had != nil {
		p.diags.addf(p.src, b.LabelRanges[0], "Duplicate target", "%q is already defined as %s at %s. Target names are unique in a package, whatever their rule, so that //%s:%s means one thing.",
			name, had.ref(), where(had.rng), p.dir, name)
		return nil
	}
	home := p.home()
	t := &target{
		pkg: p, rule: b.Type, kind: p.ws.kinds[b.Type], name: name, label: engine.Label{Dir: home.dir, Name: prefix + name}, rng: b.DefRange(), block: b,
		at: b.TypeRange.Start.Byte,
	}
	if p.call != nil {
		t.at = p.call.target.at
	}
	p.targets[name] = t
	if p.untold {
		p.ws.untold = append(p.ws.untold, t)
		return t
	}
	home.targets[t.label.Name] = t
	home.order = append(home.order, t)
	p.ws.byLabel[t.label] = t
	return t
}

// compileCall compiles the values of the parameters and the outputs of t, a call.
func (p *pkg) compileCall(t *target) {
	c := t.call
	for _, param := range c.rule.params {
		if l := c.params[param.name]; l != nil {
			compiled := l.compile()
			t.bad = t.bad || compiled.bad
			if param.files && !compiled.bad && l.pkg == p && l.attr != nil {
				literals(compiled.Expression, func(text string, rng hcl.Range) { p.checkSource(t, t.ref(), text, rng) })
			}
		}
	}
	for _, b := range c.rule.outputs {
		if l := c.outputs[b.Labels[0]]; l != nil {
			compiled := l.compile()
			t.bad = t.bad || compiled.bad
			for _, u := range compiled.uses {
				u.attr, u.spine = b.Labels[0], false
				t.needs = append(t.needs, u)
			}
		}
	}
}

// callRef replaces a reference to a call: to one of its outputs, or to the object of all.
func (c *compiler) callRef(e hclsyntax.Expression, rng hcl.Range, t *target, full string, steps []step, spine bool) hclsyntax.Expression {
	if !c.allow.targets {
		c.mistake(rng, "No targets here", fmt.Sprintf("%q is evaluated before any target is.", c.attr))
		return e
	}
	if t.bad && t.call.inner == nil { // told already
		c.out.bad = true
		return e
	}
	if c.pkg.home().dir == t.label.Dir {
		t.referred = true
	}
	outputs := t.call.outputs
	if len(steps) == 0 && c.t != nil && c.t.rule == "group" { // it is published as what it is
		c.out.uses = append(c.out.uses, use{target: t, mode: engine.WholeMode, rng: rng, attr: c.attr})
		return &targetNode{Expression: e, target: t, full: full, rng: rng, raw: c.raw}
	}
	if len(steps) == 0 {
		all := &hclsyntax.ObjectConsExpr{SrcRange: e.Range(), OpenRange: e.Range()}
		for _, b := range t.call.rule.outputs {
			key := &hclsyntax.LiteralValueExpr{Val: cty.StringVal(b.Labels[0]), SrcRange: e.Range()}
			all.Items = append(all.Items, hclsyntax.ObjectConsItem{KeyExpr: key, ValueExpr: c.standIn(e, rng, outputs[b.Labels[0]], full+"."+b.Labels[0], nil, false)})
		}
		return &outputsNode{all, t}
	}
	name, ok := steps[0].word()
	if l := outputs[name]; ok && l != nil {
		return c.standIn(e, rng, l, full+"."+name, steps[1:], spine)
	}
	c.mistake(steps[0].rng, "Unknown attribute "+full+steps[0].written(), didYouMean(name, mapKeys(outputs), cmpOr(oneOf(article(t.rule)+" has", sortedKeys(outputs)), "The rule has no outputs.")))
	return e
}

// An outputsNode is the object of the outputs of a call.
type outputsNode struct {
	*hclsyntax.ObjectConsExpr
	target *target
}

// standIn puts what l is in the place of e, a reference at rng that is called full, with steps that lead on from there.
func (c *compiler) standIn(e hclsyntax.Expression, rng hcl.Range, l *local, full string, steps []step, spine bool) hclsyntax.Expression {
	compiled := c.pkg.compileLocal(l, c, rng)
	if compiled == nil || compiled.bad {
		c.out.bad = true
		return e
	}
	c.out.merge(compiled, c.attr, spine && len(steps) == 0)
	n, ok := unparen(compiled.Expression).(*targetNode)
	if !ok || !l.through() {
		return &localNode{e, l, steps}
	}
	own := *n
	own.Expression, own.rng, own.full, own.raw = e, rng, full, c.raw
	for i := len(c.out.uses) - 1; i >= 0; i-- {
		if u := &c.out.uses[i]; u.target == n.target && u.rng == n.rng {
			u.rng = rng // there it is named
			break
		}
	}
	return c.further(&own, steps)
}

// ruleRef replaces a reference to param or rule.
func (c *compiler) ruleRef(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step, spine bool) hclsyntax.Expression {
	in := c.pkg.call
	name, ok := firstWord(steps)
	switch {
	case in == nil:
		c.mistake(root.SrcRange, "No "+root.Name+" here", root.Name+" is for the blocks inside of a rule.")
		return e
	case root.Name == "rule" && name == "name":
		return &constNode{e, cty.StringVal(in.target.name), steps[1:]}
	case root.Name == "rule":
		c.mistake(root.SrcRange, "Incomplete reference", "rule has name: that of the call.")
		return e
	case !ok:
		c.mistake(root.SrcRange, "Incomplete reference", "Write param.NAME.")
		return e
	}
	i := slices.IndexFunc(in.rule.params, func(p *ruleParam) bool { return p.name == name })
	if i < 0 {
		var known []string
		for _, p := range in.rule.params {
			known = append(known, p.name)
		}
		c.mistake(steps[0].rng, "Unknown parameter "+name, didYouMean(name, slices.Values(known), fmt.Sprintf("Declare it in the rule: param %q {}.", name)))
		return e
	}
	l := in.params[name]
	if l == nil { // told at the call
		c.out.bad = true
		return e
	}
	return c.standIn(e, root.SrcRange, l, "param."+name, steps[1:], spine)
}
