package buildfile

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules"
)

// ruleFiles are a package with rules and one that calls them.
func ruleFiles(calls string) map[string]string {
	return map[string]string{
		FileName:        "cbuild {}\n",
		"rules/cc/a.sh": "x", "rules/cc/common.txt": "of the rule\n",
		"app/a.c": "x", "app/a.sh": "mine", "app/common.txt": "of the caller\n",
		"rules/cc/" + FileName: `
variable "opt" { default = "-O2" }
locals {
  flags = [var.opt]
  tool  = run.tool.out
}
function "object_name" {
  params = [path]
  result = "${path}.o"
}
run "tool" {
  command = ["make", "tool"]
  out     = "tool"
}
rule "cc_library" {
  param "srcs" { type = any }
  param "flags" { default = [] }
  param "wrap" {
    type    = object({ by = optional(string, "none") })
    default = {}
  }
  locals {
    flags = concat(local.base, param.flags)
    base  = ["-g", file("common.txt"), path.package]
  }
  run "object" {
    for_each = param.srcs
    inputs   = ["a.sh"]
    command  = concat(["cc", each.value, local.tool, param.wrap.by], local.flags)
    out      = object_name(each.key)
  }
  output "objects" { value = run.object }
  output "flags" { value = local.flags }
}
rule "cc_binary" {
  param "srcs" { type = any }
  param "libs" {
    type    = any
    default = []
  }
  cc_library "lib" {
    srcs  = param.srcs
    flags = ["-n", rule.name, self_name()]
  }
  run "link" {
    command = concat(["ld", self.name], [for o in cc_library.lib.objects : o.out], flatten([for l in param.libs : l]))
    out     = rule.name
  }
  run "lint" {
    command = ["lint", run.link.outcome]
  }
  output "out" { value = run.link.out }
  output "objects" { value = cc_library.lib.objects }
}
function "self_name" {
  result = "f"
}
`,
		"app/" + FileName: "import \"cc\" {\n  from  = \"//rules/cc\"\n  rules = [\"cc_binary\", \"cc_library\"]\n}\n" + calls,
	}
}

const twoCalls = `
run "gen" {
  for_each = ["g1", "g2"]
  command  = ["gen", each.key]
  out      = "gen.c"
}
cc_library "lib" {
  srcs = { for k, r in run.gen : k => r.out if k != "g2" }
}
cc_binary "prog" {
  srcs = ["main.c"]
  libs = [for o in cc_library.lib.objects : o.out]
}
run "user" {
  command = concat([cc_binary.prog.out], cc_library.lib.flags, [cc_binary.prog.objects["main.c"].out, cc_library.lib.objects["g1"].outcome])
}
group "all" {
  targets = [cc_binary.prog]
}
`

// TestRules expands calls to the targets that are in the rules.
func TestRules(t *testing.T) {
	f := load(t, testOptions(write(t, ruleFiles(twoCalls))))
	want(t, "targets", strings.Join(labels(f.w.Targets), " "),
		"//app:gen //app:lib //app:lib/object //app:prog //app:prog/link //app:prog/lint //app:prog/lib //app:prog/lib/object //app:user //app:all //rules/cc:tool")
	for _, name := range []string{"gen", "tool", "lib/object", "prog/lib/object", "prog/link", "user"} {
		f.finish(t, name)
	}
	for name, text := range map[string]string{
		"lib/object":      "cc <gen.c> <tool> none -g of the rule\n rules/cc",
		"prog/lib/object": "cc main.c <tool> none -g of the rule\n rules/cc -n prog f",
		"prog/link":       "ld link <main.c.o> <g1.o>",
		"user":            "<prog> -g of the rule\n rules/cc <main.c.o> pass",
	} {
		want(t, name, strings.Join(mustCommand(t, f, name), " "), text)
	}
	needs := make(map[string]string)
	for _, e := range f.w.Targets {
		for _, n := range e.Needs {
			needs[e.Label.Name] += fmt.Sprintf("%s:%s ", n.Label.Name, n.Mode)
		}
	}
	for name, text := range map[string]string{
		"lib/object": "gen:stream tool:whole ", "prog": "prog/link:whole prog/lib/object:whole ", "prog/link": "prog/lib/object:whole lib/object:whole ",
		"user": "prog/link:whole prog/lib/object:instance lib/object:instance ",
	} {
		want(t, name+" needs", needs[name], text)
	}
	inst := f.instances(t, "lib/object")[0]
	self := f.w.byLabel[inst.Target.Label].self(f, inst)
	want(t, "the package of the files that the rule names", self.Dir+" "+self.Name, "rules/cc object")
	for _, e := range f.w.Targets {
		if e.Label.Name == "prog" {
			plan, err := e.Plan(t.Context(), f, engine.Instance{Target: e})
			if err != nil {
				t.Fatal(err)
			}
			r, err := plan.Action.Do(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			var outs []string
			for _, o := range r.Outs {
				outs = append(outs, o.Path)
			}
			want(t, "outs of the call", strings.Join(outs, " "), "prog main.c.o")
		}
	}
	f.w.Package = "app"
	var names []string
	for _, target := range f.w.defaultTargets() {
		names = append(names, target.label.Name)
	}
	want(t, "defaults", strings.Join(names, " "), "prog/lint user all")
	for pattern, text := range map[string]string{"prog/link": "//app:prog/link", "//app:prog/lib/object": "//app:prog/lib/object", ":prog": "//app:prog"} {
		got, diags := f.w.Resolve([]string{pattern})
		if len(got) != 1 || got[0].Label.String() != text {
			t.Errorf("%s is %v, %v", pattern, labels(got), diags.Error())
		}
	}
	if _, diags := f.w.Resolve([]string{"prog/lnik"}); !strings.Contains(diags.Error(), `Did you mean "prog/link"?`) {
		t.Error(diags.Error())
	}
}

// TestRuleMistakes names both places of what is wrong in a call.
func TestRuleMistakes(t *testing.T) {
	for calls, text := range map[string]string{
		"cc_binary \"a\" {}":                                                                                 "Missing attribute \"srcs\"\n  on app/BUILD.hcl line 5, in cc_binary \"a\":\n  5: cc_binary \"a\" {}\nA cc_binary needs it. It is declared at rules/cc/BUILD.hcl:36.",
		"cc_binary \"a\" { srcs = [each.key] }":                                                              "No each here",
		"cc_binary \"a\" { srcs = [cc_binary.a.out] }":                                                       "Dependency cycle",
		"cc_binary \"a\" {\n  srcs = []\n}\nrun \"a\" {}":                                                    "Duplicate target",
		"cc_binary \"a\" {\n  srcs = []\n  libs = [run.x.out]\n}":                                            "Unknown target run.x",
		"cc_library \"a\" {\n  srcs = []\n  flags = { a = 1 }\n}":                                            "Invalid flags\n  on app/BUILD.hcl line 7",
		"cc_library \"a\" {\n  srcs = 7\n}":                                                                  "Cannot be repeated\n  on ",
		"cc_libary \"a\" {}":                                                                                 `Did you mean "cc_library"?`,
		"run \"x\" {\n  command = [cc_library.a.flags]\n}":                                                   "Unknown target cc_library.a",
		"run \"x\" {\n  command = [cc_libary.a.flags]\n}":                                                    `Did you mean "cc_library"?`,
		"cc_library \"a\" { srcs = [] }\nrun \"x\" {\n  command = [run.a.out]\n}":                            `Did you mean "cc_library.a", defined at app/BUILD.hcl:5?`,
		"import \"cd\" {\n  from = \"//rules/cc\"\n  rules = [\"cc_bin\"]\n}":                                `Unknown rule cc_bin`,
		"import \"cd\" {\n  from = \"//rules/cc\"\n  rules = \"cc_binary\"\n}":                               `Invalid rules`,
		"rule \"cc_binary\" {}":                                                                              "Duplicate rule",
		"cc_library \"a\" { srcs = [\"x\"] }\nrun \"x\" {\n  command = cc_library.a.objects.out\n}":          "Missing instance key",
		"cc_library \"a\" { srcs = [\"x\"] }\nrun \"x\" {\n  command = [cc_library.a.objects[\"y\"].out]\n}": `Unknown instance cc_library.a.objects["y"]`,
	} {
		_, diags := Load(testOptions(write(t, ruleFiles(calls))))
		if got := diags.Error(); !strings.Contains(got, text) {
			t.Errorf("%s:\n%s\nwant %s", calls, got, text)
		}
	}
	files := ruleFiles("cc_binary \"a\" { srcs = [\"x\"] }\n")
	files["rules/cc/"+FileName] = strings.ReplaceAll(files["rules/cc/"+FileName], "run.link.outcome", "run.lnik.outcome")
	_, diags := Load(testOptions(write(t, files)))
	want(t, "a mistake in a rule", diags.Error(), "Error: Unknown target run.lnik\n  on rules/cc/BUILD.hcl line 50, in rule \"cc_binary\":\n  50:     command = [\"lint\", run.lnik.outcome]\n"+
		"  called on app/BUILD.hcl line 5, in cc_binary \"a\":\n  5: cc_binary \"a\" { srcs = [\"x\"] }\nDid you mean \"run.link\", defined at rules/cc/BUILD.hcl:45?")
	files = ruleFiles("cc_library \"a\" {\n  srcs = [\"x\"]\n  wrap = { by = run.lib.outcome }\n}\ncc_library \"b\" {\n  srcs = [\"x\"]\n  flags = run.lib.outcome\n}\nrun \"lib\" {\n  command = [\"x\"]\n}\n")
	f := load(t, testOptions(write(t, files)))
	for _, name := range []string{"tool", "lib"} {
		f.finish(t, name)
	}
	want(t, "typed", strings.Join(mustCommand(t, f, "a/object")[2:4], " "), "<tool> pass")
	_, err := command(t, f, "b/object")
	if err == nil || !strings.Contains(err.Error(), "Invalid flags\n  on app/BUILD.hcl line 11") {
		t.Errorf("a value of the wrong type, known in the build only: %v", err)
	}
}

// TestRuleLimits bounds what a few lines of rules come to.
func TestRuleLimits(t *testing.T) {
	text := "rule \"r0\" {\n  write \"w\" { content = \"x\" }\n}\n"
	for i := 1; i < 60; i++ {
		text += fmt.Sprintf("rule \"r%d\" {\n  r%d \"a\" {}\n  r%d \"b\" {}\n}\n", i, i-1, i-1)
	}
	if got := loadOnly(t, text+"r20 \"x\" {}\n"); !strings.Contains(got, "Too many calls") {
		t.Errorf("a million targets: %.300s", got)
	}
	deep := regexp.MustCompile(`(?m)^  r\d+ "b" \{\}\n`).ReplaceAllString(text, "")
	if got := loadOnly(t, deep+"r59 \"x\" {}\n"); !strings.Contains(got, "more than 32 deep") {
		t.Errorf("deep: %.300s", got)
	}
	var b strings.Builder
	b.WriteString("rule \"r\" {\n  param \"p\" { type = string }\n  write \"w\" { content = param.p }\n  output \"o\" { value = write.w.out }\n}\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "r \"c%d\" { p = \"%d\" }\n", i, i%10)
	}
	f := loadText(t, b.String())
	want(t, "targets", len(f.w.Targets), 10_000)
	spec, err := f.spec(t, f.instances(t, "c4999/w")[0])
	if err != nil {
		t.Fatal(err)
	}
	got, _ := spec.(*rules.Write).Content.IsLiteral()
	want(t, "content", got, "9")
}

// TestPlaces publishes what calls made under its own name, and apart where names are equal, whatever the keys.
func TestPlaces(t *testing.T) {
	file := func(name, content string) engine.Artifact {
		return engine.Artifact{Name: name, Digest: cas.Of([]byte(content))}
	}
	for text, outputs := range map[string]engine.Object{
		"a.o b.o":                            {"out": file("a.o", "1"), "more": []engine.Value{file("b.o", "2"), file("a.o", "1"), "text", nil}},
		"out":                                {"out": file("out", "1"), "src": engine.Artifact{Name: "x.c", Source: true}, "tool": engine.Artifact{Name: "tree", Tool: true}},
		"more/0/o more/1/o out/o":            {"out": file("o", "1"), "more": []engine.Value{file("o", "2"), file("o", "3")}},
		"out/%/o out/%2E./o out/%2F..%2Fx/o": {"out": engine.Object{"..": file("o", "1"), "/../x": file("o", "2"), "": file("o", "3")}},
		"dir/a/d dir/b/d/o":                  {"dir": engine.Object{"a": file("d", "1"), "b": file("d/o", "2")}},
		"":                                   {"out": "text"},
	} {
		var all []made
		for _, name := range sortedKeys(outputs) {
			all = madeIn(outputs[name], name, all)
		}
		var got []string
		for _, o := range places(all) {
			if !filepath.IsLocal(o.Path) {
				t.Errorf("%s leaves the folder", o.Path)
			}
			got = append(got, o.Path)
		}
		slices.Sort(got)
		want(t, "places", strings.Join(got, " "), text)
	}
}
