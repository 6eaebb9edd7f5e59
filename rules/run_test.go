package rules

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
)

// runTest plans runs in the package "pkg".
type runTest struct {
	testing.TB
	rt     *Runtime
	ran    *engine.Result // what the executor says
	system []string       // what the key holds of the machine besides the programs
	other  bool           // whether the machine can't vouch for its programs
}

func newRunTest(t testing.TB) *runTest {
	rt := &runTest{TB: t, ran: &engine.Result{}}
	rt.rt = &Runtime{Store: castest.NewMemory(), Executor: rt, Sources: rt, System: rt, Machine: "m1", Env: func(name string) (string, bool) {
		v, ok := map[string]string{"TOKEN": "t1", "EMPTY": ""}[name]
		return v, ok
	}}
	return rt
}

func (t *runTest) Guarantees() engine.Guarantees {
	return engine.Guarantees{Sandbox: engine.SandboxNone}
}

func (t *runTest) Execute(context.Context, *engine.Command) (*engine.Result, error) {
	r := *t.ran
	return &r, nil
}

// Source knows the directories src and data; everything else is a file with its name as content.
func (t *runTest) Restore(context.Context, cas.Digest) error {
	return errors.New("nothing is lost here")
}

func (t *runTest) Source(_ context.Context, dir, p string) (engine.Artifact, error) {
	if strings.Contains(p, "..") {
		return engine.Artifact{}, invalidf("%s leaves its package", p)
	}
	a := engine.Artifact{Digest: cas.Of([]byte(dir + "/" + p)), Name: strings.TrimPrefix(p, "//"), Source: true}
	if p == "src" || p == "data" {
		a.Kind = engine.TreeKind
	}
	return a, nil
}

func (t *runTest) Host(_ context.Context, programs, packages []string) ([]string, bool, error) {
	var lines []string
	for _, p := range programs {
		if p == "missing" {
			return nil, false, invalidf("command not found: %s", p)
		}
		lines = append(lines, "program "+p)
	}
	for _, p := range packages {
		lines = append(lines, "package "+p)
	}
	return append(lines, t.system...), !t.other, nil
}

func file(name, content string) engine.Artifact {
	return engine.Artifact{Digest: cas.Of([]byte(content)), Name: name}
}

func of(a engine.Artifact) engine.Text { return engine.Text{{Artifact: &a}} }

// text makes a Text of strings and artifacts.
func textOf(parts ...any) engine.Text {
	var t engine.Text
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			t = append(t, engine.Part{Lit: p})
		case engine.Artifact:
			t = append(t, engine.Part{Artifact: &p})
		}
	}
	return t
}

func list(texts ...engine.Text) (inputs []engine.Input) {
	for _, t := range texts {
		inputs = append(inputs, engine.Input{Text: t})
	}
	return inputs
}

func script(s string) *engine.Text {
	t := engine.Literal(s)
	return &t
}

func command(words ...string) (texts []engine.Text) {
	for _, w := range words {
		texts = append(texts, engine.Literal(w))
	}
	return texts
}

func (t *runTest) self() Self {
	return Self{Dir: "pkg", Name: "try", Instance: engine.Instance{Target: &engine.Target{Label: engine.Label{Dir: "pkg", Name: "try"}, Rule: "run"}}}
}

func (t *runTest) plan(r Run) (*engine.Plan, error) { return r.Plan(t.Context(), t.rt, t.self()) }

// command plans r and returns what would be executed.
func (t *runTest) command(r Run) *engine.Command {
	t.Helper()
	p, err := t.plan(r)
	if err != nil {
		t.Fatal(err)
	}
	return p.Action.(*runAction).command
}

// mounts returns "path=content's first artifact name" of all mounts.
func mounts(c *engine.Command) (paths []string) {
	for _, m := range c.Mounts {
		paths = append(paths, m.Path)
	}
	return paths
}

func env(c *engine.Command, name string) string {
	for _, e := range c.Env {
		if n, v, _ := strings.Cut(e, "="); n == name {
			return v
		}
	}
	return "(unset)"
}

func TestPathsOfInputs(t *testing.T) {
	rt := newRunTest(t)
	a, b := file("a.o", "a"), file("bin/b", "b")
	module := engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte("module")), Name: "tree"}
	for name, test := range map[string]struct {
		inputs []engine.Input
		with   []engine.Text
		args   []engine.Text
		dir    string
		mounts []string
		argv   []string
		in     string
	}{
		"sources stand at their paths": {
			inputs: list(engine.Literal("x.c"), engine.Literal("src"), engine.Literal("//lib/y.h")),
			mounts: []string{"lib/y.h", "src", "x.c"}, in: "x.c src lib/y.h",
		},
		"others are counted by first mention": {
			inputs: list(of(b), of(a)), args: []engine.Text{of(module), of(b)},
			mounts: []string{"in/1/bin/b", "in/2/a.o", "in/3/tree"}, in: "in/1/bin/b in/2/a.o", argv: []string{"in/3/tree", "in/1/bin/b"},
		},
		"equal content and name once": {
			inputs: list(of(a), of(file("a.o", "a"))), args: []engine.Text{of(a)},
			mounts: []string{"in/1/a.o"}, in: "in/1/a.o in/1/a.o", argv: []string{"in/1/a.o"},
		},
		"equal content with another name": {
			inputs: list(of(a), of(file("c.o", "a"))), mounts: []string{"in/1/a.o", "in/2/c.o"}, in: "in/1/a.o in/2/c.o",
		},
		"equal name with other content": {
			inputs: list(of(a), of(file("a.o", "other"))), mounts: []string{"in/1/a.o", "in/2/a.o"}, in: "in/1/a.o in/2/a.o",
		},
		"a map input is at its name": {
			inputs: []engine.Input{{Dest: "m/x", Text: of(a)}, {Dest: "s", Text: engine.Literal("src")}}, args: []engine.Text{of(a), of(b)},
			mounts: []string{"in/1/bin/b", "m/x", "s"}, argv: []string{"m/x", "in/1/bin/b"}, in: "-",
		},
		"one artifact at two names": {
			inputs: []engine.Input{{Dest: "x", Text: of(a)}, {Dest: "y", Text: of(a)}}, args: []engine.Text{of(a)},
			mounts: []string{"x", "y"}, argv: []string{"x"}, in: "-",
		},
		"a list in a map": {
			inputs: []engine.Input{{Dest: "d/", Text: of(a)}, {Dest: "d/", Text: of(b)}, {Dest: "d/", Text: engine.Literal("e/f.txt")}},
			mounts: []string{"d/a.o", "d/b", "d/f.txt"}, in: "-",
		},
		"with is there but not in $in": {
			inputs: list(engine.Literal("x.c")), with: []engine.Text{engine.Literal("x.h"), of(a)},
			mounts: []string{"in/1/a.o", "x.c", "x.h"}, in: "x.c",
		},
		"relative to dir": {
			inputs: list(engine.Literal("src"), of(a)), dir: "src/deep", args: []engine.Text{of(a), textOf(module, "/go.mod")},
			mounts: []string{"in/1/a.o", "in/2/tree", "src"}, in: "../../src ../../in/1/a.o", argv: []string{"../../in/1/a.o", "../../in/2/tree/go.mod"},
		},
		"dir is an input": {
			inputs: []engine.Input{{Dest: "src", Text: of(module)}}, dir: "./src/", args: []engine.Text{of(module), textOf(module, "/go.mod")},
			mounts: []string{"src"}, argv: []string{".", "./go.mod"}, in: "-",
		},
		"a path inside an artifact": {
			inputs: list(textOf(module, "/sub/f")), args: []engine.Text{textOf("--at=", module, "/g:", a)},
			mounts: []string{"in/1/tree", "in/2/a.o"}, in: "in/1/tree/sub/f", argv: []string{"--at=in/1/tree/g:in/2/a.o"},
		},
		"the place of the run": {args: command(engine.WorkDir + "/x"), dir: "d", argv: []string{engine.WorkDir + "/x"}},
		"spaces":               {inputs: list(engine.Literal("a b.c")), mounts: []string{"a b.c"}, in: "-"},
		"wildcards":            {inputs: list(engine.Literal("[x].c")), mounts: []string{"[x].c"}, in: "-"},
		"none":                 {},
	} {
		t.Run(name, func(t *testing.T) {
			c := rt.command(Run{Command: append(command("tool"), test.args...), Inputs: test.inputs, With: test.with, Dir: test.dir})
			if got := mounts(c); !slices.Equal(got, test.mounts) {
				t.Errorf("mounts %q, want %q", got, test.mounts)
			}
			if got := c.Argv[1:]; !slices.Equal(got, test.argv) {
				t.Errorf("argv %q, want %q", got, test.argv)
			}
			c = rt.command(Run{Script: script("true"), Inputs: test.inputs, With: test.with, Dir: test.dir})
			want := test.in
			if want == "-" {
				want = "(unset)"
			}
			if got := env(c, "in"); got != want {
				t.Errorf("$in is %q, want %q", got, want)
			}
			_, err := rt.plan(Run{Script: script("cat $in"), Inputs: test.inputs, With: test.with, Dir: test.dir})
			if refused := errors.As(err, new(*engine.InvalidError)); refused != (test.in == "-") {
				t.Errorf("a script with $in: %v", err)
			}
		})
	}
}

// TestNoNamesInPaths plans the same work for two targets with other names, which must have one key.
func TestNoNamesInPaths(t *testing.T) {
	rt := newRunTest(t)
	r := Run{Script: script("cat $in > $out"), Inputs: list(of(file("x", "x"))), Out: engine.OutSpec{Path: "o"}}
	one, err := r.Plan(t.Context(), rt.rt, rt.self())
	if err != nil {
		t.Fatal(err)
	}
	other := Self{Dir: "elsewhere", Name: "other", Instance: engine.Instance{Target: &engine.Target{Label: engine.Label{Dir: "elsewhere", Name: "other"}, Rule: "run", Repeated: true}, Key: "k@v1", Axes: []string{"after"}}}
	two, err := r.Plan(t.Context(), rt.rt, other)
	if err != nil || one.Action.Key() != two.Action.Key() {
		t.Errorf("keys differ: %v\n%s\n%s", err, one.Action.Preimage(), two.Action.Preimage())
	}
}

func TestMistakesInRuns(t *testing.T) {
	rt := newRunTest(t)
	a, module := file("a", "a"), engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte("m")), Name: "tree"}
	for name, test := range map[string]struct {
		run  Run
		want string
	}{
		"neither":            {Run{}, "either command or script"},
		"both":               {Run{Command: command("x"), Script: script("x")}, "either command or script"},
		"two at one path":    {Run{Command: command("x"), Inputs: append(list(engine.Literal("a")), engine.Input{Dest: "a", Text: of(a)})}, "two of them stand at a"},
		"out over inputs":    {Run{Command: command("x"), Inputs: list(engine.Literal("lua/lua.c")), Out: engine.OutSpec{Path: "lua"}}, "no file can be lua, which is a directory with the input lua/lua.c"},
		"out over a tree":    {Run{Command: command("x"), Inputs: list(engine.Literal("src")), Stdout: "src"}, "no file can be src"},
		"two of one name":    {Run{Command: command("x"), Inputs: []engine.Input{{Dest: "d/", Text: of(a)}, {Dest: "d/", Text: of(file("sub/a", "b"))}}}, "two of them stand at d/a"},
		"inside a file":      {Run{Command: command("x"), Inputs: []engine.Input{{Dest: "d", Text: of(a)}, {Dest: "d-x", Text: of(a)}, {Dest: "d/x/y", Text: of(a)}}}, "stands inside the file d"},
		"source outside":     {Run{Command: command("x"), Inputs: list(engine.Literal("../x"))}, "leaves its package"},
		"destination":        {Run{Command: command("x"), Inputs: []engine.Input{{Dest: "../x", Text: of(a)}}}, "not inside"},
		"destination itself": {Run{Command: command("x"), Inputs: []engine.Input{{Dest: "x/..", Text: of(a)}}}, "not inside"},
		"part of a tree":     {Run{Command: command("x"), Inputs: []engine.Input{{Dest: "x", Text: textOf(module, "/f")}}}, "only whole artifacts"},
		"hostile name":       {Run{Command: command("x"), Inputs: list(of(file("../../../x", "")))}, "can't be placed"},
		"hostile argument":   {Run{Command: []engine.Text{engine.Literal("x"), of(file("../../../../x", ""))}}, "can't be placed"},
		"dir":                {Run{Command: command("x"), Dir: "../x"}, "dir"},
		"absolute dir":       {Run{Command: command("x"), Dir: "/x"}, "dir"},
		"out":                {Run{Command: command("x"), Out: engine.OutSpec{Path: "../x"}}, "out"},
		"out itself":         {Run{Command: command("x"), Out: engine.OutSpec{Path: ".", Dir: true}}, "out"},
		"stdout":             {Run{Command: command("x"), Stdout: "/etc/passwd"}, "stdout"},
		"stdin":              {Run{Command: command("x"), Stdin: ptr(of(module))}, "stdin: it is a directory"},
		"mixed stdin":        {Run{Command: command("x"), Stdin: ptr(textOf("x", a))}, "not both"},
		"system":             {Run{Command: command("x"), System: "nothing"}, "system: \"nothing\" is no system"},
		"file as system":     {Run{Command: command("x"), System: a}, "system: a is a file"},
		"part as system":     {Run{Command: command("x"), System: textOf(module, "/f")}, "system: want"},
		"tools of no system": {Run{Command: command("x"), System: "none", Tools: []string{"x"}}, "tools: they are programs of the host"},
		"number of system":   {Run{Command: command("x"), System: int64(3)}, "system"},
		"no program":         {Run{Command: command("")}, "command: the program has no name"},
		"NUL in a command":   {Run{Command: command("x", "a\x00b")}, "command: the argument"},
		"NUL in env":         {Run{Command: command("x"), Env: map[string]engine.Text{"A": engine.Literal("\x00")}}, "env: the value of A"},
		"name in env":        {Run{Command: command("x"), Env: map[string]engine.Text{"A=B": {}}}, "env: \"A=B\""},
		"empty name in env":  {Run{Command: command("x"), Env: map[string]engine.Text{"": {}}}, "env: \"\""},
		"program":            {Run{Command: command("missing")}, "command not found"},
		"tool":               {Run{Command: command("x"), Tools: []string{"missing"}}, "command not found"},
	} {
		_, err := rt.plan(test.run)
		if !errors.As(err, new(*engine.InvalidError)) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want it to say %q", name, err, test.want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestOuts(t *testing.T) {
	rt := newRunTest(t)
	spec := func(p string) engine.OutSpec {
		name, dir := strings.CutSuffix(p, "/")
		return engine.OutSpec{Path: name, Dir: dir}
	}
	for name, test := range map[string]struct {
		out    engine.Shape
		stdout string
		dir    string
		paths  []string
		env    map[string]string
	}{
		"one":           {out: spec("o"), paths: []string{"o"}, env: map[string]string{"out": "o"}},
		"a directory":   {out: spec("d/"), paths: []string{"d/"}, env: map[string]string{"out": "d"}},
		"a list":        {out: []engine.Value{spec("b"), spec("a")}, paths: []string{"a", "b"}, env: map[string]string{"out": "b a"}},
		"an object":     {out: engine.Object{"x": spec("a"), "y": []engine.Value{spec("b"), spec("c/")}}, paths: []string{"a", "b", "c/"}, env: map[string]string{"out": "(unset)", "out_x": "a", "out_y": "c"}},
		"stdout":        {stdout: "s", paths: []string{"s"}, env: map[string]string{"out": "s"}},
		"stdout in out": {out: []engine.Value{spec("s"), spec("o")}, stdout: "s", paths: []string{"o", "s"}, env: map[string]string{"out": "s o"}},
		"both":          {out: spec("o"), stdout: "s", paths: []string{"o", "s"}, env: map[string]string{"out": "o"}},
		"in dir":        {out: engine.Object{"x": spec("w/a"), "y": spec("b")}, dir: "w", paths: []string{"b", "w/a"}, env: map[string]string{"out_x": "a", "out_y": "../b"}},
		"none":          {env: map[string]string{"out": "(unset)"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := rt.command(Run{Script: script("x"), Out: test.out, Stdout: test.stdout, Dir: test.dir})
			var paths []string
			for _, o := range c.Outs {
				p := o.Path
				if o.Dir {
					p += "/"
				}
				paths = append(paths, p)
			}
			if !slices.Equal(paths, test.paths) || c.Stdout != test.stdout {
				t.Errorf("outs %q, stdout %q", paths, c.Stdout)
			}
			for name, want := range test.env {
				if got := env(c, name); got != want {
					t.Errorf("$%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestScriptsAndEnvironment(t *testing.T) {
	rt := newRunTest(t)
	a := file("a", "a")
	tool := func(name string) engine.Toolchain {
		return engine.Toolchain{Root: engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte(name)), Name: "tree", Tool: true}, Bin: "bin", Env: map[string]string{"ROOT": "${ROOT}/" + name, "TZ": name}}
	}
	one, two := tool("one"), tool("two")
	c := rt.command(Run{
		Script: ptr(textOf("cat ", a)), Shell: []engine.Text{engine.Literal("bash"), engine.Literal("-c")}, Toolchains: []engine.Toolchain{one, two, one},
		Env: map[string]engine.Text{"A": textOf("x=", a), "ROOT": engine.Literal("mine")}, PassEnv: []string{"TOKEN", "EMPTY", "UNSET"},
		Out: engine.OutSpec{Path: "o"},
	})
	if want := []string{"bash", "-c", engine.ScriptPath}; !slices.Equal(c.Argv, want) || c.Script != "cat in/1/a" {
		t.Errorf("%q %q", c.Argv, c.Script)
	}
	want := []string{
		"A=x=in/1/a", "EMPTY=", "HOME=/tmp", "LANG=C.UTF-8",
		"PATH=" + engine.ToolDir(0) + "/bin:" + engine.ToolDir(1) + "/bin:" + engine.ToolDir(0) + "/bin:/usr/bin:/bin",
		"ROOT=mine", "TMPDIR=/tmp", "TOKEN=t1", "TZ=one", "in=", "out=o",
	}
	if !slices.Equal(c.Env, want) {
		t.Errorf("env\n%q, want\n%q", c.Env, want)
	}
	if !reflect.DeepEqual(c.Tools, []engine.Artifact{one.Root, two.Root}) {
		t.Errorf("tools %v", c.Tools)
	}
	// The tree of a toolchain that is only mentioned is not copied either.
	c = rt.command(Run{Command: []engine.Text{textOf(two.Root, "/bin/x")}, Inputs: list(of(one.Root))})
	if !slices.Equal(c.Argv, []string{engine.ToolDir(1) + "/bin/x"}) || len(c.Mounts) > 0 || len(c.Tools) != 2 {
		t.Errorf("%q, mounts %v, tools %v", c.Argv, c.Mounts, c.Tools)
	}
	if c := rt.command(Run{Script: script("x")}); !slices.Equal(c.Argv, []string{"sh", "-eu", engine.ScriptPath}) {
		t.Errorf("%q", c.Argv)
	}
}

func TestMentions(t *testing.T) {
	for script, want := range map[string]bool{
		"cat $in": true, "cat ${in}": true, `"$in"`: true, "$in": true, "cat ${in:-x}": true, "x$in.y": true,
		"cat in": false, "$input": false, "${in_}": false, "$ in": false, "$": false, "$out$": false, "$inn $in": true,
	} {
		if got := mentions(script, "in"); got != want {
			t.Errorf("%q: %v", script, got)
		}
	}
}

// full returns attributes with everything set.
func full() Run {
	return Run{
		Script: script("x"), Shell: command("sh"), Inputs: list(engine.Literal("x.c"), of(file("a", "a"))), With: command("x.h"), Tools: []string{"cc"},
		Env: map[string]engine.Text{"A": engine.Literal("1"), "B": engine.Literal("2"), "C": engine.Literal("3")}, PassEnv: []string{"TOKEN"}, Dir: "d",
		Stdin: script("in"), Toolchains: []engine.Toolchain{{Root: engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte("go")), Name: "tree", Tool: true}, Bin: "bin"}},
		Out: []engine.Value{engine.OutSpec{Path: "o"}, engine.OutSpec{Path: "p", Dir: true}}, Stdout: "s", Platform: map[string]string{"a": "b", "c": "d"},
		System: []engine.Value{"libc6"},
	}
}

func TestWhatIsInTheKey(t *testing.T) {
	rt := newRunTest(t)
	key := func(r Run) engine.Key {
		t.Helper()
		p, err := rt.plan(r)
		if err != nil {
			t.Fatal(err)
		}
		return p.Action.Key()
	}
	base := key(full())
	for name, change := range map[string]func(*Run){
		"timeout": func(r *Run) { r.Timeout = time.Hour }, "retries": func(r *Run) { r.Retries = ptr(9) }, "cpu": func(r *Run) { r.CPU = 4 },
		"memory": func(r *Run) { r.Memory = 1 << 30 }, "disk": func(r *Run) { r.Disk = 1 }, "cache": func(r *Run) { r.Cache = "no" },
		"allow_failure":  func(r *Run) { r.AllowFailure = true },
		"unset pass_env": func(r *Run) { r.PassEnv = append(r.PassEnv, "UNSET") },
		"clean dir":      func(r *Run) { r.Dir = "./d/" },
		"shape of out": func(r *Run) {
			r.Out = []engine.Value{engine.OutSpec{Path: "p", Dir: true}, engine.OutSpec{Path: "o"}}
			r.Env["out"] = engine.Literal("o p")
		},
	} {
		r := full()
		r.Env = maps.Clone(r.Env)
		before := full()
		if name == "shape of out" {
			before.Env["out"] = engine.Literal("o p")
		}
		change(&r)
		if key(r) != key(before) {
			t.Errorf("%s is in the key", name)
		}
	}
	seen := map[engine.Key]string{base: "base"}
	for name, change := range map[string]func(*Run){
		"command":         func(r *Run) { r.Script, r.Shell, r.Command = nil, nil, command("x") },
		"another command": func(r *Run) { r.Script, r.Shell, r.Command = nil, nil, command("x", "y") },
		"joined command":  func(r *Run) { r.Script, r.Shell, r.Command = nil, nil, command("xy") },
		"script":          func(r *Run) { r.Script = script("y") }, "shell": func(r *Run) { r.Shell = command("bash") },
		"content": func(r *Run) { r.Inputs = list(engine.Literal("x.c"), of(file("a", "b"))) },
		"source":  func(r *Run) { r.Inputs = list(engine.Literal("y.c"), of(file("a", "a"))) },
		"name":    func(r *Run) { r.Inputs = list(engine.Literal("x.c"), of(file("b", "a"))) },
		"kind": func(r *Run) {
			a := file("a", "a")
			a.Kind = engine.TreeKind
			r.Inputs = list(engine.Literal("x.c"), of(a))
		},
		"mode": func(r *Run) { a := file("a", "a"); a.Executable = true; r.Inputs = list(engine.Literal("x.c"), of(a)) },
		"with": func(r *Run) { r.With = command("y.h") }, "tools": func(r *Run) { r.Tools = []string{"gcc"} },
		"env": func(r *Run) { r.Env["A"] = engine.Literal("2") }, "more env": func(r *Run) { r.Env["D"] = engine.Literal("") },
		"pass_env": func(r *Run) { r.PassEnv = []string{"EMPTY"} }, "dir": func(r *Run) { r.Dir = "e" },
		"stdin": func(r *Run) { r.Stdin = script("other") }, "no stdin": func(r *Run) { r.Stdin = nil },
		"toolchain": func(r *Run) { r.Toolchains[0].Root.Digest = cas.Of([]byte("go2")) },
		"bin":       func(r *Run) { r.Toolchains[0].Bin = "sbin" },
		"out":       func(r *Run) { r.Out = engine.OutSpec{Path: "o"} },
		"out kind": func(r *Run) {
			r.Out = []engine.Value{engine.OutSpec{Path: "o", Dir: true}, engine.OutSpec{Path: "p", Dir: true}}
		},
		"optional": func(r *Run) {
			r.Out = []engine.Value{engine.OutSpec{Path: "o", Optional: true}, engine.OutSpec{Path: "p", Dir: true}}
		},
		"stdout": func(r *Run) { r.Stdout = "t" }, "network": func(r *Run) { r.Network = true },
		"platform": func(r *Run) { r.Platform = map[string]string{"a": "b"} }, "system": func(r *Run) { r.System = []engine.Value{"libc7"} },
	} {
		r := full()
		change(&r)
		k := key(r)
		if old, ok := seen[k]; ok {
			t.Errorf("%s has the key of %s", name, old)
		}
		seen[k] = name
	}
	for range 20 {
		if key(full()) != base {
			t.Fatal("the order of a map is in the key")
		}
	}
	rt.system = []string{"package libc6 2"}
	if key(full()) == base {
		t.Error("the packages of the host are not in the key")
	}
	rt.system, rt.other = nil, true
	here := key(full())
	rt.rt.Machine = "m2"
	if here == base || key(full()) == here {
		t.Error("without packages, the machine is not in the key")
	}
}

func TestProgramsOfTheHost(t *testing.T) {
	rt := newRunTest(t)
	for name, test := range map[string]struct {
		run  Run
		want string
	}{
		"command":  {Run{Command: command("cc", "x")}, "program cc"},
		"script":   {Run{Script: script("x")}, "program sh"},
		"shell":    {Run{Script: script("x"), Shell: command("python3")}, "program python3"},
		"tools":    {Run{Script: script("x"), Tools: []string{"cc"}}, "program cc"},
		"absolute": {Run{Command: command("/usr/bin/cc")}, "program /usr/bin/cc"},
	} {
		p, err := rt.plan(test.run)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(p.Action.Preimage()); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q is not in the key: %s", name, test.want, got)
		}
	}
	for name, r := range map[string]Run{"made here": {Command: []engine.Text{of(file("prog", ""))}}, "a source": {Command: command("./prog.sh")}} {
		p, err := rt.plan(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(p.Action.Preimage()); strings.Contains(got, "program") {
			t.Errorf("%s: %s", name, got)
		}
	}
	tool := engine.Toolchain{Root: engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of(nil), Tool: true}}
	if _, err := rt.plan(Run{Command: command("missing"), Toolchains: []engine.Toolchain{tool}}); err != nil {
		t.Errorf("a program that the toolchain may bring: %v", err)
	}
}

func TestPlanOfARun(t *testing.T) {
	rt := newRunTest(t)
	plan := func(r Run) *engine.Plan {
		t.Helper()
		r.Command = command("x")
		p, err := rt.plan(r)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := plan(Run{})
	if p.Pool != engine.CPUPool || p.Retries != 2 || p.Want.Timeout != 10*time.Minute || p.Want.Machine != "m1" || p.Fresh || p.Reuse != nil {
		t.Errorf("defaults: %+v", p)
	}
	p = plan(Run{Common: Common{Timeout: time.Second, Retries: ptr(0), CPU: 3, Memory: 5, Cache: "no"}, AllowFailure: true})
	if p.Retries != 0 || p.Want.Timeout != time.Second || p.Want.Memory != 5 || p.Slots != 3 || !p.Fresh || p.Reuse == nil || !p.Reuse(&engine.Result{Status: engine.Fail}) {
		t.Errorf("%+v", p)
	}
	if p := plan(Run{AllowFailure: true, Network: true}); p.Reuse != nil {
		t.Error("a failure with network would be used again")
	}
}

func TestMissingOutIsAFailure(t *testing.T) {
	rt := newRunTest(t)
	do := func(r Run) *engine.Result {
		t.Helper()
		r.Command = command("x")
		p, err := rt.plan(r)
		if err != nil {
			t.Fatal(err)
		}
		res, err := p.Action.Do(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	o := engine.OutSpec{Path: "o"}
	rt.ran = &engine.Result{Facts: map[string]string{"text": "too long"}}
	if r := do(Run{Out: o}); r.Status != engine.Fail || r.Facts["missing"] != "o" || r.Facts["text"] == "" {
		t.Errorf("%v %v", r.Status, r.Facts)
	}
	if r := do(Run{Out: engine.OutSpec{Path: "o", Optional: true}}); r.Status != engine.Pass {
		t.Errorf("an optional one: %v", r.Status)
	}
	rt.ran = &engine.Result{Status: engine.Timeout}
	if r := do(Run{Out: o}); r.Status != engine.Timeout || r.Facts["missing"] != "" {
		t.Errorf("after a timeout: %v %v", r.Status, r.Facts)
	}
	rt.ran = &engine.Result{Outs: []engine.Output{{Path: "o", Artifact: file("o", "")}}}
	if r := do(Run{Out: o}); r.Status != engine.Pass {
		t.Errorf("%v", r.Status)
	}
}

func TestReads(t *testing.T) {
	rt := newRunTest(t)
	blob := func(s string) cas.Digest {
		d, err := cas.PutBytes(t.Context(), rt.rt.Store, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	shape := engine.Object{"a": engine.OutSpec{Path: "a"}, "l": []engine.Value{engine.OutSpec{Path: "b"}, engine.OutSpec{Path: "c", Optional: true}}}
	a, b := file("a", "1"), file("b", "2")
	log := blob("log")
	outs := []engine.Output{{Path: "a", Artifact: a}, {Path: "b", Artifact: b}}
	target := &engine.Target{Label: engine.Label{Name: "t"}, Rule: "run", Repeated: true, Axes: []string{"go"}}
	row := &engine.Row{Target: target, Key: "k", Value: "element"}
	whole := engine.Object{"a": a, "l": []engine.Value{b, nil}}
	ran := func(s engine.Status, code int, outs ...engine.Output) *engine.Outcome {
		return &engine.Outcome{Axes: []string{"after"}, Shape: shape, Key: engine.Key{1}, Result: &engine.Result{Status: s, ExitCode: code, Outs: outs, Log: log, Stdout: blob(" {\"n\": [1, 2.5]}\n")}}
	}
	skipped := errors.New("skipped")
	logged := engine.Artifact{Digest: log, Name: "log"}
	number := engine.Object{"n": []engine.Value{int64(1), 2.5}}
	none := engine.Object{"a": nil, "l": []engine.Value{nil, nil}}
	trouble := &engine.Outcome{Axes: []string{"after"}, Shape: shape, Err: errors.New("no network")}
	for name, test := range map[string]struct {
		o    *engine.Outcome
		want map[string]any
	}{
		"pass":    {ran(engine.Pass, 0, outs...), map[string]any{"ok": true, "outcome": "pass", "out": whole, "partial": whole, "exit_code": int64(0), "log": logged, "text": `{"n": [1, 2.5]}`, "json": number}},
		"fail":    {ran(engine.Fail, 3, outs[1]), map[string]any{"ok": false, "outcome": "fail", "out": skipped, "partial": engine.Object{"a": nil, "l": []engine.Value{b, nil}}, "exit_code": int64(3), "log": logged, "text": `{"n": [1, 2.5]}`, "json": number}},
		"crash":   {ran(engine.Crash, 139), map[string]any{"ok": false, "outcome": "crash", "out": skipped, "partial": none, "exit_code": int64(139), "text": `{"n": [1, 2.5]}`}},
		"timeout": {ran(engine.Timeout, -1, outs...), map[string]any{"ok": false, "outcome": "timeout", "out": skipped, "partial": whole, "exit_code": int64(-1)}},
		"oom":     {ran(engine.OOM, 137), map[string]any{"ok": false, "outcome": "oom", "out": skipped, "partial": none}},
		"error":   {trouble, map[string]any{"ok": false, "outcome": "error", "out": skipped, "partial": none, "exit_code": nil, "log": nil, "text": nil, "json": nil, "key": ""}},
		"skipped": {&engine.Outcome{Axes: []string{"after"}, Shape: shape, Err: &engine.SkippedError{Cause: "x"}}, map[string]any{"ok": false, "outcome": "skipped", "out": skipped, "partial": none, "text": nil}},
		"invalid": {&engine.Outcome{Axes: []string{"after"}, Err: invalidf("x")}, map[string]any{"ok": false, "outcome": "invalid", "out": skipped, "partial": nil}},
	} {
		for attr, want := range test.want {
			got, err := Read(t.Context(), rt.rt, row, test.o, attr)
			var skip *engine.SkippedError
			if want == skipped {
				if !errors.As(err, &skip) || skip.Cause != `run.t["k"]["after"] is `+string(test.o.Class()) {
					t.Errorf("%s: %s is %v, %v", name, attr, got, err)
				}
			} else if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s is %#v, %v, want %#v", name, attr, got, err, want)
			}
		}
		for attr, want := range map[string]any{"value": "element", "matrix": engine.Object{"go": "after"}} {
			if got, err := Read(t.Context(), rt.rt, row, test.o, attr); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s is %v, %v", name, attr, got, err)
			}
		}
		for _, kind := range Kinds() {
			for _, attr := range kind.Reads {
				if _, err := Read(t.Context(), rt.rt, row, test.o, attr); err != nil && attr != "out" {
					t.Errorf("%s: %s: %v", name, attr, err)
				}
			}
		}
	}
}

func TestTextAndJSON(t *testing.T) {
	rt := newRunTest(t)
	row := &engine.Row{Target: &engine.Target{Rule: "run"}}
	read := func(attr, stdout string, facts map[string]string) (engine.Value, error) {
		o := &engine.Outcome{Result: &engine.Result{Facts: facts}}
		if stdout != "" {
			d, err := cas.PutBytes(t.Context(), rt.rt.Store, []byte(stdout))
			if err != nil {
				t.Fatal(err)
			}
			o.Result.Stdout = d
		}
		return Read(t.Context(), rt.rt, row, o, attr)
	}
	for stdout, want := range map[string]string{"": "", " a\n\n": "a", "\xff": "\uFFFD", "a\x00b": "a\x00b", strings.Repeat("x", maxText): strings.Repeat("x", maxText)} {
		if got, err := read("text", stdout, nil); err != nil || got != want {
			t.Errorf("text of %.20q: %.20q, %v", stdout, got, err)
		}
	}
	for stdout, want := range map[string]any{
		"null": nil, "1": int64(1), "-9223372036854775808": int64(-1 << 63), "1.5e3": 1500.0, "9223372036854775808": 9223372036854775808.0, `"x"`: "x",
		`{"a":[true,{}]}`: engine.Object{"a": []engine.Value{true, engine.Object{}}}, " [] \n": []engine.Value{},
	} {
		if got, err := read("json", stdout, nil); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("json of %q: %#v, %v", stdout, got, err)
		}
	}
	for _, stdout := range []string{"", "{", "{} {}", "{} }", "[1] ]", "1e999", `[{"a": -1e999}]`, "nul", "{'a': 1}", strings.Repeat("[", 100_000)} {
		if got, err := read("json", stdout, nil); !errors.As(err, new(*engine.InvalidError)) {
			t.Errorf("json of %.20q: %v, %v", stdout, got, err)
		}
	}
	for _, attr := range []string{"text", "json"} {
		if got, err := read(attr, "", map[string]string{"text": "too long"}); !errors.As(err, new(*engine.InvalidError)) {
			t.Errorf("%s of too much: %v, %v", attr, got, err)
		}
		o := &engine.Outcome{Result: &engine.Result{Stdout: cas.Of([]byte("lost"))}}
		if got, err := Read(t.Context(), rt.rt, row, o, attr); !errors.Is(err, cas.ErrNotFound) || !errors.As(err, new(*engine.LostError)) {
			t.Errorf("%s that is lost: %v, %v", attr, got, err)
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{"1", `{"a": [1, 2.5, null]}`, "1e400", "[", "\"\\ud800\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := ParseJSON(data)
		if err != nil {
			return
		}
		if _, err := engine.AppendValue(nil, v, nil); err != nil && len(data) < 1000 {
			t.Errorf("%q can't be kept: %v", data, err)
		}
	})
}
