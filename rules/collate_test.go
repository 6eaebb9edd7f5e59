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
	"path"
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

// TestEveryPairOfOutcomes compares every outcome with every other, and says in words of its own what must come out.
func TestEveryPairOfOutcomes(t *testing.T) {
	ct := newCollateTest(t, versions)
	netFail := func(axis string) *engine.Outcome {
		o := ct.ran(engine.Fail, "x", axis)
		o.Result.Facts = map[string]string{"network": "yes"}
		return o
	}
	netPass := func(axis string) *engine.Outcome {
		o := ct.ran(engine.Pass, "x", axis)
		o.Result.Facts = map[string]string{"network": "yes"}
		return o
	}
	status := func(s engine.Status, log string) func(string) *engine.Outcome {
		return func(axis string) *engine.Outcome { return ct.ran(s, log, axis) }
	}
	err := func(err error) func(string) *engine.Outcome {
		return func(axis string) *engine.Outcome { return failed(err, axis) }
	}
	kinds := []struct {
		name, group string
		make        func(axis string) *engine.Outcome
	}{
		{"absent", "absent", func(string) *engine.Outcome { return nil }},
		{"pass", "pass", status(engine.Pass, "x")},
		{"pass with network", "pass", netPass},
		{"pass, other log", "pass'", status(engine.Pass, "y")},
		{"fail", "fail", status(engine.Fail, "x")},
		{"crash", "fail", status(engine.Crash, "x")},
		{"fail, other log", "fail'", status(engine.Fail, "y")},
		{"fail with network", "unclear", netFail},
		{"timeout", "unclear", status(engine.Timeout, "x")},
		{"oom", "unclear", status(engine.OOM, "x")},
		{"error", "unclear", err(errors.New("connection reset"))},
		{"invalid", "unclear", err(&engine.InvalidError{Err: errors.New("no such key")})},
		{"cancelled", "unclear", err(engine.ErrCancelled)},
		{"skipped", "skipped", err(&engine.SkippedError{Cause: "x"})},
		{"unavailable", "skipped", err(&engine.UnavailableError{Err: errors.New("404")})},
	}
	want := func(a, b string) string {
		has := func(g string) bool { return a == g || b == g }
		switch {
		case a == "absent":
			return "new"
		case b == "absent":
			return "gone"
		case has("skipped"):
			return "skipped"
		case has("unclear"):
			return "inconclusive"
		case a[0] != b[0] && a[0] == 'p':
			return "regressed"
		case a[0] != b[0]:
			return "fixed"
		case a != b:
			return "changed"
		}
		return "same-" + a[:4]
	}
	for _, a := range kinds {
		for _, b := range kinds {
			if a.name == "absent" && b.name == "absent" {
				continue
			}
			cells := slices.DeleteFunc([]*engine.Outcome{a.make("before"), b.make("after")}, func(o *engine.Outcome) bool { return o == nil })
			rep := ct.collate(&Collate{Compare: []string{"before", "after"}, Formats: []string{"csv"}, Rows: stream(nil, ct.row("k", cells...))})
			_, line, _ := strings.Cut(rep.files["results.csv"], "\r\n")
			if got := strings.Split(line, ",")[1]; got != want(a.group, b.group) {
				t.Errorf("%s × %s: %s, want %s", a.name, b.name, got, want(a.group, b.group))
			}
			trouble := slices.ContainsFunc([]string{"error", "invalid", "cancelled"}, func(s string) bool { return s == a.name || s == b.name })
			if incomplete := rep.result.Facts["incomplete"] == "yes"; incomplete != trouble || rep.plan.Action.Key().IsZero() != trouble {
				t.Errorf("%s × %s: incomplete is %v, the key %v", a.name, b.name, incomplete, rep.plan.Action.Key())
			}
		}
	}
}

func TestSeveralOthers(t *testing.T) {
	ct := newCollateTest(t, engine.Axis{Name: "v", Keys: []string{"a", "b", "c"}})
	rep := ct.collate(&Collate{Compare: []string{"a", "b", "c"}, Rows: stream(nil,
		ct.row("1", ct.ran(engine.Pass, "x", "a"), ct.ran(engine.Timeout, "x", "b"), ct.ran(engine.Fail, "x", "c")),
		ct.row("2", ct.ran(engine.Fail, "x", "a"), ct.ran(engine.Pass, "x", "b"), ct.ran(engine.Fail, "x", "c")),
		ct.row("3", ct.ran(engine.Pass, "x", "c")),
	)})
	got := rep.files["results.json"]
	for _, want := range []string{
		`{"key":"1","class":"regressed"`, `"b":{"outcome":"timeout","exit_code":0,"class":"inconclusive"`,
		`{"key":"2","class":"fixed"`, `"c":{"outcome":"fail","exit_code":1,"class":"same-fail"`,
		`{"key":"3","class":"new","sides":{"a":null,"b":null,"c":{"outcome":"pass"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
}

func TestOtherAxesJoinTheKey(t *testing.T) {
	ct := newCollateTest(t, engine.Axis{Name: "os", Keys: []string{"linux", "darwin"}}, versions)
	rep := ct.collate(&Collate{Compare: []string{"before", "after"}, Rows: stream(nil, ct.row("k",
		ct.ran(engine.Pass, "x", "linux", "before"), ct.ran(engine.Fail, "x", "linux", "after"),
		ct.ran(engine.Pass, "x", "darwin", "before"), ct.ran(engine.Pass, "x", "darwin", "after")))})
	want := "key,class,os,before,after\r\nk[linux],regressed,linux,pass,fail\r\nk[darwin],same-pass,darwin,pass,pass\r\n"
	if got := rep.files["results.csv"]; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestWithoutComparison(t *testing.T) {
	ct := newCollateTest(t, versions)
	column := func(v engine.Value, err error) Expr {
		return func(context.Context, engine.Item) (engine.Value, error) { return v, err }
	}
	rep := ct.collate(&Collate{
		Title: "Everything",
		Columns: []engine.Named[Expr]{
			{Name: "number", Value: column(int64(-5), nil)},
			{Name: "link", Value: column(engine.Artifact{Digest: ct.blob("x"), Name: "out/x.txt"}, nil)},
			{Name: "list", Value: column([]engine.Value{"a", 1.5, nil}, nil)},
			{Name: "none", Value: column(nil, &engine.SkippedError{Cause: "it failed"})},
		},
		Group: func(_ context.Context, each engine.Item) (engine.Value, error) { return each.Key[:1], nil },
		Rows: stream(nil, ct.row("a1", ct.ran(engine.Pass, "", "before"), ct.ran(engine.Fail, "no", "after")),
			ct.row("b2", ct.ran(engine.Crash, "", "after"))),
	})
	rep.golden(t, "plain", "results.json", "results.csv", "summary.md")
	if rep.result.Facts["incomplete"] != "" {
		t.Error("a column over something that failed makes the report incomplete")
	}
}

func TestPlainDataAsRows(t *testing.T) {
	ct := newCollateTest(t)
	rows := func(context.Context) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			_ = yield(engine.Item{Key: "b", Value: engine.Object{"x": int64(1)}}, nil) && yield(engine.Item{Key: "a", Value: "y"}, nil)
		}
	}
	rep := ct.collate(&Collate{Rows: rows})
	if got, want := rep.files["results.csv"], "key,class\r\na,item\r\nb,item\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err := ct.plan(&Collate{Rows: rows, Compare: []string{"a", "b"}})
	if invalid := (*engine.InvalidError)(nil); !errors.As(err, &invalid) {
		t.Errorf("compared plain data: %v", err)
	}
}

func TestSortIsByValue(t *testing.T) {
	ct := newCollateTest(t)
	values := map[string]engine.Value{
		"null": nil, "true": true, "false": false, "minus": int64(-7), "ten": int64(10), "nine": 9.5, "big": int64(1 << 60), "bigger": int64(1<<60 + 1),
		"text": "a", "longer": "a\x00", "after": "ab", "empty": "",
	}
	var rows []*engine.Row
	for k := range values {
		rows = append(rows, ct.row(k, ct.ran(engine.Pass, "")))
	}
	by := func(_ context.Context, each engine.Item) (engine.Value, error) { return values[each.Key], nil }
	rep := ct.collate(&Collate{Rows: stream(nil, rows...), Sort: []Expr{by}})
	var got []string
	for line := range strings.SplitSeq(rep.files["results.csv"], "\r\n") {
		key, _, _ := strings.Cut(line, ",")
		got = append(got, key)
	}
	want := "key null false true minus nine ten big bigger empty text longer after "
	if s := strings.Join(got, " "); s != want {
		t.Errorf("order %q, want %q", s, want)
	}
	other := func(context.Context, engine.Item) (engine.Value, error) { return nil, nil }
	if again := ct.collate(&Collate{Rows: stream(nil, rows...), Sort: []Expr{other}}); again.plan.Action.Key() == rep.plan.Action.Key() {
		t.Error("the order of the rows is not in the key")
	} else if again.result.Facts["rows"] != rep.result.Facts["rows"] {
		t.Error("the order of the rows is in their digest")
	}
}

// TestRowsInAnyOrder checks that a report depends on what the rows are, and neither on when they came nor on anything that differs
// between equal runs.
func TestRowsInAnyOrder(t *testing.T) {
	ct := newCollateTest(t, versions)
	make := func() *Collate {
		return &Collate{Compare: []string{"before", "after"}, Evidence: "both"}
	}
	first := make()
	first.Rows = stream(nil, ct.sampleRows()...)
	want := ct.collate(first)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		rows := ct.sampleRows()
		r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		for _, row := range rows {
			row.Index = r.IntN(100)
			r.Shuffle(len(row.Cells), func(i, j int) { row.Cells[i], row.Cells[j] = row.Cells[j], row.Cells[i] })
			for _, o := range row.Cells {
				o.Cached, o.Notes = engine.Cached(r.IntN(3)), map[string]string{"x": "y"}
				if o.Result != nil {
					o.Result.Took = time.Duration(r.Int64N(1e12))
				}
			}
		}
		c := make()
		c.Rows = stream(nil, rows...)
		got := ct.collate(c)
		if got.plan.Action.Key() != want.plan.Action.Key() || got.result.Facts["rows"] != want.result.Facts["rows"] {
			t.Fatal("the key or the digest of the rows changed")
		}
		for _, f := range []string{"results.json", "results.csv", "summary.md"} {
			if got.files[f] != want.files[f] {
				t.Fatalf("%s changed:\n%s\nwant\n%s", f, got.files[f], want.files[f])
			}
		}
	}
	changed := ct.sampleRows()
	changed[1].Cells[1].Result.Log = ct.blob("main.go:4: undefined: y\n")
	c := make()
	c.Rows = stream(nil, changed...)
	if got := ct.collate(c); got.result.Facts["rows"] == want.result.Facts["rows"] {
		t.Error("another log of a regressed row does not change the digest of the rows")
	}
}

// TestRowsFromChunks reads rows back from the chunks of a real build.
func TestRowsFromChunks(t *testing.T) {
	ct := newCollateTest(t, versions)
	const n = 1500
	fresh := func(i int) (*engine.Outcome, *engine.Outcome) {
		if i%100 == 3 {
			skipped := &engine.SkippedError{Cause: fmt.Sprint("cause ", i)}
			return failed(skipped, "before"), failed(skipped, "after")
		}
		return ct.ran(engine.Pass, "a", "before"), ct.ran(engine.Status(i%3/2), fmt.Sprint("log ", i%7), "after")
	}
	var rows []*engine.Row
	for i := range n {
		a, b := fresh(i)
		rows = append(rows, ct.row(fmt.Sprintf("k%04d", i), a, b))
	}
	ct.target.Items = func(context.Context, engine.View) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			for _, r := range rows {
				if !yield(engine.Item{Key: r.Key}, nil) {
					return
				}
			}
		}
	}
	matrix := ct.target.Matrix
	ct.target.Matrix = func(ctx context.Context, v engine.View) ([]engine.Axis, error) {
		axes, err := matrix(ctx, v)
		for i := range axes {
			axes[i].Value = func(context.Context, string) (engine.Value, error) { return nil, nil }
		}
		return axes, err
	}
	byKey := map[string]*engine.Row{}
	for _, r := range rows {
		byKey[r.Key] = r
	}
	ct.target.Plan = func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
		o, _ := byKey[i.Key].Cell(i.Axes...)
		if o.Err != nil {
			return nil, o.Err
		}
		return &engine.Plan{Action: given{o.Result}, Trivial: true}, nil
	}
	spool := &memorySpool{}
	b := engine.New(engine.Options{
		Targets: []*engine.Target{ct.target}, Cache: castest.NewMemoryActionCache(), Window: 64,
		Spool: func() (engine.Spool, error) { return spool, nil },
	})
	if err := b.Run(t.Context(), []engine.Want{{Label: ct.target.Label}}); err != nil {
		t.Fatal(err)
	}
	var back []*engine.Row
	for r, err := range b.Whole(t.Context(), ct.target.Label) {
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, r)
	}
	if len(back) != n || spool.Len() == 0 {
		t.Fatalf("%d rows, %d bytes in chunks", len(back), spool.Len())
	}
	x := ct.collate(&Collate{Compare: []string{"before", "after"}, Rows: stream(nil, rows...)})
	y := ct.collate(&Collate{Compare: []string{"before", "after"}, Rows: stream(nil, back...)})
	for _, f := range []string{"results.json", "results.csv", "summary.md"} {
		if x.files[f] != y.files[f] {
			t.Errorf("%s of rows read back differs", f)
		}
	}
	if x.plan.Action.Key() != y.plan.Action.Key() {
		t.Error("the key of rows read back differs")
	}
}

// given is an action whose result is known.
type given struct{ result *engine.Result }

func (given) Key() engine.Key  { return engine.Key{} }
func (given) Preimage() []byte { return nil }
func (g given) Do(context.Context, func(engine.Event)) (*engine.Result, error) {
	return g.result, nil
}

// memorySpool is a Spool for a build whose rows are sealed by one goroutine at a time.
type memorySpool struct{ bytes.Buffer }

func (s *memorySpool) Append(p []byte) (int64, error) {
	at := s.Len()
	s.Write(p)
	return int64(at), nil
}

func (s *memorySpool) ReadAt(p []byte, at int64) (int, error) { return copy(p, s.Bytes()[at:]), nil }

func TestIncompleteReports(t *testing.T) {
	for name, c := range map[string]struct {
		end  error
		bad  error
		want string
	}{
		"the rows ended early": {end: errors.New("registry is down"), want: `"incomplete":true,"missing":{"ended_early":1}`},
		"an error":             {bad: errors.New("reset"), want: `"incomplete":true,"missing":{"error":1}`},
		"a cancelled row":      {bad: engine.ErrCancelled, want: `"incomplete":true,"missing":{"cancelled":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			ct := newCollateTest(t, versions)
			rows := ct.sampleRows()
			if c.bad != nil {
				rows = append(rows, ct.row("bad", failed(c.bad, "before"), ct.ran(engine.Pass, "", "after")))
			}
			rep := ct.collate(&Collate{Compare: []string{"before", "after"}, Rows: stream(c.end, rows...)})
			if !strings.Contains(rep.files["results.json"], c.want) || !strings.Contains(rep.files["summary.md"], "**Incomplete:**") ||
				!strings.Contains(rep.files["index.html"], "Incomplete: ") {
				t.Errorf("not marked:\n%.300s\n%.300s", rep.files["results.json"], rep.files["summary.md"])
			}
			if !rep.plan.Action.Key().IsZero() || rep.result.Facts["incomplete"] != "yes" || !rep.plan.Always {
				t.Error("it would be stored, or not written by a build that stops")
			}
		})
	}
}

func TestEvidence(t *testing.T) {
	const run = "/var/cache/x/runs/run-000123/work"
	for name, c := range map[string]struct {
		evidence        string
		before, after   string // logs
		outA, outB      string
		normalize       []Normalization
		want            string
		executable, dir bool
	}{
		"durations":              {before: "ok 0.01s\n", after: "ok 12.9s\n", want: "same-pass"},
		"run directories":        {before: run + "/a.go:1", after: path.Join("/tmp/y/runs/run-004567/work", "a.go:1"), want: "same-pass"},
		"another message":        {before: "a", after: "b", want: "changed"},
		"outs do not matter":     {before: "a", after: "a", outA: "1", outB: "2", want: "same-pass"},
		"outs":                   {evidence: "out", before: "a", after: "b", outA: "1", outB: "2", want: "changed"},
		"equal outs":             {evidence: "out", before: "a", after: "b", outA: "1", outB: "1", want: "same-pass"},
		"outs but for durations": {evidence: "out", outA: "took 3ms", outB: "took 4ms", want: "same-pass"},
		"trees":                  {evidence: "out", outA: "1", outB: "2", dir: true, want: "changed"},
		"trees but for times":    {evidence: "out", outA: "took 3ms", outB: "took 4ms", dir: true, want: "same-pass"},
		"binary outs":            {evidence: "out", outA: "\x00took 3ms", outB: "\x00took 4ms", want: "changed"},
		"an executable":          {evidence: "out", outA: "1", outB: "1", executable: true, want: "changed"},
		"both":                   {evidence: "both", before: "a", after: "b", outA: "1", outB: "1", want: "changed"},
		"own patterns":           {before: "seed 12", after: "seed 99", normalize: []Normalization{{`seed \d+`, "seed"}}, want: "same-pass"},
	} {
		t.Run(name, func(t *testing.T) {
			ct := newCollateTest(t, versions)
			a, b := ct.ran(engine.Pass, c.before, "before"), ct.ran(engine.Pass, c.after, "after")
			for o, text := range map[*engine.Outcome]string{a: c.outA, b: c.outB} {
				out := engine.Artifact{Digest: ct.blob(text), Name: "o", Executable: c.executable && o == b}
				if c.dir {
					tree, err := cas.PutTree(t.Context(), ct.rt.Store, []cas.Entry{{Path: "d/f", Digest: out.Digest}})
					if err != nil {
						t.Fatal(err)
					}
					out.Kind, out.Digest = engine.TreeKind, tree
				}
				o.Result.Outs = []engine.Output{{Path: "o", Artifact: out}}
			}
			rep := ct.collate(&Collate{Compare: []string{"before", "after"}, Evidence: c.evidence, Normalize: c.normalize, Rows: stream(nil, ct.row("k", a, b))})
			if got := rep.files["results.csv"]; !strings.Contains(got, "k,"+c.want+",") {
				t.Errorf("want %s, got %s", c.want, got)
			}
		})
	}
}

func TestLostEvidenceIsTrouble(t *testing.T) {
	ct := newCollateTest(t, versions)
	a, b := ct.ran(engine.Pass, "a", "before"), ct.ran(engine.Pass, "b", "after")
	b.Result.Log = cas.Of([]byte("never stored"))
	rep := ct.collate(&Collate{Compare: []string{"before", "after"}, Rows: stream(nil, ct.row("k", a, b))})
	if got := rep.files["results.json"]; !strings.Contains(got, `"class":"inconclusive"`) || !strings.Contains(got, `"missing":{"lost":1}`) {
		t.Errorf("got %s", got)
	}
	if !rep.plan.Action.Key().IsZero() {
		t.Error("it would be stored")
	}
	// What is equal is not read.
	a.Result.Log = b.Result.Log
	if rep = ct.collate(&Collate{Compare: []string{"before", "after"}, Rows: stream(nil, ct.row("k", a, b))}); rep.plan.Action.Key().IsZero() {
		t.Error("equal logs were read")
	}
}

func TestMistakes(t *testing.T) {
	ct := newCollateTest(t, engine.Axis{Name: "os", Keys: []string{"linux", "darwin"}}, versions)
	rows := stream(nil, ct.row("k", ct.ran(engine.Pass, "", "linux", "before")))
	for want, c := range map[string]*Collate{
		`no axis of //:try has the keys "befor", "after". Axis os has "linux", "darwin". Axis go has "before", "after". Did you mean "before"?`: {Compare: []string{"befor", "after"}},
		`no axis of //:try has the keys "before", "linux"`: {Compare: []string{"before", "linux"}},
		`one key`:        {Compare: []string{"before"}},
		`twice`:          {Compare: []string{"before", "before"}},
		`evidence: "x"`:  {Evidence: "x"},
		`normalize[0]`:   {Normalize: []Normalization{{Pattern: "("}}},
		`format "pdf"`:   {Formats: []string{"pdf"}},
		`out: "../x"`:    {Out: "../x"},
		`needs at least`: {Formats: []string{}},
		`out: "/report"`: {Out: "/report"},
	} {
		c.Rows = rows
		_, err := ct.plan(c)
		if invalid := (*engine.InvalidError)(nil); !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestKeyOfAReport(t *testing.T) {
	ct := newCollateTest(t, versions)
	key := func(change func(*Collate)) engine.Key {
		c := &Collate{Compare: []string{"before", "after"}, Rows: stream(nil, ct.sampleRows()...)}
		change(c)
		p, err := ct.plan(c)
		if err != nil {
			t.Fatal(err)
		}
		p.Action.(*collateAction).rows.close()
		return p.Action.Key()
	}
	base := key(func(*Collate) {})
	if key(func(*Collate) {}) != base {
		t.Error("the key of the same report differs")
	}
	for name, change := range map[string]func(*Collate){
		"title":   func(c *Collate) { c.Title = "x" },
		"formats": func(c *Collate) { c.Formats = []string{"md"} },
		"out":     func(c *Collate) { c.Out = "x" },
		"rows":    func(c *Collate) { c.Rows = stream(nil, ct.sampleRows()[1:]...) },
		"columns": func(c *Collate) {
			c.Columns = []engine.Named[Expr]{{Name: "x", Value: func(context.Context, engine.Item) (engine.Value, error) { return nil, nil }}}
		},
	} {
		if key(change) == base {
			t.Errorf("%s is not in the key", name)
		}
	}
}

func TestCachedRows(t *testing.T) {
	ct := newCollateTest(t, versions)
	var rows []*engine.Row
	for i, from := range [][2]engine.Cached{{1, 1}, {1, 0}, {0, 0}, {2, 1}} {
		a, b := ct.ran(engine.Pass, "", "before"), ct.ran(engine.Pass, "", "after")
		a.Cached, b.Cached = from[0], from[1]
		rows = append(rows, ct.row(fmt.Sprint(i), a, b))
	}
	rep := ct.collate(&Collate{Compare: []string{"before", "after"}, Rows: stream(nil, rows...)})
	if got := rep.plan.Notes["cached"]; got != "2" {
		t.Errorf("%s rows cached, want 2", got)
	}
}

func TestScratchFilesHaveNoNames(t *testing.T) {
	ct := newCollateTest(t, versions)
	ct.collate(&Collate{Compare: []string{"before", "after"}, Rows: stream(nil, ct.sampleRows()...)})
	left, err := os.ReadDir(ct.rt.Temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}
