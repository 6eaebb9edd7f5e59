package screen

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tmux is a real terminal beside the model.
type tmux struct {
	t    *testing.T
	dir  string
	feed *os.File
	sent int
}

// newTmux starts one that shows what is written to feed.
func newTmux(t *testing.T, columns, rows int) *tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("SKIPPED: there is no tmux to compare the model with")
	}
	dir, err := os.MkdirTemp("", "tmux-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	x := &tmux{t: t, dir: dir}
	fifo := filepath.Join(dir, "feed")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	x.run("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(rows), "stty -echo; cat "+fifo+"; sleep 100")
	t.Cleanup(func() {
		x.feed.Close()
		x.run("kill-server")
		os.RemoveAll(dir)
	})
	x.run("set-option", "-g", "status", "off")
	x.run("resize-window", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(rows))
	if x.feed, err = os.OpenFile(fifo, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *tmux) run(args ...string) string {
	x.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-u", "-S", filepath.Join(x.dir, "s")}, args...)...) //nolint:noctx // a moment
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm", "SHELL=/bin/sh")
	out, err := cmd.CombinedOutput()
	if err != nil {
		x.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// write shows text and waits until it is there: a title that follows it is.
func (x *tmux) write(text string) {
	x.t.Helper()
	x.sent++
	title := fmt.Sprint("shown ", x.sent)
	if _, err := x.feed.WriteString(text + "\x1b]2;" + title + "\x07"); err != nil {
		x.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); x.run("display-message", "-p", "#{pane_title}") != title+"\n"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			x.t.Fatal("tmux does not show what was written")
		}
	}
}

// shown returns what is visible and what scrolled away, without blanks at the ends of lines, and the cursor, counted from the first of these lines.
func (x *tmux) shown() (text string, cursor [2]int) {
	lines := strings.Split(x.run("capture-pane", "-p", "-S", "-"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	var away int
	if _, err := fmt.Sscan(x.run("display-message", "-p", "#{cursor_x} #{cursor_y} #{history_size}"), &cursor[0], &cursor[1], &away); err != nil {
		x.t.Fatal(err)
	}
	cursor[1] += away
	return strings.TrimRight(strings.Join(lines, "\n"), "\n"), cursor
}

var words = []string{"plain text", "a", "日本語", "e\u0301te\u0301", "👍", " ", "long, very long, longer than any of the terminals is wide", "…", "│"}

// some returns a few random lines.
func some(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(3) {
		for range r.IntN(4) {
			b.WriteString(words[r.IntN(len(words))])
		}
		b.WriteString("\x1b[K\n")
	}
	return b.String()
}

// The model shows what a real terminal shows when a program paints over what it wrote.
func TestScreenIsATerminal(t *testing.T) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 3))
		columns, rows := 20+r.IntN(40), 4+r.IntN(10)
		x, s := newTmux(t, columns, rows), New(columns, rows)
		for i := 0; i < 25 && !t.Failed(); i++ {
			text := some(r)
			if n := min(1+r.IntN(4), s.y-s.top-1); n > 0 && r.IntN(2) == 0 { // what is cleared from the first row on, tmux scrolls away
				text = fmt.Sprintf("\x1b[%dA\r", n) + text + "\x1b[J"
			}
			x.write(text)
			_, _ = s.Write([]byte(text))
			compare(t, x, s, fmt.Sprintf("seed %d, after %d writes, the last %q", seed, i+1, text))
		}
	}
}

// It does, too, when the width changes. What becomes of a line that went on in the next and was painted over differs from terminal to terminal,
// and which lines are visible after a change of the height.
func TestScreenRewraps(t *testing.T) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 4))
		columns, rows := 20+r.IntN(40), 4+r.IntN(10)
		x, s := newTmux(t, columns, rows), New(columns, rows)
		for i := 0; i < 15 && !t.Failed(); i++ {
			text := some(r)
			x.write(text)
			_, _ = s.Write([]byte(text))
			columns = 10 + r.IntN(60)
			x.run("resize-window", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(rows))
			s.Resize(columns, rows)
			compare(t, x, s, fmt.Sprintf("seed %d, %d columns after %q", seed, columns, text))
		}
	}
}

func compare(t *testing.T, x *tmux, s *Screen, when string) {
	t.Helper()
	want, cursor := x.shown()
	if got, at := s.All(), [2]int{s.x, s.y}; got != want || at != cursor {
		t.Errorf("%s: the model shows\n%s\nwith the cursor at %v, a terminal\n%s\nat %v", when, got, at, want, cursor)
	}
}

// What a program must not use is noted, also if it comes in pieces.
func TestUnknownSequences(t *testing.T) {
	for _, bad := range []string{"\x1b[?1049h", "\x1b[2J", "\x1b[6n", "\x1bc", "\a", "\x1b[?25l"} {
		s := New(20, 4)
		for i := range len(bad) {
			_, _ = s.Write([]byte{bad[i]})
		}
		_, _ = s.Write([]byte("x"))
		if len(s.Unknown()) == 0 {
			t.Errorf("%q is not noted", bad)
		}
	}
}

// Without rewrapping, lines are cut.
func TestCut(t *testing.T) {
	s := New(10, 4)
	s.Rewraps = false
	_, _ = s.Write([]byte("12345678\nab\n"))
	s.Resize(5, 4)
	if got := s.Text(); got != "12345\nab" {
		t.Errorf("got %q", got)
	}
}
