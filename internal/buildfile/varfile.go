package buildfile

import (
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A fileValue is what a file of variables gives one of them.
type fileValue struct {
	value cty.Value
	src   *source
	rng   hcl.Range
}

// readVarFiles reads the files of variables, each of lines NAME = VALUE in HCL, for the current package. A later file wins.
func (w *Workspace) readVarFiles(diags *Diagnostics) map[string]fileValue {
	values := make(map[string]fileValue)
	for _, name := range w.opts.VarFiles {
		full := name
		if !filepath.IsAbs(name) {
			full = filepath.Join(w.opts.Dir, name)
		}
		data, err := readBounded(full)
		src := &source{name: name, data: data}
		switch {
		case os.IsNotExist(err):
			diags.plain("No file of variables "+name, "--var-file names a file of lines NAME = VALUE.")
			continue
		case err != nil:
			diags.plain("Cannot read "+name, sentence(errAsPath(err)))
			continue
		case !utf8.Valid(data) || hasMarks(string(data)):
			diags.plain(name+" is no text", "Save it in UTF-8, without the noncharacters U+FDD0 and U+FDD1.")
			continue
		}
		w.readVarFile(src, values, diags)
	}
	return values
}

func (w *Workspace) readVarFile(src *source, values map[string]fileValue, diags *Diagnostics) {
	start := hcl.Range{Filename: src.name, Start: hcl.InitialPos, End: hcl.InitialPos}
	if why := tooDeep(src.data); why != "" {
		diags.add(src, start, "Too deeply nested", why)
		return
	}
	f, parsed := hclsyntax.ParseConfig(src.data, src.name, hcl.InitialPos)
	diags.hcl(src, parsed)
	if parsed.HasErrors() {
		return
	}
	body := f.Body.(*hclsyntax.Body)
	for _, b := range body.Blocks {
		diags.add(src, b.DefRange(), "Unexpected block "+b.Type, "A file of variables has lines NAME = VALUE only.")
	}
	p := w.packages[w.Package]
	for _, a := range attributes(body) {
		if p != nil && p.variables[a.Name] == nil && !p.broken {
			diags.add(src, a.NameRange, "Unknown variable "+a.Name, didYouMean(a.Name, mapKeys(p.variables), "Declare it in "+p.src.name+": variable \""+a.Name+"\" {}."))
			continue
		}
		v, evaluated := a.Expr.Value(nil)
		diags.hcl(src, evaluated[:min(len(evaluated), 1)])
		if !evaluated.HasErrors() {
			values[a.Name] = fileValue{v, src, a.Expr.Range()}
		}
	}
}

// fromFile gives v the value that a file of variables has for it; given is false if none has.
func (p *pkg) fromFile(v *variable) (given, ok bool) {
	if p.dir != p.ws.Package {
		return false, false
	}
	fv, given := p.ws.varFiles[v.name]
	if !given {
		return false, false
	}
	value, err := fv.value, error(nil)
	if v.typ == cty.String && value.Type() == cty.Number {
		_, err = keyText(value) // 1.20 is a number, and not what was written
	}
	if err == nil {
		value, err = v.convert(value)
	}
	if err != nil {
		p.diags.add(fv.src, fv.rng, "Invalid value for variable "+v.name, "It is "+noun(v.typ)+": "+err.Error()+".")
		return true, false
	}
	v.value, v.origin = value, where(fv.rng)+" gives"
	return true, true
}

// assignedByName reports whether the command line gives v a value.
func (p *pkg) assignedByName(v *variable) bool {
	return slices.ContainsFunc(p.ws.opts.Vars, func(a VarAssignment) bool { return p.ws.assignmentDir(a) == p.dir && a.Name == v.name })
}
