package buildfile

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// An equalNode is == or !=. Artifacts are compared with null only: what stands for two of them may differ where they are the same.
type equalNode struct{ *hclsyntax.BinaryOpExpr }

func (n equalNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	left, right := fixed(n.LHS, ctx), fixed(n.RHS, ctx)
	if !left.value.IsNull() && !right.value.IsNull() && (weigh(left.value).marks || weigh(right.value).marks) {
		return cty.DynamicVal, failed(n.Range(), "Invalid comparison", "The path of an artifact is not known yet, so it can be compared with null only. For what is in a file use file() or filehash().")
	}
	whole := *n.BinaryOpExpr
	whole.LHS, whole.RHS = left, right
	return whole.Value(ctx)
}
