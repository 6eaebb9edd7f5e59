package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/rogpeppe/go-internal/testscript"
)

// told is how far rebuilt has read each file.
var told sync.Map

// rebuilt waits until what cbuild watch has said since the last call, in a file, matches a regular expression and it waits for changes
// again: rebuilt FILE REGEXP. What it has said is then in the file $HOME/last.
func rebuilt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: rebuilt FILE REGEXP")
	}
	re, err := regexp.Compile("(?ms)" + args[1])
	ts.Check(err)
	file := ts.MkAbs(args[0])
	from := 0
	if v, ok := told.Load(file); ok {
		from = v.(int) //nolint:errcheck // only this function stores
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		data, _ := os.ReadFile(file)
		said := data[min(from, len(data)):]
		if waiting.Match(said) && re.Match(said) {
			told.Store(file, len(data))
			ts.Check(os.WriteFile(filepath.Join(ts.Getenv("HOME"), "last"), said, 0o600))
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s never matched %s; since the last time:\n%s", args[0], args[1], said)
		}
	}
}

// waiting matches what cbuild watch has said when it waits for changes.
var waiting = regexp.MustCompile(`watching [0-9,]+ files?\n$`)

// waits waits until the process waits for changes for at least the n-th time.
func (p *process) waits(n int) {
	p.w.t.Helper()
	p.w.until(fmt.Sprintf("it waits for changes for the %d. time", n), func() bool {
		return waiting.MatchString(p.said()) && strings.Count(p.said(), "watching ") >= n
	})
}

// A signal ends it: while it waits at once, while it builds as any build. Nothing is left.
func TestWatchEndsWithSignals(t *testing.T) {
	for _, c := range []struct {
		signal   syscall.Signal
		building bool
		status   int
	}{{syscall.SIGINT, false, 130}, {syscall.SIGTERM, false, 143}, {syscall.SIGINT, true, 130}, {syscall.SIGTERM, true, 143}} {
		t.Run(fmt.Sprintf("%v building=%v", c.signal, c.building), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, map[string]string{"BUILD.hcl": patientFile})
			w.env = openSandbox
			open := func() { check(t, os.WriteFile(filepath.Join(w.home, "gate"), nil, 0o600)) }
			if !c.building {
				open()
			}
			p := w.start("events.json", "watch", "-j2", "home="+w.home, "report")
			if c.building {
				w.until("two have started", func() bool { return w.fileHas("started", "\n", 2) })
				p.signal(c.signal)
				w.until("it has heard", p.heard)
				open()
			} else {
				p.waits(1)
				p.signal(c.signal)
			}
			if status := p.wait(); status != c.status {
				t.Errorf("status %d, want %d\n%s", status, c.status, p.said())
			}
			if c.building && len(w.started()) != 2 {
				t.Errorf("%d runs were started, want the 2 of before the signal", len(w.started()))
			}
			w.checkEnded(w.started())
			w.checkNothingLeft()
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What changes while a build runs is built when it has ended, once.
func TestWatchBuildsWhatChangedMeanwhile(t *testing.T) {
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": patientFile, "a": "1"})
	w.env = openSandbox
	p := w.start("events.json", "watch", "-j1", "home="+w.home, "work[a]")
	w.until("it has started", func() bool { return w.fileHas("started", "\n", 1) })
	for i := range 5 {
		w.write("a", fmt.Sprint(i))
		w.write(fmt.Sprintf("dir/%d/x", i), "x")
	}
	check(t, os.WriteFile(filepath.Join(w.home, "gate"), nil, 0o600))
	p.waits(2)
	if said := p.said(); strings.Count(said, "changed: ") != 1 || !strings.Contains(said, "changed: a, dir\n1 instance: 1 pass (1 cached)") {
		t.Errorf("it said %s", said)
	}
	w.write("dir/4/x", "y") // a directory that came during a build is watched
	p.waits(3)
	if said := p.said(); !strings.Contains(said, "changed: dir/4/x\n") {
		t.Errorf("it said %s", said)
	}
	p.signal(syscall.SIGINT)
	if status := p.wait(); status != 130 {
		t.Errorf("status %d", status)
	}
}

// However often it builds, it keeps no more files open and no more threads busy than after the first builds.
func TestWatchKeepsNothing(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("SKIPPED: there is no /proc here to count open files in")
	}
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": `
run "one" {
  inputs  = ["a"]
  command = ["cp", "a", "o"]
  out     = "o"
}
`, "a": "0"})
	p := w.start("events.json", "watch")
	p.waits(1)
	held := func() int {
		all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
		check(t, err)
		return len(all)
	}
	var before int
	for i := range 12 {
		w.write("a", fmt.Sprint(i+1))
		p.waits(i + 2)
		if i == 1 {
			before = held()
		}
	}
	w.until(fmt.Sprintf("no more than the %d files of 2 builds are open after 12", before), func() bool { return held() <= before })
	if data := w.read("cbuild-out/one/o"); data != "12" {
		t.Errorf("the last output is %q", data)
	}
	p.signal(syscall.SIGINT)
	p.wait()
	w.checkNothingLeft()
}

// On a terminal the line about what is watched goes on when something changes.
func TestWatchOnATerminal(t *testing.T) {
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": "run \"one\" {\n  script = \"exit 0\"\n}\n"})
	shown := w.onTerminalUntil(130, func(shown func() string, end func(os.Signal)) {
		w.until("it waits", func() bool { return strings.HasSuffix(shown(), "watching 1 file") })
		w.write("src/a.c", "x")
		w.until("it has built", func() bool { return strings.HasSuffix(ansi.Strip(shown()), "watching 2 files") })
		end(os.Interrupt)
	}, "watch")
	if !strings.Contains(ansi.Strip(shown), "watching 1 file; changed: src\r\n") {
		t.Errorf("shown: %q", shown)
	}
	if !strings.HasSuffix(shown, "watching 2 files\r\n") {
		t.Errorf("the prompt does not begin a line: %q", shown)
	}
}

// Where the machine allows too few watches, it says which limit that is, and how to raise it.
func TestWatchLimit(t *testing.T) {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("SKIPPED: there is no unshare")
	}
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": "cbuild {}\n", "a/b/c/d/e": "x"})
	cmd := exec.CommandContext(t.Context(), unshare, "--user", "--map-root-user", "sh", "-c", "echo 3 > /proc/sys/user/max_inotify_watches && exec "+binary+" watch")
	cmd.Dir, cmd.Env = w.dir, w.environ()
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "unshare failed") {
		t.Skipf("SKIPPED: there are no user namespaces here: %s", out)
	}
	for _, want := range []string{"^Error: \\. can't be watched", "the 3 directories that are watched", "\nRaise it, as with: sudo sysctl fs.inotify.max_user_watches=524288\n$"} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("it does not say %q: %s", want, out)
		}
	}
	if cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("%v, want status 3", err)
	}
}
