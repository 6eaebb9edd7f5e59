package buildfile

import (
	"fmt"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A local is a named expression. It is evaluated where it is mentioned, in the scope of its user; a constant one only once. So are the parameters
// and outputs of a call of a rule.
type local struct {
	name string
	// word is what references to it begin with.
	word string
	// pkg is where it is written, and allow what it may mention there.
	pkg   *pkg
	allow allow
	attr  *hclsyntax.Attribute
	// param is what it is the value of, if it is that of a parameter.
	param    *ruleParam
	compiled *expr
	open     bool
	// varies is set if what stands for files in the value of the expression belongs to one evaluation.
	varies bool

	once   sync.Once
	fixed  cty.Value
	weight weight
	diags  hcl.Diagnostics
}

func (l *local) title() string { return l.word + "." + l.name }

// through reports whether l is what its expression is, and not that converted to a type.
func (l *local) through() bool { return l.param == nil || l.param.any }

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
		p.locals[a.Name] = &local{name: a.Name, word: "local", pkg: p, attr: a, allow: allow{each: true, axes: true, targets: true, secrets: true}}
	}
}

// localNamed returns the local that local.NAME is in p: in a rule, that of the rule, else that of its package.
func (p *pkg) localNamed(name string) *local {
	for q := p; q != nil; q = q.outer {
		if l := q.locals[name]; l != nil {
			return l
		}
	}
	return nil
}

// compileLocal compiles l once, or returns nil if it refers to itself.
func (p *pkg) compileLocal(l *local, user *compiler, rng hcl.Range) *expr {
	if l.open {
		what := map[string]string{"local": "Locals", "param": "Parameters", "output": "Outputs"}[l.word]
		user.mistake(rng, l.title()+" refers to itself", what+" cannot be defined in a circle.")
		return nil
	}
	return l.compile()
}

func (l *local) compile() *expr {
	if l.compiled != nil {
		return l.compiled
	}
	if l.attr == nil { // of a rule that nobody calls
		l.compiled = &expr{Expression: &hclsyntax.LiteralValueExpr{Val: cty.DynamicVal, SrcRange: l.param.block.DefRange()}, src: l.pkg.src, open: true}
		return l.compiled
	}
	l.open = true
	c := l.pkg.compile(l.attr.Expr, nil, l.title(), l.allow, false)
	c.uses = distinct(c.uses)
	if l.varies = c.sources; l.word != "local" {
		l.check(c)
	}
	l.compiled, l.open = c, false
	return c
}

// distinct returns uses without those that occur before: else locals, and calls in arguments, that mention one another twice double them with each step.
func distinct(uses []use) (list []use) {
	seen := make(map[use]bool, len(uses))
	for _, u := range uses {
		if !seen[u] {
			seen[u] = true
			list = append(list, u)
		}
	}
	return list
}

// check finds what is wrong with a parameter or an output, as far as that is known before the build.
func (l *local) check(c *expr) {
	if c.each != nil && !c.bad {
		c.bad = true
		l.pkg.diags.add(l.pkg.src, *c.each, "No each here", "A call of a rule is not repeated: repeat the targets in the rule, or write several calls.")
	}
	if l.param != nil && l.param.files {
		c.files, c.sources = true, true
	}
	if c.bad || l.param == nil || c.files || !c.constant() || l.pkg.broken {
		return
	}
	s := newScope(noContext, l.pkg, nil, nil)
	v, diags := c.Value(s.ectx)
	if !diags.HasErrors() {
		_, diags = l.converted(s, v)
	}
	if err := s.checked(l.pkg.src, c, diags); err != nil {
		c.bad = true
		l.pkg.diags.list = append(l.pkg.diags.list, err.diagnostic())
	}
}

// compileLocals compiles those that nobody mentions, for their mistakes.
func (p *pkg) compileLocals() {
	for _, name := range sortedKeys(p.locals) {
		p.locals[name].compile()
	}
}

// value evaluates l for the user s.
func (l *local) value(s *scope) (cty.Value, hcl.Diagnostics) {
	if over := s.broke(l.attr.SrcRange); over != nil {
		return cty.DynamicVal, over
	}
	if l.compiled.constant() && !l.varies {
		l.once.Do(func() {
			own := newScope(noContext, l.pkg, nil, nil)
			l.fixed, l.diags = l.evaluate(own)
			if !l.compiled.sources && !l.diags.HasErrors() {
				l.fixed, l.diags = l.converted(own, l.fixed)
			}
			l.weight = weigh(l.fixed)
		})
		v, diags := l.fixed, l.diags
		if l.compiled.sources && !diags.HasErrors() {
			v, diags = l.converted(s, v)
		}
		return l.spent(s, v, l.weight, diags)
	}
	known := &s.locals[0]
	if s.typing > 0 {
		known = &s.locals[1]
	}
	before := s.missed
	a := (*known)[l]
	if a == nil {
		s.missed = missed{}
		a = &localValue{}
		if a.value, a.diags = l.evaluate(s); !a.diags.HasErrors() {
			a.value, a.diags = l.converted(s, a.value)
		}
		a.weight, a.missed = weigh(a.value), s.missed
		if *known == nil {
			*known = make(map[*local]*localValue)
		}
		(*known)[l] = a
	}
	s.missed = before.and(a.missed)
	return l.spent(s, a.value, a.weight, a.diags)
}

// A localValue is what a local came to in one scope, in which it is evaluated once: mentions double what stands below each other.
type localValue struct {
	value  cty.Value
	weight weight
	diags  hcl.Diagnostics
	missed missed
}

func (l *local) evaluate(s *scope) (cty.Value, hcl.Diagnostics) {
	v, diags := l.compiled.Value(s.ectx)
	if diags.HasErrors() {
		if in := l.pkg.call; in != nil && s.pkg != l.pkg {
			diags = calledAt(diags, in.target.rng, in.rule.block.Range())
		}
	}
	return v, diags
}

// converted returns v as what a parameter is.
func (l *local) converted(s *scope, v cty.Value) (cty.Value, hcl.Diagnostics) {
	p := l.param
	if l.through() || !v.IsKnown() {
		return v, nil
	}
	var err error
	switch {
	case p.files:
		v, err = s.sourceFiles(l.pkg.dir, v)
	case v.IsNull():
		err = fmt.Errorf("it wants %s, not null: leave it out for the default", p.wants())
	default:
		var c cty.Value
		if c, err = convertTo(p.typ, p.defaults, v); err != nil {
			if p.typ.IsPrimitiveType() || isObject(v) != (p.typ.IsObjectType() || p.typ.IsMapType()) {
				err = fmt.Errorf("it wants %s, not %s", p.wants(), describe(v))
			}
		}
		v = c
	}
	if err != nil {
		return cty.DynamicVal, failed(l.attr.Expr.Range(), "Invalid "+l.name, sentence(err))
	}
	return v, nil
}

// spent counts v, the value of l, of weight w.
func (l *local) spent(s *scope, v cty.Value, w weight, diags hcl.Diagnostics) (cty.Value, hcl.Diagnostics) {
	if diags.HasErrors() {
		return cty.DynamicVal, hcl.Diagnostics{firstError(diags)} // who mentions l twice need not hear it twice
	}
	if err := s.spend(w); err != nil {
		return cty.DynamicVal, tooLarge(l.attr.SrcRange, l.title(), err)
	}
	return v, nil
}
