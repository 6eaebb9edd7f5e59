package buildfile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/rules"
)

// A fakeHost stands in for the machine: it "executes" a command by writing what it was asked to do into every out.
type fakeHost struct {
	store cas.Store
	mu    sync.Mutex
	ran   []string
}

func (h *fakeHost) Guarantees() engine.Guarantees {
	return engine.Guarantees{Sandbox: engine.SandboxNone}
}

func (h *fakeHost) Execute(ctx context.Context, c *engine.Command) (*engine.Result, error) {
	line := strings.Join(c.Argv, " ") + " | " + c.Script
	for _, m := range c.Mounts {
		line += " <" + m.Path
	}
	h.mu.Lock()
	h.ran = append(h.ran, line)
	h.mu.Unlock()
	if strings.Contains(line, "explode") {
		return &engine.Result{Status: engine.Fail, ExitCode: 1}, nil
	}
	r := &engine.Result{}
	for _, o := range c.Outs {
		d, err := cas.PutBytes(ctx, h.store, []byte(line+" > "+o.Path))
		if err != nil {
			return nil, err
		}
		r.Outs = append(r.Outs, engine.Output{Path: o.Path, Artifact: engine.Artifact{Digest: d, Name: o.Path}})
	}
	return r, nil
}

func (h *fakeHost) Source(ctx context.Context, _, path string) (engine.Artifact, error) {
	d, err := cas.PutBytes(ctx, h.store, []byte(path))
	return engine.Artifact{Digest: d, Name: path, Source: true}, err
}

func (h *fakeHost) Restore(context.Context, cas.Digest) error {
	return errors.New("nothing is lost here")
}

func (h *fakeHost) Host(context.Context, []string, []string) ([]string, bool, error) {
	return []string{"test"}, true, nil
}

// build builds targets of the workspace in the real engine with the real rules, and returns the lines that were executed, sorted.
func build(t *testing.T, w *Workspace, patterns ...string) (*engine.Build, []string) {
	t.Helper()
	host := &fakeHost{store: castest.NewMemory()}
	w.Bind(&rules.Runtime{Store: host.store, Executor: host, Sources: host, System: host})
	targets, diags := w.Resolve(patterns)
	if diags.HasErrors() {
		t.Fatal(diags.Error())
	}
	var wants []engine.Want
	for _, e := range targets {
		wants = append(wants, engine.Want{Label: e.Label})
	}
	b := engine.New(engine.Options{Targets: w.Targets, Cache: castest.NewMemoryActionCache(), Jobs: 2, Connections: 2, Window: 4})
	if err := b.Run(t.Context(), wants); err != nil {
		t.Fatal(err)
	}
	slices.Sort(host.ran)
	return b, host.ran
}

func outcomes(t *testing.T, b *engine.Build, name string) []string {
	t.Helper()
	var out []string
	for r, err := range b.Whole(t.Context(), engine.Label{Name: name}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.Cells {
			s := fmt.Sprintf("%s%v %s", r.Key, o.Axes, o.Class())
			if o.Err != nil {
				s += ": " + o.Err.Error()
			}
			out = append(out, s)
		}
	}
	return out
}

func realOptions(dir string) Options {
	opts := testOptions(dir)
	opts.Read = nil
	return opts
}

func TestHelloInTheEngine(t *testing.T) {
	w, diags := Load(realOptions(sample(t, "hello")))
	if diags.HasErrors() {
		t.Fatal(diags.Error())
	}
	_, ran := build(t, w)
	want(t, "executed", strings.Join(ran, "\n"), strings.Join([]string{
		"cat in/1/hello_stage in/2/world_stage inputs |  <in/1/hello_stage <in/2/world_stage <inputs",
		"cc in/1/hello.o -o hello |  <in/1/hello.o",
		"cc in/1/world.o -o world |  <in/1/world.o",
		"in/1/hello |  <in/1/hello",
		"in/1/world |  <in/1/world",
		"sh -eu " + engine.ScriptPath + " | cc -c $in -o $out <a.h <hello.c",
		"sh -eu " + engine.ScriptPath + " | cc -c $in -o $out <a.h <world.c",
	}, "\n"))
}

func TestOutcomesInTheEngine(t *testing.T) {
	dir := write(t, map[string]string{FileName: `
run "part" {
  for_each      = ["a", "b", "c"]
  where         = each.key != "c"
  matrix        = { v = { old = "ok", new = each_new } }
  command       = ["x", each.key, matrix.v]
  out           = "o"
  allow_failure = true
}
locals {}
`})
	_, diags := Load(realOptions(dir))
	if !strings.Contains(diags.Error(), "Unknown name each_new") {
		t.Fatal(diags.Error())
	}
	dir = write(t, map[string]string{FileName: `
run "part" {
  for_each      = ["a", "b", "c"]
  where         = each.key != "c" && !(each.key == "a" && axis.v == "new")
  matrix        = { v = { old = "ok", new = "explode" } }
  command       = ["x", each.key, matrix.v]
  out           = "o"
  allow_failure = true
}
run "reader" {
  for_each = run.part
  command  = ["cat", each.value.new.out]
}
run "over_axes" {
  for_each = run.single
  command  = ["cat", each.value.out]
}
run "single" {
  matrix  = { os = ["linux", "mac"] }
  command = ["make", matrix.os]
  out     = "o"
}
run "lookup" {
  for_each = ["a", "c", "nope"]
  command  = ["cat", run.part[each.key].old.out]
}
run "all" { command = [for k, r in run.part : try(r.new.outcome, "none")] }
group "everything" { targets = [run.reader, run.over_axes, run.lookup, run.all] }
`})
	w, diags := Load(realOptions(dir))
	if diags.HasErrors() {
		t.Fatal(diags.Error())
	}
	b, ran := build(t, w, "everything", "reader", "over_axes", "lookup", "all")
	want(t, "part", outcomes(t, b, "part"), []string{"a[old] pass", "b[old] pass", "b[new] fail"})
	want(t, "over_axes", outcomes(t, b, "over_axes"), []string{"linux[] pass", "mac[] pass"})
	want(t, "reader", outcomes(t, b, "reader"), []string{
		`a[] skipped: skipped: run.part["a"]["new"] was dropped by where`, `b[] skipped: skipped: run.part["b"]["new"] failed`,
	})
	lookup := outcomes(t, b, "lookup")
	want(t, "lookup a", lookup[0], "a[] pass")
	want(t, "lookup c", lookup[1], `c[] skipped: skipped: run.part["c"] was dropped by where`)
	if !strings.HasPrefix(lookup[2], `nope[] invalid: Unknown instance run.part["nope"]`) || !strings.Contains(lookup[2], "BUILD.hcl line") {
		t.Errorf("lookup nope: %s", lookup[2])
	}
	if !slices.ContainsFunc(ran, func(s string) bool { return strings.HasPrefix(s, "none fail |") }) {
		t.Errorf("all did not see the outcomes: %v", ran)
	}
}
