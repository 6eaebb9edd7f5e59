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
	// source is set where literal strings name files of the workspace.
	source bool
	// raw is set where an instance is passed on as it is.
	raw bool
	// one are the only values that it, or each of its elements, may have; nil allows all.
	one []string
	// later are values of the language that this version does not have.
	later []string
	// key is set for what enters the key of an instance.
	key bool
	// doc, preset and typeText are for the documentation: the meaning, the default, and the type where Go's says too little.
	doc, preset, typeText string
}

// commonAttrs are the attributes of all targets that are handled here.
var commonAttrs = []string{"description", "for_each", "matrix", "private", "tags", "where"}

// An exclusion is a set of attributes of which a target has one, or, unless one is needed, none.
type exclusion struct {
	names  []string
	needed bool
}

var exclusions = map[string][]exclusion{
	"run":   {{[]string{"command", "script"}, true}},
	"fetch": {{[]string{"sha256", "blake3", "integrity"}, false}},
	"query": {{[]string{"registry", "url"}, true}},
}

// companions are attributes that mean something only beside another.
var companions = map[string]map[string]string{
	"run":   {"shell": "script"},
	"fetch": {"strip": "unpack"},
	"query": {"args": "registry", "items": "url", "next": "url", "headers": "url", "url": "items"},
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
				name: opts[0], index: at, typ: sf.Type, doc: sf.Tag.Get("doc"), preset: sf.Tag.Get("default"), typeText: sf.Tag.Get("type"), key: sf.Tag.Get("key") != "no",
				one: strings.Fields(sf.Tag.Get("one")), later: strings.Fields(sf.Tag.Get("later")),
				required: slices.Contains(opts[1:], "required"), shape: slices.Contains(opts[1:], "shape"), source: slices.Contains(opts[1:], "source"),
			}
			f.raw = !f.shape && (sf.Type.Kind() == reflect.Interface || sf.Type == typeToolchains)
			fields = append(fields, f)
		}
	}
	return fields
}
