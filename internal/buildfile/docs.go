package buildfile

import (
	_ "embed"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"cbuild/engine"
	"cbuild/rules"
)

// languageText is the prose of the documentation: topics, each begun by a line "@topic NAME TITLE", in which a line "@table NAME" stands
// for a table that is made from the code.
//
//go:embed language.md
var languageText string

// A topic is a chapter of the documentation.
type topic struct{ name, title, text string }

var topics = sync.OnceValue(func() []topic {
	var list []topic
	for part := range strings.SplitSeq("\n"+languageText, "\n@topic ") {
		head, body, _ := strings.Cut(part, "\n")
		if name, title, ok := strings.Cut(head, " "); ok {
			list = append(list, topic{name, title, filled(body)})
		}
	}
	return list
})

// filled returns text with the tables in their places.
func filled(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if name, ok := strings.CutPrefix(line, "@table "); ok {
			line = strings.TrimSuffix(docTable(name), "\n")
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Topics returns the names of the chapters of the documentation: rules, and words such as "functions".
func Topics() []string {
	var names []string
	for _, t := range topics() {
		names = append(names, t.name)
	}
	return names
}

// Doc returns a chapter of the documentation as Markdown, or what the code of a mistake means.
func Doc(name string) (text string, ok bool) {
	list := topics()
	i := slices.IndexFunc(list, func(t topic) bool { return t.name == name })
	if i < 0 {
		return codeDoc(name)
	}
	return "# " + list[i].title + "\n\n" + list[i].text, true
}

// Documentation returns all of it: the text of docs/language.md.
func Documentation() string {
	var b strings.Builder
	b.WriteString("# The language\n\nWritten from the code by `go test ./internal/buildfile -run Documentation -update`; `cbuild help TOPIC` says the same.\n")
	for _, t := range topics() {
		fmt.Fprintf(&b, "\n## %s\n\n%s", t.title, t.text)
	}
	return b.String()
}

// docTable returns a table that is made from the code: the attributes of a rule, or one of the others.
func docTable(name string) string {
	switch name {
	case "common":
		return attributeTable(structFields(reflect.TypeFor[rules.Common](), nil), false)
	case "functions":
		return functionsTable()
	case "codes":
		return codesTable()
	case "reads":
		return readsTable()
	case "rules":
		return rulesTable()
	}
	for _, k := range rules.Kinds() {
		if k.Name == name {
			own := slices.DeleteFunc(newKind(k).fields, func(f *field) bool { return len(f.index) > 1 })
			return attributeTable(own, true)
		}
	}
	panic("buildfile: no table " + name)
}

// rulesTable lists the rules, with the titles of their chapters.
func rulesTable() string {
	var b strings.Builder
	b.WriteString("| rule | a target of it is |\n|---|---|\n")
	for _, k := range rules.Kinds() {
		_, after, _ := strings.Cut("\n"+languageText, "\n@topic "+k.Name+" ")
		title, _, _ := strings.Cut(after, "\n")
		_, about, _ := strings.Cut(title, ": ")
		fmt.Fprintf(&b, "| `%s` | %s |\n", k.Name, about)
	}
	return b.String()
}

// attributeTable lists fields; with keys, it says which are part of an instance's key.
func attributeTable(fields []*field, keys bool) string {
	var b strings.Builder
	head, line := "| attribute | type | default |", "|---|---|---|"
	if keys {
		head, line = head+" key |", line+"---|"
	}
	b.WriteString(head + " meaning |\n" + line + "---|\n")
	for _, f := range fields {
		fmt.Fprintf(&b, "| `%s` | %s | %s |", f.name, f.typeName(), cell0(f.defaultText()))
		if keys {
			b.WriteString(map[bool]string{true: " yes |", false: " |"}[f.key])
		}
		doc := f.doc
		if len(f.one) > 0 && !strings.Contains(doc, `"`+f.one[0]+`"`) {
			doc += " One of " + quotedList(f.one) + "."
		}
		if len(f.later) > 0 {
			doc += " Not yet: " + quotedList(f.later) + "."
		}
		fmt.Fprintf(&b, " %s |\n", cell0(doc))
	}
	return b.String()
}

func quotedList(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, `"`+w+`"`)
	}
	return strings.Join(quoted, ", ")
}

func (f *field) defaultText() string {
	if f.required {
		return "required"
	}
	return f.preset
}

// typeNames are the types of attributes as users know them.
var typeNames = map[reflect.Type]string{
	reflect.TypeFor[time.Duration]():          "duration",
	reflect.TypeFor[rules.Size]():             "size",
	reflect.TypeFor[engine.Text]():            "text",
	reflect.TypeFor[[]engine.Text]():          "list of texts",
	reflect.TypeFor[map[string]engine.Text](): "map of texts",
	reflect.TypeFor[rules.Pools]():            "`pool.NAME`, or a list of them",
	reflect.TypeFor[rules.Templates]():        "file, list of files, or map from file to template",
	typeConfidential:                          "map of strings and secrets",
	reflect.TypeFor[[]engine.Input]():         "list, or map of destinations",
	reflect.TypeFor[[]rules.Normalization]():  "list of `{ pattern, replace }`",
	reflect.TypeFor[map[string]string]():      "map of strings",
	reflect.TypeFor[[]string]():               "list of strings",
	reflect.TypeFor[string]():                 "string",
	reflect.TypeFor[bool]():                   "bool",
	reflect.TypeFor[int]():                    "number",
	typeToolchains:                            "list of toolchains",
	typeRows:                                  "collection, map or list",
	typeExpr:                                  "expression",
	typeExprs:                                 "list of expressions",
	typeNamedExprs:                            "object of expressions",
	typePageExpr:                              "expression",
}

// typeName writes the type of f.
func (f *field) typeName() string {
	typ := f.typ
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch name, ok := typeNames[typ]; {
	case f.typeText != "":
		return f.typeText
	case f.shape:
		return "path, list or object of paths"
	case ok:
		return name
	}
	panic("buildfile: the type of " + f.name + " has no name")
}

// readsTable lists what can be read of the instances of each rule.
func readsTable() string {
	var b strings.Builder
	b.WriteString("| rule | readable |\n|---|---|\n")
	for _, k := range rules.Kinds() {
		reads := "its items"
		if len(k.Reads) > 0 {
			reads = "`" + strings.Join(k.Reads, " ") + "`"
		}
		fmt.Fprintf(&b, "| %s | %s |\n", k.Name, reads)
	}
	return b.String()
}
