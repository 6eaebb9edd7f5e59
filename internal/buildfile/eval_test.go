package buildfile

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/rules"
)

// command evaluates the command of the first instance of target name.
func command(t *testing.T, f *fakeBuild, name string) ([]string, error) {
	t.Helper()
	spec, err := f.spec(t, f.instances(t, name)[0])
	if err != nil {
		return nil, err
	}
	return renderAll(spec.(*rules.Run).Command), nil
}

func mustCommand(t *testing.T, f *fakeBuild, name string) []string {
	t.Helper()
	c, err := command(t, f, name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return c
}

func TestArtifactsInExpressions(t *testing.T) {
	f := loadText(t, `
locals {
  all  = [for r in run.part : r.out]
  nope = join("", [for r in run.part : "x"])
}

run "part" {
  for_each = ["a", "b"]
  command  = ["make"]
  out      = "${each.key}.o"
}

run "use" {
  command = concat(["ld", "-L${run.part["a"].out}/lib"], local.all, run.part[*].out, [
    join(",", local.all), format("%s!", run.part["b"].out), shellquote(run.part["a"].out), basename("x/y.c"),
    run.part["a"].ok ? run.part["a"].out : run.part["b"].out, try(run.part[local.nope].out, "none"), "$HOME", path.work,
  ])
}

run "bad" {
  command = [upper(run.part["a"].out)]
}
`)
	f.finish(t, "part")
	got := mustCommand(t, f, "use")
	for i, g := range got {
		got[i] = strings.ReplaceAll(g, engine.WorkDir, "WORK")
	}
	want(t, "command", got, []string{
		"ld", "-L<a.o>/lib", "<a.o>", "<b.o>", "<a.o>", "<b.o>", "<a.o>,<b.o>", "<b.o>!", "'<a.o>'", "y.c", "<a.o>", "none", "$HOME", "WORK",
	})
	_, err := command(t, f, "bad")
	if err == nil || !strings.Contains(err.Error(), "cannot look into an artifact") || engine.ClassOf(err) != engine.ClassInvalid {
		t.Errorf("upper() of an artifact: %v", err)
	}
}

func TestForgedMarkers(t *testing.T) {
	f := loadText(t, `
query "q" { registry = "go" }
run "x" {
  for_each = query.q
  command  = ["echo", each.value.url]
}
`)
	q := f.named(t, "q")
	for _, evil := range []string{markPrefix + "0" + markClose, engine.WorkDir, "\uFDD0", "x\uFDD1"} {
		f.rows["q"] = []*engine.Row{{Target: q, Key: "a", Value: engine.Object{"url": evil}}}
		items := f.instances(t, "x")
		items[0].Value = f.rows["q"][0]
		if _, err := f.spec(t, items[0]); err == nil || !strings.Contains(err.Error(), "noncharacter") {
			t.Errorf("%q: %v", evil, err)
		}
	}
}

func TestWithoutUsableResult(t *testing.T) {
	f := loadText(t, `
run "part" {
  for_each = ["a", "b", "c"]
  where    = each.key != "c"
  command  = ["make"]
  out      = "o"
}
run "direct"  { command = [run.part["b"].out] }
run "dropped" { command = [run.part["c"].out] }
run "unknown" { command = [run.part[lower("AA")].out] }
run "guarded" { command = [try(run.part["b"].out, "none"), can(run.part["b"].out) ? "yes" : "no", run.part["b"].ok ? run.part["b"].out : "else", run.part["b"].outcome] }
run "whole"   { command = [for r in run.part : r.outcome] }
run "passing" { command = [for r in run.part : r.out if r.ok] }
run "outs"    { command = [for r in run.part : r.out] }
`)
	f.results = func(i engine.Instance) error {
		if i.Key == "b" {
			return &engine.UnavailableError{Err: errors.New("404")}
		}
		return nil
	}
	f.finish(t, "part")
	class := func(name string, class engine.Class, text string) {
		t.Helper()
		_, err := command(t, f, name)
		if err == nil || engine.ClassOf(err) != class || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v (%s), want %s with %q", name, err, engine.ClassOf(err), class, text)
		}
	}
	class("direct", engine.ClassSkipped, `run.part["b"] is unavailable`)
	class("unknown", engine.ClassInvalid, `Did you mean "a"?`)
	class("outs", engine.ClassSkipped, `run.part["b"] is unavailable`)
	want(t, "guarded", mustCommand(t, f, "guarded"), []string{"none", "no", "else", "unavailable"})
	want(t, "whole", mustCommand(t, f, "whole"), []string{"pass", "unavailable"})
	want(t, "passing", mustCommand(t, f, "passing"), []string{"<o>"})

	f.rows["part"][1].Cells[0].Err = errors.New("disk on fire")
	class("whole", engine.ClassSkipped, `run.part["b"] ended in an error`)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.w.byLabel[engine.Label{Name: "direct"}].spec(ctx, f, engine.Instance{Target: f.named(t, "direct")})
	if engine.ClassOf(err) != engine.ClassCancelled {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDroppedKeySkips(t *testing.T) {
	f := loadText(t, `
run "m" {
  matrix  = { v = ["1", "2"] }
  where   = axis.v == "1"
  command = ["x"]
  out     = "o"
}
run "r" { command = [run.m["2"].out] }
run "s" { command = [run.m["1"].out] }
`)
	f.finish(t, "m")
	_, err := command(t, f, "r")
	if engine.ClassOf(err) != engine.ClassSkipped || !strings.Contains(err.Error(), "dropped by where") {
		t.Errorf("got %v", err)
	}
	want(t, "other cell", mustCommand(t, f, "s"), []string{"<o>"})
}

// A `for` over a collection is followed element by element: the first one is there before the second has come.
func TestStreamingFor(t *testing.T) {
	f := loadText(t, `
query "q" { registry = "go" }
locals { picked = { for k, m in query.q : "v-${k}" => m if m.version != "v2" } }
fetch "f" {
  for_each = { for k, m in local.picked : k => m }
  url      = each.value.url
}
run "g" {
  for_each = { for k, r in fetch.f : upper(k) => r.out if r.ok }
  command  = [each.value]
}
`)
	q := f.named(t, "q")
	for _, v := range []string{"v1", "v2", "v3"} {
		f.rows["q"] = append(f.rows["q"], &engine.Row{Target: q, Key: v, Value: engine.Object{"version": v, "url": "go:" + v}})
	}
	counting := &countingView{fakeBuild: f}
	for item, err := range f.named(t, "f").Items(t.Context(), counting) {
		if err != nil {
			t.Fatal(err)
		}
		want(t, "first", item.Key, "v-v1")
		break
	}
	want(t, "rows taken for the first element", counting.taken, 1)
	f.finish(t, "f")
	var keys []string
	for _, i := range f.instances(t, "g") {
		keys = append(keys, i.Key)
	}
	want(t, "keys", keys, []string{"V-V1", "V-V3"})
	want(t, "command", mustCommand(t, f, "g"), []string{"<tree>"})
	want(t, "edges", edges(f.named(t, "f")), []string{"q stream BUILD.hcl:3 for_each"})
	want(t, "edges", edges(f.named(t, "g")), []string{"f stream BUILD.hcl:9 for_each"})
}

type countingView struct {
	*fakeBuild
	taken int
}

func (c *countingView) Rows(ctx context.Context, l engine.Label) iter.Seq2[*engine.Row, error] {
	return func(yield func(*engine.Row, error) bool) {
		for r, err := range c.fakeBuild.Rows(ctx, l) {
			c.taken++
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestColumnsOverMatrix(t *testing.T) {
	f := loadText(t, `
run "m" {
  for_each = ["a"]
  matrix   = { v = { old = "1", new = "2" } }
  command  = ["x", matrix.v, axis.v]
  out      = "o"
}
collate "r" {
  rows    = run.m
  compare = ["old", "new"]
  columns = {
    name   = each.key
    status = regression(each.value.old, each.value["new"])
    link   = each.value.old.out
    both   = [for k, c in each.value : "${k}=${c.outcome}"]
  }
  group = each.value.new.outcome
  sort  = [each.key]
}
`)
	f.finish(t, "m")
	spec, err := f.spec(t, f.instances(t, "r")[0])
	if err != nil {
		t.Fatal(err)
	}
	c := spec.(*rules.Collate)
	row := engine.Item{Key: "a", Value: f.rows["m"][0]}
	var got []string
	for _, n := range c.Columns {
		v, err := n.Value(t.Context(), row)
		if err != nil {
			t.Fatalf("%s: %v", n.Name, err)
		}
		if a, ok := v.(engine.Artifact); ok {
			v = "<" + a.Name + ">"
		}
		got = append(got, fmt.Sprint(n.Name, "=", v))
	}
	want(t, "columns", got, []string{"name=a", "status=same-pass", "link=<o>", "both=[new=pass old=pass]"})
	group, err := c.Group(t.Context(), row)
	want(t, "group", []any{group, err}, []any{"pass", nil})
	want(t, "sorts", len(c.Sort), 1)
}

func TestWhereOfQuery(t *testing.T) {
	f := loadText(t, `
query "q" {
  registry = "go"
  where    = !startswith(each.key, "x/") && each.value.version != null
}
`)
	target := f.w.byLabel[engine.Label{Name: "q"}]
	for _, c := range []struct {
		item engine.Item
		want bool
	}{
		{engine.Item{Key: "a", Value: engine.Object{"version": "v1"}}, true},
		{engine.Item{Key: "a", Value: engine.Object{"version": nil}}, false},
		{engine.Item{Key: "x/a", Value: engine.Object{"version": "v1"}}, false},
	} {
		got, err := eachScope(t.Context(), target.pkg, target, f, c.item).evalBool(target.where, "where")
		if err != nil || got != c.want {
			t.Errorf("%v: %v %v", c.item, got, err)
		}
	}
}

func TestFilesOfArtifacts(t *testing.T) {
	f := loadText(t, `
run "gen" {
  command = ["gen"]
  out     = "tree/"
}
run "each_file" {
  for_each = files(run.gen.out)
  command  = ["cc", each.value, each.key, file("${run.gen.out}/a.txt"), filesize(each.value)]
}
`)
	store := castest.NewMemory()
	f.w.Bind(&rules.Runtime{Store: store})
	blob := func(s string) cas.Digest {
		d, err := cas.PutBytes(t.Context(), store, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	root, err := cas.PutTree(t.Context(), store, []cas.Entry{
		{Path: "a.txt", Kind: cas.FileEntry, Digest: blob("hello")}, {Path: "sub/b.txt", Kind: cas.FileEntry, Digest: blob("b!")},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.finish(t, "gen")
	f.rows["gen"][0].Cells[0].Result.Outs[0].Artifact = engine.Artifact{Kind: engine.TreeKind, Digest: root, Name: "tree"}
	want(t, "command", mustCommand(t, f, "each_file"), []string{"cc", "<a.txt>", "a.txt", "hello", "5"})
	want(t, "instances", len(f.instances(t, "each_file")), 2)
}

// A mistake that only the rule can see is reported with its place all the same.
func TestMistakesOfRules(t *testing.T) {
	f := loadText(t, `
run "both" {
  command = var.yes ? ["x"] : null
  script  = var.yes ? "y" : null
}
variable "yes" { default = true }
toolchain "t" {
  kind    = "go"
  version = "a/b"
}
`)
	f.w.Bind(&rules.Runtime{})
	for name, text := range map[string]string{
		"both": "Invalid run\n  on BUILD.hcl line 2, in run \"both\":", "t": "Invalid version\n  on BUILD.hcl line 9, in toolchain \"t\":\n  9:   version = \"a/b\"",
	} {
		e := f.named(t, name)
		_, err := e.Plan(t.Context(), f, engine.Instance{Target: e})
		if engine.ClassOf(err) != engine.ClassInvalid || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What several instances evaluate at once shares the syntax tree and the folded values.
func TestConcurrentEvaluation(t *testing.T) {
	f := loadText(t, `
locals { prefix = trimspace(file("BUILD.hcl")) }
run "part" {
  for_each = ["a", "b"]
  command  = ["x"]
  out      = "o"
}
run "r" {
  for_each = [for i in range(50) : "k${i}"]
  command  = concat([each.key, substr(local.prefix, 0, 3)], run.part[*].out, [for r in run.part : r.out])
  inputs   = glob("*")
}
`)
	f.finish(t, "part")
	var wg sync.WaitGroup
	for _, i := range f.instances(t, "r") {
		wg.Go(func() {
			spec, err := f.w.byLabel[i.Target.Label].spec(t.Context(), f, i)
			if err != nil {
				t.Error(err)
				return
			}
			want(t, i.Key, renderAll(spec.(*rules.Run).Command), []string{i.Key, "loc", "<o>", "<o>", "<o>", "<o>"})
		})
	}
	wg.Wait()
}
