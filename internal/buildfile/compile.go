package buildfile

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

// A use is a reference to a target. On the spine of an expression, from its root through `for` sources and locals, a reference to
// a collection is followed as it grows where the expression feeds for_each, rows or an axis.
type use struct {
	target *target
	mode   engine.Mode
	spine  bool
	rng    hcl.Range
	attr   string
}

// An expr is a compiled expression and what it depends on.
type expr struct {
	hclsyntax.Expression
	src  *source
	uses []use
	// each is the first mention of each, matrix or axis, if any.
	each *hcl.Range
	// files is set if it reads files of the workspace.
	files bool
	// sources is set if it holds files that were passed to a rule: what stands for them belongs to one evaluation.
	sources bool
	// open is set if it mentions a parameter of a rule that nobody calls, which has no value.
	open bool
	// status is set if it mentions page.status, secret if it mentions a secret.
	status, secret bool
	bad            bool
}

// constant reports whether e has the same value in every evaluation.
func (e *expr) constant() bool { return len(e.uses) == 0 && e.each == nil && !e.open }

// merge adds what a part of e depends on.
func (e *expr) merge(part *expr, attr string, spine bool) {
	for _, u := range part.uses {
		u.attr, u.spine = attr, u.spine && spine
		e.uses = append(e.uses, u)
	}
	if e.each == nil && part.each != nil {
		e.each = part.each
	}
	e.files = e.files || part.files
	e.sources = e.sources || part.sources
	e.open = e.open || part.open
	e.status = e.status || part.status
	e.secret = e.secret || part.secret
	e.bad = e.bad || part.bad
}

// A shape is what is known before the build about an element: the target that it is an instance of, or the fields of an item.
type shape struct {
	target *target
	// peeled is how many of the target's axes are chosen already.
	peeled int
	fields []string
}

// elements returns the shape of what t is a collection of.
func (t *target) elements() *shape {
	if t.rule == "query" {
		return &shape{fields: t.fields}
	}
	if !t.repeated {
		return &shape{target: t, peeled: min(1, len(t.axes))}
	}
	return &shape{target: t}
}

// A binding is a variable of a `for` expression, with what is known of its values and which of their attributes are mentioned.
type binding struct {
	name string
	// as is what the variable is called where it is evaluated.
	as   string
	of   *shape
	need *need
}

// allow says which roots an expression may mention.
type allow struct {
	each bool
	axes bool
	// of is what each.value is, if known.
	of *shape
	// page is set in the parts of a query that are evaluated for each answer.
	page bool
	// targets is false where no target may be mentioned, as in a variable.
	targets bool
	// secrets is set where a secret may be mentioned.
	secrets bool
}

// A compiler replaces the references of one expression by nodes, and collects what is wrong with them.
type compiler struct {
	pkg   *pkg
	t     *target
	attr  string
	allow allow
	raw   bool
	out   *expr
	bound []binding
	// fn is the function whose result this is, if any, and args are what its parameters stand for where the result is put in the place of
	// a call.
	fn   *userFunction
	args []*expr
	// inlined counts such places in an expression.
	inlined *int
	// template is more than 0 inside a template.
	template int
}

// compile compiles e, in attribute attr of t (nil in locals and variables).
func (p *pkg) compile(e hclsyntax.Expression, t *target, attr string, a allow, raw bool) *expr {
	c := &compiler{pkg: p, t: t, attr: attr, allow: a, raw: raw, out: &expr{src: p.src}, inlined: new(int)}
	c.out.Expression = c.rewrite(e, true)
	return c.out
}

func (c *compiler) mistake(rng hcl.Range, summary, detail string) {
	c.out.bad = true
	c.pkg.diags.add(c.pkg.src, rng, summary, detail)
}

func (c *compiler) rewriteAll(list []hclsyntax.Expression) {
	for i := range list {
		list[i] = c.rewrite(list[i], false)
	}
}

// rewrite returns e with its references replaced. Spine is set from the root down to where a collection could still be streamed.
func (c *compiler) rewrite(e hclsyntax.Expression, spine bool) hclsyntax.Expression {
	if root, steps, ok := flatten(e); ok {
		return c.reference(e, root, steps, spine)
	}
	if further := c.beyondCall(e); further != nil {
		return further
	}
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		e.Expression = c.rewrite(e.Expression, spine)
	case *hclsyntax.ForExpr:
		c.forExpr(e, spine)
	case *hclsyntax.FunctionCallExpr:
		return c.call(e, spine)
	case *hclsyntax.TemplateExpr:
		c.template++
		c.rewriteAll(e.Parts)
		c.template--
		if !e.IsStringLiteral() {
			return templateNode{e}
		}
	case *hclsyntax.TemplateWrapExpr:
		c.template++
		e.Wrapped = c.rewrite(e.Wrapped, false)
		c.template--
	case *hclsyntax.TemplateJoinExpr:
		e.Tuple = c.rewrite(e.Tuple, false)
		return joinNode{e}
	case *hclsyntax.TupleConsExpr:
		c.rewriteAll(e.Exprs)
	case *hclsyntax.ObjectConsExpr:
		for i := range e.Items {
			e.Items[i].KeyExpr = c.rewrite(e.Items[i].KeyExpr, false)
			e.Items[i].ValueExpr = c.rewrite(e.Items[i].ValueExpr, false)
		}
	case *hclsyntax.ObjectConsKeyExpr:
		if hcl.ExprAsKeyword(e.Wrapped) == "" || e.ForceNonLiteral {
			e.Wrapped = c.rewrite(e.Wrapped, false)
		}
	case *hclsyntax.ConditionalExpr:
		e.Condition, e.TrueResult, e.FalseResult = c.rewrite(e.Condition, false), c.rewrite(e.TrueResult, false), c.rewrite(e.FalseResult, false)
		return condNode{e}
	case *hclsyntax.BinaryOpExpr:
		e.LHS, e.RHS = c.rewrite(e.LHS, false), c.rewrite(e.RHS, false)
		if e.Op == hclsyntax.OpLogicalAnd || e.Op == hclsyntax.OpLogicalOr {
			return logicNode{e}
		}
		if e.Op == hclsyntax.OpEqual || e.Op == hclsyntax.OpNotEqual {
			return equalNode{e}
		}
	case *hclsyntax.UnaryOpExpr:
		e.Val = c.rewrite(e.Val, false)
	case *hclsyntax.IndexExpr:
		e.Collection, e.Key = c.rewrite(e.Collection, false), c.rewrite(e.Key, false)
	case *hclsyntax.RelativeTraversalExpr:
		e.Source = c.rewrite(e.Source, false)
	case *hclsyntax.SplatExpr:
		c.splat(e)
	case *hclsyntax.LiteralValueExpr:
		if e.Val.Type() == cty.String && !e.Val.IsNull() && e.Val.IsKnown() && hasMarks(e.Val.AsString()) {
			c.mistake(e.SrcRange, "Reserved character", sentence(errForeignMark))
		}
		if hugeNumber(e.Val) {
			c.mistake(e.SrcRange, "Invalid number", sentence(errHuge))
		}
	}
	return e
}

var errHuge = errors.New("a number has at most 300 digits before and behind its point")

// hugeNumber reports whether v is a number whose digits could fill the memory.
func hugeNumber(v cty.Value) bool {
	if v.Type() != cty.Number || v.IsNull() || !v.IsKnown() {
		return false
	}
	f := v.AsBigFloat()
	return f.IsInf() || f.MantExp(nil) > 1000 || f.MantExp(nil) < -1000
}

// flatten writes a chain of attributes and indexes that begins with a name as that name and steps.
func flatten(e hclsyntax.Expression) (root hcl.TraverseRoot, steps []step, ok bool) {
	switch e := e.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		root, ok = e.Traversal[0].(hcl.TraverseRoot)
		return root, traversalSteps(e.Traversal[1:]), ok
	case *hclsyntax.RelativeTraversalExpr:
		root, steps, ok = flatten(e.Source)
		return root, append(steps, traversalSteps(e.Traversal)...), ok
	case *hclsyntax.IndexExpr:
		root, steps, ok = flatten(e.Collection)
		return root, append(steps, step{expr: e.Key, index: true, rng: e.SrcRange}), ok
	case *hclsyntax.ParenthesesExpr:
		return flatten(e.Expression)
	}
	return root, nil, false
}

func traversalSteps(t hcl.Traversal) []step {
	steps := make([]step, 0, len(t))
	for _, tr := range t {
		switch tr := tr.(type) {
		case hcl.TraverseAttr:
			steps = append(steps, step{name: tr.Name, rng: tr.SrcRange})
		case hcl.TraverseIndex:
			steps = append(steps, step{key: tr.Key, index: true, rng: tr.SrcRange})
		}
	}
	return steps
}

// word returns the text that st selects by, if it is known before the build.
func (st *step) word() (string, bool) {
	switch {
	case st.expr != nil:
		return "", false
	case st.index:
		text, err := keyText(st.key)
		return text, err == nil
	}
	return st.name, true
}

func (c *compiler) binding(name string) *binding {
	for i := len(c.bound) - 1; i >= 0; i-- {
		if c.bound[i].name == name {
			return &c.bound[i]
		}
	}
	return nil
}

func (c *compiler) rewriteSteps(steps []step) {
	for i := range steps {
		if steps[i].expr != nil {
			steps[i].expr = c.rewrite(steps[i].expr, false)
		}
	}
}

// reference replaces the chain e, which begins with root.
func (c *compiler) reference(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step, spine bool) hclsyntax.Expression {
	c.rewriteSteps(steps)
	if b := c.binding(root.Name); b != nil {
		c.check(b.of, steps, b.name, b.need)
		return &boundNode{e, b.as, steps}
	}
	if c.fn != nil {
		if i := c.fn.param(root.Name); i >= 0 {
			return c.parameter(e, i, steps, spine)
		}
		if c.unseen(root, steps) {
			return e
		}
	}
	switch root.Name {
	case "var":
		return c.variable(e, root, steps)
	case "local":
		return c.local(e, root, steps, spine)
	case "each", "matrix", "axis":
		return c.element(e, root, steps)
	case "host", "path", "self":
		return c.constant(e, root, steps)
	case "page":
		return c.page(e, root, steps)
	case "secret":
		return c.secret(e, root, steps)
	case "pool":
		return c.poolRef(e, root, steps)
	case "import":
		return c.imported(e, root, steps, spine)
	case "param", "rule":
		return c.ruleRef(e, root, steps, spine)
	}
	if _, ok := c.pkg.ws.kinds[root.Name]; ok || c.pkg.ruleNamed(root.Name) != nil {
		return c.targetRef(e, root, steps, spine)
	}
	c.unknownRoot(root, steps)
	return e
}

func (c *compiler) unknownRoot(root hcl.TraverseRoot, steps []step) {
	if c.template > 0 && len(steps) == 0 && c.fn == nil {
		c.mistake(root.SrcRange, "Unknown name "+root.Name, fmt.Sprintf(
			"${…} is evaluated by cbuild. For a variable of the shell write $${%s} or $%s.", root.Name, root.Name))
		return
	}
	roots := append([]string{"var", "local", "each", "matrix", "axis", "host", "import", "path", "pool", "secret", "self"}, append(sortedKeys(c.pkg.ws.kinds), c.pkg.ruleNames()...)...)
	if c.pkg.call != nil {
		roots = append(roots, "param", "rule")
	}
	if c.fn != nil {
		roots = append(slices.Clone(c.fn.params), functionRoots...)
	}
	if len(steps) > 0 {
		if name, ok := steps[0].word(); ok {
			if t := c.pkg.targetNamed(name); t != nil {
				c.mistake(root.SrcRange, "Unknown target "+root.Name+"."+name, fmt.Sprintf("Did you mean %q?", t.ref()))
				return
			}
		}
	}
	if len(steps) == 0 {
		c.mistake(root.SrcRange, "Unknown name "+root.Name, didYouMean(root.Name, slices.Values(append(roots, "true", "false", "null")),
			fmt.Sprintf("A string is written in quotes: %q.", root.Name)))
		return
	}
	c.mistake(root.SrcRange, "Unknown name "+root.Name, didYouMean(root.Name, slices.Values(roots), oneOf("A reference begins with one of", roots)))
}

func (c *compiler) variable(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step) hclsyntax.Expression {
	name, ok := firstWord(steps)
	if !ok {
		c.mistake(root.SrcRange, "Incomplete reference", "Write var.NAME.")
		return e
	}
	v := c.pkg.variables[name]
	if v == nil {
		c.mistake(steps[0].rng, "Unknown variable "+name, didYouMean(name, mapKeys(c.pkg.variables), fmt.Sprintf("Declare it: variable %q {}.", name)))
		return e
	}
	if !v.ok {
		if !v.done && !c.pkg.broken {
			c.mistake(root.SrcRange, "var."+name+" has no value yet", fmt.Sprintf("%q is evaluated before this variable.", c.attr))
		}
		c.out.bad = true
		return &constNode{e, cty.DynamicVal, nil}
	}
	return &constNode{e, v.value, steps[1:]}
}

func firstWord(steps []step) (string, bool) {
	if len(steps) == 0 {
		return "", false
	}
	return steps[0].word()
}

func (c *compiler) local(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step, spine bool) hclsyntax.Expression {
	name, ok := firstWord(steps)
	if !ok {
		c.mistake(root.SrcRange, "Incomplete reference", "Write local.NAME.")
		return e
	}
	l := c.pkg.localNamed(name)
	if l == nil {
		c.mistake(steps[0].rng, "Unknown local "+name, didYouMean(name, mapKeys(c.pkg.locals), "Declare it in a locals block."))
		return e
	}
	compiled := c.pkg.compileLocal(l, c, root.SrcRange)
	if compiled == nil {
		c.out.bad = true
		return e
	}
	c.out.merge(compiled, c.attr, spine && len(steps) == 1)
	if compiled.secret {
		c.mentions(root.SrcRange, "local."+name)
	}
	if c.fn != nil && !compiled.constant() {
		c.mistake(root.SrcRange, "No local."+name+" here", fmt.Sprintf("It mentions each or a target, which a function does not see. Pass it as a parameter of %q.", c.fn.name))
	}
	switch {
	case compiled.each == nil || c.t == nil:
	case !c.allow.each:
		c.mistake(root.SrcRange, "No each here", fmt.Sprintf("local.%s mentions each, but %q is evaluated before there are instances.", name, c.attr))
	case c.allow.axes && !c.t.repeated:
		c.mistake(root.SrcRange, "No each here", fmt.Sprintf("local.%s mentions each, but %s has no for_each.", name, c.t.ref()))
	}
	return &localNode{e, l, steps[1:]}
}

func (c *compiler) constant(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step) hclsyntax.Expression {
	members := map[string]string{}
	switch root.Name {
	case "host":
		members = c.pkg.ws.host
	case "path":
		members = map[string]string{"package": c.pkg.dir, "work": engine.WorkDir}
	case "self":
		if c.t == nil {
			c.mistake(root.SrcRange, "No self here", "self is the target around the expression.")
			return e
		}
		members["name"] = c.t.name
	}
	name, ok := firstWord(steps)
	switch {
	case !ok:
		c.mistake(root.SrcRange, "Incomplete reference", oneOf(root.Name+" has", sortedKeys(members)))
		return e
	case root.Name == "self" && name == "out":
		return c.selfOut(e, root, steps[1:])
	}
	value, known := members[name]
	if !known {
		c.mistake(e.Range(), "Unknown attribute "+root.Name+"."+name, didYouMean(name, mapKeys(members), oneOf(root.Name+" has", sortedKeys(members))))
		return e
	}
	return &constNode{e, cty.StringVal(value), steps[1:]}
}
