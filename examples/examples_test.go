// Package examples tests the pipelines in this directory and in the root of the repository as a user runs them: with the built
// command, real compilers, and real packages where they can be reached.
package examples

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cbuild/cas"
	"cbuild/cas/local"
	"cbuild/engine"
	"cbuild/internal/checkout"
	"cbuild/internal/vfs"
)

// binary is the path of the cbuild that all tests run.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cbuild-examples-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "cbuild")
	if out, err := exec.Command("go", "build", "-o", binary, "cbuild/cmd/cbuild").CombinedOutput(); err != nil { //nolint:noctx // ends with the tests
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// world is a copy of an example with a store and a state directory of its own.
type world struct {
	t         *testing.T
	home, dir string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	home, err := os.MkdirTemp("", "cbuild-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checkout.Remove(home) })
	w := &world{t: t, home: home, dir: filepath.Join(home, "ws")}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

// event is what the tests read of a line of --events.
type event struct {
	Type, Target, Rule, Outcome, Cached, Key, Rows string
	Instance                                       []string
}

// run runs a program with arguments, cbuild among them, which must end with status 0, and returns cbuild's events and what it printed.
func (w *world) run(argv ...string) (all []event, stdout string) {
	w.t.Helper()
	events := filepath.Join(w.home, "events.json")
	_ = os.Remove(events)
	cmd := exec.Command(argv[0], append(argv[1:], "--events", events)...) //nolint:noctx // bounded by the test's own time
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "CBUILD_CAS=", "XDG_CACHE_HOME="+filepath.Join(w.home, "cache"), "XDG_STATE_HOME="+filepath.Join(w.home, "state"))
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("%q: %v\n%s%s", argv, err, out.String(), said.String())
	}
	data, err := os.ReadFile(events)
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			w.t.Fatalf("%v: %s", err, line)
		}
		if e.Type == "finished" {
			all = append(all, e)
		}
	}
	return all, out.String()
}

// executed lists what was not taken from the store.
func executed(all []event) (names []string) {
	for _, e := range all {
		if e.Cached == "no" {
			names = append(names, e.Target+" "+strings.Join(e.Instance, " "))
		}
	}
	return names
}

// The first sample of the language compiles, links and runs two programs.
func TestHello(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("SKIPPED: no C compiler")
	}
	w := newWorld(t)
	for _, name := range []string{"BUILD.hcl", "hello.c", "world.c", "say.h", "inputs"} {
		w.copy(filepath.Join("hello", name), name)
	}
	all, stdout := w.run(binary)
	if stdout != "cbuild-out/end_state/end_state\n" || len(executed(all)) != 7 {
		t.Errorf("printed %q, executed %v", stdout, executed(all))
	}
	if got := w.read("cbuild-out/end_state/end_state"); got != "hello\nworld\nand a plain data file\n" {
		t.Errorf("end_state is %q", got)
	}
	if all, _ := w.run(binary); len(all) != 7 || len(executed(all)) != 0 {
		t.Errorf("again: %d instances, executed %v", len(all), executed(all))
	}
}

// copyAll copies an example to the workspace, without what somebody published who tried it.
func (w *world) copyAll(example string) {
	w.t.Helper()
	if err := os.CopyFS(w.dir, os.DirFS(example)); err != nil && !errors.Is(err, os.ErrExist) {
		w.t.Fatal(err)
	}
	_ = checkout.Remove(filepath.Join(w.dir, "cbuild-out"))
}

func (w *world) copy(from, to string) {
	w.t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, to), data, 0o644)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

// facts are what is known by hand about the experiment in the root of the repository: how many files of a module each gofmt names.
var facts = []struct {
	module        string
	before, after int
	class         string
}{
	{"github.com/julienschmidt/httprouter@v1.3.0", 0, 2, "regressed"},
	{"github.com/spf13/pflag@v1.0.5", 0, 3, "regressed"},
	{"github.com/google/uuid@v1.6.0", 2, 7, "changed"},
	{"github.com/pkg/errors@v0.9.1", 3, 6, "changed"},
}

// someModules is how many lines of modules.txt the experiment is made on, unless CBUILD_EXAMPLES is "full".
const someModules = 12

// The experiment in the root of this repository, on real packages: its report says what the two gofmts say when they are run by hand,
// and when it is asked for again, nothing is run and nobody is asked.
func TestGofmtExperiment(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: nothing is downloaded with -short")
	}
	modules := downloaded(t)
	w := newWorld(t)
	w.copy("../BUILD.hcl", "BUILD.hcl")
	w.copy("../BUILD.lock.hcl", "BUILD.lock.hcl")
	if err := os.CopyFS(filepath.Join(w.dir, "BUILD.lock.d"), os.DirFS("../BUILD.lock.d")); err != nil {
		t.Fatal(err)
	}
	w.copy("../modules.txt", "modules.txt")
	if os.Getenv("CBUILD_EXAMPLES") != "full" {
		lines := strings.SplitAfter(w.read("modules.txt"), "\n")
		if err := os.WriteFile(filepath.Join(w.dir, "modules.txt"), []byte(strings.Join(lines[:someModules], "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, stdout := w.run(binary, "report")
	if stdout != "cbuild-out/report/index.html\n" {
		t.Errorf("printed %q", stdout)
	}
	w.checkFacts(all, modules)
	rows := rowsOf(all)

	t.Run("again", func(t *testing.T) {
		all, _ := w.run(binary, "report")
		w.checkRepeated(t, all, rows)
	})
	t.Run("without a network", func(t *testing.T) {
		all, _ := w.run(append(unshare(t), binary, "report")...)
		w.checkRepeated(t, all, rows)
	})
	t.Run("nothing is started and nobody is called", func(t *testing.T) {
		if out, err := exec.Command("strace", "-qq", "-o", os.DevNull, "true").CombinedOutput(); err != nil { //nolint:noctx // true
			t.Skipf("SKIPPED: no working strace: %v %s", err, out)
		}
		trace := filepath.Join(w.home, "trace")
		all, _ := w.run("strace", "-f", "-qq", "-e", "trace=execve,connect", "-e", "signal=none", "-o", trace, binary, "report")
		w.checkRepeated(t, all, rows)
		data, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		calls := strings.Split(strings.TrimSpace(string(data)), "\n")
		if len(calls) != 1 || !strings.Contains(calls[0], `execve("`+binary+`"`) {
			t.Errorf("system calls:\n%s", data)
		}
	})
}

// downloaded returns the directories of the modules of facts, which the go command has downloaded. Without a module proxy there is
// nothing to be tested.
func downloaded(t *testing.T) map[string]string {
	t.Helper()
	cache, err := os.MkdirTemp("", "cbuild-modcache-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checkout.Remove(cache) })
	dirs := map[string]string{}
	for _, f := range facts {
		cmd := exec.Command("go", "mod", "download", "-json", f.module) //nolint:noctx // bounded by the test's own time
		cmd.Dir = cache
		cmd.Env = append(os.Environ(), "GOMODCACHE="+cache, "GOFLAGS=-modcacherw", "GOWORK=off")
		out, err := cmd.Output()
		var m struct{ Dir, Error string }
		if jerr := json.Unmarshal(out, &m); err != nil || jerr != nil {
			t.Skipf("SKIPPED: the module proxy of this environment can't be reached: %v %s", err, m.Error)
		}
		dirs[f.module] = m.Dir
	}
	return dirs
}

// checkFacts compares the report, and the stored evidence behind it, with what both gofmts say about the modules in dirs.
func (w *world) checkFacts(all []event, dirs map[string]string) {
	w.t.Helper()
	var results struct {
		Rows []struct {
			Key, Class string
			Sides      map[string]struct{ Outcome string }
		}
	}
	if err := json.Unmarshal([]byte(w.read("cbuild-out/report/results.json")), &results); err != nil {
		w.t.Fatal(err)
	}
	toolchains := w.toolchains()
	for _, f := range facts {
		before, after := gofmt(w.t, toolchains["before"], dirs[f.module]), gofmt(w.t, toolchains["after"], dirs[f.module])
		if n, m := strings.Count(before, "\n"), strings.Count(after, "\n"); n != f.before || m != f.after {
			w.t.Errorf("%s: by hand %d → %d files, want %d → %d", f.module, n, m, f.before, f.after)
		}
		if got := w.evidence(all, f.module, "before"); got != before {
			w.t.Errorf("%s: before: the run found %q, by hand %q", f.module, got, before)
		}
		if got := w.evidence(all, f.module, "after"); got != after {
			w.t.Errorf("%s: after: the run found %q, by hand %q", f.module, got, after)
		}
		found := false
		for _, row := range results.Rows {
			if row.Key != f.module {
				continue
			}
			found = true
			if row.Class != f.class || row.Sides["before"].Outcome != outcome(before) || row.Sides["after"].Outcome != outcome(after) {
				w.t.Errorf("the report says %+v, want %s", row, f.class)
			}
		}
		if !found {
			w.t.Errorf("the report has no row %s", f.module)
		}
	}
}

// outcome is that of the experiment when gofmt prints text.
func outcome(text string) string {
	if text == "" {
		return "pass"
	}
	return "fail"
}

// toolchains returns the directories of the two toolchains that the build has unpacked.
func (w *world) toolchains() map[string]string {
	w.t.Helper()
	build := w.read("BUILD.hcl")
	found, err := filepath.Glob(filepath.Join(w.home, "state", "cbuild", "trees", "*", "VERSION"))
	if err != nil {
		w.t.Fatal(err)
	}
	dirs := map[string]string{}
	for _, name := range found {
		data, err := os.ReadFile(name)
		if err != nil {
			w.t.Fatal(err)
		}
		version, _, _ := strings.Cut(strings.TrimPrefix(string(data), "go"), "\n")
		for _, side := range []string{"before", "after"} {
			if strings.Contains(build, fmt.Sprintf("variable %q { default = %q }", side, version)) {
				dirs[side] = filepath.Dir(name)
			}
		}
	}
	if len(dirs) != 2 {
		w.t.Fatalf("toolchains %v in %v", dirs, found)
	}
	return dirs
}

// gofmt returns what a toolchain's gofmt -l prints in dir.
func gofmt(t *testing.T, goroot, dir string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(goroot, "bin", "gofmt"), "-l", ".") //nolint:noctx // a moment
	cmd.Dir = dir
	cmd.Env = []string{"GOROOT=" + goroot}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gofmt: %v", err)
	}
	return string(out)
}

// evidence reads from the store what the run on a module left.
func (w *world) evidence(all []event, module, side string) string {
	w.t.Helper()
	i := slices.IndexFunc(all, func(e event) bool {
		return e.Target == "//:gofmt" && slices.Equal(e.Instance, []string{module, side})
	})
	if i < 0 {
		w.t.Fatalf("%s %s has no event", module, side)
	}
	store, err := local.Open(filepath.Join(w.home, "cache", "cbuild"), local.Options{FS: vfs.OS})
	if err != nil {
		w.t.Fatal(err)
	}
	defer store.Close()
	var key engine.Key
	if raw, err := hex.DecodeString(strings.TrimPrefix(all[i].Key, "b3:")); err != nil || copy(key[:], raw) != len(key) {
		w.t.Fatalf("key %q: %v", all[i].Key, err)
	}
	r, why, err := store.Lookup(w.t.Context(), key, engine.Conditions{}, engine.LookupNormal)
	if err != nil || r == nil {
		w.t.Fatalf("%s %s: no result: %s %v", module, side, why, err)
	}
	a, ok := r.Out("unformatted.txt")
	if !ok {
		w.t.Fatalf("%s %s: no out in %+v", module, side, r)
	}
	data, err := cas.ReadAll(w.t.Context(), store, a.Digest, 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

// rowsOf returns the digest of the report's rows.
func rowsOf(all []event) string {
	for _, e := range all {
		if e.Rule == "collate" {
			return e.Rows
		}
	}
	return ""
}

// checkRepeated fails the test if a build executed something, or came to other rows.
func (w *world) checkRepeated(t *testing.T, all []event, rows string) {
	t.Helper()
	if ran := executed(all); len(ran) > 0 {
		t.Errorf("executed %v", ran)
	}
	if got := rowsOf(all); got != rows || rows == "" {
		t.Errorf("rows %q, want %q", got, rows)
	}
}

// unshare returns the command that runs another one without a network.
func unshare(t *testing.T) []string {
	t.Helper()
	var why error
	for _, argv := range [][]string{{"unshare", "-rn"}, {"unshare", "-n"}} {
		err := exec.Command(argv[0], append(argv[1:], "true")...).Run() //nolint:noctx // true
		if err == nil {
			return argv
		}
		why = errors.Join(why, fmt.Errorf("%q: %w", argv, err))
	}
	t.Skipf("SKIPPED: no way to take the network away: %v", why)
	return nil
}
