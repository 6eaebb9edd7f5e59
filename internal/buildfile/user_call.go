package buildfile

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A call of a function that a block declares is as if its result stood there. If an argument is a target or a stream, the result really is put
// there, so that what is read of the target, which of its instances, and whether it is followed as it grows, is known before the build. Else
// the call is evaluated: that takes no memory for each call, however deep they are nested.

// maxInlined is how many results are put in the places of calls in one expression; the others are evaluated, and wait for all of a collection.
const maxInlined = 1000

// A call costs as much of what an evaluation may come to as a value of callCost elements, even if all that it makes is thrown away, and
// at most maxCalls are nested.
const (
	callCost = 4
	maxCalls = 50_000
)

// A userCallNode is a call that is evaluated. Each of its arguments is evaluated when the result needs it, and once.
type userCallNode struct {
	*hclsyntax.FunctionCallExpr
	fn   *userFunction
	args []hclsyntax.Expression // by parameter; nil if the last argument is a list of them
}

// userCall rewrites a call of fn.
func (c *compiler) userCall(e *hclsyntax.FunctionCallExpr, fn *userFunction, spine bool) hclsyntax.Expression {
	before := len(c.pkg.diags.list)
	parts := make([]*expr, len(e.Args))
	for i, a := range e.Args {
		parts[i] = c.argument(a, spine)
		e.Args[i] = parts[i].Expression
		c.out.bad = c.out.bad || parts[i].bad
	}
	n := len(e.Args)
	if e.ExpandFinal {
		n--
	}
	if !fn.fits(n, e.ExpandFinal) {
		c.mistake(e.NameRange, "Invalid call of "+e.Name, fmt.Sprintf("It takes %s, not %d. It is declared at %s.", fn.takes(), len(e.Args), where(fn.block.TypeRange)))
		return e
	}
	result := fn.compile(c, e.NameRange)
	if result == nil || len(c.pkg.diags.list) > before && c.out.bad {
		c.out.bad = true
		return e
	}
	c.out.files = c.out.files || result.files
	if e.ExpandFinal {
		for _, part := range parts {
			c.out.merge(part, c.attr, false)
		}
		return &userCallNode{FunctionCallExpr: e, fn: fn}
	}
	args := fn.bind(parts, e)
	if *c.inlined < maxInlined && slices.ContainsFunc(parts, (*expr).moving) {
		*c.inlined++
		return c.inline(fn, args, e.NameRange, spine)
	}
	node := &userCallNode{FunctionCallExpr: e, fn: fn}
	for i, arg := range args {
		node.args = append(node.args, arg.Expression)
		if fn.mentioned[i] {
			c.out.merge(arg, c.attr, false)
		}
	}
	return node
}

// argument compiles an argument by itself: whether it counts depends on the function.
func (c *compiler) argument(e hclsyntax.Expression, spine bool) *expr {
	own := *c
	own.out = &expr{src: c.out.src}
	own.out.Expression = own.rewrite(e, spine)
	own.out.uses = distinct(own.out.uses)
	return own.out
}

// moving reports whether e is a target, or a collection that can be followed.
func (e *expr) moving() bool {
	_, target := unparen(e.Expression).(*targetNode)
	return target || streams(e.Expression)
}

// bind returns the arguments of call by parameter: those of a variadic one as a list.
func (fn *userFunction) bind(parts []*expr, call *hclsyntax.FunctionCallExpr) []*expr {
	if !fn.variadic {
		return parts
	}
	n := len(fn.params) - 1
	rest := &expr{src: fn.pkg.src}
	list := &hclsyntax.TupleConsExpr{SrcRange: call.Range(), OpenRange: call.OpenParenRange}
	for _, part := range parts[n:] {
		list.Exprs = append(list.Exprs, part.Expression)
		rest.merge(part, "", false)
	}
	rest.Expression = list
	return append(slices.Clone(parts[:n]), rest)
}

// inline returns the result of fn with args in the places of its parameters, for the call at rng.
func (c *compiler) inline(fn *userFunction, args []*expr, rng hcl.Range, spine bool) hclsyntax.Expression {
	before := len(c.pkg.diags.list)
	own := *c
	own.pkg, own.fn, own.args, own.bound = fn.pkg, fn, args, nil
	if fn.pkg.diags != c.pkg.diags { // an expression that is evaluated by itself tells its own mistakes
		p := *fn.pkg
		p.diags = c.pkg.diags
		own.pkg = &p
	}
	block := fn.pkg.fresh(fn.block)
	e := own.rewrite(block.Body.Attributes["result"].Expr, spine)
	for _, d := range c.pkg.diags.list[before:] {
		if d.rng.Filename == rng.Filename && block.Range().ContainsPos(d.rng.Start) {
			d.Detail += "\nIt is called at " + where(rng) + "."
		}
	}
	return e
}

// unique returns what a variable of a `for` is called where it is evaluated: in the result of a function that is put in the place of a call,
// something that no argument can mean.
func (c *compiler) unique(name string) string {
	if c.args == nil || name == "" {
		return name
	}
	return name + "\x00" + strconv.Itoa(*c.inlined)
}

// parameter replaces a reference to parameter i of the function whose result this is.
func (c *compiler) parameter(e hclsyntax.Expression, i int, steps []step, spine bool) hclsyntax.Expression {
	c.fn.mentioned[i] = true
	if c.args == nil {
		return &paramNode{e, i, steps}
	}
	arg := c.args[i]
	c.out.merge(arg, c.attr, spine && len(steps) == 0)
	if n, ok := unparen(arg.Expression).(*targetNode); ok {
		own := *n // what is read of it is another matter at each mention
		return c.further(&own, steps)
	}
	return c.further(arg.Expression, steps)
}

// further leads on from a rewritten expression.
func (c *compiler) further(e hclsyntax.Expression, steps []step) hclsyntax.Expression {
	n, ok := unparen(e).(*targetNode)
	switch {
	case len(steps) == 0:
		return e
	case !ok:
		return &stepsNode{e, steps}
	}
	last := len(c.out.uses) - 1
	for ; last >= 0 && (c.out.uses[last].target != n.target || c.out.uses[last].rng != n.rng); last-- {
	}
	if last >= 0 { // it is no longer all that is meant
		c.out.uses = slices.Delete(c.out.uses, last, last+1)
	}
	all := slices.Concat(n.steps, steps)
	if n.key != nil {
		all = append([]step{*n.key}, all...)
	}
	return c.target(n.Expression, n.rng, n.target, n.full, all, false)
}

// chainBase returns what attributes and indexes lead on from.
func chainBase(e hclsyntax.Expression) hclsyntax.Expression {
	for {
		switch inner := e.(type) {
		case *hclsyntax.RelativeTraversalExpr:
			e = inner.Source
		case *hclsyntax.IndexExpr:
			e = inner.Collection
		case *hclsyntax.ParenthesesExpr:
			e = inner.Expression
		default:
			return e
		}
	}
}

// beyondCall rewrites what leads on from a call of a function that a block declares, as in f(x)[each.key].out; nil if e is nothing like that.
func (c *compiler) beyondCall(e hclsyntax.Expression) hclsyntax.Expression {
	if inner, ok := chainBase(e).(*hclsyntax.FunctionCallExpr); !ok || c.pkg.functions[inner.Name] == nil {
		return nil
	}
	var steps []step
	for at := e; ; {
		switch inner := at.(type) {
		case *hclsyntax.RelativeTraversalExpr:
			at, steps = inner.Source, append(traversalSteps(inner.Traversal), steps...)
		case *hclsyntax.IndexExpr:
			at, steps = inner.Collection, append([]step{{expr: inner.Key, index: true, rng: inner.SrcRange}}, steps...)
		case *hclsyntax.ParenthesesExpr:
			at = inner.Expression
		case *hclsyntax.FunctionCallExpr:
			if len(steps) == 0 {
				return nil
			}
			c.rewriteSteps(steps)
			return c.further(c.call(inner, false), steps)
		default:
			return nil
		}
	}
}

// A stepsNode leads on from the value of an expression.
type stepsNode struct {
	hclsyntax.Expression
	steps []step
}

func (n *stepsNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	v, diags := n.Expression.Value(ctx)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	return follow(v, n.steps, ctx)
}

// A frame is what the parameters are in one evaluation of a call.
type frame struct {
	scope *scope
	ctx   *hcl.EvalContext // of the call
	args  []hclsyntax.Expression
	// known are the arguments that were evaluated, and in a second list those that were for their type only.
	known [2][]*argument
}

// An argument is what one came to, and the reference without a usable result in it, if any.
type argument struct {
	fixedNode
	missed missed
}

var frameType = cty.Capsule("frame", reflect.TypeFor[frame]())

// frameVar leads from an EvalContext to the frame of the call that is evaluated; no expression can name it.
const frameVar = "\x00frame"

func (n *userCallNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	s := scopeOf(ctx)
	if s.spent.elems += callCost; s.calls >= maxCalls {
		s.spent.elems = maxSpent*maxElems + 1
	}
	if over := s.broke(n.Range()); over != nil {
		return cty.DynamicVal, over
	}
	s.calls++
	defer func() { s.calls-- }()
	args, diags := n.arguments(ctx)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	f := &frame{scope: s, ctx: ctx, args: args}
	f.known[0], f.known[1] = make([]*argument, len(args)), make([]*argument, len(args))
	inner := s.ectx.NewChild()
	inner.Variables = map[string]cty.Value{frameVar: cty.CapsuleVal(frameType, f)}
	v, diags := n.fn.compiled.Value(inner)
	if diags.HasErrors() {
		return cty.DynamicVal, calledAt(diags, n.Range(), n.fn.block.Range())
	}
	if err := s.spend(weigh(v)); err != nil {
		return cty.DynamicVal, tooLarge(n.Range(), "What "+n.Name+"() makes", err)
	}
	return v, nil
}

// calledAt adds to what is wrong in a block where that was called from.
func calledAt(diags hcl.Diagnostics, call, block hcl.Range) hcl.Diagnostics {
	d := *firstError(diags)
	if d.Subject != nil && d.Subject.Filename == block.Filename && block.ContainsPos(d.Subject.Start) && d.Detail != "" {
		d.Detail += "\nIt is called at " + where(call) + "."
	}
	return hcl.Diagnostics{&d}
}

// arguments returns the arguments by parameter.
func (n *userCallNode) arguments(ctx *hcl.EvalContext) ([]hclsyntax.Expression, hcl.Diagnostics) {
	if n.args != nil || !n.ExpandFinal {
		return n.args, nil
	}
	last := len(n.Args) - 1
	list, diags := n.Args[last].Value(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	rng := n.Args[last].Range()
	if list.IsNull() || !list.IsKnown() || !isList(list) {
		return nil, failed(rng, "Invalid call of "+n.Name, "Only a list can be expanded with \"...\".")
	}
	args := slices.Clone(n.Args[:last])
	for it := list.ElementIterator(); it.Next(); {
		_, v := it.Element()
		args = append(args, &fixedNode{n.Args[last], v, nil})
	}
	if !n.fn.fits(len(args), false) {
		return nil, failed(rng, "Invalid call of "+n.Name, fmt.Sprintf("It takes %s, not %d.", n.fn.takes(), len(args)))
	}
	if n.fn.variadic {
		k := len(n.fn.params) - 1
		rest := &hclsyntax.TupleConsExpr{Exprs: args[k:], SrcRange: rng, OpenRange: rng}
		args = append(slices.Clone(args[:k]), rest)
	}
	return args, nil
}

// arg evaluates argument i.
func (f *frame) arg(i int) *argument {
	s, known := f.scope, &f.known[0][i]
	if s.typing > 0 {
		known = &f.known[1][i]
	}
	before := s.missed
	if *known == nil {
		s.missed = missed{}
		a := &argument{fixedNode: *fixed(f.args[i], f.ctx)}
		a.missed = s.missed
		*known = a
	}
	s.missed = before.and((*known).missed)
	return *known
}

// A paramNode is a parameter in the result of a function.
type paramNode struct {
	hclsyntax.Expression
	i     int
	steps []step
}

func (n *paramNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	for c := ctx; c != nil; c = c.Parent() {
		v, ok := c.Variables[frameVar]
		if !ok {
			continue
		}
		a := v.EncapsulatedValue().(*frame).arg(n.i)
		if a.diags.HasErrors() {
			return cty.DynamicVal, a.diags
		}
		return follow(a.value, n.steps, ctx)
	}
	return cty.DynamicVal, failed(n.Range(), "No "+n.Range().Filename+" here", "A parameter is known in a call only.")
}
