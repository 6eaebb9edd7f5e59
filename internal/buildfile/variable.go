package buildfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// A variable is an input of a package.
type variable struct {
	name        string
	description string
	typ         cty.Type
	// defaults are those of the optional attributes in typ, if any.
	defaults *typeexpr.Defaults
	value    cty.Value
	// origin says where the value comes from, as the beginning of a sentence.
	origin string
	ok     bool
	// missing is set if nobody gives it one.
	missing bool
	// done is set once the value, good or bad, is decided.
	done  bool
	block *hclsyntax.Block
	attrs map[string]*hclsyntax.Attribute
}

var variableAttrs = []string{"allowed", "check", "default", "description", "env", "message", "type"}

func (p *pkg) declareVariable(b *hclsyntax.Block) {
	name, ok := p.labelled(b)
	p.noBlocks(b)
	if !ok {
		return
	}
	if had := p.variables[name]; had != nil {
		p.diags.addf(p.src, b.LabelRanges[0], "Duplicate variable", "%q is already declared at %s.", name, where(had.block.TypeRange))
		return
	}
	v := &variable{name: name, block: b, attrs: make(map[string]*hclsyntax.Attribute), value: cty.DynamicVal}
	for _, a := range attributes(b.Body) {
		if !slices.Contains(variableAttrs, a.Name) {
			p.unknownAttr(a, "variable", variableAttrs)
			continue
		}
		v.attrs[a.Name] = a
	}
	p.variables[name] = v
}

// resolveVariables gives every variable its value.
func (p *pkg) resolveVariables() {
	for _, name := range sortedKeys(p.variables) {
		v := p.variables[name]
		if a := v.attrs["description"]; a != nil {
			p.constAttr(a, func(c cty.Value) error { return decodeString(&v.description, c) })
		}
		p.resolveVariable(v)
	}
}

func (p *pkg) resolveVariable(v *variable) {
	defer func() { v.done = true }()
	if p.broken {
		return
	}
	def, hasDefault, ok := p.variableDefault(v)
	if !ok || !p.variableType(v, def, hasDefault) {
		return
	}
	if !p.assignedByName(v) {
		if given, ok := p.fromFile(v); given {
			v.ok = ok && p.variableAllowed(v) && p.variableCheck(v)
			return
		}
	}
	raw, from, given := p.assigned(v)
	switch {
	case given:
		value, err := v.parse(raw)
		if err != nil {
			p.diags.addf(p.src, v.block.DefRange(), "Invalid value for variable "+v.name, "%s gives %q, but %s.", from, raw, err)
			return
		}
		v.value, v.origin = value, from+" gives"
	case hasDefault:
		value, err := v.convert(def)
		if err != nil {
			p.diags.add(p.src, v.attrs["default"].Expr.Range(), "Invalid default", sentence(err))
			return
		}
		v.value, v.origin = value, "The default is"
	default:
		v.missing = true
		p.diags.addf(p.src, v.block.DefRange(), "No value for variable "+v.name, "It has no default. Give it one on the command line: %s=VALUE", p.assignment(v))
		return
	}
	v.ok = p.variableAllowed(v) && p.variableCheck(v)
}

func (p *pkg) variableDefault(v *variable) (def cty.Value, has, ok bool) {
	a := v.attrs["default"]
	if a == nil {
		return cty.NilVal, false, true
	}
	before := len(p.diags.list)
	p.constAttr(a, func(c cty.Value) error { def = c; return nil })
	return def, true, len(p.diags.list) == before && def != cty.NilVal
}

func (p *pkg) variableType(v *variable, def cty.Value, hasDefault bool) bool {
	v.typ = cty.String
	if a := v.attrs["type"]; a != nil {
		typ, defaults, diags := typeexpr.TypeConstraintWithDefaults(a.Expr)
		if diags.HasErrors() {
			p.diags.hcl(p.src, diags)
			return false
		}
		v.typ, v.defaults = typ, defaults
	} else if hasDefault && !def.IsNull() {
		v.typ = def.Type()
		// A tuple or object by default does not fix the number of its elements.
		if v.typ.IsTupleType() {
			v.typ = cty.List(cty.DynamicPseudoType)
			if c, err := convert.Convert(def, cty.List(cty.String)); err == nil {
				v.typ = c.Type()
			}
		}
	}
	return true
}

// assigned returns the text that the variable is given from outside, and from where.
func (p *pkg) assigned(v *variable) (raw, from string, ok bool) {
	for _, a := range slices.Backward(p.ws.opts.Vars) {
		if dir := p.ws.assignmentDir(a); dir == p.dir && a.Name == v.name {
			return a.Value, "The command line", true
		}
	}
	if p.ws.opts.LookupEnv == nil {
		return "", "", false
	}
	names := []string{"CBUILD_VAR_" + v.name}
	if a := v.attrs["env"]; a != nil {
		env := ""
		p.constAttr(a, func(c cty.Value) error { return decodeString(&env, c) })
		names = append(names, env)
	}
	for _, name := range names {
		if raw, ok := p.ws.opts.LookupEnv(name); ok && name != "" {
			return raw, "The environment variable " + name, true
		}
	}
	return "", "", false
}

// assignment returns the name by which the command line gives v a value.
func (p *pkg) assignment(v *variable) string {
	if p.dir == p.ws.Package {
		return v.name
	}
	return "//" + p.dir + ":" + v.name
}

func (w *Workspace) assignmentDir(a VarAssignment) string {
	if a.Qualified {
		return a.Dir
	}
	return w.Package
}

// checkAssignments reports assignments to variables that do not exist.
func (w *Workspace) checkAssignments(diags *Diagnostics) {
	for _, a := range w.opts.Vars {
		dir := w.assignmentDir(a)
		p := w.packages[dir]
		if p == nil {
			diags.plain("Unknown package //"+dir, didYouMean(dir, mapKeys(w.packages), "It has no "+FileName+"."))
		} else if p.variables[a.Name] == nil && !p.broken {
			diags.plain("Unknown variable "+a.Name, didYouMean(a.Name, mapKeys(p.variables), fmt.Sprintf("Declare it in %s: variable %q {}.", p.src.name, a.Name)))
		}
	}
}

// convert returns value as one of the variable's type, with the defaults of what it leaves out.
func (v *variable) convert(value cty.Value) (cty.Value, error) {
	return convertTo(v.typ, v.defaults, value)
}

// convertTo returns value as one of type typ, with the defaults of what it leaves out.
func convertTo(typ cty.Type, defaults *typeexpr.Defaults, value cty.Value) (cty.Value, error) {
	if defaults != nil && !value.IsNull() {
		value = defaults.Apply(value)
	}
	return convert.Convert(value, typ)
}

// parse reads text as a value of the variable: a string as it is, a list also comma-separated, everything else as an HCL literal.
func (v *variable) parse(text string) (cty.Value, error) {
	if err := foreign(text); err != nil {
		return cty.NilVal, err
	}
	wrong := fmt.Errorf("it is %s, written like %s", noun(v.typ), sampleOf(v.typ))
	isList := v.typ.IsListType() || v.typ.IsSetType()
	value := cty.StringVal(text)
	switch {
	case v.typ.IsPrimitiveType():
	case isList && !strings.HasPrefix(strings.TrimSpace(text), "["):
		var elems []cty.Value
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				elems = append(elems, cty.StringVal(part))
			}
		}
		value = cty.TupleVal(elems)
	default:
		if tooDeep([]byte(text)) != "" {
			return cty.NilVal, wrong
		}
		e, diags := hclsyntax.ParseExpression([]byte(text), "value", hcl.InitialPos)
		if diags.HasErrors() {
			return cty.NilVal, wrong
		}
		if value, diags = e.Value(nil); diags.HasErrors() {
			return cty.NilVal, wrong
		}
	}
	value, err := v.convert(value)
	if err != nil {
		return cty.NilVal, wrong
	}
	return value, nil
}

// noun writes a type with its indefinite article.
func noun(typ cty.Type) string {
	switch name := typ.FriendlyNameForConstraint(); {
	case typ == cty.DynamicPseudoType:
		return "any value"
	case strings.ContainsAny(name[:1], "aeiou"):
		return "an " + name
	default:
		return "a " + name
	}
}

// sampleOf shows how a value of typ is written on the command line.
func sampleOf(typ cty.Type) string {
	switch {
	case typ == cty.Number:
		return "3"
	case typ == cty.Bool:
		return "true"
	case typ.IsListType() || typ.IsSetType():
		return "a,b or [\"a\", \"b\"]"
	case typ.IsTupleType():
		return "[\"a\", 1]"
	case typ.IsMapType() || typ.IsObjectType():
		return "{ NAME = \"VALUE\" }"
	}
	return "\"text\" or [1, 2]"
}

func (p *pkg) variableAllowed(v *variable) bool {
	a := v.attrs["allowed"]
	if a == nil {
		return true
	}
	var names []string
	found := false
	p.constAttr(a, func(list cty.Value) error {
		if list.IsNull() || !list.CanIterateElements() {
			return fmt.Errorf("allowed is a list")
		}
		for it := list.ElementIterator(); it.Next(); {
			_, e := it.Element()
			c, err := convert.Convert(e, v.typ)
			if err != nil {
				return err
			}
			found = found || c.RawEquals(v.value)
			names = append(names, show(c))
		}
		if !found {
			p.unfit(v, a, oneOf("Allowed are", names))
		}
		return nil
	})
	return found
}

// choices returns the values that v may have, as the command line gives them, if its declaration lists them.
func (v *variable) choices() (all []string) {
	if v.typ == cty.Bool {
		return []string{"true", "false"}
	}
	a := v.attrs["allowed"]
	if a == nil {
		return nil
	}
	list, diags := a.Expr.Value(nil)
	if diags.HasErrors() || list.IsNull() || !list.CanIterateElements() {
		return nil
	}
	for it := list.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if text, err := convert.Convert(e, cty.String); err == nil && !text.IsNull() {
			all = append(all, text.AsString())
		}
	}
	return all
}

// unfit reports that the attribute a of v does not allow its value.
func (p *pkg) unfit(v *variable, a *hclsyntax.Attribute, why string) {
	p.diags.addf(p.src, a.Expr.Range(), "Invalid value for variable "+v.name, "%s %s. %s", v.origin, show(v.value), why)
}

func show(v cty.Value) string {
	if t, err := keyText(v); err == nil {
		if v.Type() == cty.String {
			return fmt.Sprintf("%q", t)
		}
		return t
	}
	return "a " + v.Type().FriendlyName()
}

func (p *pkg) variableCheck(v *variable) bool {
	a := v.attrs["check"]
	if a == nil {
		return true
	}
	message := "Its check is false."
	if m := v.attrs["message"]; m != nil {
		p.constAttr(m, func(c cty.Value) error { return decodeString(&message, c) })
	}
	holds := false
	v.ok, v.done = true, true // for the check itself
	p.constAttr(a, func(c cty.Value) error {
		if err := decodeBool(&holds, c); err != nil {
			return err
		}
		if !holds {
			p.unfit(v, a, message)
		}
		return nil
	})
	return holds
}
