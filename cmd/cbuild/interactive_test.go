package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	terminal "cbuild/internal/ui/screen"
)

// An interactive is a cbuild with a terminal of its own, as a shell starts it: what is typed there reaches it, and so does Ctrl-C.
type interactive struct {
	*exec.Cmd
	*terminal.Screen
	t      *testing.T
	master *os.File
	slave  *os.File // keeps the terminal when the process has ended
	shown  sync.WaitGroup
	before *term.State
	after  *term.State // set by ended
}

// interact starts one. The sandbox is open, so that runs can be told to go on.
func (w *world) interact(columns, rows int, args ...string) *interactive {
	w.t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		w.t.Skipf("SKIPPED: no pseudo-terminals: %v", err)
	}
	i := &interactive{Screen: terminal.New(columns, rows), t: w.t, master: master, slave: slave}
	i.resize(columns, rows)
	i.before = i.modes()
	i.Cmd = exec.Command(binary, args...) //nolint:noctx // killed below
	i.Dir, i.Stdin, i.Stdout, i.Stderr = w.dir, slave, slave, slave
	i.Env = w.environ("TERM=xterm")
	i.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	check(w.t, i.Start())
	i.shown.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			_, _ = i.Write(buf[:n])
			if err != nil {
				return // EIO when nobody holds the other end any more
			}
		}
	})
	w.t.Cleanup(func() {
		_ = i.Process.Kill()
		slave.Close()
		i.shown.Wait()
		master.Close()
	})
	return i
}

// modes are how the terminal's driver treats what is typed.
func (i *interactive) modes() *term.State {
	i.t.Helper()
	m, err := term.GetState(int(i.slave.Fd()))
	if err != nil {
		i.t.Fatal(err)
	}
	return m
}

// resize changes the size of the terminal, of which the process hears by a signal.
func (i *interactive) resize(columns, rows int) {
	i.t.Helper()
	i.Resize(columns, rows)
	check(i.t, pty.Setsize(i.master, &pty.Winsize{Rows: uint16(rows), Cols: uint16(columns)}))
}

// press types keys.
func (i *interactive) press(keys string) {
	i.t.Helper()
	if _, err := i.master.WriteString(keys); err != nil {
		i.t.Fatal(err)
	}
}

// ended waits for the end, and until all is shown, and returns the status, -1 after a signal.
func (i *interactive) ended() int {
	i.t.Helper()
	late := time.AfterFunc(patience, func() { _ = i.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	_ = i.Wait() // its status is looked at
	i.after = i.modes()
	i.slave.Close()
	i.shown.Wait()
	return i.ProcessState.ExitCode()
}

var (
	// inPlace is the line that is always among those in place.
	inPlace = regexp.MustCompile(`(?m)^ (\d+\.\d|\d+m\d\d)s, .*\d+ running`)
	// lastLine is the summary.
	lastLine = regexp.MustCompile(`^(report  [0-9,]+ rows?|[0-9,]+ instances?): .* [0-9m.]+s$`)
)

// checkEnd looks at what a build leaves on its terminal: the summary last, nothing of the lines in place, the cursor at the begin of a line.
func (i *interactive) checkEnd(what string) {
	i.t.Helper()
	lines := strings.Split(i.All(), "\n")
	late := strings.Trim(lines[len(lines)-1], "^C") == "" // it was typed when all was said
	if late {
		lines = lines[:len(lines)-1]
	}
	if last := lines[len(lines)-1]; !lastLine.MatchString(last) {
		i.t.Errorf("%s: the last line is %q:\n%s", what, last, i.All())
	}
	if inPlace.MatchString(i.All()) {
		i.t.Errorf("%s: lines in place are left:\n%s", what, i.All())
	}
	if x, _ := i.Cursor(); x != 0 && !late {
		i.t.Errorf("%s: the cursor is in column %d:\n%s", what, x, i.All())
	}
	if u := i.Unknown(); len(u) > 0 {
		i.t.Errorf("%s: the terminal is told %q", what, u)
	}
}

// manyFile has a hundred short runs, some of which fail, and a report over them.
const manyFile = `
run "work" {
  for_each = range(100)

  env    = { N = each.key }
  script = "sleep 0.05; test $(expr $N % 10) != 7"
  allow_failure = true
}

collate "report" {
  rows = run.work
}
`

// longNames are runs whose lines in place are wrapped when a terminal gets narrower. Some fail, once the file gate is there: a failure is shown at any time,
// and nobody can change the size of a terminal at the same instant as what is on its way there.
const longNames = `
variable "home" {}

run "work" {
  for_each = { for n in range(100) : "a-name-that-a-narrow-terminal-has-no-room-for-so-that-it-has-to-wrap-the-line-${n}" => n }

  env    = { N = each.value, HERE = var.home }
  script = "sleep 0.1; test ! -e \"$HERE/gate\" || test $(expr $N % 3) != 1"
}
`

// Ctrl-C, once or twice, at any time, and at any time of a long build: the terminal is left as it was, with the summary as the last line, and how to go on above it.
func TestCtrlCOnATerminal(t *testing.T) {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	stopped := 0
	for round := range 8 {
		file := manyFile
		if round%4 > 1 {
			file = strings.Replace(file, "range(100)", "flatten([for n in range(50) : [for m in range(100) : 100 * n + m]])", 1)
		}
		w := newWorld(t, nil, map[string]string{"BUILD.hcl": file})
		w.env = openSandbox
		first, second := time.Duration(r.IntN(1500))*time.Millisecond, time.Duration(r.IntN(300))*time.Millisecond
		what := fmt.Sprintf("Ctrl-C after %v", first)
		i := w.interact(80, 24, "report", "-j4")
		if round%4 > 1 { // so that, on however slow a machine, it is not always stopped before it listens
			what += " of lines in place"
			w.until("it has begun", func() bool { return inPlace.MatchString(i.All()) })
		}
		time.Sleep(first)
		i.press("\x03")
		if round%2 == 0 {
			what += fmt.Sprintf(", and again after %v", second)
			time.Sleep(second)
			i.press("\x03")
		}
		status := i.ended()
		if now := i.after; !reflect.DeepEqual(now, i.before) {
			t.Errorf("%s: the terminal's modes were %+v and are %+v", what, i.before, now)
		}
		if status == -1 { // it had not begun to listen
			if inPlace.MatchString(i.All()) {
				t.Errorf("%s: lines in place are left:\n%s", what, i.All())
			}
			continue
		}
		i.checkEnd(what)
		if status == 130 {
			stopped++
			if !strings.Contains(i.All(), "run the same command to resume") {
				t.Errorf("%s: it is not told how to go on:\n%s", what, i.All())
			}
		} else if status != 0 {
			t.Errorf("%s: status %d:\n%s", what, status, i.All())
		}
	}
	if stopped == 0 {
		t.Error("no build was stopped: the test shows nothing")
	}
}

// A terminal that gets narrower and wider while a build goes on shows the lines in place once, and in the end none of them.
func TestResizedTerminal(t *testing.T) {
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": longNames})
	w.env = openSandbox
	i := w.interact(110, 60, "work", "-j4", "home="+w.home)
	w.resizing(i.All, func(columns int) { i.resize(columns, 60) })
	if status := i.ended(); status != 1 {
		t.Errorf("status %d", status)
	}
	i.checkEnd("resized")
	checkFailures(t, i.All())
}

// In a real terminal it is not otherwise: this one wraps lines itself. Its screen is full, as that of most who work: else tmux makes room for wrapped lines
// by scrolling the first ones away, where nobody can clear them.
func TestConsoleInTmux(t *testing.T) {
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": longNames})
	run := fmt.Sprintf("seq 40; cd '%s' && env -i %s TERM=screen '%s' work -j4 'home=%s'; echo \"status $?.\"", w.dir, quotedAll(append(w.environ(), openSandbox...)), binary, w.home)
	x := terminal.Start(t, 110, 40, run)
	w.resizing(x.All, func(columns int) { x.Resize(columns, 40) })
	w.until("it has ended", func() bool { return strings.Contains(x.All(), "status 1.") })
	text, _, _ := strings.Cut(x.All(), "status 1.")
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if last := lines[len(lines)-1]; !lastLine.MatchString(last) || len(clockIn(text)) != 0 {
		t.Errorf("left on the terminal:\n%s", text)
	}
	checkFailures(t, text)
}

// resizing changes the size of a terminal some times, just after something was painted, and then lets runs fail.
func (w *world) resizing(shown func() string, resize func(columns int)) {
	w.t.Helper()
	for _, columns := range []int{60, 100, 45, 120} {
		w.painted(shown)
		resize(columns)
		w.painted(shown) // tmux tells of changes only each 250 ms
		w.painted(shown)
		w.painted(shown)
	}
	check(w.t, os.WriteFile(filepath.Join(w.home, "gate"), nil, 0o600))
}

// painted waits for the next painting, after which the lines in place are there once.
func (w *world) painted(shown func() string) {
	w.t.Helper()
	before := clockIn(shown())
	w.until("the lines in place are painted", func() bool {
		now := clockIn(shown())
		return len(now) == 1 && !slices.Equal(now, before)
	})
}

// clockIn finds the lines that say how long a build has taken; in a narrow terminal that is all they say.
func clockIn(text string) []string {
	return regexp.MustCompile(`(?m)^ (\d+\.\d|\d+m\d\d)s(,|…|$)`).FindAllString(text, -1)
}

// checkFailures compares how many failures are shown with how many there are.
func checkFailures(t *testing.T, text string) {
	t.Helper()
	said := regexp.MustCompile(`(\d+) fail`).FindStringSubmatch(text[strings.LastIndex(text, "instances:"):])
	if n := strings.Count(text, "fail (exit 1) run.work"); said == nil || said[1] != fmt.Sprint(n) {
		t.Errorf("%d failures are shown:\n%s", n, text)
	}
}

// quotedAll quotes words for a shell.
func quotedAll(words []string) string {
	for i, w := range words {
		words[i] = "'" + w + "'"
	}
	return strings.Join(words, " ")
}

// Every way of asking for no lines in place, or for no colours.
func TestNoLinesInPlace(t *testing.T) {
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": patientFile})
	w.env = openSandbox
	for name, test := range map[string]struct {
		env     string
		args    []string
		want    *regexp.Regexp // of the last line
		painted bool
	}{
		"CI":              {"CI=true", nil, lastLine, false},
		"a dumb terminal": {"TERM=dumb", nil, lastLine, false},
		"plain":           {"NO_COLOR=1", []string{"--progress", "plain"}, lastLine, false},
		"silent":          {"X=", []string{"-s"}, regexp.MustCompile(`^$`), false},
		"none":            {"X=", []string{"--progress", "none"}, regexp.MustCompile(`^$`), false},
		"no colour":       {"NO_COLOR=1", nil, lastLine, true},
		"a CI's terminal, if that is what is wanted": {"CI=true", []string{"--progress", "tty", "--color", "never"}, lastLine, true},
	} {
		t.Run(name, func(t *testing.T) {
			w.t, w.env = t, append(openSandbox, test.env)
			_ = os.Remove(filepath.Join(w.home, "gate"))
			raw := w.onTerminal(func(shown func() string) {
				time.Sleep(350 * time.Millisecond) // enough for some lines in place, if there are any
				w.until("they are painted", func() bool { return !test.painted || strings.Contains(shown(), "\x1b[J") })
				check(t, os.WriteFile(filepath.Join(w.home, "gate"), nil, 0o600))
			}, append(test.args, "report", "-B", "home="+w.home)...)
			if test.painted != strings.Contains(raw, "\x1b[J") || regexp.MustCompile(`\x1b\[[0-9;]*m`).MatchString(raw) {
				t.Errorf("the terminal is told %q", raw)
			}
			lines := append([]string{""}, visible(raw)...)
			if last := lines[len(lines)-1]; !test.want.MatchString(last) {
				t.Errorf("the last line is %q, want %s", last, test.want)
			}
		})
	}
}
