package buildfile

import (
	"fmt"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

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
	if all, ok := c.Expression.(*outputsNode); ok {
		return all.target
	}
	n, ok := c.Expression.(*targetNode)
	if !ok || len(n.steps) > 0 || n.key != nil {
		if !c.bad {
			p.diags.add(p.src, e.Range(), "Invalid default", "Write references to targets, as in run.NAME.")
		}
		return nil
	}
	return n.target
}
