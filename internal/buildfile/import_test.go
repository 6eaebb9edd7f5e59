package buildfile

import (
	"fmt"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules"
)

// importFiles are packages that import one another; USE stands for what a target of the root package says.
func importFiles(use string) map[string]string {
	return map[string]string{
		FileName: "import \"lib\" { from = \"//lib\" }\nimport \"sub\" { from = \"lib/sub\" }\nimport \"unused\" { from = \"//lib\" }\nlocals {\n  objects = import.lib.object\n}\n" +
			"run \"user\" {\n " + use + "\n}\n",
		"lib/" + FileName: `
import "top" { from = "//" }
import "sub" { from = "sub" }
run "object" {
  for_each = ["a", "b"]
  command  = ["x", each.key]
  out      = "o"
}
run "wide" {
  matrix  = { v = ["p", "q"] }
  command = ["x"]
  out     = "o"
}
run "one" {
  command = ["x", import.sub.deep.outcome]
  out     = "o"
}
run "secret" {
  command = ["x"]
  private = true
}
run "own" {
  command = [run.secret.outcome]
}
query "q" {
  registry = "go"
  args     = { modules = ["x"], versions = "all" }
}
`,
		"lib/sub/" + FileName: "import \"lib\" { from = \"//lib\" }\nrun \"deep\" {\n  command = [\"x\"]\n  out = \"o\"\n}\nrun \"back\" {\n  command = [import.lib.one.outcome]\n}\n",
	}
}

// TestImports reads targets of other packages everywhere where those of this one can stand: as in one package.
func TestImports(t *testing.T) {
	for _, use := range []string{
		`command = [RUN.one.out, RUN.one.outcome]`,
		`command = ["${RUN.object["a"].out}/x", RUN.wide.p.out, RUN.wide["q"].out]`,
		"for_each = RUN.object\n command = [each.value.out]",
		"for_each = { for k, r in RUN.object : k => r if k != \"a\" }\n command = [each.value.out]",
		"for_each = [\"a\", \"b\"]\n command = [RUN.object[each.key].out]\n where = RUN.object[each.key].ok",
		`command = [for r in RUN.object : r.out]`,
		`command = RUN.object[*].out`,
		`inputs = { x = RUN.one.out, y = [for r in RUN.object : r.out] }` + "\n command = [\"x\"]",
		"matrix = { o = RUN.object, w = RUN.wide }\n command = [matrix.o.out, matrix.w.out]",
		`command = [RUN.one.ok ? RUN.one.out : "none", try(RUN.wide.p.out, "x")]`,
	} {
		var got [2]string
		for i, from := range []string{"import.lib", "run"} {
			files := importFiles(strings.ReplaceAll(use, "RUN", from))
			if from == "run" { // all in one package
				text := files["lib/"+FileName]
				files = map[string]string{FileName: strings.ReplaceAll(text[strings.Index(text, "run "):], "import.sub.deep", "run.own") + "run \"user\" {\n " + strings.ReplaceAll(use, "RUN", from) + "\n}\n"}
			}
			f := load(t, testOptions(write(t, files)))
			for _, name := range []string{"object", "wide", "one"} {
				if name == "one" {
					f.finish(t, map[string]string{"import.lib": "deep", "run": "secret"}[from])
				}
				if name == "one" && from == "run" {
					f.finish(t, "own")
				}
				f.finish(t, name)
			}
			e := f.named(t, "user")
			for _, n := range e.Needs {
				got[i] += fmt.Sprintln(n.Label.Name, n.Mode, n.Attribute)
			}
			for _, inst := range f.instances(t, "user") {
				spec, err := f.spec(t, inst)
				if err != nil {
					t.Fatalf("%s: %v", use, err)
				}
				got[i] += fmt.Sprintln(inst.Name(), renderAll(spec.(*rules.Run).Command), len(spec.(*rules.Run).Inputs))
			}
		}
		if got[0] != got[1] {
			t.Errorf("%s: imported\n%s\nin one package\n%s", use, got[0], got[1])
		}
	}
	f := load(t, testOptions(write(t, importFiles("command = [for k, r in local.objects : k]"))))
	want(t, "label", f.named(t, "user").Needs[0].Label, engine.Label{Dir: "lib", Name: "object"})
	diags := new(Diagnostics)
	f.w.Package = "lib"
	var names []string
	for _, target := range f.w.defaultTargets() {
		names = append(names, target.label.Name)
	}
	want(t, "defaults of lib, to which others refer", strings.Join(names, " "), "object wide one own q")
	want(t, "mistakes", diags.Error(), "")
}

func TestImportMistakes(t *testing.T) {
	for use, text := range map[string]string{
		`command = [import.lib.objekt["a"].out]`:                                   `Did you mean "import.lib.object", defined at lib/BUILD.hcl:4?`,
		`command = [import.lib.object.out]`:                                        "Write import.lib.object[each.key].out for the same instance",
		`command = [import.lib.object["c"].out]`:                                   "Did you mean \"a\"?",
		`command = [import.lib.one.uot]`:                                           "Unknown attribute import.lib.one.uot",
		`command = [import.lib.secret.outcome]`:                                    "Error: Private target import.lib.secret\n  on BUILD.hcl line 8, in run \"user\":\n  8:  command = [import.lib.secret.outcome]\nOnly //lib may refer to it. Remove private = true at lib/BUILD.hcl:20, or this reference.",
		`command = [import.lob.one.out]`:                                           "Unknown import lob",
		`command = [import.lib]`:                                                   "Write import.ALIAS.NAME",
		`command = [import]`:                                                       "Write import.ALIAS.NAME",
		`command = [import.lib["one"]]`:                                            "Write import.lib.NAME",
		`command = [import.lib.run.one.out]`:                                       "goes by its name, without \"run\"",
		`command = [import.lib.wide.out]`:                                          "is repeated for a matrix",
		"description = import.lib.one.out\n command = [\"x\"]":                     "No targets here",
		`command = ["x"]` + "\n}\nimport \"a\" { from = \"//lob\" }\nlocals {":     `Did you mean "//lib"?`,
		`command = ["x"]` + "\n}\nimport \"a\" { form = \"//lib\" }\nlocals {":     `Did you mean "from"?`,
		`command = ["x"]` + "\n}\nimport \"lib\" { from = \"//lib\" }\nlocals {":   `Duplicate import`,
		`command = ["x"]` + "\n}\nimport \"a\" { from = \"../lib\" }\nlocals {":    "a label never has \"..\"",
		`command = ["x"]` + "\n}\nimport \"a\" { from = \"//lib:one\" }\nlocals {": "It names a package, not a target",
		`command = ["x"]` + "\n}\nimport \"a\" { from = local.objects }\nlocals {": "written as a literal",
		`command = ["x"]` + "\n}\nimport { from = \"//lib\" }\nlocals {":           "An import has one name",
	} {
		_, diags := Load(testOptions(write(t, importFiles(use))))
		if got := diags.Error(); !strings.Contains(strings.ToLower(got), strings.ToLower(text)) {
			t.Errorf("%s:\n%s\nwant %s", use, got, text)
		}
	}
	files := importFiles("command = [import.sub.back.outcome]\n out = \"o\"")
	files["lib/sub/"+FileName] = strings.ReplaceAll(files["lib/sub/"+FileName], "command = [\"x\"]", "command = [import.lib.one.outcome]")
	_, diags := Load(testOptions(write(t, files)))
	for _, text := range []string{"Dependency cycle", "2 targets wait for one another", "//lib:one", "//lib/sub:deep", "(lib/BUILD.hcl:15, in \"command\")", "(lib/sub/BUILD.hcl:3, in \"command\")"} {
		if !strings.Contains(diags.Error(), text) {
			t.Errorf("a circle over packages: %s\nwant %s", diags.Error(), text)
		}
	}
	files = importFiles("command = [import.lib.one.out, import.lib.nope.out]")
	files["lib/"+FileName] += "\nrun {"
	_, diags = Load(testOptions(write(t, files)))
	if strings.Contains(diags.Error(), "import.lib") {
		t.Errorf("a package with a mistake is one mistake: %s", diags.Error())
	}
}
