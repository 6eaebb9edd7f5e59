package buildfile

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
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
		src, attrs := readAttributes(w.opts.Dir, name, diags)
		if src == nil {
			diags.plain("Cannot read "+name, "It does not exist. --var-file names a file of lines NAME = VALUE.")
		}
		p := w.packages[w.Package]
		for _, a := range attrs {
			if p != nil && p.variables[a.Name] == nil && !p.broken {
				diags.add(src, a.NameRange, "Unknown variable "+a.Name, didYouMean(a.Name, mapKeys(p.variables), fmt.Sprintf("Declare it in %s: variable %q {}.", p.src.name, a.Name)))
			} else if v, ok := literal(src, a, diags); ok {
				values[a.Name] = fileValue{v, src, a.Expr.Range()}
			}
		}
	}
	return values
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
