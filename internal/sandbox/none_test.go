package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/checkout"
	"cbuild/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Helper()
	if len(os.Args) > 2 && os.Args[1] == "attack" {
		os.Exit(attack(os.Args[2]))
	}
	if len(os.Args) > 2 && os.Args[1] == "as-somebody-else" {
		os.Exit(asSomebodyElse(os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

// classFull is set where the tests run in class full: see TestSuiteInClassFull.
var classFull = os.Getenv("CBUILD_SANDBOX_CLASS") == "full"

// world is an executor with a store in memory.
type world struct {
	t     testing.TB
	store *castest.Memory
	tools *checkout.Shared
	dir   string
	*sandbox.Executor
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, store: castest.NewMemory(), dir: t.TempDir()}
	w.tools = checkout.NewShared(w.store, filepath.Join(t.TempDir(), "trees"))
	if classFull {
		var err error
		if w.Executor, err = sandbox.Open(t.Context(), w.store, w.tools, w.dir); err != nil {
			t.Fatalf("class full: %v", err)
		}
		t.Cleanup(w.Executor.Close)
		return w
	}
	w.Executor = sandbox.New(w.store, w.tools, w.dir)
	return w
}

func (w *world) blob(content string) cas.Digest {
	w.t.Helper()
	d, err := cas.PutBytes(w.t.Context(), w.store, []byte(content))
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) file(at, content string) engine.Mount {
	return engine.Mount{Path: at, Artifact: engine.Artifact{Digest: w.blob(content), Name: at}}
}

// tree returns an artifact of files by path. A name that ends in * is executable, a content that begins with -> is a link.
func (w *world) tree(files map[string]string) engine.Artifact {
	w.t.Helper()
	var entries []cas.Entry
	for p, content := range files {
		name, executable := strings.CutSuffix(p, "*")
		if to, ok := strings.CutPrefix(content, "->"); ok {
			entries = append(entries, cas.Entry{Path: name, Kind: cas.SymlinkEntry, Target: to})
			continue
		}
		entries = append(entries, cas.Entry{Path: name, Digest: w.blob(content), Executable: executable})
	}
	d, err := cas.PutTree(w.t.Context(), w.store, entries)
	if err != nil {
		w.t.Fatal(err)
	}
	return engine.Artifact{Kind: engine.TreeKind, Digest: d, Name: "tree"}
}

func (w *world) read(d cas.Digest) string {
	w.t.Helper()
	if d.IsZero() {
		return ""
	}
	data, err := cas.ReadAll(w.t.Context(), w.store, d, 64<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

// paths lists what is in the tree d.
func (w *world) paths(d cas.Digest) []string {
	w.t.Helper()
	var all []string
	for e, err := range cas.Walk(w.t.Context(), w.store, d) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, e.Path)
	}
	return all
}

var baseEnv = []string{"HOME=/tmp", "LANG=C.UTF-8", "PATH=/usr/bin:/bin", "TMPDIR=/tmp", "TZ=UTC"}

// patience is how long a command may take that is to end by itself, and how long is waited for what must come: so long that it tells what hangs from
// what is slow on a machine that does much else.
const patience = 5 * time.Minute

// sh returns a command that runs a shell script.
func sh(script string, mounts ...engine.Mount) *engine.Command {
	slices.SortFunc(mounts, func(x, y engine.Mount) int { return strings.Compare(x.Path, y.Path) })
	return &engine.Command{
		Name: "run.test", Argv: []string{"sh", "-eu", engine.ScriptPath}, Script: script, Env: baseEnv, Mounts: mounts, Timeout: patience,
	}
}

func outs(c *engine.Command, paths ...string) *engine.Command {
	for _, p := range paths {
		name, dir := strings.CutSuffix(p, "/")
		c.Outs = append(c.Outs, engine.OutSpec{Path: name, Dir: dir})
	}
	return c
}

// run executes c and checks that nothing is left of it.
func (w *world) run(c *engine.Command) *engine.Result {
	w.t.Helper()
	r, err := w.Execute(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.clean()
	return r
}

// inTime runs c with a timeout that it does not meet, and with longer and longer ones until it came as far as it was to come: how far that is within
// a time is up to the machine.
func (w *world) inTime(c *engine.Command, timeout time.Duration, far func(*engine.Result) bool) *engine.Result {
	w.t.Helper()
	for ; ; timeout *= 4 {
		c.Timeout = timeout
		if r := w.run(c); far(r) || timeout > 10*time.Second {
			return r
		}
	}
}

func (w *world) clean() {
	w.t.Helper()
	if left, _ := filepath.Glob(filepath.Join(w.dir, "*")); len(left) > 0 {
		w.t.Errorf("left behind: %v", left)
	}
}

// passes runs c, which must pass, and returns its standard output.
func (w *world) passes(c *engine.Command) string {
	w.t.Helper()
	r := w.run(c)
	if r.Status != engine.Pass {
		w.t.Fatalf("%v, exit code %d: %s", r.Status, r.ExitCode, w.read(r.Log))
	}
	return w.read(r.Stdout)
}

func TestExactlyTheInputsAreThere(t *testing.T) {
	w := newWorld(t)
	tree := w.tree(map[string]string{"a": "1", "deep/er/b": "2", "run*": "#!/bin/sh\n", "link": "->deep/er/b"})
	mounts := []engine.Mount{w.file("top", "t"), w.file("in/1/x", "x"), {Path: "src", Artifact: tree}}
	mounts[1].Executable = true
	got := w.passes(outs(sh("find . | sort; cat src/link in/1/x", mounts...), "made/here/out", "src/new/"))
	want := ".\n./in\n./in/1\n./in/1/x\n./made\n./made/here\n./src\n./src/a\n./src/deep\n./src/deep/er\n./src/deep/er/b\n./src/link\n./src/run\n./top\n2x"
	if got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestTimesAndModes(t *testing.T) {
	w := newWorld(t)
	x := w.file("bin/x", "x")
	x.Executable = true
	got := w.passes(outs(sh(`stat -c '%n %a %Y' . bin bin/x plain tree tree/d tree/d/f made; umask; touch n; mkdir m; stat -c '%a' n m`,
		x, w.file("plain", "p"), engine.Mount{Path: "tree", Artifact: w.tree(map[string]string{"d/f": ""})}), "made/out"))
	const epoch = "315532800"
	want := ". 755 E\nbin 755 E\nbin/x 755 E\nplain 644 E\ntree 755 E\ntree/d 755 E\ntree/d/f 644 E\nmade 755 E\n0022\n644\n755\n"
	if want = strings.ReplaceAll(want, "E", epoch); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestOtherUmask makes an executor in a process that creates files for its user only.
func TestOtherUmask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	w := newWorld(t)
	c := sh("umask; stat -c %a . d d/f x o", engine.Mount{Path: "d", Artifact: w.tree(map[string]string{"f": ""})}, w.file("x", ""))
	c.Stdout = "o"
	r := w.run(outs(c, "o"))
	if got, want := w.read(r.Stdout), "0022\n755\n755\n644\n644\n644\n"; got != want {
		t.Errorf("got %q, want %q: %s", got, want, w.read(r.Log))
	}
	if now := syscall.Umask(0o077); now != 0o077 && runtime.GOOS == "linux" {
		t.Errorf("the process's umask is %o now", now)
	}
}

func TestEnvironmentIsWhatWasDeclared(t *testing.T) {
	t.Setenv("CBUILD_TEST_LEAK", "1")
	w := newWorld(t)
	c := sh("")
	c.Argv, c.Script = []string{"env"}, ""
	c.Env = append(slices.Clone(baseEnv), "X=a=b c")
	got := strings.Split(strings.TrimSpace(w.passes(c)), "\n")
	slices.Sort(got)
	private := ""
	for i, line := range got {
		if name, value, _ := strings.Cut(line, "="); name == "HOME" || name == "TMPDIR" {
			private, got[i] = value, name+"=/tmp"
		}
	}
	if !slices.Equal(got, c.Env) {
		t.Errorf("got %q, want %q", got, c.Env)
	}
	if want := map[bool]string{true: "/tmp", false: w.dir}[classFull]; !strings.HasPrefix(private, want) {
		t.Errorf("HOME is %s, not in %s", private, want)
	}
	c.Argv, c.Env = []string{"/usr/bin/env"}, nil
	if got := w.passes(c); got != "" {
		t.Errorf("an empty environment is %q", got)
	}
}

func TestPrivateTemporaryDirectory(t *testing.T) {
	w := newWorld(t)
	got := w.passes(sh(`test -d "$HOME"; ls -A "$TMPDIR"; mktemp >/dev/null; ls "$TMPDIR" | wc -l; mkdir -p "$TMPDIR/a/b"; chmod 0 "$TMPDIR/a"`))
	if strings.TrimSpace(got) != "1" {
		t.Errorf("got %q", got)
	}
}

func TestPlaces(t *testing.T) {
	w := newWorld(t)
	tool := w.tree(map[string]string{"bin/hi*": "#!/bin/sh\necho hi $1\n"})
	c := sh("pwd; echo $PWDIR; hi there; cat ../other", w.file("d/e/f", ""), w.file("d/other", "o"))
	c.Dir = "d/e"
	c.Tools = []engine.Artifact{tool}
	c.Env = []string{"PATH=" + engine.ToolDir(0) + "/bin:/usr/bin:/bin", "PWDIR=" + engine.WorkDir}
	lines := strings.Split(w.passes(c), "\n")
	if lines[0] != lines[1]+"/d/e" || lines[2] != "hi there" || lines[3] != "o" {
		t.Errorf("got %q", lines)
	}
	c = sh("", engine.Mount{Path: "p", Artifact: w.tree(map[string]string{"prog*": "#!/bin/sh\necho relative\n"})})
	c.Script, c.Argv, c.Dir = "", []string{"../p/prog"}, "d"
	c.Mounts = append([]engine.Mount{w.file("d/x", "")}, c.Mounts...)
	if got := w.passes(c); got != "relative\n" {
		t.Errorf("got %q", got)
	}
	c.Argv, c.Env = []string{"prog"}, []string{"PATH=../p:/usr/bin:/bin"} // as a shell in dir would
	if got := w.passes(c); got != "relative\n" {
		t.Errorf("got %q", got)
	}
	c.Dir = "nowhere"
	if r := w.run(c); r.ExitCode != 127 || !strings.Contains(w.read(r.Log), "dir nowhere") {
		t.Errorf("exit code %d: %s", r.ExitCode, w.read(r.Log))
	}
}

func TestStoreCannotBeChanged(t *testing.T) {
	w := newWorld(t)
	tree := w.tree(map[string]string{"f": "original"})
	file := w.file("x", "original")
	c := sh("echo changed > x; echo changed > t/f; rm t/f; chmod 777 x", file, engine.Mount{Path: "t", Artifact: tree})
	w.passes(c)
	if got := w.passes(sh("cat x t/f", file, engine.Mount{Path: "t", Artifact: tree})); got != "originaloriginal" {
		t.Errorf("got %q", got)
	}
}

func TestOutsAreCollectedWhateverTheOutcome(t *testing.T) {
	for name, test := range map[string]struct {
		end    string
		status engine.Status
		code   int
	}{
		"pass":    {"exit 0", engine.Pass, 0},
		"fail":    {"exit 3", engine.Fail, 3},
		"crash":   {"kill -SEGV $$", engine.Crash, 139},
		"timeout": {"sleep 1000", engine.Timeout, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := outs(sh("mkdir d; echo 1 > d/f; echo 2 > b; chmod +x b; echo said; echo cried >&2; "+test.end), "b", "d/", "missing")
			run := w.run
			if test.status == engine.Timeout {
				run = func(c *engine.Command) *engine.Result {
					return w.inTime(c, 300*time.Millisecond, func(r *engine.Result) bool { return strings.Contains(w.read(r.Log), "cried\n") })
				}
			}
			r := run(c)
			if r.Status != test.status || r.ExitCode != test.code {
				t.Errorf("%v, exit code %d", r.Status, r.ExitCode)
			}
			b, _ := r.Out("b")
			d, _ := r.Out("d")
			if len(r.Outs) != 2 || w.read(b.Digest) != "2\n" || !b.Executable || d.Kind != engine.TreeKind || !slices.Equal(w.paths(d.Digest), []string{"f"}) {
				t.Errorf("outs: %+v", r.Outs)
			}
			if w.read(r.Stdout) != "said\n" || !strings.Contains(w.read(r.Log), "said\n") || !strings.Contains(w.read(r.Log), "cried\n") {
				t.Errorf("stdout %q, log %q", w.read(r.Stdout), w.read(r.Log))
			}
		})
	}
}

func TestKindsOfOuts(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]struct {
		script, out, log string // log is what it must say of an out that is refused
	}{
		"link inside":             {"echo x > y; ln -s y o", "o", ""},
		"directory link inside":   {"mkdir e; echo x > e/f; ln -s e o", "o/", ""},
		"link outside":            {"ln -s /etc/passwd o", "o", "leaves the run's directory"},
		"parent outside":          {"rmdir d; ln -s /etc d", "d/passwd", "leaves the run's directory"},
		"link up":                 {"echo x > $TMPDIR/stray; ln -s $TMPDIR/stray o", "o", "leaves the run's directory"},
		"link to nothing":         {"ln -s nowhere o", "o", "link to nothing"},
		"link to itself":          {"ln -s o o", "o", "too many"},
		"fifo":                    {"mkfifo o", "o", "not a regular file"},
		"directory as a file":     {"mkdir o", "o", "trailing slash"},
		"file as a directory":     {"> o", "o/", "not a directory"},
		"mode 0":                  {"echo x > o; chmod 0 o", "o", ""},
		"directory of mode 0":     {"mkdir -p o/p; echo x > o/p/f; chmod 0 o/p/f o/p o", "o/", ""},
		"fifo in it":              {"mkdir o; mkfifo o/f", "o/", "neither a regular file nor a directory"},
		"link out of it":          {"mkdir o; ln -s ../x o/l", "o/", "outside the directory"},
		"absolute link in it":     {"mkdir o; ln -s /etc/passwd o/l", "o/", "outside the directory"},
		"link out through a link": {"mkdir -p o/x/y; ln -s ../.. o/x/y/up; ln -s x/y/up/../q o/l", "o/", "outside the directory"},
		"link to nothing in it":   {"mkdir o; ln -s nothing o/l", "o/", ""},
		"name that is not UTF-8":  {"mkdir o; touch o/$(printf '\\377')", "o/", "not UTF-8"},
		"parent is a file":        {"rmdir d; > d", "d/o", "-"},
		"device":                  {"mknod o c 1 3 2>/dev/null || ln -s /dev/null o", "o", " "},
		"socket":                  {`perl -MSocket -e 'socket(S,AF_UNIX,SOCK_STREAM,0); bind(S,pack_sockaddr_un("o")) or die'`, "o", "not a regular file"},
		"in an input directory":   {"echo x > src/sub/o", "src/sub/o", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			r := w.run(outs(sh(test.script, engine.Mount{Path: "src", Artifact: w.tree(map[string]string{"sub/f": "1"})}), test.out))
			if r.Status != engine.Pass {
				t.Fatalf("%v: %s", r.Status, w.read(r.Log))
			}
			if got := len(r.Outs) == 1; got != (test.log == "") {
				t.Errorf("outs %+v, log %q", r.Outs, w.read(r.Log))
			}
			if test.log != "-" && !strings.Contains(w.read(r.Log), test.log) {
				t.Errorf("log %q does not say %q", w.read(r.Log), test.log)
			}
		})
	}
}

// TestHostileInputs places inputs below links of other inputs: nothing is ever written outside of the run's directory.
func TestHostileInputs(t *testing.T) {
	w := newWorld(t)
	victim := t.TempDir()
	evil := engine.Mount{Path: "src", Artifact: w.tree(map[string]string{"d": "->" + victim, "f": "->" + victim + "/f"})}
	for name, c := range map[string]*engine.Command{
		"file below":     sh("", evil, w.file("src/d/x", "evil")),
		"tree below":     sh("", evil, engine.Mount{Path: "src/d/sub", Artifact: w.tree(map[string]string{"x": "evil"})}),
		"tree in place":  sh("", evil, engine.Mount{Path: "src/d", Artifact: w.tree(map[string]string{"x": "evil"})}),
		"file in place":  sh("", evil, w.file("src/f", "evil")),
		"parents of out": outs(sh("", evil), "src/d/sub/out"),
		"stdout":         {Argv: []string{"echo", "evil"}, Env: baseEnv, Mounts: []engine.Mount{evil}, Stdout: "src/f", Outs: []engine.OutSpec{{Path: "src/f"}}},
		"file in a file": sh("", w.file("a", "1"), w.file("a/b", "2")),
		"two trees":      sh("", engine.Mount{Path: "t", Artifact: w.tree(map[string]string{"d/f": "1"})}, engine.Mount{Path: "t/d", Artifact: w.tree(map[string]string{"f": "2"})}),
		"stdout is dir":  {Argv: []string{"echo"}, Env: baseEnv, Mounts: []engine.Mount{evil}, Stdout: "src", Outs: []engine.OutSpec{{Path: "src"}}},
	} {
		_, err := w.Execute(t.Context(), c)
		var invalid *engine.InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%s: %v, want that it is invalid", name, err)
		}
		w.clean()
	}
	if left, _ := os.ReadDir(victim); len(left) > 0 {
		t.Errorf("written outside: %v", left)
	}
}

// TestDirectoryAndItsFiles names a source directory and things in it, as a glob beside the directory does.
func TestDirectoryAndItsFiles(t *testing.T) {
	w := newWorld(t)
	source := func(m engine.Mount) engine.Mount { m.Source = true; return m }
	got := w.passes(sh("cat src/a src/lib/b",
		source(engine.Mount{Path: "src", Artifact: w.tree(map[string]string{"a": "1", "lib/b": "2"})}),
		source(w.file("src/a", "1")), source(engine.Mount{Path: "src/lib", Artifact: w.tree(map[string]string{"b": "2"})})))
	if got != "12" {
		t.Errorf("got %q", got)
	}
}

func TestCapturedStandardOutput(t *testing.T) {
	w := newWorld(t)
	c := outs(sh("echo to the file; echo to the log >&2; head -c 2000000 /dev/zero"), "d/o")
	c.Stdout = "d/o"
	r := w.run(c)
	o, _ := r.Out("d/o")
	if got := w.read(o.Digest); len(got) != 2000000+12 || !strings.HasPrefix(got, "to the file\n") {
		t.Errorf("%d bytes captured", len(got))
	}
	if !r.Stdout.IsZero() || r.Facts["text"] != "too long" {
		t.Errorf("text of 2 MB: %v %v", r.Stdout, r.Facts)
	}
	r = w.run(sh("head -c 1048576 /dev/zero"))
	if got := w.read(r.Stdout); len(got) != 1<<20 || r.Facts["text"] != "" {
		t.Errorf("text of 1 MiB: %d bytes, %v", len(got), r.Facts)
	}
}

func TestStandardInput(t *testing.T) {
	w := newWorld(t)
	c := sh("cat; echo end")
	if got := w.passes(c); got != "end\n" {
		t.Errorf("an empty one is %q", got)
	}
	c.Stdin = w.blob("text\n")
	if got := w.passes(c); got != "text\nend\n" {
		t.Errorf("got %q", got)
	}
}

func TestProgramsThatCannotBeStarted(t *testing.T) {
	w := newWorld(t)
	tree := engine.Mount{Path: "p", Artifact: w.tree(map[string]string{
		"plain": "echo", "loader*": "#!/no/such/interpreter\n", "garbage*": "\x7fELFgarbage", "text*": "echo no shebang\n",
	})}
	for _, test := range []struct {
		argv []string
		path string
		code int
		log  string
	}{
		{[]string{"no-such-program"}, "/usr/bin:/bin", 127, "no-such-program: executable file not found"},
		{[]string{"p/nothing"}, "", 127, "no such file"},
		{[]string{"p/plain/x"}, "", 127, "not a directory"},
		{[]string{"p/loader"}, "", 127, "interpreter"},
		{[]string{"p/plain"}, "", 126, "permission denied"},
		{[]string{"plain"}, "/usr/bin:p", 126, "permission denied"},
		{[]string{"./p"}, "", 126, "permission denied"},
		{[]string{"p/garbage"}, "", 126, "exec format error"},
		{[]string{"p/text"}, "", 126, "exec format error"},
		{[]string{"echo", strings.Repeat("x", 3<<20)}, "/usr/bin:/bin", 126, "argument list too long"},
		{slices.Repeat([]string{"echo", strings.Repeat("x", 100<<10)}, 90), "/usr/bin:/bin", 126, "argument list too long"},
		{[]string{"echo", "a\x00b"}, "/usr/bin:/bin", 126, "invalid argument"},
	} {
		r := w.run(&engine.Command{Argv: test.argv, Env: []string{"PATH=" + test.path}, Mounts: []engine.Mount{tree}})
		log := w.read(r.Log)
		if r.Status != engine.Fail || r.ExitCode != test.code || !strings.Contains(log, test.log) || !strings.HasPrefix(log, "cbuild: "+test.argv[0]+": ") {
			t.Errorf("%.40q: %v, exit code %d, %s", test.argv, r.Status, r.ExitCode, log)
		}
	}
}

// What is said of a command is the same on every machine.
func TestNoPathOfThisMachineIsInALog(t *testing.T) {
	w := newWorld(t)
	tool := w.tree(map[string]string{"bin/plain": "not a program"})
	for name, want := range map[string]string{
		engine.ToolDir(0) + "/bin/plain": "cbuild: /tools/0/bin/plain: permission denied\n",
		engine.WorkDir + "/nothing":      "cbuild: /build/work" + "/nothing: no such file or directory\n",
		"nothing":                        "cbuild: nothing: executable file not found in $PATH (PATH is /tools/0/bin:/build/work)\n",
	} {
		r := w.run(&engine.Command{Argv: []string{name}, Env: []string{"PATH=" + engine.ToolDir(0) + "/bin:" + engine.WorkDir}, Tools: []engine.Artifact{tool}})
		if got := w.read(r.Log); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A command may do what it likes with its directory and the one around it: that is its own doing, and its outs are its own or none.
func TestTheRunsDirectoryIsGone(t *testing.T) {
	w := newWorld(t)
	secret := t.TempDir()
	if err := os.WriteFile(filepath.Join(secret, "o"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{
		"W=$PWD; cd ..; rm -rf $W", "W=$PWD; cd ..; mv $W w2; ln -s " + secret + " $W", "W=$PWD; cd ..; mv $W w2 && mkdir $W && echo secret > $W/o",
		"W=$PWD; cd ..; rm -rf $W tmp; ln -s / tmp; echo secret > $W", "rm -rf o; ln -s " + secret + "/o o", "rm -rf d; ln -s " + secret + " d",
	} {
		r := w.run(outs(sh("("+script+") 2>/dev/null || :", w.file("o", "mine")), "o", "d/o"))
		for _, o := range r.Outs {
			if got := w.read(o.Digest); got != "mine" {
				t.Errorf("%s: out %s is %q", script, o.Path, got)
			}
		}
	}
	w.passes(sh("true"))
}

// What a command made unreadable is its own, too, and read all the same.
func TestOutsInUnsearchableDirectories(t *testing.T) {
	w := newWorld(t)
	for _, script := range []string{"chmod 0 a/b/o", "chmod 0 a/b", "chmod 0 a/b a", "chmod 0 a/b a .", "chmod 0 .. . || chmod 0 .", "chmod 0 a/b/t/u a/b/t"} {
		script = "mkdir -p a/b/t/u; echo x > a/b/o; echo y > a/b/t/u/f; " + script
		r := w.run(outs(sh(script), "a/b/o", "a/b/t/", "a/missing"))
		if len(r.Outs) != 2 || w.read(r.Outs[0].Digest) != "x\n" || len(w.paths(r.Outs[1].Digest)) != 2 {
			t.Errorf("%s: %+v, %s", script, r.Outs, w.read(r.Log))
		}
	}
}

// A tree that is deeper than any path may be long, and than files may be open, is removed like others.
func TestDeepTreesAreRemoved(t *testing.T) {
	w := newWorld(t)
	c := outs(sh("i=0; while [ $i -lt 3000 ]; do mkdir dddd; cd dddd; i=$((i+1)); done; echo x > f; chmod 0 ."), "dddd/")
	if r := w.run(c); len(r.Outs) != 0 || !strings.Contains(w.read(r.Log), "out dddd") {
		t.Errorf("%+v, %s", r.Outs, w.read(r.Log))
	}
}

func TestManyToolchains(t *testing.T) {
	w := newWorld(t)
	c := sh("ls -d /tools/*/x 2>/dev/null | wc -l")
	for i := range 64 {
		c.Tools = append(c.Tools, w.tree(map[string]string{"x": fmt.Sprint(i)}))
	}
	w.passes(c)
	c.Tools = append(c.Tools, w.tree(map[string]string{"x": "too many"}))
	if _, err := w.Execute(t.Context(), c); !errors.As(err, new(*engine.InvalidError)) {
		t.Errorf("65 toolchains: %v", err)
	}
}

func TestLostInputs(t *testing.T) {
	w := newWorld(t)
	file, tree, script := w.file("x", "lost"), engine.Mount{Path: "t", Artifact: w.tree(map[string]string{"f": "lost too"})}, sh("true")
	gone := w.blob("stdin")
	w.store.Delete(file.Digest)
	w.store.Delete(w.blob("lost too"))
	for name, c := range map[string]*engine.Command{
		"file": sh("", file), "tree": sh("", tree), "stdin": script, "tool": {Argv: []string{"true"}, Env: baseEnv, Tools: []engine.Artifact{tree.Artifact}},
	} {
		if name == "tree" || name == "tool" {
			w.store.Delete(cas.Of([]byte("lost too")))
		}
		if name == "stdin" {
			c.Stdin = gone
			w.store.Delete(gone)
		}
		r, err := w.Execute(t.Context(), c)
		var trouble *engine.TroubleError
		var lost *engine.LostError
		if r != nil || !errors.Is(err, cas.ErrNotFound) || errors.As(err, &trouble) || !errors.As(err, &lost) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
		w.clean()
	}
}

// full is a store that has no space left.
type full struct{ *castest.Memory }

func (full) Put(context.Context, io.Reader) (cas.Digest, error) {
	return cas.Digest{}, &fs.PathError{Op: "write", Path: "blob", Err: syscall.ENOSPC}
}

// gone is a store whose directory is gone.
type gone struct{ *castest.Memory }

func (gone) Put(context.Context, io.Reader) (cas.Digest, error) {
	return cas.Digest{}, &fs.PathError{Op: "open", Path: "blob", Err: syscall.ENOENT}
}

// TestOutsThatCannotBeStored must not take trouble with the store for a missing out.
func TestOutsThatCannotBeStored(t *testing.T) {
	m := castest.NewMemory()
	for _, s := range []cas.Store{full{m}, gone{m}} {
		dir := t.TempDir()
		n := sandbox.New(s, checkout.NewShared(s, t.TempDir()), dir)
		for _, c := range []*engine.Command{outs(sh("echo x > o"), "o"), outs(sh("mkdir o; echo x > o/f"), "o/"), sh("echo log")} {
			r, err := n.Execute(t.Context(), c)
			var trouble *engine.TroubleError
			if r != nil || !errors.As(err, &trouble) || !trouble.Retry {
				t.Errorf("%T: %v, %v", s, r, err)
			}
		}
	}
}

// TestOutputThatCannotBeKept fills the disk with standard output: no truncated out may pass for a whole one, and the command must not
// hang.
func TestOutputThatCannotBeKept(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs RLIMIT_FSIZE of a running process")
	}
	w := newWorld(t)
	c := outs(sh("head -c 8000000 /dev/zero; echo done >&2"), "o")
	c.Stdout = "o"
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4 << 20, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)
	r, err := w.Execute(t.Context(), c) // one that hangs has a result: its timeout
	if r != nil || !errors.Is(err, syscall.EFBIG) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestParallelExecutions(t *testing.T) {
	w := newWorld(t)
	tool := w.tree(map[string]string{"bin/tool*": "#!/bin/sh\necho tool\n"})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			// Both programs are written just before they are executed, one by the executor itself, one by the shell.
			c := outs(sh("./fresh; tool; echo $N > o", engine.Mount{Path: "fresh", Artifact: engine.Artifact{Digest: w.blob(fmt.Sprintf("#!/bin/sh\necho %d\n", i)), Executable: true}}), "o")
			c.Tools = []engine.Artifact{tool}
			c.Env = []string{fmt.Sprint("N=", i), "PATH=" + engine.ToolDir(0) + "/bin:/usr/bin:/bin"}
			r, err := w.Execute(t.Context(), c)
			if err != nil {
				t.Error(err)
				return
			}
			o, _ := r.Out("o")
			if got, want := w.read(r.Stdout), fmt.Sprintf("%d\ntool\n", i); r.Status != engine.Pass || got != want || w.read(o.Digest) != fmt.Sprintln(i) {
				t.Errorf("%d: %v %q %s", i, r.Status, got, w.read(r.Log))
			}
		})
	}
	wg.Wait()
	w.clean()
}

// TestFreshBinaries executes copies of a real program at once, directly and from a shell, while others are being written.
func TestFreshBinaries(t *testing.T) {
	w := newWorld(t)
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Skip("no /bin/true to copy: ", err)
	}
	d := w.blob(string(program))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 40 {
				c := sh("./prog && ./prog", engine.Mount{Path: "prog", Artifact: engine.Artifact{Digest: d, Executable: true}})
				if i%2 == 0 {
					c.Argv, c.Script = []string{"./prog"}, ""
				}
				r, err := w.Execute(t.Context(), c)
				if err != nil || r.Status != engine.Pass {
					t.Errorf("%v, %v", r, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestNoDescriptorIsInherited(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	inherited, err := syscall.Open(os.Args[0], syscall.O_RDONLY, 0) // as from a parent that did not close it: without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	w := newWorld(t)
	c := sh("")
	c.Argv, c.Script = []string{"ls", "/proc/self/fd"}, ""
	got := strings.Fields(w.passes(c))
	if !slices.Equal(got, []string{"0", "1", "2", "3"}) { // 3 is the directory itself
		t.Errorf("descriptors %v", got)
	}
}

// TestUnreadableOutsOfSomebodyElse runs as a user whom modes stop, which they don't stop root.
func TestUnreadableOutsOfSomebodyElse(t *testing.T) {
	if os.Getuid() != 0 {
		if asSomebodyElse(t.TempDir()) != 0 {
			t.Error("failed, see above")
		}
		return
	}
	dir, err := os.MkdirTemp("", "cbuild-sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	defer checkout.Remove(dir)
	os.Chmod(dir, 0o777)
	program := filepath.Join(dir, "test")
	data, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := runAs(65534, program, "as-somebody-else", dir)
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
