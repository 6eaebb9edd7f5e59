package buildfile

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

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

// Doc returns a chapter of the documentation as Markdown.
func Doc(name string) (text string, ok bool) {
	list := topics()
	i := slices.IndexFunc(list, func(t topic) bool { return t.name == name })
	if i < 0 {
		return "", false
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

// docTable returns the table name: that of a rule, or one of the others.
func docTable(name string) string {
	for _, k := range rules.Kinds() {
		if k.Name == name {
			return ruleTable(newKind(k))
		}
	}
	return ""
}

func ruleTable(k *kind) string {
	var b strings.Builder
	b.WriteString("| attribute | meaning |\n|---|---|\n")
	for _, f := range k.fields {
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.name, f.doc)
	}
	return b.String()
}
