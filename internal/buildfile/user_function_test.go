package buildfile

import (
	"fmt"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules"
)

const functionFile = `
variable "ext" { default = "o" }
locals {
  dot = "."
}
function "object_name" {
  params = [path]
  result = "${trimsuffix(path, ".c")}${local.dot}${var.ext}"
}
function "objects" {
  params   = ["dir"]
  variadic = "sources"
  result   = [for s in sources : "${dir}/${object_name(s)}"]
}
function "twice" {
  params = [x]
  result = { a = x, b = [x] }
}
function "or" {
  params = [x, otherwise]
  result = try(x, otherwise)
}
function "first" {
  params = [x, y]
  result = x
}
function "pick" {
  params = [cond, x, y]
  result = cond ? x : y
}
function "nothing" {
  result = null
}
function "captured" {
  params = [list, x]
  result = [for y in list : [for x in [y] : x] == [y] ? "${y}${x}" : "no"]
}
function "of" {
  params = [list]
  result = { for k, r in list : k => r if k != "b" }
}
function "out_of" {
  params = [r]
  result = "${r.out}/${object_name("x.c")}"
}
function "both" {
  params = [r, k]
  result = [r[k].out, [for k, x in r : k], out_of(r[k])]
}
function "here" {
  params = []
  result = "${path.package} ${host.os}"
}
function "deep" {
  params = [x]
  result = first(twice(twice(x)), 1).a.b[0]
}
function "keyed" {
  params = [all, one]
  result = [for k, r in all : one.out][0]
}
function "checked" {
  params = [x]
  result = "${can(x)} ${x}"
}
run "part" {
  for_each = ["a", "b"]
  matrix   = null
  command  = ["x", each.key]
  out      = "${each.key}.o"
}
run "wide" {
  matrix  = { v = ["p", "q"] }
  command = ["x"]
  out     = "o"
}
`

// TestUserFunctions calls functions that the file declares.
func TestUserFunctions(t *testing.T) {
	w, diags := Load(realOptions(write(t, map[string]string{FileName: functionFile})))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for expr, text := range map[string]string{
		`object_name("a.c")`:                                       "a.o",
		`jsonencode(objects("d", "a.c", "b.c"))`:                   `["d/a.o","d/b.o"]`,
		`jsonencode(objects("d"))`:                                 `[]`,
		`jsonencode(objects(["d", "a.c"]...))`:                     `["d/a.o"]`,
		`jsonencode(objects("d", ["a.c"]...))`:                     `["d/a.o"]`,
		`twice({ n = [1, null] }).b[0].n[0] + 1`:                   "2",
		`nothing() == null && twice(null).a == null`:               "true",
		`or(jsondecode("{"), "none")`:                              "none",
		`or(or(jsondecode("{"), jsondecode("[")), "none")`:         "none",
		`first("x", jsondecode("{"))`:                              "x",
		`pick(true, "x", jsondecode("{"))`:                         "x",
		`pick(false, 1, "x")`:                                      "x",
		`jsonencode(captured(["1"], "2"))`:                         `["12"]`,
		`jsonencode([for y in ["7"] : captured(["1"], y)])`:        `[["17"]]`,
		`jsonencode([for x in [1] : [for x in [x] : twice(x).b]])`: `[[[1]]]`,
		`deep("v")`:                                    "v",
		`jsonencode(of({ a = 1, b = 2 }))`:             `{"a":1}`,
		`strlen(here()) > 2`:                           "true",
		`object_name(object_name(object_name("a.c")))`: "a.o.o.o",
	} {
		e, diags := w.Eval(expr)
		if diags.HasErrors() {
			t.Errorf("%s: %v", expr, diags)
			continue
		}
		want(t, expr, e.Text(), text)
	}
	for expr, text := range map[string]string{
		`object_name(null)`:         "It is called at expression:1",
		`objects([]...)`:            "It takes at least 1 argument (dir, sources…), not 0.",
		`twice("x"...)`:             "Only a list can be expanded",
		`object_nam("x")`:           `Did you mean "object_name"?`,
		`object_name(run.part.out)`: "Missing instance key",
		`out_of(run.part)`:          "Missing instance key",
		`out_of(run.part["c"])`:     "Unknown instance",
		`first(run.nope, 1)`:        "Unknown target",
	} {
		e, diags := w.Eval(expr)
		if e != nil || !strings.Contains(diags.Error(), text) {
			t.Errorf("%s: %v, want %s", expr, diags.Error(), text)
		}
	}
}

// TestCallsAreTheirResults compares targets that call functions with the same ones that have the results written out: they need the same
// instances, wait for the same, and evaluate to the same.
func TestCallsAreTheirResults(t *testing.T) {
	for _, c := range []struct{ call, written string }{
		{`command = [object_name("a.c")]`, `command = ["a.o"]`},
		{`command = [out_of(run.part["a"])]`, `command = ["${run.part["a"].out}/x.o"]`},
		{`command = flatten(both(run.part, "a"))`, `command = flatten([run.part["a"].out, [for k, x in run.part : k], "${run.part["a"].out}/x.o"])`},
		{"for_each = of(run.part)\n command = [each.value.out]", "for_each = { for k, r in run.part : k => r if k != \"b\" }\n command = [each.value.out]"},
		{"for_each = of(of({ for k, r in run.part : k => r }))\n command = [each.value.out]", "for_each = { for k, r in { for k, r in run.part : k => r if k != \"b\" } : k => r if k != \"b\" }\n command = [each.value.out]"},
		{"for_each = first(run.part, run.wide)\n command = [each.value.out]", "for_each = run.part\n command = [each.value.out]"},
		{"for_each = [\"a\"]\n command = [first(run.part[each.key].out, run.wide)]", "for_each = [\"a\"]\n command = [run.part[each.key].out]"},
		{`command = [for k in ["a"] : out_of(run.part[k])]`, `command = [for k in ["a"] : "${run.part[k].out}/x.o"]`},
		{`command = [pick(run.part["a"].ok, run.part["a"], run.part["b"]).out]`, `command = [(run.part["a"].ok ? run.part["a"] : run.part["b"]).out]`},
		{`command = [first(run.wide, 1).p.out, twice(run.wide).a.q.out]`, `command = [run.wide.p.out, run.wide.q.out]`},
		{"for_each = [\"a\"]\n command = [first(run.part, 1)[each.key].out, (first(run.part, 1))[\"b\"].out]", "for_each = [\"a\"]\n command = [run.part[each.key].out, run.part[\"b\"].out]"},
		{`command = ["x", twice(run.part["a"].out).b[0]]`, `command = ["x", run.part["a"].out]`},
		{`command = [for k in ["b"] : keyed(run.part, run.part[k])]`, `command = [for k in ["b"] : [for q, r in run.part : run.part[k].out][0]]`},
		{"matrix = { m = of(run.part) }\n command = [matrix.m.out]", "matrix = { m = { for k, r in run.part : k => r if k != \"b\" } }\n command = [matrix.m.out]"},
	} {
		var got [2]string
		for i, body := range []string{c.call, c.written} {
			f := loadText(t, functionFile+"run \"user\" {\n "+body+"\n}\n")
			f.finish(t, "part")
			f.finish(t, "wide")
			e := f.named(t, "user")
			for _, n := range e.Needs {
				got[i] += fmt.Sprintln(n.Label, n.Mode, n.Attribute)
			}
			for _, inst := range f.instances(t, "user") {
				spec, err := f.spec(t, inst)
				if err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				got[i] += fmt.Sprintln(inst.Name(), renderAll(spec.(*rules.Run).Command))
			}
		}
		if got[0] != got[1] {
			t.Errorf("%s\ncomes to\n%s\nbut written out\n%s", c.call, got[0], got[1])
		}
	}
}

// TestFunctionsStream follows a collection through functions while it grows.
func TestFunctionsStream(t *testing.T) {
	f := loadText(t, functionFile+"run \"user\" {\n  for_each = first(of(of(run.part)), 1)\n  command = [each.value.out]\n}\n"+
		"collate \"rows\" {\n  rows = of(run.part)\n}\nrun \"barrier\" {\n  command = keys(of(run.part))\n}\n")
	for name, mode := range map[string]engine.Mode{"user": engine.StreamMode, "rows": engine.StreamMode, "barrier": engine.WholeMode} {
		needs := f.named(t, name).Needs
		if len(needs) != 1 || needs[0].Mode != mode || needs[0].Label.Name != "part" {
			t.Errorf("%s needs %+v", name, needs)
		}
	}
	f.finish(t, "part")
	f.rows["part"] = append(f.rows["part"], &engine.Row{Target: f.named(t, "part"), Key: "bad", Err: &engine.SkippedError{Cause: "trouble"}})
	n := 0
	for item, err := range f.named(t, "user").Items(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if item.Key == "a" {
			break // the others are never asked for
		}
	}
	want(t, "elements", n, 1)
}

// TestCallsThatFail end as what their arguments are: who reads of a failure is skipped, also where an argument was tried before.
func TestCallsThatFail(t *testing.T) {
	f := loadText(t, functionFile+`
run "one" {
  command = ["x"]
  out     = "o"
}
run "skipped" {
  command = [checked("${run.one.out}")]
}
run "invalid" {
  command = [checked(jsondecode(run.one.outcome))]
}
run "passed" {
  command = [or("${run.one.out}", "none")]
}
`)
	f.results = func(i engine.Instance) error {
		if i.Target.Label.Name == "one" {
			return &engine.UnavailableError{Err: engine.ErrNotStored}
		}
		return nil
	}
	f.finish(t, "one")
	for name, class := range map[string]engine.Class{"skipped": engine.ClassSkipped, "invalid": engine.ClassInvalid} {
		_, err := command(t, f, name)
		want(t, name, engine.ClassOf(err), class)
	}
	want(t, "passed", mustCommand(t, f, "passed"), []string{"none"})
}
