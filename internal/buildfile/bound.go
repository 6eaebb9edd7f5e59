package buildfile

import (
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

// An element is what the variable of a `for` over a stream stands for: nothing of it is converted, or read, before an expression
// mentions it.
type element struct{ value engine.Value }

var elementType = cty.Capsule("element", reflect.TypeFor[element]())

// A boundNode is a reference to a variable of a `for` expression.
type boundNode struct {
	hclsyntax.Expression
	name  string
	steps []step
}

func (n *boundNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	v := cty.DynamicVal
	for c := ctx; c != nil; c = c.Parent() {
		if found, ok := c.Variables[n.name]; ok {
			v = found
			break
		}
	}
	if v.Type() != elementType {
		return follow(v, n.steps, ctx)
	}
	return scopeOf(ctx).leaf(v.EncapsulatedValue().(*element).value, n.steps, ctx, n.Range(), false, nil)
}
