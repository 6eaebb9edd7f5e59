package registry_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules/registry"
)

// docs/registries.md says of each registry which arguments and fields there are, and its example is the one that is tested.
func TestDocumentation(t *testing.T) {
	doc, err := os.ReadFile("../../docs/registries.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.Contains(cells[2], "`") {
			continue
		}
		name := strings.TrimSpace(cells[1])
		rows = append(rows, name)
		reg := registry.All(registry.Options{})[name]
		if reg == nil {
			t.Errorf("there is no registry %s", name)
			continue
		}
		if fields := strings.Fields(cells[4]); !slices.Equal(fields, reg.Fields()) {
			t.Errorf("%s: documented fields %q, has %q", name, fields, reg.Fields())
		}
		_, err := reg.Starts(engine.Object{"?": true})
		if err == nil {
			t.Fatalf("%s takes anything", name)
		}
		_, takes, _ := strings.Cut(err.Error(), " takes ")
		if args := regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[2], -1); !slices.EqualFunc(args, strings.Split(takes, ", "), func(m []string, name string) bool { return m[1] == name }) {
			t.Errorf("%s: documented arguments %q, takes %q", name, cells[2], takes)
		}
		if !strings.Contains(string(doc), "\n### "+name+"\n") {
			t.Errorf("%s has no chapter", name)
		}
	}
	if slices.Sort(rows); !slices.Equal(rows, registry.Names()) {
		t.Errorf("the table has %q, there are %q", rows, registry.Names())
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "// Fonts is")
	code, _, _ = strings.Cut(code, "func Example()")
	if !strings.Contains(string(doc), "```go\n// Fonts is"+strings.TrimRight(code, "\n")+"\n```") {
		t.Error("the example in docs/registries.md is not that of example_test.go")
	}
}
