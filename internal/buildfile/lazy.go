package buildfile

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// HCL evaluates both results of a conditional and both operands of && and ||. Here a reference may wait for a build, or meet trouble, so
// that what is not selected must not be looked at. It is evaluated for its type only: else `c ? 1 : run.x.text` would be a number or a
// string by what was selected.

// A fixedNode is an expression that was evaluated already.
type fixedNode struct {
	hclsyntax.Expression
	value cty.Value
	diags hcl.Diagnostics
}

func (n *fixedNode) Value(*hcl.EvalContext) (cty.Value, hcl.Diagnostics) { return n.value, n.diags }

// fixed evaluates e.
func fixed(e hclsyntax.Expression, ctx *hcl.EvalContext) *fixedNode {
	v, diags := e.Value(ctx)
	return &fixedNode{e, v, diags}
}

// typeOnly evaluates e without waiting for anything: what it reads of targets is unknown, of a known type at best.
func typeOnly(e hclsyntax.Expression, ctx *hcl.EvalContext) *fixedNode {
	s := scopeOf(ctx)
	s.typing++
	defer func() { s.typing-- }()
	return fixed(e, ctx)
}

// A condNode is a conditional.
type condNode struct{ *hclsyntax.ConditionalExpr }

func (n condNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	cond := fixed(n.Condition, ctx)
	if cond.diags.HasErrors() {
		return cty.DynamicVal, cond.diags
	}
	first, second := typeOnly, typeOnly
	if b, err := convert.Convert(cond.value, cty.Bool); err == nil && b.IsKnown() && !b.IsNull() {
		if b.True() {
			first = fixed
		} else {
			second = fixed
		}
	}
	whole := *n.ConditionalExpr
	whole.Condition, whole.TrueResult, whole.FalseResult = cond, first(n.TrueResult, ctx), second(n.FalseResult, ctx)
	return whole.Value(ctx)
}

// A logicNode is && or ||.
type logicNode struct{ *hclsyntax.BinaryOpExpr }

func (n logicNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	left := fixed(n.LHS, ctx)
	if v, err := convert.Convert(left.value, cty.Bool); err == nil && !left.diags.HasErrors() && v.IsKnown() && !v.IsNull() {
		if v.True() == (n.Op == hclsyntax.OpLogicalOr) {
			return v, nil
		}
	}
	whole := *n.BinaryOpExpr
	whole.LHS = left
	return whole.Value(ctx)
}

// A tryNode is a call of try() or can(): each argument is evaluated once, and only until one has a value.
type tryNode struct{ *hclsyntax.FunctionCallExpr }

func (n tryNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	s := scopeOf(ctx)
	before := s.missed
	var last *hcl.Diagnostic
	for _, a := range n.Args {
		v, diags := a.Value(ctx)
		if !diags.HasErrors() {
			s.missed = before
			if n.Name == "can" {
				v = cty.True
			}
			return v, nil
		}
		last = firstError(diags)
	}
	if n.Name == "can" {
		s.missed = before
		return cty.False, nil
	}
	return cty.DynamicVal, failed(n.Range(), "Nothing to try", "None of its arguments has a value; the last one: "+last.Summary+": "+last.Detail)
}

// readTypes are the types of readable attributes that do not depend on the instance.
var readTypes = map[string]cty.Type{
	"blake3": cty.String, "count": cty.Number, "exit_code": cty.Number, "key": cty.String, "log": cty.String, "matrix": cty.Map(cty.String),
	"ok": cty.Bool, "outcome": cty.String, "rows": cty.String, "sha256": cty.String, "size": cty.Number, "text": cty.String, "version": cty.String,
}

// unread is what an attribute of an instance is while only types are asked for.
func unread(name string) cty.Value {
	if t, ok := readTypes[name]; ok {
		return cty.UnknownVal(t)
	}
	return cty.DynamicVal
}

// unread is what n is while only types are asked for.
func (n *targetNode) unread() cty.Value {
	steps := n.steps
	if len(steps) < len(n.target.axes)+1 || n.target.repeated && n.key == nil {
		return cty.DynamicVal
	}
	steps = steps[len(n.target.axes):]
	if name, ok := steps[0].word(); ok && len(steps) == 1 && n.target.rule != "query" {
		return unread(name)
	}
	return cty.DynamicVal
}
