package main_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cbuild/internal/checkout"
)

// world is a workspace with a home, a store and a state directory of its own.
type world struct {
	t       *testing.T
	network *fakeNetwork
	home    string
	dir     string
	env     []string // beside what every process gets
	peak    string   // the file for the most memory that cbuild takes, in KiB, if somebody wants to know
}

// openSandbox is for builds whose commands tell the test, by files of the machine, how far they are.
var openSandbox = []string{"CBUILD_SANDBOX=none"}

// newWorld makes a workspace with the given files. It uses network, if that is not nil.
func newWorld(t *testing.T, network *fakeNetwork, files map[string]string) *world {
	t.Helper()
	home, err := os.MkdirTemp("", "cbuild-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checkout.Remove(home) })
	w := &world{t: t, network: network, home: home, dir: filepath.Join(home, "ws")}
	for name, text := range files {
		w.write(name, text)
	}
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	name = filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := saveText(name, text); err != nil {
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

// process is a cbuild that was started.
type process struct {
	*exec.Cmd
	w      *world
	stdout bytes.Buffer
	stderr *os.File // can be read while the process runs
	events string   // file
}

// environ is the environment of cbuild.
func (w *world) environ(more ...string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.home,
		"XDG_CACHE_HOME=" + filepath.Join(w.home, "cache"), "XDG_STATE_HOME=" + filepath.Join(w.home, "state"),
	}
	if w.network != nil {
		env = append(env, w.network.proxy.Env(w.network.server.URL)...)
	}
	return append(append(env, w.env...), more...)
}

// start starts cbuild with its events in a file of the given name.
func (w *world) start(events string, args ...string) *process {
	w.t.Helper()
	p := &process{w: w, events: filepath.Join(w.home, events)}
	_ = os.Remove(p.events) // what is awaited in it must be of this process
	argv := append([]string{binary, "--events", p.events, "--progress", "plain"}, args...)
	env := w.environ()
	if w.peak != "" { // peak_test.go says why
		self, err := os.Executable()
		if err != nil {
			w.t.Fatal(err)
		}
		argv, env = slices.Insert(argv, 0, self), append(env, "CBUILD_TEST_PEAK="+w.peak)
	}
	p.Cmd = exec.Command(argv[0], argv[1:]...) //nolint:noctx // killed below
	p.Dir, p.Env = w.dir, env
	var err error
	if p.stderr, err = os.Create(p.events + ".stderr"); err != nil {
		w.t.Fatal(err)
	}
	p.Stdout, p.Stderr = &p.stdout, p.stderr
	if err := p.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.stderr.Close()
	})
	return p
}

// said returns what the process wrote to standard error so far.
func (p *process) said() string {
	data, _ := os.ReadFile(p.stderr.Name())
	return string(data)
}

// wait waits for the process to end and returns its status, -1 if a signal ended it.
func (p *process) wait() int {
	p.w.t.Helper()
	late := time.AfterFunc(patience, func() { _ = p.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	err := p.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.w.t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

// build runs cbuild to its end, which must have the given status, and returns its events.
func (w *world) build(status int, args ...string) (*process, []event) {
	w.t.Helper()
	p := w.start("events.json", args...)
	if got := p.wait(); got != status {
		w.t.Fatalf("cbuild %q ended with status %d, want %d\n%s%s", args, got, status, p.stdout.String(), p.said())
	}
	all, err := readEvents(p.events, false)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, problem := range wrongWith(all) {
		w.t.Errorf("events of cbuild %q: %s", args, problem)
	}
	return p, all
}

// until waits until ok holds.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// fileHas reports whether a file in the home directory contains at least n times the given text.
func (w *world) fileHas(name, text string, n int) bool {
	data, _ := os.ReadFile(filepath.Join(w.home, name))
	return strings.Count(string(data), text) >= n
}

// checkNothingLeft fails the test if files of a process that ended are left in the directories for what is on its way.
func (w *world) checkNothingLeft() {
	w.t.Helper()
	for _, pattern := range []string{"state/cbuild/*/tmp/*", "cache/cbuild/tmp/*", "ws/cbuild-out/.new-*", "state/cbuild/trees/*.tmp*"} {
		found, err := filepath.Glob(filepath.Join(w.home, pattern))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, name := range found {
			w.t.Errorf("left behind: %s", w.list(name))
		}
	}
}

// list names a file, or a directory with all that is in it.
func (w *world) list(name string) string {
	all := []string{}
	_ = filepath.WalkDir(name, func(path string, _ fs.DirEntry, _ error) error {
		all = append(all, strings.TrimPrefix(path, w.home+"/"))
		return nil
	})
	return strings.Join(all, " ")
}

// count returns how many finished events have the given outcome and cachedness; "" stands for any.
func count(all []event, target, outcome, cached string) int {
	n := 0
	for _, e := range all {
		if e.Type == "finished" && (target == "" || e.Target == "//:"+target) && (outcome == "" || e.Outcome == outcome) && (cached == "" || e.Cached == cached) {
			n++
		}
	}
	return n
}

// finishedOf lists the finished events for messages.
func finishedOf(all []event) (lines []string) {
	for _, e := range all {
		if e.Type == "finished" {
			lines = append(lines, "\n"+e.id()+" "+e.Outcome+" "+e.Cached+" "+e.Why)
		}
	}
	return lines
}
