package rules

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A collateTest makes rows and collates them, against a store in memory.
type collateTest struct {
	testing.TB
	rt     *Runtime
	target *engine.Target
}

func newCollateTest(t testing.TB, axes ...engine.Axis) *collateTest {
	target := &engine.Target{Label: engine.Label{Name: "try"}, Rule: "run", Repeated: true}
	for _, a := range axes {
		target.Axes = append(target.Axes, a.Name)
	}
	target.Matrix = func(context.Context, engine.View) ([]engine.Axis, error) { return axes, nil }
	return &collateTest{TB: t, rt: &Runtime{Store: castest.NewMemory(), Temp: t.TempDir()}, target: target}
}

// versions is the axis that most tests compare.
var versions = engine.Axis{Name: "go", Keys: []string{"before", "after"}}

func (t *collateTest) blob(text string) cas.Digest {
	t.Helper()
	d, err := cas.PutBytes(context.Background(), t.rt.Store, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// row returns a row with the given cells.
func (t *collateTest) row(key string, cells ...*engine.Outcome) *engine.Row {
	return &engine.Row{Target: t.target, Key: key, Cells: cells}
}

// ran returns an outcome with a log.
func (t *collateTest) ran(status engine.Status, log string, axes ...string) *engine.Outcome {
	t.Helper()
	r := &engine.Result{Status: status}
	if status == engine.Fail {
		r.ExitCode = 1
	}
	if log != "" {
		r.Log = t.blob(log)
	}
	return &engine.Outcome{Axes: axes, Result: r}
}

func failed(err error, axes ...string) *engine.Outcome { return &engine.Outcome{Axes: axes, Err: err} }

func stream(end error, rows ...*engine.Row) Rows {
	return func(context.Context) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			for _, r := range rows {
				if !yield(engine.Item{Key: r.Key, Value: r}, nil) {
					return
				}
			}
			if end != nil {
				yield(engine.Item{}, end)
			}
		}
	}
}

// A collated is a report that was written.
type collated struct {
	plan   *engine.Plan
	result *engine.Result
	files  map[string]string
}

func (t *collateTest) collate(c *Collate) *collated {
	t.Helper()
	ctx := context.Background()
	plan, err := t.plan(c)
	if err != nil {
		t.Fatal(err)
	}
	res, err := plan.Action.Do(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := &collated{plan: plan, result: res, files: map[string]string{}}
	for e, err := range cas.Walk(ctx, t.rt.Store, res.Outs[0].Digest) {
		if err != nil {
			t.Fatal(err)
		}
		data, err := cas.ReadAll(ctx, t.rt.Store, e.Digest, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		out.files[e.Path] = string(data)
	}
	return out
}

func (t *collateTest) plan(c *Collate) (*engine.Plan, error) {
	self := &engine.Target{Label: engine.Label{Name: "report"}, Rule: "collate"}
	return c.Plan(context.Background(), t.rt, Self{Instance: engine.Instance{Target: self}})
}

// golden compares files with those in testdata/collate/name.
func (c *collated) golden(t *testing.T, name string, files ...string) {
	t.Helper()
	for _, f := range files {
		path := filepath.Join("testdata", "collate", name, f)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.files[f]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if c.files[f] != string(want) {
			t.Errorf("%s differs from %s (run with -update to accept):\n%s", f, path, c.files[f])
		}
	}
}

// sampleRows are rows of all kinds.
func (t *collateTest) sampleRows() []*engine.Row {
	pass, fail := engine.Pass, engine.Fail
	network := t.ran(fail, "timeout of a server", "after")
	network.Result.Facts = map[string]string{"network": "yes"}
	crash := t.ran(engine.Crash, "segmentation fault\n", "after")
	crash.Result.ExitCode = 139
	return []*engine.Row{
		t.row("github.com/a/same@v1.0.0", t.ran(pass, "ok 0.012s\n", "before"), t.ran(pass, "ok 0.4s\n", "after")),
		t.row("github.com/b/regressed@v1.2.3", t.ran(pass, "ok\n", "before"), t.ran(fail, "main.go:3: undefined: x\nFAIL\n", "after")),
		t.row("github.com/c/crashed@v0.1.0", t.ran(pass, "", "before"), crash),
		t.row("github.com/d/fixed@v2.0.0", t.ran(fail, "broken\n", "before"), t.ran(pass, "", "after")),
		t.row("github.com/e/changed@v1.0.0", t.ran(pass, "2 files\n", "before"), t.ran(pass, "7 files\n", "after")),
		t.row("github.com/f/network@v1.0.0", t.ran(pass, "", "before"), network),
		t.row("github.com/g/slow@v1.0.0", t.ran(pass, "", "before"), t.ran(engine.Timeout, "…", "after")),
		t.row("github.com/h/new@v1.0.0", t.ran(pass, "", "after")),
		t.row("github.com/i/gone@v1.0.0", t.ran(pass, "", "before")),
		t.row("github.com/j/lost@v1.0.0", failed(&engine.SkippedError{Cause: `fetch.source["x"] is unavailable`}, "before"),
			failed(&engine.SkippedError{Cause: `fetch.source["x"] is unavailable`}, "after")),
		t.row("github.com/k/broken@v1.0.0", t.ran(fail, "no\n", "before"), t.ran(fail, "no\n", "after")),
	}
}

func TestCompareGolden(t *testing.T) {
	ct := newCollateTest(t, versions)
	rep := ct.collate(&Collate{Title: "go 1.18 against 1.27", Compare: []string{"before", "after"}, Rows: stream(nil, ct.sampleRows()...)})
	rep.golden(t, "compare", "results.json", "results.csv", "summary.md")
	want := `{"regressed":2,"inconclusive":2,"fixed":1,"changed":1,"new":1,"gone":1,"skipped":1,"same-fail":1,"same-pass":1}`
	if got := rep.result.Facts["summary"]; got != want {
		t.Errorf("summary %s, want %s", got, want)
	}
	if f := rep.result.Facts; f["count"] != "11" || f["compared"] != "yes" || f["incomplete"] != "" || !strings.HasPrefix(f["rows"], "b3:") {
		t.Errorf("facts: %v", f)
	}
	if rep.plan.Action.Key().IsZero() {
		t.Error("a complete report has no key")
	}
	if _, ok := rep.files["index.html"]; !ok {
		t.Error("no index.html")
	}
}

var (
	_ = bytes.Equal
	_ = errors.New
	_ = fmt.Sprint
	_ = rand.Int
	_ = slices.Max[[]int]
	_ = time.Now
)
