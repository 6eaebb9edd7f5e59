package buildfile

import (
	"strings"
	"testing"

	"cbuild/engine"
)

const fuzzFile = `
cbuild {}
variable "n" { default = 3 }
variable "l" { default = ["a", "b"] }
locals {
  m = { a = 1, b = [true, null, "x"] }
  f = [for x in var.l : upper(x)]
}
query "q" { registry = "go" }
run "part" {
  for_each = ["a", "b"]
  matrix   = { v = { one = 1, two = "t" }, w = var.l }
  command  = ["x"]
  out      = { o = "o", d = "d/" }
}
run "one" {
  command = ["x"]
  stdout  = "o"
}
`

// FuzzEvaluate evaluates foreign expressions, with instances to look at: no panic, and no artifact that nobody made.
func FuzzEvaluate(f *testing.F) {
	for _, e := range []string{
		`local.m.b[1] == null ? run.one.out : upper("x")`, `[for k, r in run.part : "${k}${r.one.a.outcome}" if r.two.b.ok]`, `run.part["a"].one.b.out.d`,
		`try(run.part[local.f[0]].one.a.out, query.q["i"].url, "x")`, `jsonencode({ for k, i in query.q : k => i... })`, `"%{ for x in var.l ~}${x}%{ endfor }"`,
		`format("%-5.2f|%08d|%v|%q", 1.5, 7, [1], "x")`, `regex_replace("aaa", "(a)", "$1$1")`, `sample(run.part, 1, 0)`, `run.part[*].one.a.exit_code`,
		`shellquote([run.one.out, "a b"])`, `semver_max(["1.0.0", "v2"])`, `merge(local.m, { c = run.one })`, `setproduct(var.l, [1, 2])`, `yamldecode("a: &x [1]\nb: *x")`,
		`file("BUILD.hcl")`, `glob("**/*")`, `dirname(run.one.out)`, `each.key`, `self.out`, `var.l[*]`, `-(1 / 3) % 0.1`, `hash(run.part)`, `tomldecode("a = 1")`,
	} {
		f.Add(e)
	}
	w, diags := Load(realOptions(write(f, map[string]string{FileName: fuzzFile, "x.txt": "x"})))
	if diags.HasErrors() {
		f.Fatal(diags)
	}
	build := &fakeBuild{w: w, rows: fuzzRows(w)}
	f.Fuzz(func(t *testing.T, text string) {
		e, diags := w.Eval(text)
		_ = diags.Error()
		if e == nil {
			return
		}
		if e.Target != nil {
			if _, err := e.Target.Plan(t.Context(), build, engine.Instance{Target: e.Target}); err != nil {
				_ = err.Error()
				return
			}
		}
		if out := e.Text(); strings.Contains(out, markOpen) && !strings.Contains(text, "path") {
			t.Errorf("%q has a marker: %q", text, out)
		}
	})
}

// fuzzRows are what the targets of fuzzFile came to.
func fuzzRows(w *Workspace) map[string][]*engine.Row {
	rows := make(map[string][]*engine.Row)
	byName := make(map[string]*engine.Target)
	for _, t := range w.Targets {
		byName[t.Label.Name] = t
	}
	result := func(out string) *engine.Outcome {
		return &engine.Outcome{Shape: engine.OutSpec{Path: out}, Result: &engine.Result{Outs: []engine.Output{{Path: out, Artifact: engine.Artifact{Name: out}}}}}
	}
	for _, key := range []string{"a", "b"} {
		r := &engine.Row{Target: byName["part"], Key: key, Value: key}
		for _, axes := range [][]string{{"one", "a"}, {"one", "b"}, {"two", "a"}, {"two", "b"}} {
			o := result("o")
			if key == "b" && axes[0] == "two" {
				o = &engine.Outcome{Err: &engine.UnavailableError{Err: engine.ErrNotStored}}
			}
			o.Axes = axes
			r.Cells = append(r.Cells, o)
		}
		rows["part"] = append(rows["part"], r)
	}
	rows["one"] = []*engine.Row{{Target: byName["one"], Cells: []*engine.Outcome{result("o")}}}
	rows["q"] = []*engine.Row{{Target: byName["q"], Key: "i", Value: engine.Object{"url": "u", "n": int64(1), "list": []engine.Value{nil, 1.5}}}}
	return rows
}

// FuzzSelect reads foreign patterns of a command line: what they select is there, and nothing panics.
func FuzzSelect(f *testing.F) {
	for _, p := range []string{"", "one", ":one", "//:part[a][one]", "part[*][t?o][\"a\"]", "//...", "...", "tag:x", "@failed", "../x", "-rf", "part[", "part]", "x:[a]", "//:\x00", "a/b:c", "run.one"} {
		f.Add(p, "part[b]")
	}
	w, diags := Load(testOptions(write(f, map[string]string{FileName: fuzzFile, "sub/" + FileName: "run \"s\" {\n  command = [\"x\"]\n}\n"})))
	if diags.HasErrors() {
		f.Fatal(diags)
	}
	f.Fuzz(func(t *testing.T, pattern, exclude string) {
		selected, diags := w.Select([]string{pattern}, []string{exclude})
		_ = diags.Error()
		for _, s := range selected {
			s.Includes("a", []string{"one", "b"})
			if s.Target == nil {
				t.Errorf("%q selects no target", pattern)
			}
			s.Want()
		}
		if a, ok := ParseVar(pattern); ok && !validName(a.Name) {
			t.Errorf("%q sets %q", pattern, a.Name)
		}
	})
}

// FuzzVariable gives variables foreign text.
func FuzzVariable(f *testing.F) {
	for _, v := range []string{"", "1", "a,b", "[1, 2]", "{ a = 1 }", "\"x\"", "1e999999999", "${x}", "[", "null", "true"} {
		f.Add(v)
	}
	const file = "variable \"s\" { default = \"\" }\nvariable \"n\" { default = 1 }\nvariable \"b\" { default = true }\nvariable \"l\" { default = [] }\n" +
		"variable \"m\" {\n  type = map(list(number))\n  default = {}\n}\nvariable \"o\" {\n  type = object({ a = optional(string, \"d\") })\n  default = {}\n}\nvariable \"any\" {\n  type = any\n  default = 1\n}\n"
	dir := write(f, map[string]string{FileName: file})
	f.Fuzz(func(t *testing.T, text string) {
		opts := testOptions(dir)
		for _, name := range []string{"s", "n", "b", "l", "m", "o", "any"} {
			opts.Vars = append(opts.Vars, VarAssignment{Name: name, Value: text})
		}
		w, diags := Load(opts)
		_ = diags.Error()
		if w != nil {
			w.Variables()
		}
	})
}
