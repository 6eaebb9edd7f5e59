package buildfile

import (
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A local is a named expression. It is evaluated where it is mentioned, in the scope of its user; a constant one only once.
type local struct {
	name     string
	attr     *hclsyntax.Attribute
	compiled *expr
	open     bool

	once   sync.Once
	fixed  cty.Value
	weight weight
	diags  hcl.Diagnostics
}

func (p *pkg) declareLocals(b *hclsyntax.Block) {
	p.noBlocks(b)
	if len(b.Labels) > 0 {
		p.diags.add(p.src, b.LabelRanges[0], "locals has no name", "Write locals {.")
	}
	for _, a := range attributes(b.Body) {
		if had := p.locals[a.Name]; had != nil {
			p.diags.addf(p.src, a.NameRange, "Duplicate local", "%q is already defined at %s.", a.Name, where(had.attr.NameRange))
			continue
		}
		p.locals[a.Name] = &local{name: a.Name, attr: a}
	}
}

// compileLocal compiles l once, or returns nil if it refers to itself.
func (p *pkg) compileLocal(l *local, user *compiler, rng hcl.Range) *expr {
	if l.open {
		user.mistake(rng, "local."+l.name+" refers to itself", "Locals cannot be defined in a circle.")
		return nil
	}
	if l.compiled == nil {
		l.open = true
		l.compiled = p.compile(l.attr.Expr, nil, "local."+l.name, allow{each: true, axes: true, targets: true, secrets: true}, false)
		l.open = false
	}
	return l.compiled
}

// compileLocals compiles those that nobody mentions, for their mistakes.
func (p *pkg) compileLocals() {
	for _, name := range sortedKeys(p.locals) {
		if l := p.locals[name]; l.compiled == nil {
			l.open = true
			l.compiled = p.compile(l.attr.Expr, nil, "local."+name, allow{each: true, axes: true, targets: true, secrets: true}, false)
			l.open = false
		}
	}
}

// value evaluates l for the user s.
func (l *local) value(s *scope) (cty.Value, hcl.Diagnostics) {
	if over := s.broke(l.attr.SrcRange); over != nil {
		return cty.DynamicVal, over
	}
	if l.compiled.constant() {
		l.once.Do(func() {
			l.fixed, l.diags = l.compiled.Value(newScope(noContext, s.pkg, nil, nil).ectx)
			l.weight = weigh(l.fixed)
		})
		return l.spent(s, l.fixed, l.weight, l.diags)
	}
	v, diags := l.compiled.Value(s.ectx)
	return l.spent(s, v, weigh(v), diags)
}

// spent counts v, the value of l, of weight w.
func (l *local) spent(s *scope, v cty.Value, w weight, diags hcl.Diagnostics) (cty.Value, hcl.Diagnostics) {
	if diags.HasErrors() {
		return cty.DynamicVal, hcl.Diagnostics{firstError(diags)} // who mentions l twice need not hear it twice
	}
	if err := s.spend(w); err != nil {
		return cty.DynamicVal, tooLarge(l.attr.SrcRange, "local."+l.name, err)
	}
	return v, nil
}
