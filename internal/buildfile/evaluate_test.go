package buildfile

import (
	"strings"
	"testing"

	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/rules"
)

const evalFile = `
variable "n" { default = 3 }
locals {
  twice = var.n * 2
  key   = each.key
  flags = { debug = "-g", release = "-O2" }
  many  = { for i in range(30) : "k${i}" => i }
}
run "part" {
  for_each = ["a", "b"]
  command  = ["x", each.key]
  out      = "o"
}
`

func TestEvalWithoutTargets(t *testing.T) {
	w, diags := Load(realOptions(write(t, map[string]string{FileName: evalFile, "f.txt": "hello\n"})))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for expr, text := range map[string]string{
		`local.twice + 1`:             "7",
		`"n is ${var.n}"`:             "n is 3",
		`trimspace(file("f.txt"))`:    "hello",
		`{ a = [1, null], b = true }`: "{\n  \"a\": [\n    1,\n    null\n  ],\n  \"b\": true\n}",
		`1.5`:                         "1.5",
	} {
		e, diags := w.Eval(expr)
		if diags.HasErrors() {
			t.Errorf("%s: %v", expr, diags)
			continue
		}
		want(t, expr, e.Text(), text)
	}
	for expr, text := range map[string]string{
		`var.m`:                    `Did you mean "n"?`,
		`1 +`:                      "on expression line 1",
		`each.key`:                 "No each here",
		`local.key`:                "No each here",
		`run.prat["a"]`:            `Did you mean "run.part"`,
		`file("g.txt")`:            `Did you mean "f.txt"?`,
		`run.part["c"].out`:        "Unknown instance",
		`local.flags["relase"]`:    "No attribute \"relase\"",
		`local.flags.relase`:       `Did you mean "release"?`,
		`local.flags["x"]`:         "There are debug, release.",
		`local.many["other"]`:      "It has 30 others.",
		strings.Repeat("(", 10000): "Too deeply nested",
	} {
		e, diags := w.Eval(expr)
		if e != nil || !strings.Contains(diags.Error(), text) {
			t.Errorf("%.20s: %v, want %s", expr, diags.Error(), text)
		}
	}
}

// TestEvalWithTargets evaluates expressions over targets as part of a build.
func TestEvalWithTargets(t *testing.T) {
	w, diags := Load(realOptions(write(t, map[string]string{FileName: evalFile})))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	host := &fakeHost{store: castest.NewMemory()}
	w.Bind(&rules.Runtime{Store: host.store, Executor: host, Sources: host, System: host})
	run := func(expr string) (*Evaluation, engine.Class) {
		e, diags := w.Eval(expr)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		b := engine.New(engine.Options{Targets: append(w.Targets, e.Target), Cache: castest.NewMemoryActionCache(), Window: 4})
		if err := b.Run(t.Context(), []engine.Want{{Label: e.Target.Label}}); err != nil {
			t.Fatal(err)
		}
		for r, err := range b.Whole(t.Context(), e.Target.Label) {
			if err != nil {
				t.Fatal(err)
			}
			return e, r.Cells[0].Class()
		}
		return e, ""
	}
	e, class := run(`[for k, r in run.part : "${k} ${r.outcome} ${r.exit_code}"]`)
	want(t, "class", class, engine.ClassPass)
	want(t, "text", e.Text(), "[\n  \"a pass 0\",\n  \"b pass 0\"\n]")
	if e, _ := run(`run.part["a"].out`); !strings.HasPrefix(e.Text(), "b3:") {
		t.Errorf("an artifact: %s", e.Text())
	}
	if _, class := run(`run.part["a"].out.x`); class != engine.ClassInvalid {
		t.Errorf("a mistake: %s", class)
	}
}
