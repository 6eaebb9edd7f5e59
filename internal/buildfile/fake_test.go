package buildfile

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules"
)

// A fakeBuild is an engine.View over rows that a test gives, or that it makes from the targets as the engine would.
type fakeBuild struct {
	w    *Workspace
	rows map[string][]*engine.Row
	// results decides how an instance ends; nil means that it passes.
	results func(i engine.Instance) error
}

func (f *fakeBuild) of(l engine.Label) []*engine.Row { return f.rows[l.Name] }

func (f *fakeBuild) Row(ctx context.Context, l engine.Label, key string) (*engine.Row, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, r := range f.of(l) {
		if r.Key == key {
			return r, nil
		}
	}
	err := &engine.NoRowError{Target: f.target(l), Key: key}
	for _, r := range f.of(l) {
		err.Nearest = append(err.Nearest, r.Key)
	}
	return nil, err
}

func (f *fakeBuild) target(l engine.Label) *engine.Target {
	for _, t := range f.w.Targets {
		if t.Label == l {
			return t
		}
	}
	return nil
}

func (f *fakeBuild) Rows(_ context.Context, l engine.Label) iter.Seq2[*engine.Row, error] {
	return func(yield func(*engine.Row, error) bool) {
		for _, r := range f.of(l) {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (f *fakeBuild) Whole(ctx context.Context, l engine.Label) iter.Seq2[*engine.Row, error] {
	return f.Rows(ctx, l)
}

func (f *fakeBuild) Keys(_ context.Context, l engine.Label) ([]string, error) {
	var keys []string
	for _, r := range f.of(l) {
		keys = append(keys, r.Key)
	}
	return keys, nil
}

func (f *fakeBuild) Perform(context.Context, string, *engine.Plan) *engine.Outcome {
	return &engine.Outcome{Err: engine.ErrCancelled}
}

func (f *fakeBuild) Emit(engine.Event) {}

// instances returns every instance of target name, in order, without regard to where.
func (f *fakeBuild) instances(t *testing.T, name string) []engine.Instance {
	t.Helper()
	e := f.named(t, name)
	var list []engine.Instance
	for _, item := range f.elements(t, e) {
		axes := [][]engine.Axis{nil}
		if e.Matrix != nil {
			m, err := e.Matrix(t.Context(), f)
			if err != nil {
				t.Fatalf("%s: matrix: %v", name, err)
			}
			axes = [][]engine.Axis{m}
		}
		combos := []engine.Instance{{Target: e, Key: item.Key, Value: item.Value}}
		for _, a := range axes[0] {
			var next []engine.Instance
			for _, i := range combos {
				for _, k := range a.Keys {
					v, err := a.Value(t.Context(), k)
					if err != nil {
						t.Fatalf("%s: axis %s: %v", name, k, err)
					}
					j := i
					j.Axes, j.Values = append(slices.Clone(i.Axes), k), append(slices.Clone(i.Values), v)
					next = append(next, j)
				}
			}
			combos = next
		}
		list = append(list, combos...)
	}
	return list
}

func (f *fakeBuild) elements(t *testing.T, e *engine.Target) []engine.Item {
	t.Helper()
	switch {
	case e.Over != nil:
		var items []engine.Item
		for _, r := range f.of(*e.Over) {
			items = append(items, engine.Item{Key: r.Key, Value: r})
		}
		return items
	case e.Items != nil:
		var items []engine.Item
		for item, err := range e.Items(t.Context(), f) {
			if err != nil {
				t.Fatalf("%s: %v", e.Label, err)
			}
			items = append(items, item)
		}
		return items
	}
	return []engine.Item{{}}
}

func (f *fakeBuild) named(t *testing.T, name string) *engine.Target {
	t.Helper()
	for _, e := range f.w.Targets {
		if e.Label.Name == name {
			return e
		}
	}
	t.Fatalf("no target %s", name)
	return nil
}

// spec evaluates the attributes of an instance.
func (f *fakeBuild) spec(t *testing.T, i engine.Instance) (rules.Spec, error) {
	t.Helper()
	return f.w.byLabel[i.Target.Label].spec(t.Context(), f, i)
}

// finish evaluates all instances of a target and makes its rows.
func (f *fakeBuild) finish(t *testing.T, name string) {
	t.Helper()
	e := f.named(t, name)
	rows := make(map[string]*engine.Row)
	for _, i := range f.instances(t, name) {
		if e.Where != nil {
			keep, err := e.Where(t.Context(), f, i)
			if err != nil {
				t.Fatalf("%s: where: %v", i.Name(), err)
			}
			if !keep {
				continue
			}
		}
		r := rows[i.Key]
		if r == nil {
			r = &engine.Row{Target: e, Key: i.Key, Value: i.Value}
			rows[i.Key] = r
			f.rows[name] = append(f.rows[name], r)
		}
		r.Cells = append(r.Cells, f.outcome(t, i))
	}
}

func (f *fakeBuild) outcome(t *testing.T, i engine.Instance) *engine.Outcome {
	t.Helper()
	o := &engine.Outcome{Axes: i.Axes}
	spec, err := f.spec(t, i)
	if err == nil && f.results != nil {
		err = f.results(i)
	}
	if err != nil {
		o.Err = err
		return o
	}
	name := "out"
	if r, ok := spec.(*rules.Run); ok {
		if s, ok := r.Out.(engine.OutSpec); ok {
			name = s.Path
		} else if r.Stdout != "" {
			name = r.Stdout
		}
	}
	o.Shape = engine.OutSpec{Path: name}
	a := engine.Artifact{Digest: cas.Of([]byte(i.Name())), Name: name}
	if i.Target.Rule == "fetch" || i.Target.Rule == "toolchain" {
		a.Kind, a.Name, a.Tool = engine.TreeKind, "tree", i.Target.Rule == "toolchain"
	}
	o.Result = &engine.Result{Outs: []engine.Output{{Path: name, Artifact: a}}}
	return o
}

// fakeRead stands in for rules.Read where a test needs no store.
func fakeRead(_ context.Context, _ *rules.Runtime, row *engine.Row, o *engine.Outcome, name string) (engine.Value, error) {
	switch name {
	case "out":
		if !o.OK() {
			return nil, &engine.SkippedError{Cause: "no out"}
		}
		return o.Result.Outs[0].Artifact, nil
	case "ok":
		return o.OK(), nil
	case "outcome":
		return string(o.Class()), nil
	case "key":
		return row.Key, nil
	case "value":
		return row.Value, nil
	case "bin":
		return fakeTool(o, "/bin"), nil
	case "env":
		return engine.Object{"GOROOT": fakeTool(o, "")}, nil
	case "exit_code":
		if o.Result == nil {
			return nil, nil
		}
		return int64(o.Result.ExitCode), nil
	}
	return nil, nil
}

func fakeTool(o *engine.Outcome, rest string) engine.Value {
	if o.Result == nil {
		return nil
	}
	return engine.Text{{Artifact: &o.Result.Outs[0].Artifact}, {Lit: rest}}
}

func testOptions(dir string) Options {
	return Options{
		Dir: dir, Kinds: rules.Kinds(), Read: fakeRead,
		Sets: map[string]Set{
			"@failed": func(_ string, use func(string, []string)) error {
				use("//:a", nil)
				use("//:gone", nil)
				use("//lib/sub:sub", []string{"x", "y"})
				return nil
			},
			"@changed": func(string, func(string, []string)) error { return errors.New("nobody knows") },
		},
		Fields: func(r string) []string {
			if r == "go" {
				return []string{"h1", "module", "retracted", "time", "url", "version"}
			}
			return nil
		},
	}
}

// write makes a directory with the given files.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load loads a workspace that must be without mistakes.
func load(t testing.TB, opts Options) *fakeBuild {
	t.Helper()
	w, diags := Load(opts)
	if diags.HasErrors() {
		t.Fatalf("Load:\n%v", diags)
	}
	return &fakeBuild{w: w, rows: make(map[string][]*engine.Row)}
}

func loadText(t testing.TB, text string) *fakeBuild {
	t.Helper()
	return load(t, testOptions(write(t, map[string]string{FileName: text})))
}
