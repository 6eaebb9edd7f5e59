package buildfile

import (
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

// A selfOutNode is self.out in a run: the paths that it promises, in the shape in which they are written, as its command sees them.
type selfOutNode struct {
	hclsyntax.Expression
	// out is the attribute that promises, dir where the command starts; nil if that is the run's directory.
	out, dir *attribute
	steps    []step
}

// selfOut replaces self.out.
func (c *compiler) selfOut(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step) hclsyntax.Expression {
	n := &selfOutNode{Expression: e, steps: steps}
	for _, at := range c.t.attrs {
		switch at.name {
		case "out":
			n.out = at
		case "stdout":
			if n.out == nil {
				n.out = at
			}
		case "dir":
			n.dir = at
		}
	}
	switch {
	case c.t.rule != "run":
		c.mistake(root.SrcRange, "No self.out here", "self.out is for a run.")
	case slices.Contains([]string{"out", "stdout", "dir", "for_each", "matrix", "where"}, c.attr):
		c.mistake(root.SrcRange, "No self.out here", "\""+c.attr+"\" is evaluated before out.")
	case n.out == nil:
		c.mistake(root.SrcRange, "No self.out here", c.t.ref()+" has neither out nor stdout.")
	case n.out.expr.bad || n.dir != nil && n.dir.expr.bad:
		c.out.bad = true
	default:
		c.out.merge(n.out.expr, c.attr, false)
		if n.dir != nil {
			c.out.merge(n.dir.expr, c.attr, false)
		}
		return n
	}
	return e
}

func (n *selfOutNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	s := scopeOf(ctx)
	dir := ""
	if n.dir != nil {
		v, diags := n.dir.expr.Value(s.ectx)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		if !v.IsNull() {
			if err := decodeString(&dir, v); err != nil {
				return cty.DynamicVal, failed(n.dir.rng, "Invalid dir", sentence(err))
			}
		}
	}
	v, diags := n.out.expr.Value(s.ectx)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	shape, err := decodeShape(v)
	if err != nil {
		return cty.DynamicVal, failed(n.out.rng, "Invalid "+n.out.name, sentence(err))
	}
	return follow(written(shape, path.Clean(dir)), n.steps, ctx)
}

// written returns the paths of shape relative to the directory dir.
func written(shape engine.Shape, dir string) cty.Value {
	switch shape := shape.(type) {
	case engine.OutSpec:
		return cty.StringVal(relativeTo(dir, path.Clean(shape.Path)))
	case []engine.Value:
		list := make([]cty.Value, len(shape))
		for i, e := range shape {
			list[i] = written(e, dir)
		}
		return cty.TupleVal(list)
	case engine.Object:
		members := make(map[string]cty.Value, len(shape))
		for k, e := range shape {
			members[k] = written(e, dir)
		}
		return cty.ObjectVal(members)
	}
	return cty.NullVal(cty.DynamicPseudoType)
}

// relativeTo writes the path p of a run's directory as it is seen from dir in it.
func relativeTo(dir, p string) string {
	if dir == "." {
		return p
	}
	if rest, ok := strings.CutPrefix(p, dir+"/"); ok {
		return rest
	}
	return strings.Repeat("../", strings.Count(dir, "/")+1) + p
}
