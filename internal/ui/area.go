package ui

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// An area is the lines in place: the last ones on the terminal, above the line with the cursor, which is at its begin. Nothing is known of the
// terminal but its size: it is not asked where the cursor is, because the answer would come on standard input.
type area struct {
	// rewraps is set if the terminal wraps what it shows anew when it gets narrower.
	rewraps bool

	lines   []string // as they were painted, each narrower than the terminal was
	columns int      // of the terminal, then
	used    bool     // something was painted once
}

// rows returns how many rows of the terminal the lines have, now that it has this many columns. A line that has become too long for one
// has several, or was cut.
func (a *area) rows(columns int) int {
	n := len(a.lines)
	if a.rewraps && columns > 0 {
		for _, l := range a.lines {
			n += strings.Count(ansi.Hardwrap(l, columns, true), "\n")
		}
	}
	return n
}

// top goes to the begin of the first line. What was typed meanwhile, such as ^C, stands behind the last one, and goes with the area.
func (a *area) top(b *bytes.Buffer, columns int) {
	if n := a.rows(columns); n > 0 {
		fmt.Fprintf(b, "\x1b[%dA", n)
	}
	if a.used {
		b.WriteByte('\r')
	}
}

// paint puts lines in the place of those that are there. They are written over the old ones, each cleared to its end, so that nothing
// flickers, unless the terminal has another width now: some keep that a line went on in the next, although another is written over it.
func (a *area) paint(b *bytes.Buffer, lines []string, columns int) {
	a.used = a.used || len(lines) > 0
	a.top(b, columns)
	if columns != a.columns && len(a.lines) > 0 {
		b.WriteString("\x1b[J")
	}
	a.columns = columns
	for _, l := range lines {
		b.WriteString(l + "\x1b[K\n")
	}
	if a.used {
		b.WriteString("\x1b[J")
	}
	a.lines = lines
}

// above writes text where the lines begin, and the lines below it.
func (a *area) above(b *bytes.Buffer, text string, columns int) {
	a.top(b, columns)
	if a.used {
		b.WriteString("\x1b[J")
	}
	b.WriteString(text + "\n")
	for i, l := range a.lines {
		a.lines[i] = fit(l, columns)
		b.WriteString(a.lines[i] + "\n")
	}
}

// abandon leaves the lines where they are: somebody else wrote below them.
func (a *area) abandon() { a.lines = nil }
