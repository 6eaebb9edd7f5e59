package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
)

func TestParseDepfile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"\n\n", ""},
		{"x.o: x.c", "x.c"},
		{"x.o: x.c a.h \\\n  include/b.h\n", "x.c|a.h|include/b.h"},
		{"x.o: x.c \\\r\n a.h\r\n", "x.c|a.h"},
		{"x.o:\n", ""},
		{"x.o y.o: x.c\n\na.h:\nb.h:\n", "x.c"},
		{"x.o: x.c\ny.o: y.c", "x.c|y.c"},
		{`x.o: a\ b.h c.h`, "a b.h|c.h"},
		{`x.o: a\\\ b.h`, `a\ b.h`},
		{`x.o: a\\ b.h`, `a\\|b.h`},
		{`x.o: a\b.h`, `a\b.h`},
		{`x.o: a\#b.h a#b.h`, "a#b.h|a#b.h"},
		{`x.o: $$a.h a$b`, "$a.h|a$b"},
		{"x.o: a.h # b.h\n", "a.h"},
		{"# x.o: y.h\n", ""},
		{`c:\x.o: c:\a.h`, `c:\a.h`},
		{"x.o:x.c a.h", "x.c|a.h"},
		{"x.o :x.c", "x.c"},
		{"x.o: a:b.h", "a:b.h"},
		{`x.o: a\:b.h`, "a:b.h"},
		{"x.o: \tx.c\t", "x.c"},
	} {
		got, err := parseDepfile(c.text)
		if err != nil || strings.Join(got, "|") != c.want {
			t.Errorf("%q: %q, %v, want %q", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"x.o", "x.o: x.c\nnonsense\n", `x\:y z`} {
		if got, err := parseDepfile(text); !errors.As(err, new(badDepfile)) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func FuzzParseDepfile(f *testing.F) {
	f.Add("x.o: a\\ b.h \\\n c$$d # e\n")
	f.Fuzz(func(t *testing.T, text string) {
		deps, err := parseDepfile(text)
		if err != nil {
			return
		}
		var written strings.Builder // as a compiler does
		for _, d := range deps {
			if strings.ContainsAny(d, "\\\t\r\n#:$ ") {
				return
			}
			written.WriteString(" " + d)
		}
		if again, err := parseDepfile("x:" + written.String()); err != nil || !slices.Equal(again, deps) {
			t.Errorf("%q: %q, then %q, %v", text, deps, again, err)
		}
	})
}

// A compiler is an executor that reads main.c and what that includes, from the first of two directories that has it, and writes everything that it read.
// Its depfile names that as it pleases.
type compiler struct {
	*runTest
	files map[string]string // of the workspace
	deps  func(i int, name string) string
	runs  int
	fails bool
}

func (c *compiler) Source(ctx context.Context, _, name string) (engine.Artifact, error) {
	a := engine.Artifact{Name: name, Source: true}
	var err error
	if content, ok := c.files[name]; ok {
		a.Digest, err = cas.PutBytes(ctx, c.rt.Store, []byte(content))
		a.Executable = strings.HasPrefix(content, "!")
		return a, err
	}
	var entries []cas.Entry
	for p, content := range c.files {
		if rest, ok := strings.CutPrefix(p, name+"/"); ok {
			e := cas.Entry{Path: rest, Executable: strings.HasPrefix(content, "!")}
			if target, ok := strings.CutPrefix(content, "->"); ok {
				e.Kind, e.Target = cas.SymlinkEntry, target
			} else if e.Digest, err = cas.PutBytes(ctx, c.rt.Store, []byte(content)); err != nil {
				return a, err
			}
			entries = append(entries, e)
		}
	}
	a.Kind = engine.TreeKind
	a.Digest, err = cas.PutTree(ctx, c.rt.Store, entries)
	return a, err
}

// compile returns what the compiler makes of the workspace as it is, and what it reads for that.
func (c *compiler) compile() (out string, read []string) {
	var include func(name string)
	include = func(name string) {
		content, ok := c.files[name]
		for hops := 0; ok && strings.HasPrefix(content, "->"); hops++ {
			content, ok = c.files[path.Join(path.Dir(name), content[2:])]
			ok = ok && hops < 8
		}
		if !ok || slices.Contains(read, name) {
			return
		}
		read = append(read, name)
		out += name + "=" + content + ";"
		for word := range strings.FieldsSeq(content) {
			for _, dir := range []string{"first", "second/sub"} {
				if _, ok := c.files[dir+"/"+word]; ok {
					include(dir + "/" + word)
					break
				}
			}
		}
	}
	include("main.c")
	return out, read
}

func (c *compiler) Execute(ctx context.Context, _ *engine.Command) (*engine.Result, error) {
	c.runs++
	out, read := c.compile()
	for i, name := range read {
		read[i] = c.deps(i, name)
	}
	r := &engine.Result{}
	if c.fails {
		r.Status, r.ExitCode = engine.Fail, 1
	}
	for _, f := range [][2]string{{"o", out}, {"x.d", "o: " + strings.Join(read, " \\\n ")}} {
		d, err := cas.PutBytes(ctx, c.rt.Store, []byte(f[1]))
		if err != nil {
			return nil, err
		}
		r.Outs = append(r.Outs, engine.Output{Path: f[0], Artifact: engine.Artifact{Name: f[0], Digest: d}})
	}
	return r, nil
}

// build does what the engine does, and checks that what comes out is what a build from nothing makes.
func (c *compiler) build(r Run) (ran bool) {
	c.Helper()
	p, err := c.plan(r)
	if err != nil {
		c.Fatal(err)
	}
	ctx := c.Context()
	res, _, err := c.rt.Cache.Lookup(ctx, p.Action.Key(), p.Want, engine.LookupNormal)
	if err != nil {
		c.Fatal(err)
	}
	if res == nil && p.Narrow != nil {
		keys, err := p.Narrow.Keys(ctx)
		for _, k := range keys {
			if res == nil && err == nil {
				res, _, err = c.rt.Cache.Lookup(ctx, k, p.Want, engine.LookupNormal)
			}
		}
		if err != nil {
			c.Fatal(err)
		}
	}
	if res == nil {
		ran = true
		if res, err = p.Action.Do(ctx, func(engine.Event) {}); err != nil {
			c.Fatal(err)
		}
		records := []engine.Record{{Key: p.Action.Key(), Result: res}}
		if p.Narrow != nil && res.Status == engine.Pass {
			k, _, err := p.Narrow.Learn(ctx, res)
			if err != nil || k.IsZero() {
				c.Fatal(k, err)
			}
			records = append(records, engine.Record{Key: k, Result: res})
		}
		for _, rec := range records {
			if err := c.rt.Cache.Record(ctx, rec); err != nil {
				c.Fatal(err)
			}
		}
	}
	want, _ := c.compile()
	out, _ := res.Out("o")
	if got, err := cas.ReadAll(ctx, c.rt.Store, out.Digest, 1<<20); err != nil || string(got) != want {
		c.Fatalf("ran %v: %q, %v, want %q", ran, got, err, want)
	}
	return ran
}

func newCompiler(t *testing.T) *compiler {
	c := &compiler{runTest: newRunTest(t), files: make(map[string]string), deps: func(_ int, name string) string { return name }}
	c.rt.Executor, c.rt.Sources, c.rt.Cache = c, c, castest.NewMemoryActionCache()
	return c
}

var compileRun = Run{
	Command: command("cc"), Inputs: list(engine.Literal("main.c")), With: []engine.Text{engine.Literal("first"), engine.Literal("second"), engine.Literal("own.h")},
	Out: engine.OutSpec{Path: "o"}, Depfile: "x.d",
}

// TestNarrowEqualsClean edits headers at random: whatever is reused, what comes out is what a build from nothing makes; and an edit of what was not read
// runs nothing.
func TestNarrowEqualsClean(t *testing.T) {
	reused := 0
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			c := newCompiler(t)
			c.deps = func(i int, name string) string {
				return [...]string{name, "./" + name, "/build/run/1/" + name, "second/../" + name}[(uint64(i)+seed)%4]
			}
			name := func() string { return fmt.Sprintf("h%d", r.IntN(6)) }
			place := func() string { return []string{"first/", "second/sub/"}[r.IntN(2)] + name() }
			content := func() string {
				return fmt.Sprintf("%s%s %s %d", []string{"", "", "", "!"}[r.IntN(4)], name(), name(), r.IntN(3))
			}
			c.files["main.c"], c.files["first/x"], c.files["second/sub/x"], c.files["own.h"] = "h0", "", "", "1"
			for range 6 {
				c.files[place()] = content()
			}
			c.build(compileRun)
			for range 200 {
				before := maps.Clone(c.files)
				_, read := c.compile()
				at := place()
				switch r.IntN(10) {
				case 0:
					delete(c.files, at)
				case 1:
					at = "main.c"
					c.files[at] = content()
				case 2:
					at = "own.h"
					c.files[at] = content()
				case 3, 4:
					c.files[at] = "->" + []string{name(), "nowhere"}[min(1, r.IntN(5)/4)]
				default:
					c.files[at] = content()
				}
				ran := c.build(compileRun)
				was, existed := before[at]
				now, exists := c.files[at]
				plain := func(s string) bool { return !strings.HasPrefix(s, "!") && !strings.HasPrefix(s, "->") }
				if existed && exists && at != "main.c" && plain(was) && plain(now) && !slices.Contains(read, at) && !slices.ContainsFunc(read, func(f string) bool { return !plain(before[f]) }) {
					if reused++; ran {
						t.Fatalf("%s was not read, but: %q is not %q", at, now, was)
					}
				}
			}
		})
	}
	if reused < 100 {
		t.Errorf("only %d edits could be reused: does this test still try what it is for?", reused)
	}
}

func TestNarrowingForgetsNothingThatMatters(t *testing.T) {
	c := newCompiler(t)
	c.files = map[string]string{"main.c": "a", "first/a": "1", "first/b": "1", "second/x": "", "own.h": ""}
	if !c.build(compileRun) || c.build(compileRun) {
		t.Fatal("it runs once")
	}
	// Many versions of what it reads: those of the last sets of files are known, all versions of the same files.
	for i := range 3 * maxLearned {
		c.files["first/a"] = fmt.Sprint(i)
		c.build(compileRun)
	}
	c.files["first/b"] = "2"
	for i := range 3 * maxLearned {
		c.files["first/a"] = fmt.Sprint(i)
		if c.build(compileRun) {
			t.Errorf("version %d runs again", i)
		}
	}
	// What failed tells nothing.
	c.fails = true
	c.files["first/a"] = "new"
	c.build(compileRun)
	c.fails = false
	c.files["first/b"] = "3"
	if !c.build(compileRun) {
		t.Error("a failure was reused")
	}
	// Without a depfile, and without files that could not matter, there is nothing to narrow down.
	for _, change := range []func(*Run){func(r *Run) { r.Depfile = "" }, func(r *Run) { r.With = nil }} {
		r := compileRun
		change(&r)
		if p, err := c.plan(r); err != nil || p.Narrow != nil {
			t.Errorf("%v %v", p, err)
		}
	}
	// What stands in the key by itself is not loose.
	r := compileRun
	r.Inputs = append(slices.Clone(r.Inputs), list(engine.Literal("own.h"))...)
	c.build(r)
	c.files["own.h"] = "changed"
	if !c.build(r) {
		t.Error("an input was taken for one that may not matter")
	}
}

func TestNarrowingBesideALostStore(t *testing.T) {
	c := newCompiler(t)
	c.files = map[string]string{"main.c": "a", "first/a": "1", "first/b": "1", "second/x": "", "own.h": ""}
	c.build(compileRun)
	p, err := c.plan(compileRun)
	if err != nil {
		t.Fatal(err)
	}
	gone := castest.NewMemory()
	c.rt.Store = gone
	c.rt.listings = listings{}
	if keys, err := p.Narrow.Keys(t.Context()); len(keys) != 0 || err != nil {
		t.Errorf("what is lost was learned: %v, %v", keys, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Narrow.Keys(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want what ended it", err)
	}
}

// TestNamesOfInputsAreToldApart has files that are called as others are written.
func TestNamesOfInputsAreToldApart(t *testing.T) {
	for _, pair := range [][2]map[string]string{
		{{"first/a": "!1"}, {"first/a*": "1"}},
		{{"first/a": "->b"}, {"first/a -> b": "->b"}},
		{{"first/a": "->b"}, {"first/a -> b": ""}},
		{{"own.h": "!1"}, {"own.h": "1"}},
	} {
		var weak []engine.Key
		for _, files := range pair {
			c := newCompiler(t)
			c.files = map[string]string{"main.c": "", "first/x": "", "second/x": "", "own.h": ""}
			maps.Copy(c.files, files)
			p, err := c.plan(compileRun)
			if err != nil {
				t.Fatal(err)
			}
			n := p.Narrow.(*narrowing)
			if err := n.prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			weak = append(weak, n.weak.Sum())
		}
		if weak[0] == weak[1] {
			t.Errorf("%q are taken for the same", pair)
		}
	}
}

// TestNarrowedResultsAreTakenBack has a result found for another run than the one that made it: if a toolchain turns out to have been changed, neither stays.
func TestNarrowedResultsAreTakenBack(t *testing.T) {
	c := newCompiler(t)
	c.rt.Uses = &Uses{}
	c.files = map[string]string{"main.c": "a", "first/a": "1", "first/b": "1", "second/x": "", "own.h": ""}
	tree, err := cas.PutTree(t.Context(), c.rt.Store, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := compileRun
	r.Toolchains = []engine.Toolchain{{Root: engine.Artifact{Kind: engine.TreeKind, Digest: tree, Tool: true}, Bin: "bin"}}
	c.build(r)
	c.files["first/b"] = "2"
	if c.build(r) {
		t.Fatal("it runs again")
	}
	p, err := c.plan(r)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(c.rt.Uses.Keys(tree), p.Action.Key()) {
		t.Error("what was recorded under the second run's key would stay")
	}
}

func TestPlacesOfADependency(t *testing.T) {
	c := newCompiler(t)
	c.files = map[string]string{
		"main.c": "", "first/a": "", "first/dir/b": "", "first/l": "->dir", "first/out": "->../second/x", "second/a": "", "second/in": "->x", "second/x": "", "own.h": "",
	}
	all := "first own.h second"
	for _, test := range []struct{ dep, want string }{
		{"first/a", "first/a"},
		{"./first//a", "first/a"},
		{"first/dir/../a", "first/a"},
		{"second/nowhere/../a", "first/a second/a"},
		{"/build/there/first/a", "first/a"},
		{"/build/there/first/dir/../a", "first/a"},
		{"../../there/first/a", "first/a second/a"},
		{"../first/a", "first/a"},
		{"a", "first/a second/a"},
		{"dir/b", "first/dir/b"},
		{"b", "first/dir/b"},
		{"made/b", "first/dir/b"},
		{"first/l/b", "first/dir/b"},
		{"first/l/../a", "first/a second/a"},
		{"first/out", all},
		{"second/in", "second"},
		{"first", "first"},
		{"first/dir", "first"},
		{"first/dir/", "first"},
		{".", all},
		{"..", all},
		{"/", all},
		{"", all},
		{"own.h", "own.h"},
		{"own.h/a", "first/a second/a"},
		{"main.c", ""},
		{"/usr/first/include/a", ""},
		{"/usr/include/own.h", "own.h"},
		{"/usr/include/first", "first"},
		{"first/gone", ""},
	} {
		p, err := c.plan(compileRun)
		if err != nil {
			t.Fatal(err)
		}
		n := p.Narrow.(*narrowing)
		got, err := n.places(t.Context(), []string{test.dep})
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%q: %q, %v, want %q", test.dep, got, err, test.want)
		}
	}
}
