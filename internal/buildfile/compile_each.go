package buildfile

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func (c *compiler) element(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step) hclsyntax.Expression {
	rng := e.Range()
	if c.out.each == nil {
		c.out.each = &rng
	}
	if !c.allow.each && c.t != nil || c.t == nil && !c.allow.targets {
		c.mistake(root.SrcRange, "No "+root.Name+" here", fmt.Sprintf("%q is evaluated before there are instances.", c.attr))
		return e
	}
	if root.Name == "each" {
		return c.eachRef(e, root, steps)
	}
	name, ok := firstWord(steps)
	if !ok {
		c.mistake(root.SrcRange, "Incomplete reference", "Write "+root.Name+".AXIS.")
		return e
	}
	if c.t == nil {
		c.mistake(root.SrcRange, "No "+root.Name+" in locals", "An axis belongs to one target: write the expression there.")
		return e
	}
	i := slices.Index(c.t.axes, name)
	if i < 0 || !c.allow.axes {
		detail := fmt.Sprintf("%s has no matrix.", c.t.ref())
		if len(c.t.axes) > 0 {
			detail = didYouMean(name, slices.Values(c.t.axes), oneOf("The axes are", c.t.axes))
		}
		c.mistake(steps[0].rng, "Unknown axis "+name, detail)
		return e
	}
	if root.Name == "axis" {
		return &eachNode{e, matrixKey, i, steps[1:], false}
	}
	c.check(c.t.axisShape[name], steps[1:], "matrix."+name, nil)
	return &eachNode{e, matrixValue, i, steps[1:], c.raw}
}

func (c *compiler) eachRef(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step) hclsyntax.Expression {
	if c.t != nil && !c.t.repeated && !c.allow.axes {
		// columns, where of a query: always there
	} else if c.t != nil && !c.t.repeated {
		c.mistake(root.SrcRange, "No each here", c.t.ref()+" has no for_each.")
		return e
	}
	name, ok := firstWord(steps)
	switch {
	case !ok && len(steps) == 0:
		return &eachNode{e, eachWhole, 0, nil, c.raw}
	case name == "key":
		return &eachNode{e, eachKey, 0, steps[1:], false}
	case name == "value":
		c.check(c.allow.of, steps[1:], "each.value", nil)
		return &eachNode{e, eachValue, 0, steps[1:], c.raw}
	}
	c.mistake(steps[0].rng, "Unknown attribute each."+name, didYouMean(name, slices.Values([]string{"key", "value"}), "each has key and value."))
	return e
}
