package buildfile

import (
	"reflect"
	"slices"
	"strings"

	"cbuild/rules"
)

// A kind is a rule with the table of its attributes.
type kind struct {
	rules.Kind
	fields []*field
	byName map[string]*field
	names  []string
}

// A field is an attribute of a rule, and where its value goes in the rule's struct.
type field struct {
	name     string
	index    []int
	typ      reflect.Type
	required bool
	shape    bool
	// raw is set where an instance is passed on as it is.
	raw bool
	doc string
}

// commonAttrs are the attributes of all targets that are handled here.
var commonAttrs = []string{"description", "for_each", "matrix", "private", "tags", "where"}

// laterAttrs are attributes of the language that this version does not have; "" holds those of every rule.
var laterAttrs = map[string][]string{
	"":          {"pool"},
	"run":       {"depfile", "secret_env"},
	"toolchain": {"archives", "bin", "components", "env"},
	"collate":   {"template"},
}

func newKind(k rules.Kind) *kind {
	t := reflect.TypeOf(k.New()).Elem()
	out := &kind{Kind: k, byName: make(map[string]*field), names: slices.Clone(commonAttrs)}
	out.fields = structFields(t, nil)
	for _, f := range out.fields {
		out.byName[f.name] = f
		out.names = append(out.names, f.name)
	}
	slices.Sort(out.names)
	return out
}

// structFields lists the attributes of a struct, those of embedded structs included.
func structFields(t reflect.Type, index []int) []*field {
	var fields []*field
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(slices.Clone(index), i)
		tag, ok := sf.Tag.Lookup("hcl")
		switch {
		case sf.Anonymous && sf.Type.Kind() == reflect.Struct:
			fields = append(fields, structFields(sf.Type, at)...)
		case ok:
			opts := strings.Split(tag, ",")
			f := &field{
				name: opts[0], index: at, typ: sf.Type, doc: sf.Tag.Get("doc"),
				required: slices.Contains(opts[1:], "required"), shape: slices.Contains(opts[1:], "shape"),
			}
			f.raw = !f.shape && (sf.Type.Kind() == reflect.Interface || sf.Type == typeToolchains)
			fields = append(fields, f)
		}
	}
	return fields
}
