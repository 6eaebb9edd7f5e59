package buildfile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// An importBlock gives the targets of another package a name here.
type importBlock struct {
	alias string
	block *hclsyntax.Block
	// pkg is nil if there is none.
	pkg *pkg
}

var importAttrs = []string{"from", "rules"}

func (p *pkg) declareImport(b *hclsyntax.Block) {
	alias, ok := p.labelled(b)
	p.noBlocks(b)
	if !ok {
		return
	}
	if had := p.imports[alias]; had != nil {
		p.diags.addf(p.src, b.LabelRanges[0], "Duplicate import", "%q is already declared at %s.", alias, where(had.block.TypeRange))
		return
	}
	p.imports[alias] = &importBlock{alias: alias, block: b}
}

// resolveImports finds the packages that are imported, once all are read.
func (w *Workspace) resolveImports() {
	for _, dir := range sortedKeys(w.packages) {
		p := w.packages[dir]
		for _, alias := range sortedKeys(p.imports) {
			p.resolveImport(p.imports[alias])
		}
	}
}

func (p *pkg) resolveImport(i *importBlock) {
	for _, a := range attributes(i.block.Body) {
		switch a.Name {
		case "from":
			i.pkg = p.packageAt(a)
		case "rules":
			defer i.importRules(p, a)
		default:
			p.unknownAttr(a, "An import", importAttrs)
		}
	}
	if i.block.Body.Attributes["from"] == nil && !p.broken {
		p.diags.add(p.src, i.block.DefRange(), "Missing attribute \"from\"", "An import needs it: the label of a package, as in from = \"//dir\".")
	}
}

// packageAt returns the package that the attribute a names.
func (p *pkg) packageAt(a *hclsyntax.Attribute) *pkg {
	label, ok := literalKey(a.Expr)
	if !ok {
		p.diags.add(p.src, a.Expr.Range(), "Invalid from", "It is the label of a package, written as a literal: \"//dir\", or \"dir\" below this one.")
		return nil
	}
	dir, err := packageLabel(p.dir, label)
	if err != nil {
		p.diags.add(p.src, a.Expr.Range(), "Invalid from", sentence(err))
		return nil
	}
	found := p.ws.packages[dir]
	if found == nil {
		var known []string
		for d := range p.ws.packages {
			known = append(known, "//"+d)
		}
		slices.Sort(known)
		p.diags.add(p.src, a.Expr.Range(), "Unknown package //"+dir, didYouMean("//"+dir, slices.Values(known), "A package is a directory with a "+FileName+"."))
	}
	return found
}

// packageLabel returns the directory of the package that a label names, seen from the package dir.
func packageLabel(dir, label string) (string, error) {
	rest, abs := strings.CutPrefix(label, "//")
	switch {
	case strings.Contains(rest, ":"):
		return "", errors.New("it names a package, not a target: leave out what begins with \":\"")
	case slices.Contains(strings.Split(rest, "/"), ".."):
		return "", errors.New("a label never has \"..\": write //DIR from the workspace's root")
	case strings.HasSuffix(rest, "..."):
		return "", errors.New("it names one package")
	case abs:
		dir = ""
	}
	if dir = path.Join(dir, strings.Trim(rest, "/")); dir == "." {
		dir = ""
	}
	return dir, nil
}

// imported replaces a reference to a target of another package.
func (c *compiler) imported(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step, spine bool) hclsyntax.Expression {
	alias, ok := firstWord(steps)
	if !ok || len(steps) < 2 || steps[0].index {
		c.mistake(root.SrcRange, "Incomplete reference", "Write import.ALIAS.NAME.")
		return e
	}
	i := c.pkg.imports[alias]
	if i == nil {
		c.mistake(steps[0].rng, "Unknown import "+alias, didYouMean(alias, mapKeys(c.pkg.imports), fmt.Sprintf("Declare it: import %q { from = \"//DIR\" }.", alias)))
		return e
	}
	if i.pkg == nil { // told already
		c.out.bad = true
		return e
	}
	name, ok := steps[1].word()
	if !ok || steps[1].index {
		c.mistake(steps[1].rng, "Incomplete reference", "Write import."+alias+".NAME.")
		return e
	}
	full, rng := "import."+alias+"."+name, hcl.RangeBetween(root.SrcRange, steps[1].rng)
	t := i.pkg.targets[name]
	switch {
	case t == nil && i.pkg.broken:
		c.out.bad = true
	case t == nil:
		c.mistake(rng, "Unknown target "+full, i.suggest(name))
	case t.private && i.pkg.dir != c.pkg.dir:
		c.mistake(rng, "Private target "+full, fmt.Sprintf("Only //%s may refer to it. Remove private = true at %s, or this reference.", i.pkg.dir, where(attr(t, "private").SrcRange)))
	default:
		return c.target(e, root.SrcRange, t, full, steps[2:], spine)
	}
	return e
}

// suggest says what name may have meant in the package.
func (i *importBlock) suggest(name string) string {
	if _, rule := i.pkg.ws.kinds[name]; rule {
		return fmt.Sprintf("A target of another package goes by its name, without %q: names are unique in a package.", name)
	}
	known := slices.DeleteFunc(sortedKeys(i.pkg.targets), func(name string) bool { return strings.Contains(name, "/") }) // what is in calls of rules is read by their outputs
	if near := nearest(name, slices.Values(known)); near != "" {
		return fmt.Sprintf("Did you mean %q, defined at %s?", "import."+i.alias+"."+near, where(i.pkg.targets[near].rng))
	}
	return cmpOr(oneOf("The package //"+i.pkg.dir+" has", firstOf(known, 12)), "The package //"+i.pkg.dir+" has no targets.")
}

// describe evaluates what a target says of itself, before others refer to it.
func (p *pkg) describe(t *target) {
	if t.call != nil {
		if a := t.call.rule.block.Body.Attributes["description"]; a != nil {
			t.description, _ = literalKey(a.Expr)
		}
	}
	for _, a := range attributes(t.block.Body) {
		switch a.Name {
		case "description":
			p.constAttr(a, unlessNull(func(v cty.Value) error { return decodeString(&t.description, v) }))
		case "tags":
			p.constAttr(a, unlessNull(func(v cty.Value) error { return decodeStrings(&t.tags, v) }))
		case "private":
			p.constAttr(a, unlessNull(func(v cty.Value) error { return decodeBool(&t.private, v) }))
		}
	}
}

// imported says how p refers to t, a target of another package.
func (p *pkg) imported(t *target) string {
	for _, alias := range sortedKeys(p.imports) {
		if p.imports[alias].pkg == t.pkg {
			return fmt.Sprintf("Write import.%s.%s.", alias, t.label.Name)
		}
	}
	return fmt.Sprintf("Import its package: import \"lib\" { from = \"//%s\" }, and write import.lib.%s.", t.pkg.dir, t.label.Name)
}
