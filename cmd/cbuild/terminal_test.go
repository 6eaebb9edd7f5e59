package main_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"

	terminal "cbuild/internal/ui/screen"
)

// screen is what was written to a terminal.
type screen struct {
	mu   sync.Mutex
	data bytes.Buffer // guarded by mu
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data.String()
}

// onTerminal runs cbuild with a terminal as standard error, calls meanwhile with what is shown there so far, and returns all of it.
func (w *world) onTerminal(meanwhile func(shown func() string), args ...string) string {
	w.t.Helper()
	return w.onTerminalUntil(0, func(shown func() string, _ func(os.Signal)) { meanwhile(shown) }, args...)
}

// onTerminalUntil is onTerminal for what ends with the given status, perhaps because of a signal that meanwhile sends.
func (w *world) onTerminalUntil(status int, meanwhile func(shown func() string, send func(os.Signal)), args ...string) string {
	w.t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		w.t.Skipf("SKIPPED: no pseudo-terminals: %v", err)
	}
	defer master.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(binary, args...) //nolint:noctx // meanwhile ends it
	cmd.Dir, cmd.Stderr = w.dir, slave
	cmd.Env = append([]string{"TERM=xterm"}, w.environ()...)
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = cmd.Process.Kill() })
	slave.Close()
	var s screen
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			_, _ = s.Write(buf[:n])
			if err != nil {
				return // EIO when nobody holds the other end any more
			}
		}
	})
	meanwhile(s.String, func(s os.Signal) { check(w.t, cmd.Process.Signal(s)) })
	_ = cmd.Wait() // its status is looked at
	if got := cmd.ProcessState.ExitCode(); got != status {
		w.t.Errorf("cbuild %q: status %d, want %d\n%s", args, got, status, s.String())
	}
	reading.Wait()
	return s.String()
}

// visible returns the lines that are left on the terminal after text was written to it.
func visible(text string) (lines []string) {
	s := terminal.New(80, 24)
	_, _ = s.Write([]byte(text))
	for line := range strings.Lines(s.All()) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// On a terminal a few lines are redrawn in place; the screen and the keyboard are left alone, and a build that does nothing prints
// one line.
func TestConsoleOnATerminal(t *testing.T) {
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": patientFile})
	w.env = openSandbox
	shown := w.onTerminal(func(shown func() string) {
		w.until("what runs is shown", func() bool {
			return strings.Contains(ansi.Strip(shown()), "work") && strings.Contains(shown(), "\x1b[J")
		})
		if err := os.WriteFile(filepath.Join(w.home, "gate"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}, "report", "home="+w.home)
	for _, not := range []string{"\x1b[?1049h", "\x1b[?47h", "\x1b[2J", "\x1b[?1000h"} {
		if strings.Contains(shown, not) {
			t.Errorf("the terminal is told %q", not)
		}
	}
	lines := visible(shown)
	if last := lines[len(lines)-1]; !strings.Contains(last, "report  20 rows: 20 pass") {
		t.Errorf("the last line is %q", last)
	}

	shown = w.onTerminal(func(func() string) {}, "report", "home="+w.home)
	lines = visible(shown)
	if len(lines) != 1 || !strings.Contains(lines[0], "20 cached") {
		t.Errorf("a build that does nothing shows %q", lines)
	}
}

// What a log holds is anybody's text: on a terminal it is shown and steers nothing, elsewhere it comes as it is.
func TestLogOnATerminal(t *testing.T) {
	const file = `
run "evil" {
  script = "printf '\\033]0;title\\007 \\033[2Jgone'"
}
`
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": file})
	w.env = openSandbox
	w.build(0, "evil")
	master, slave, err := pty.Open()
	if err != nil {
		t.Skipf("SKIPPED: no pseudo-terminals: %v", err)
	}
	defer master.Close()
	run := func(stdout io.Writer) {
		cmd := exec.Command(binary, "log", "evil") //nolint:noctx // a moment
		cmd.Dir, cmd.Stdout = w.dir, stdout
		cmd.Env = w.environ()
		if err := cmd.Run(); err != nil {
			t.Error(err)
		}
	}
	run(slave)
	slave.Close()
	var shown, raw bytes.Buffer
	_, _ = shown.ReadFrom(master) // until nobody holds the other end
	if s := shown.String(); strings.ContainsAny(s, "\x1b\a") || !strings.Contains(s, "gone") {
		t.Errorf("the terminal is told %q", s)
	}
	run(&raw)
	if raw.String() != "\x1b]0;title\a \x1b[2Jgone" {
		t.Errorf("elsewhere: %q", raw.String())
	}
}
