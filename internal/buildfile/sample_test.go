package buildfile

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cbuild/engine"
	"cbuild/rules"
)

// render writes t with artifacts as <NAME>.
func render(t engine.Text) string {
	return t.Render(func(a engine.Artifact) string { return "<" + a.Name + ">" })
}

func renderAll(list []engine.Text) []string {
	var out []string
	for _, t := range list {
		out = append(out, render(t))
	}
	return out
}

func edges(e *engine.Target) []string {
	var out []string
	for _, n := range e.Needs {
		out = append(out, fmt.Sprintf("%s %s %s %s", n.Label.Name, n.Mode, n.Where, n.Attribute))
	}
	return out
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%v", got), fmt.Sprintf("%v", want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// sample copies a sample to a directory of its own, so that the workspace is not the one of this repository.
func sample(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/"+name)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestHelloSample(t *testing.T) {
	f := load(t, testOptions(sample(t, "hello")))
	for _, name := range []string{"compile", "link", "stage"} {
		f.finish(t, name)
	}
	compile, err := f.spec(t, f.instances(t, "compile")[1])
	if err != nil {
		t.Fatal(err)
	}
	c := compile.(*rules.Run)
	want(t, "inputs", []string{render(c.Inputs[0].Text)}, []string{"world.c"})
	want(t, "with", renderAll(c.With), []string{"a.h"})
	want(t, "script", render(*c.Script), "cc -c $in -o $out")
	want(t, "out", c.Out, engine.OutSpec{Path: "world.o"})

	link, err := f.spec(t, f.instances(t, "link")[0])
	if err != nil {
		t.Fatal(err)
	}
	want(t, "link", renderAll(link.(*rules.Run).Command), []string{"cc", "<hello.o>", "-o", "hello"})

	end, err := f.spec(t, f.instances(t, "end_state")[0])
	if err != nil {
		t.Fatal(err)
	}
	want(t, "end_state", renderAll(end.(*rules.Run).Command), []string{"cat", "<hello_stage>", "<world_stage>", "inputs"})
	want(t, "edges of end_state", edges(f.named(t, "end_state")), []string{"stage instance BUILD.hcl:29 command"})
	want(t, "edges of link", edges(f.named(t, "link")), []string{"compile stream BUILD.hcl:14 for_each"})
	if over := f.named(t, "link").Over; over == nil || over.Name != "compile" {
		t.Errorf("link is not over compile: %v", over)
	}
	def, diags := f.w.Resolve(nil)
	if diags.HasErrors() || len(def) != 1 || def[0].Label.Name != "end_state" {
		t.Errorf("default targets: %v %v", def, diags)
	}
}

func TestGofmtSample(t *testing.T) {
	f := load(t, testOptions(sample(t, "gofmt")))
	q := f.w.byLabel[engine.Label{Name: "modules"}]
	spec, err := q.spec(t.Context(), f, engine.Instance{Target: q.engine})
	if err != nil {
		t.Fatal(err)
	}
	args := spec.(*rules.Query).Args.(engine.Object)
	want(t, "args", args["modules"], []engine.Value{"github.com/google/uuid", "github.com/pkg/errors@v0.9.1"})

	item := func(key string, url any) *engine.Row {
		return &engine.Row{Target: q.engine, Key: key, Value: engine.Object{"url": url, "h1": "h1:abc=", "module": key, "version": "v1", "retracted": nil, "time": nil}}
	}
	f.rows["modules"] = []*engine.Row{item("a@v1", "go:a@v1.zip"), item("b@v1", nil)}
	f.results = func(i engine.Instance) error {
		if i.Target.Rule == "fetch" && i.Key == "b@v1" {
			return &engine.UnavailableError{Err: errors.New("404")}
		}
		return nil
	}
	f.finish(t, "source")
	f.finish(t, "go")
	source, err := f.spec(t, f.instances(t, "source")[0])
	if err != nil {
		t.Fatal(err)
	}
	fetch := source.(*rules.Fetch)
	want(t, "fetch", []any{fetch.URL, *fetch.Integrity, fetch.Unpack, fetch.Strip}, []any{"go:a@v1.zip", "h1:abc=", true, "a@v1"})

	inst := f.instances(t, "gofmt")
	want(t, "instances", len(inst), 4)
	run, err := f.spec(t, inst[0])
	if err != nil {
		t.Fatal(err)
	}
	r := run.(*rules.Run)
	want(t, "axes", inst[0].Axes, []string{"after"})
	want(t, "inputs", []string{r.Inputs[0].Dest, render(r.Inputs[0].Text)}, []string{"src", "<tree>"})
	want(t, "toolchain", []any{r.Toolchains[0].Bin, r.Toolchains[0].Env["GOROOT"], r.Toolchains[0].Root.Tool}, []any{"bin", "${ROOT}", true})
	want(t, "timeout", []any{r.Timeout, r.AllowFailure}, []any{time.Minute, true})

	_, err = f.spec(t, inst[2])
	var skipped *engine.SkippedError
	if !errors.As(err, &skipped) || !strings.Contains(skipped.Cause, `fetch.source["b@v1"] is unavailable`) {
		t.Errorf("gofmt of an unavailable source: %v", err)
	}

	f.finish(t, "gofmt")
	report, err := f.spec(t, f.instances(t, "report")[0])
	if err != nil {
		t.Fatal(err)
	}
	c := report.(*rules.Collate)
	want(t, "title", c.Title, "gofmt 1.18.10 against 1.27.4")
	var keys []string
	for item, err := range c.Rows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, item.Key+" "+string(item.Value.(*engine.Row).Cells[0].Class()))
	}
	want(t, "rows", keys, []string{"a@v1 pass", "b@v1 skipped"})
	modes := edges(f.named(t, "gofmt"))
	slices.Sort(modes)
	want(t, "edges of gofmt", modes, []string{"go stream BUILD.hcl:29 matrix.go", "source stream BUILD.hcl:28 for_each"})
}
