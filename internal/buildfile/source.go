package buildfile

import (
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

// checkSources finds the mistakes in the paths of sources that at writes as literals, so that they come with all others and not one by one
// when the target is reached.
func (p *pkg) checkSources(t *target, at *attribute) {
	seen := make(map[string]bool)
	user := t.ref()
	one := func(name string, rng hcl.Range) {
		if !seen[name] {
			seen[name] = true
			p.checkSource(t, user, name, rng)
		}
	}
	literals(at.expr.Expression, one)
	switch {
	case at.expr.files || len(at.expr.uses) > 0:
	case at.fold != nil:
		if v, err := at.fold.value(); err == nil {
			sources(v, func(name string) { one(name, at.rng) })
		}
	case t.items != nil && attr(t, "where") == nil && len(t.axes) == 0:
		for _, item := range t.items[:min(len(t.items), maxChecked)] {
			v := reflect.New(at.field.typ).Elem()
			if err := eachScope(noContext, p, t, nil, item).decodeAttr(at, v); err != nil {
				return // the instance will say so
			}
			user = fmt.Sprintf("%s[%q]", t.ref(), item.Key)
			sources(v, func(name string) { one(name, at.rng) })
		}
	}
}

// maxChecked is of how many instances that are known when the files are loaded the sources are checked.
const maxChecked = 1000

// sources calls f for the paths of sources among inputs.
func sources(v reflect.Value, f func(name string)) {
	texts, _ := v.Interface().([]engine.Text)
	inputs, _ := v.Interface().([]engine.Input)
	for _, i := range inputs {
		texts = append(texts, i.Text)
	}
	for _, text := range texts {
		if name, ok := text.IsLiteral(); ok {
			f(name)
		}
	}
}

// literals calls f for the literal strings that e puts into a list, or into the values of an object, whatever else it holds.
func literals(e hclsyntax.Expression, f func(text string, rng hcl.Range)) {
	switch e := unparen(e).(type) {
	case *hclsyntax.LiteralValueExpr:
		if e.Val.Type() == cty.String && !e.Val.IsNull() {
			f(e.Val.AsString(), e.SrcRange)
		}
	case *hclsyntax.TemplateExpr:
		if e.IsStringLiteral() {
			if text, ok := literalKey(e); ok {
				f(text, e.SrcRange)
			}
		}
	case *hclsyntax.TupleConsExpr:
		for _, part := range e.Exprs {
			literals(part, f)
		}
	case *hclsyntax.ObjectConsExpr:
		for _, item := range e.Items {
			literals(item.ValueExpr, f)
		}
	case funcNode:
		if e.Name == "concat" || e.Name == "flatten" || e.Name == "compact" {
			for _, part := range e.Args {
				literals(part, f)
			}
		}
	}
}

// checkSource reports what is wrong with the path of a source of t, or of an instance of it, called user.
func (p *pkg) checkSource(t *target, user, name string, rng hcl.Range) {
	rel, err := p.ws.files.resolve(p.dir, name)
	if err != nil {
		p.diags.add(p.src, rng, "Invalid input", sentence(err))
		return
	}
	if owner := p.ws.owner(rel); owner != "" && owner != p.dir {
		p.diags.addf(p.src, rng, "Input of another package", "%q belongs to the package //%s, whose targets alone may name it. Move the file, or the target.", name, owner)
		return
	}
	if _, err := p.ws.files.root.Lstat(rel); err == nil {
		return
	}
	if other := p.producer(name); other != nil && other != t {
		p.diags.addf(p.src, rng, "Input file does not exist", "%q is an out of %s, not a file of the package. Write %s.", name, other.ref(), outRef(other))
		return
	}
	switch other := p.targetAt(name); {
	case other == nil:
	case other.pkg == p:
		p.diags.addf(p.src, rng, "Input file does not exist", "%q is a target, not a file of the package. Write %s.", name, outRef(other))
		return
	default:
		p.diags.addf(p.src, rng, "Input file does not exist", "%q is a target, not a file of the package. %s", name, p.imported(other))
		return
	}
	detail := fmt.Sprintf("%s lists %q, but there is no such file in its package.", user, name)
	if s := p.ws.files.near(p.dir, name); s != "" {
		detail += fmt.Sprintf(" Did you mean %q?", s)
	} else {
		detail += " A path from the workspace's root is written //DIR/FILE."
	}
	p.diags.add(p.src, rng, "Input file does not exist", detail)
}

// targetAt returns the target that name would be the label of on the command line, or nil.
func (p *pkg) targetAt(name string) *target {
	dir, name, ok := strings.Cut(name, ":")
	if rest, rooted := strings.CutPrefix(dir, "//"); rooted {
		p = p.ws.packages[rest]
	} else if dir != "" {
		return nil
	}
	if !ok || p == nil {
		return nil
	}
	return p.targets[name]
}

// owner returns the package that the path rel of the workspace lies in, "" for the root.
func (w *Workspace) owner(rel string) string {
	for dir := rel; dir != "." && dir != ""; dir = path.Dir(dir) {
		if w.packages[dir] != nil {
			return dir
		}
	}
	return ""
}

// producer returns the target of p that makes the out name, if a literal says so.
func (p *pkg) producer(name string) *target {
	for _, t := range p.order {
		for _, a := range []string{"out", "stdout"} {
			if at := attr(t, a); at != nil {
				found := false
				literals(at.Expr, func(out string, _ hcl.Range) { found = found || out == name })
				if found {
					return t
				}
			}
		}
	}
	return nil
}

// outRef writes how the out of t is read.
func outRef(t *target) string {
	if t.repeated {
		return t.ref() + "[KEY].out"
	}
	return t.ref() + ".out"
}

// near returns the name of a file that exists and that name was probably meant to be, or "".
func (f *files) near(dir, name string) string {
	prefix, rest := "", strings.TrimSuffix(name, "/")
	if inner, abs := strings.CutPrefix(rest, "//"); abs {
		dir, prefix, rest = "", "//", inner
	}
	done := ""
	elems := strings.Split(path.Clean(rest), "/")
	for i, elem := range elems {
		at := path.Join(dir, done)
		if _, err := f.root.Lstat(path.Join(at, elem)); err == nil {
			done = path.Join(done, elem)
			continue
		}
		entries, _ := fs.ReadDir(f.fsys, path.Clean(path.Join(".", at)))
		names := make(map[string]bool)
		for _, e := range entries {
			if !hidden(e.Name()) {
				names[e.Name()] = true
			}
		}
		best := nearest(elem, mapKeys(names))
		if best == "" {
			return ""
		}
		fixed := path.Join(append([]string{done, best}, elems[i+1:]...)...)
		if _, err := f.root.Lstat(path.Join(dir, fixed)); err != nil {
			return ""
		}
		return prefix + fixed
	}
	return ""
}
