package buildfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A userRule is a rule that a rule block declares: each call of it is replaced by the targets in it.
type userRule struct {
	kind  string
	pkg   *pkg
	block *hclsyntax.Block
	// params and outputs are in the order in which they are written.
	params  []*ruleParam
	outputs []*hclsyntax.Block
	// bad is set if it can't be called, because of a mistake that was told.
	bad bool
	// seen is 1 while circles of rules are looked for from here, 2 after that.
	seen int
	// called is set once there is a call.
	called bool
}

// A ruleParam is a parameter of a rule.
type ruleParam struct {
	name, description string
	// typ is that of a variable; files is set for artifacts of the caller's package, and any where everything is taken as it is.
	typ        cty.Type
	defaults   *typeexpr.Defaults
	files, any bool
	block      *hclsyntax.Block
}

func (r *ruleParam) preset() *hclsyntax.Attribute { return r.block.Body.Attributes["default"] }

var (
	ruleBlocks = []string{"locals", "output", "param"}
	paramAttrs = []string{"default", "description", "type"}
	// callAttrs are what a call says of itself, and refusedAttrs what would repeat it.
	callAttrs    = []string{"description", "private", "tags"}
	refusedAttrs = []string{"for_each", "matrix", "where"}
)

// reservedRoots are words that a reference may begin with, so that no rule can be named like that.
var reservedRoots = []string{
	"axis", "each", "host", "import", "local", "matrix", "page", "param", "path", "pool", "rule", "secret", "self", "var", "true", "false", "null",
	"cbuild", "function", "locals", "output", "variable",
}

func (p *pkg) declareRule(b *hclsyntax.Block) {
	name, ok := p.labelled(b)
	if !ok {
		return
	}
	_, builtin := p.ws.kinds[name]
	switch had := p.rules[name]; {
	case had != nil:
		p.diags.addf(p.src, b.LabelRanges[0], "Duplicate rule", "%q is already declared at %s.", name, where(had.block.TypeRange))
		return
	case builtin || slices.Contains(reservedRoots, name):
		p.missingRules[name] = !builtin
		p.diags.addf(p.src, b.LabelRanges[0], fmt.Sprintf("Invalid name %q", name), "The word means something already: choose another name.")
		return
	}
	r := &userRule{kind: name, pkg: p, block: b}
	p.rules[name] = r
	before := len(p.diags.list)
	for _, a := range attributes(b.Body) {
		if a.Name != "description" {
			p.unknownAttr(a, "A rule", []string{"description"})
		}
	}
	for _, inner := range b.Body.Blocks {
		switch inner.Type {
		case "param":
			r.declareParam(inner)
		case "output":
			r.declareOutput(inner)
		}
	}
	r.bad = len(p.diags.list) > before
}

func (r *userRule) declareParam(b *hclsyntax.Block) {
	p := r.pkg
	name, ok := p.labelled(b)
	p.noBlocks(b)
	if !ok {
		return
	}
	if i := slices.IndexFunc(r.params, func(had *ruleParam) bool { return had.name == name }); i >= 0 {
		p.diags.addf(p.src, b.LabelRanges[0], "Duplicate parameter", "%q is already declared at %s.", name, where(r.params[i].block.TypeRange))
		return
	}
	if slices.Contains(callAttrs, name) || slices.Contains(refusedAttrs, name) {
		p.diags.addf(p.src, b.LabelRanges[0], fmt.Sprintf("Invalid name %q", name), "In a call, the attribute is one of the target: choose another name.")
		return
	}
	param := &ruleParam{name: name, typ: cty.String, block: b}
	r.params = append(r.params, param)
	for _, a := range attributes(b.Body) {
		switch a.Name {
		case "type":
			p.paramType(param, a)
		case "description":
			if text, ok := literalKey(a.Expr); ok {
				param.description = text
			}
		case "default":
		default:
			p.unknownAttr(a, "A param", paramAttrs)
		}
	}
}

func (p *pkg) paramType(param *ruleParam, a *hclsyntax.Attribute) {
	switch hcl.ExprAsKeyword(a.Expr) {
	case "files":
		param.files = true
		return
	case "any":
		param.any = true
		return
	}
	typ, defaults, diags := typeexpr.TypeConstraintWithDefaults(a.Expr)
	if diags.HasErrors() {
		p.diags.hcl(p.src, diags)
		return
	}
	param.typ, param.defaults = typ, defaults
}

// settle gives a parameter without a type that of its default, as it is with variables.
func (p *pkg) settle(param *ruleParam) {
	attrs := param.block.Body.Attributes
	if attrs["type"] != nil || attrs["default"] == nil || isNull(attrs["default"].Expr) {
		return
	}
	v := &variable{attrs: p.fresh(param.block).Body.Attributes}
	if def, has, ok := p.variableDefault(v); ok && p.variableType(v, def, has) {
		param.typ = v.typ
	}
}

// checkPresets finds the mistakes in defaults that no call needs.
func (r *userRule) checkPresets() {
	for _, param := range r.params {
		if a := param.preset(); a != nil && !r.bad && !isNull(a.Expr) {
			block := r.pkg.fresh(param.block)
			l := &local{name: param.name, word: "param", pkg: r.pkg, attr: block.Body.Attributes["default"], param: param, allow: allow{targets: true}}
			l.compile()
		}
	}
}

// wants writes the type of a parameter.
func (r *ruleParam) wants() string {
	switch {
	case r.files:
		return "a path, an artifact, or a list of them"
	case r.any:
		return "any value"
	}
	return noun(r.typ)
}

func (r *userRule) declareOutput(b *hclsyntax.Block) {
	p := r.pkg
	name, ok := p.labelled(b)
	p.noBlocks(b)
	if !ok {
		return
	}
	for _, a := range attributes(b.Body) {
		if a.Name != "value" && a.Name != "description" {
			p.unknownAttr(a, "An output", []string{"description", "value"})
		}
	}
	switch i := slices.IndexFunc(r.outputs, func(had *hclsyntax.Block) bool { return had.Labels[0] == name }); {
	case i >= 0:
		p.diags.addf(p.src, b.LabelRanges[0], "Duplicate output", "%q is already declared at %s.", name, where(r.outputs[i].TypeRange))
	case b.Body.Attributes["value"] == nil && !p.broken:
		p.diags.add(p.src, b.DefRange(), "Missing attribute \"value\"", "An output needs it: what can be read of a call under this name.")
	default:
		r.outputs = append(r.outputs, b)
	}
}

// ruleNamed returns the rule that a block type or the begin of a reference names in p: its own, or one that is imported.
func (p *pkg) ruleNamed(kind string) *userRule {
	for q := p; q != nil; q = q.outer {
		if r := q.rules[kind]; r != nil {
			return r
		}
		if r := q.importedRules[kind]; r != nil {
			return r
		}
	}
	return nil
}

// ruleNames returns the names of the rules that p can call.
func (p *pkg) ruleNames() (names []string) {
	for q := p; q != nil; q = q.outer {
		names = append(append(names, sortedKeys(q.rules)...), sortedKeys(q.importedRules)...)
	}
	return names
}

// importRules takes the kinds in the attribute a into scope.
func (i *importBlock) importRules(p *pkg, a *hclsyntax.Attribute) {
	list, ok := unparen(a.Expr).(*hclsyntax.TupleConsExpr)
	if !ok {
		if !isNull(a.Expr) {
			p.diags.add(p.src, a.Expr.Range(), "Invalid rules", "Write a list of names, as in rules = [\"cc_binary\"].")
		}
		return
	}
	for _, e := range list.Exprs {
		kind, ok := literalKey(e)
		switch {
		case !ok:
			p.diags.add(p.src, e.Range(), "Invalid rules", "The names of rules are literals, as in rules = [\"cc_binary\"].")
		case i.pkg == nil:
			p.missingRules[kind] = true
		case i.pkg.rules[kind] == nil:
			p.missingRules[kind] = true
			if !i.pkg.broken {
				p.diags.add(p.src, e.Range(), "Unknown rule "+kind, didYouMean(kind, mapKeys(i.pkg.rules), cmpOr(oneOf("The package //"+i.pkg.dir+" declares", sortedKeys(i.pkg.rules)),
					"The package //"+i.pkg.dir+" declares no rules.")))
			}
		case p.rules[kind] != nil && p.rules[kind] != i.pkg.rules[kind]:
			p.diags.addf(p.src, e.Range(), "Duplicate rule", "This package has a rule %q of its own, declared at %s.", kind, where(p.rules[kind].block.TypeRange))
		case p.importedRules[kind] != nil && p.importedRules[kind] != i.pkg.rules[kind]:
			p.diags.addf(p.src, e.Range(), "Duplicate rule", "A rule %q is imported already, declared at %s.", kind, where(p.importedRules[kind].block.TypeRange))
		default:
			p.importedRules[kind] = i.pkg.rules[kind]
		}
	}
}

// checkBlocks reports blocks that no rule holds, and finds circles of rules. Path are those on the way here.
func (r *userRule) checkBlocks(path []*userRule) {
	if r.seen != 0 || r.pkg.broken {
		return
	}
	r.seen = 1
	path = append(path, r)
	p := r.pkg
	for _, b := range r.block.Body.Blocks {
		inner := p.ruleNamed(b.Type)
		switch _, builtin := p.ws.kinds[b.Type]; {
		case builtin || slices.Contains(ruleBlocks, b.Type) || p.missingRules[b.Type]:
		case inner == nil:
			known := slices.Concat(ruleBlocks, sortedKeys(p.ws.kinds), p.ruleNames())
			p.diags.add(p.src, b.TypeRange, fmt.Sprintf("Unexpected block %q", b.Type), didYouMean(b.Type, slices.Values(known), oneOf("A rule holds", known)))
			r.bad = true
		case inner.seen == 1:
			var names []string
			for _, on := range path[slices.Index(path, inner):] {
				names = append(names, on.kind)
				on.bad = true
			}
			p.diags.add(p.src, b.TypeRange, inner.kind+" refers to itself", "Rules cannot use one another in a circle: "+strings.Join(append(firstOf(names, 8), inner.kind), " → ")+".")
		default:
			inner.checkBlocks(path)
		}
	}
	r.seen = 2
}
