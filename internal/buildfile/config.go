package buildfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// ConfigName is the name of the configuration file in the workspace's root.
const ConfigName = ".cbuild.hcl"

// A Setting is what a configuration file says of one name: a string, or a number as text.
type Setting struct{ Name, Value string }

// LoadConfig reads a configuration file: attributes of the given names, with which it calls set in the order in which they are written.
// What set does not accept is a mistake. A file that is not there has none.
func LoadConfig(file string, names []string, set func(Setting) error) *Diagnostics {
	diags := new(Diagnostics)
	src, attrs := readAttributes("", file, diags)
	for _, a := range attrs {
		if !slices.Contains(names, a.Name) {
			diags.add(src, a.NameRange, fmt.Sprintf("Unknown setting %q", a.Name),
				didYouMean(a.Name, slices.Values(names), oneOf("What belongs to a machine can be set here:", names)))
			continue
		}
		value, ok := literal(src, a, diags)
		if !ok {
			continue
		}
		text, err := convert.Convert(value, cty.String)
		if err != nil || text.IsNull() {
			diags.add(src, a.Expr.Range(), "Invalid "+a.Name, "It wants a string or a number.")
			continue
		}
		if err := set(Setting{a.Name, text.AsString()}); err != nil {
			diags.add(src, a.Expr.Range(), "Invalid "+a.Name, sentence(err))
		}
	}
	return diags
}

// FindRoot returns the absolute path of the root of the workspace that holds dir, or the file if that is set; ok is false if there is none.
func FindRoot(dir, file string) (root string, ok bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	root, err = findRoot(dir, file)
	return root, err == nil
}

// readAttributes returns the attributes of a file that has nothing else, named as seen from dir; without a file there is no source.
func readAttributes(dir, file string, diags *Diagnostics) (*source, []*hclsyntax.Attribute) {
	full := file
	if !filepath.IsAbs(file) {
		full = filepath.Join(dir, file)
	}
	data, err := readBounded(full)
	src := &source{name: file, data: data}
	start := hcl.Range{Filename: file, Start: hcl.InitialPos, End: hcl.InitialPos}
	why := tooDeep(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		diags.plain("Cannot read "+file, sentence(errAsPath(err)))
		return src, nil
	case !utf8.Valid(data):
		diags.plain(file+" is not UTF-8", "Save it in UTF-8.")
		return src, nil
	case hasMarks(string(data)):
		diags.add(src, markRange(src), "Reserved character", sentence(errForeignMark))
		return src, nil
	case why != "":
		diags.add(src, start, "Too deeply nested", why)
		return src, nil
	}
	f, parsed := hclsyntax.ParseConfig(data, file, hcl.InitialPos)
	diags.hcl(src, parsed)
	if parsed.HasErrors() {
		return src, nil
	}
	body, ok := f.Body.(*hclsyntax.Body)
	if !ok {
		return src, nil
	}
	for _, b := range body.Blocks {
		diags.add(src, b.TypeRange, fmt.Sprintf("Unexpected block %q", b.Type), "This file has attributes only: NAME = VALUE.")
	}
	return src, attributes(body)
}

// literal returns the value of an attribute that mentions nothing.
func literal(src *source, a *hclsyntax.Attribute, diags *Diagnostics) (v cty.Value, ok bool) {
	if refs := a.Expr.Variables(); len(refs) > 0 {
		diags.add(src, refs[0].SourceRange(), "Not a literal", "Here a value stands for itself: a string in quotes, a number, a list or an object of those.")
		return v, false
	}
	v, evaluated := a.Expr.Value(nil)
	diags.hcl(src, evaluated)
	return v, !evaluated.HasErrors()
}
