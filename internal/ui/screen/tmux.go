package screen

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A Tmux is a real terminal: what the model shows, and what a program does that runs in it, can be compared with what it shows.
type Tmux struct {
	t   testing.TB
	dir string
}

// Start runs a command of the shell in a terminal that ends with the test. Without tmux, the test is skipped.
func Start(t testing.TB, columns, rows int, command string) *Tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("SKIPPED: there is no tmux to compare with")
	}
	dir, err := os.MkdirTemp("", "tmux-")
	if err != nil {
		t.Fatal(err)
	}
	x := &Tmux{t, dir}
	x.ask("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(rows), "sleep 100") // keeps the server
	t.Cleanup(func() {
		x.ask("kill-server")
		os.RemoveAll(dir)
	})
	x.ask("set-option", "-g", "status", "off")
	x.ask("set-option", "-g", "remain-on-exit", "on")
	x.Resize(columns, rows)
	x.ask("respawn-pane", "-k", command)
	return x
}

// ask gives tmux a command and returns what it answers.
func (x *Tmux) ask(args ...string) string {
	x.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-u", "-S", "s"}, args...)...) //nolint:noctx // a moment
	cmd.Dir = x.dir                                                            // the path of a socket must be short, and that of a directory for temporary files need not be
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm", "SHELL=/bin/sh", "TMUX=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		x.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// Resize changes the size.
func (x *Tmux) Resize(columns, rows int) {
	x.t.Helper()
	x.ask("resize-window", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(rows))
}

// Type types keys, by the names that tmux has for them.
func (x *Tmux) Type(keys ...string) {
	x.t.Helper()
	x.ask(append([]string{"send-keys"}, keys...)...)
}

// All returns what is visible and what scrolled away, without blanks at the ends of lines.
func (x *Tmux) All() string {
	x.t.Helper()
	lines := strings.Split(x.ask("capture-pane", "-p", "-S", "-"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// Cursor returns where the cursor is: columns from the left, and rows from the first one of All.
func (x *Tmux) Cursor() (column, row int) {
	x.t.Helper()
	var away int
	if _, err := fmt.Sscan(x.ask("display-message", "-p", "#{cursor_x} #{cursor_y} #{history_size}"), &column, &row, &away); err != nil {
		x.t.Fatal(err)
	}
	return column, row + away
}
