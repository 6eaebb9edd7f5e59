package buildfile

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// call rewrites a function call.
func (c *compiler) call(e *hclsyntax.FunctionCallExpr, spine bool) hclsyntax.Expression {
	if fn := c.pkg.functions[e.Name]; fn != nil {
		return c.userCall(e, fn, spine)
	}
	for i := range e.Args {
		e.Args[i] = c.rewrite(e.Args[i], false)
	}
	if f, ok := scopeFunctions[e.Name]; ok {
		c.out.files = c.out.files || e.Name != "basename" && e.Name != "dirname"
		return &callNode{e, f, c.pkg.dir}
	}
	if e.Name == "try" || e.Name == "can" {
		return c.tryCall(e)
	}
	functions := c.pkg.ws.functions(c.pkg)
	if _, ok := functions[e.Name]; ok {
		return funcNode{e}
	}
	switch e.Name {
	case "env":
		c.mistake(e.NameRange, "There is no env() function", "The environment enters through variable blocks (env = \"NAME\") and pass_env.")
		return e
	case "timestamp", "uuid", "bcrypt":
		c.mistake(e.NameRange, "There is no "+e.Name+"() function", "Expressions are pure: the same files mean the same build.")
		return e
	}
	c.mistake(e.NameRange, "Unknown function "+e.Name, didYouMean(e.Name, slices.Values(slices.Concat(functionNames(), sortedKeys(c.pkg.functions))), "cbuild help functions lists them, and a block declares one: function \""+e.Name+"\" {."))
	return e
}

// tryCall rewrites a call of try() or can().
func (c *compiler) tryCall(e *hclsyntax.FunctionCallExpr) hclsyntax.Expression {
	switch {
	case len(e.Args) == 0, e.Name == "can" && len(e.Args) > 1:
		c.mistake(e.NameRange, "Invalid call of "+e.Name, "Write try(EXPRESSION, …, OTHERWISE) or can(EXPRESSION).")
	case e.ExpandFinal:
		c.mistake(e.NameRange, "Invalid call of "+e.Name, "Its arguments are expressions: a list can't be expanded with \"...\".")
	}
	return tryNode{e}
}

// A callNode is a call of a function that looks at files or artifacts.
type callNode struct {
	*hclsyntax.FunctionCallExpr
	f   scopeFunction
	dir string // the package in which the call is written
}

// A scopeFunction is a function that needs more than its arguments. Paths of files are seen from the package dir.
type scopeFunction func(s *scope, dir string, args []cty.Value) (cty.Value, error)

func (n *callNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if scopeOf(ctx).typing > 0 {
		return cty.UnknownVal(scopeFunctionTypes[n.Name]), nil
	}
	args := make([]cty.Value, 0, len(n.Args))
	for i, a := range n.Args {
		v, diags := a.Value(ctx)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		if n.ExpandFinal && i == len(n.Args)-1 {
			if v.IsNull() || !v.CanIterateElements() {
				return cty.DynamicVal, failed(a.Range(), "Invalid call of "+n.Name, "Only a list can be expanded with \"...\".")
			}
			for it := v.ElementIterator(); it.Next(); {
				_, e := it.Element()
				args = append(args, e)
			}
			continue
		}
		args = append(args, v)
	}
	s := scopeOf(ctx)
	v, err := n.f(s, n.dir, args)
	if err == nil {
		return v, nil
	}
	if s.ctx.Err() != nil {
		_ = s.fail(s.ctx.Err())
	}
	return cty.DynamicVal, failed(n.Range(), "Invalid call of "+n.Name, sentence(err))
}
