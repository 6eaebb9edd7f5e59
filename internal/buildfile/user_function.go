package buildfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A userFunction is one that a function block declares.
type userFunction struct {
	name  string
	pkg   *pkg
	block *hclsyntax.Block
	// params are the names of the parameters; the last one takes any number of arguments if variadic is set.
	params   []string
	variadic bool

	compiled *expr
	open     bool
	// mentioned says which parameters the result mentions: on the others, it does not depend.
	mentioned []bool
	// shown says of which parameters the text of the result may hold some, once that was asked.
	shown []bool
}

var functionAttrs = []string{"params", "result", "variadic"}

// functionRoots are what the result of a function may mention beside its parameters.
var functionRoots = []string{"var", "local", "host", "path"}

// reservedFunctions are names of functions that are there, or that there will never be.
func reservedFunction(name string) bool {
	return slices.Contains(functionNames(), name) || slices.Contains([]string{"env", "timestamp", "uuid", "bcrypt"}, name)
}

func (p *pkg) declareFunction(b *hclsyntax.Block) {
	name, ok := p.labelled(b)
	p.noBlocks(b)
	if !ok {
		return
	}
	if had := p.functions[name]; had != nil {
		p.diags.addf(p.src, b.LabelRanges[0], "Duplicate function", "%q is already declared at %s.", name, where(had.block.TypeRange))
		return
	}
	if reservedFunction(name) {
		p.diags.addf(p.src, b.LabelRanges[0], fmt.Sprintf("Invalid name %q", name), "cbuild has a function %s() of its own, or refuses one: choose another name.", name)
		return
	}
	fn := &userFunction{name: name, pkg: p, block: b}
	for _, a := range attributes(b.Body) {
		switch a.Name {
		case "params":
			fn.declareParams(a)
		case "variadic":
			fn.declareVariadic(a)
		case "result":
		default:
			p.unknownAttr(a, "A function", functionAttrs)
		}
	}
	if v := b.Body.Attributes["variadic"]; v != nil && fn.variadic {
		last := len(fn.params) - 1 // it stands behind the others, wherever it is written
		if i := slices.Index(fn.params, bareName(v.Expr)); i < last {
			fn.params = append(slices.Delete(fn.params, i, i+1), bareName(v.Expr))
		}
	}
	fn.mentioned = make([]bool, len(fn.params))
	p.functions[name] = fn
}

// bareName returns the name that e is, bare or in quotes, or "".
func bareName(e hclsyntax.Expression) string {
	name := hcl.ExprAsKeyword(e)
	if name == "" {
		name, _ = literalKey(e)
	}
	if !validName(name) {
		return ""
	}
	return name
}

func (fn *userFunction) declareParams(a *hclsyntax.Attribute) {
	p := fn.pkg
	list, ok := unparen(a.Expr).(*hclsyntax.TupleConsExpr)
	if !ok {
		if !isNull(a.Expr) {
			p.diags.add(p.src, a.Expr.Range(), "Invalid params", "Write a list of names, as in params = [path].")
		}
		return
	}
	for _, e := range list.Exprs {
		fn.addParam(e, "params")
	}
}

func (fn *userFunction) declareVariadic(a *hclsyntax.Attribute) {
	if isNull(a.Expr) {
		return
	}
	fn.variadic = fn.addParam(a.Expr, "variadic")
}

func (fn *userFunction) addParam(e hclsyntax.Expression, attr string) (ok bool) {
	p, name := fn.pkg, bareName(e)
	switch {
	case name == "":
		p.diags.add(p.src, e.Range(), "Invalid "+attr, "A parameter is a name: it begins with a letter and holds letters, digits, _ and -.")
		return false
	case slices.Contains(fn.params, name):
		p.diags.addf(p.src, e.Range(), "Duplicate parameter", "%q is already a parameter of %q.", name, fn.name)
		return false
	}
	fn.params = append(fn.params, name)
	return true
}

// param returns the place of the parameter with a name, or -1.
func (fn *userFunction) param(name string) int { return slices.Index(fn.params, name) }

// takes says how many arguments a call has.
func (fn *userFunction) takes() string {
	names := strings.Join(fn.params, ", ")
	switch n := len(fn.params); {
	case fn.variadic:
		return fmt.Sprintf("at least %s (%s…)", plural(n-1, "argument"), names)
	case n == 0:
		return "no argument"
	default:
		return fmt.Sprintf("%s (%s)", plural(n, "argument"), names)
	}
}

// fits reports whether a call with n arguments, or more if open is set, is one.
func (fn *userFunction) fits(n int, open bool) bool {
	least := len(fn.params)
	if fn.variadic {
		least--
	}
	return (n >= least || open) && (n <= least || fn.variadic)
}

// compile compiles the result once, or returns nil if it can't be used.
func (fn *userFunction) compile(user *compiler, rng hcl.Range) *expr {
	p := fn.pkg
	switch {
	case fn.open:
		chain := fn.name
		if i := slices.Index(p.calling, fn); i >= 0 && i < len(p.calling)-1 {
			var names []string
			for _, f := range p.calling[i:] {
				names = append(names, f.name)
			}
			chain = strings.Join(append(firstOf(names, 8), fn.name), " → ")
		}
		user.mistake(rng, fn.name+"() refers to itself", "Functions cannot call one another in a circle: "+chain+".")
		return nil
	case fn.compiled == nil:
		fn.open, p.calling = true, append(p.calling, fn)
		fn.compiled = fn.compileResult()
		fn.open, p.calling = false, p.calling[:len(p.calling)-1]
	}
	if fn.compiled.bad {
		return nil
	}
	return fn.compiled
}

func (fn *userFunction) compileResult() *expr {
	p := fn.pkg
	a := fn.block.Body.Attributes["result"]
	if a == nil || isNull(a.Expr) && p.broken {
		if !p.broken {
			p.diags.add(p.src, fn.block.DefRange(), "Missing attribute \"result\"", "A function needs it: what a call of it stands for.")
		}
		return &expr{src: p.src, bad: true}
	}
	c := &compiler{pkg: p, attr: fn.name + "()", fn: fn, out: &expr{src: p.src}, inlined: new(int)}
	c.out.Expression = c.rewrite(a.Expr, true)
	return c.out
}

// compileFunctions compiles those that nobody calls, for their mistakes.
func (p *pkg) compileFunctions() {
	for _, name := range sortedKeys(p.functions) {
		if fn := p.functions[name]; fn.compiled == nil {
			fn.compile(nil, hcl.Range{})
		}
	}
}

// unseen reports a reference that the result of a function can't have, because it would be something else in each call.
func (c *compiler) unseen(root hcl.TraverseRoot, steps []step) bool {
	name, _ := firstWord(steps)
	_, rule := c.pkg.ws.kinds[root.Name]
	switch {
	case rule, slices.Contains([]string{"each", "matrix", "axis", "self", "page", "secret", "pool", "param", "import", "rule"}, root.Name):
	case root.Name == "path" && name == "work":
	default:
		return false
	}
	if name != "" {
		name = "." + name
	}
	c.mistake(root.SrcRange, "No "+root.Name+name+" here", fmt.Sprintf(
		"The result of a function depends on its parameters, and on var, local, host and path.package only. Add a parameter to %q and pass it.", c.fn.name))
	return true
}

// shows reports whether the text of the result may hold some of parameter i.
func (fn *userFunction) shows(i int) bool {
	if fn.shown == nil && fn.compiled != nil {
		fn.shown = make([]bool, len(fn.params))
		fn.showing(fn.compiled.Expression)
	}
	return fn.shown == nil || fn.shown[i]
}

func (fn *userFunction) showing(e hclsyntax.Expression) {
	if n, ok := unparen(e).(*paramNode); ok {
		fn.shown[n.i] = true
		return
	}
	for _, part := range textParts(e) {
		fn.showing(part)
	}
}
