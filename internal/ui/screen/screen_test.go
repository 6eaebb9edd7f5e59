package screen

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// feed is a terminal that shows what it is told.
type feed struct {
	*Tmux
	t    *testing.T
	file *os.File
	sent int
}

func showing(t *testing.T, columns, rows int) *feed {
	t.Helper()
	fifo := filepath.Join(t.TempDir(), "feed")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	x := &feed{Tmux: Start(t, columns, rows, "stty -echo; cat '"+fifo+"'; sleep 600"), t: t}
	var err error
	if x.file, err = os.OpenFile(fifo, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.file.Close() })
	return x
}

// Show writes text and waits until it is there: a title that follows it is.
func (x *feed) Show(text string) {
	x.t.Helper()
	x.sent++
	title := fmt.Sprint("shown ", x.sent)
	if _, err := x.file.WriteString(text + "\x1b]2;" + title + "\x07"); err != nil {
		x.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); x.ask("display-message", "-p", "#{pane_title}") != title+"\n"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			x.t.Fatal("the terminal does not show what was written")
		}
	}
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
		x, s := showing(t, columns, rows), New(columns, rows)
		for i := 0; i < 25 && !t.Failed(); i++ {
			text := some(r)
			if n := min(1+r.IntN(4), s.y-s.top-1); n > 0 && r.IntN(2) == 0 { // what is cleared from the first row on, tmux scrolls away
				text = fmt.Sprintf("\x1b[%dA\r", n) + text + "\x1b[J"
			}
			x.Show(text)
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
		x, s := showing(t, columns, rows), New(columns, rows)
		for i := 0; i < 15 && !t.Failed(); i++ {
			text := some(r)
			x.Show(text)
			_, _ = s.Write([]byte(text))
			columns = 10 + r.IntN(60)
			x.Resize(columns, rows)
			s.Resize(columns, rows)
			compare(t, x, s, fmt.Sprintf("seed %d, %d columns after %q", seed, columns, text))
		}
	}
}

func compare(t *testing.T, x *feed, s *Screen, when string) {
	t.Helper()
	want := x.All()
	cx, cy := x.Cursor()
	cursor := [2]int{cx, cy}
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
