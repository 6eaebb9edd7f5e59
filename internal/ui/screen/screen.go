// Package screen is a terminal as tests see it: what stands on it after something was written to it, also when its size changes meanwhile. It
// knows what a program may use that leaves the screen and the keyboard alone; everything else is noted in Unknown. Begin with New and Write.
package screen

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// A Screen is a terminal. Its methods may be called concurrently.
type Screen struct {
	// Rewraps is set if lines are wrapped anew when the number of columns changes, as most terminals do; else they are cut.
	Rewraps bool

	mu            sync.Mutex
	columns, rows int
	lines         []line // guarded by mu; those that scrolled away come first
	top           int    // guarded by mu; the first line that is visible
	y, x          int    // guarded by mu; the cursor, y among lines; x is columns when the next character wraps
	pending       []byte // guarded by mu; an unfinished sequence
	unknown       []string
}

// A line is a row of cells. One that is soft goes on in the next, because it was too long.
type line struct {
	cells []cell
	soft  bool
}

// A cell holds a character with all its marks. The second cell of a wide one holds nothing.
type cell struct {
	text  string
	width int
}

// New returns an empty terminal.
func New(columns, rows int) *Screen {
	return &Screen{Rewraps: true, columns: columns, rows: rows, lines: make([]line, 1)}
}

// Write shows what a program writes through a terminal's driver, which puts a carriage return before each line feed.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := append(s.pending, p...)
	s.pending = nil
	for len(data) > 0 {
		seq, width, n, _ := ansi.DecodeSequence(data, ansi.NormalState, nil)
		if n == len(data) && !whole(data) {
			s.pending = bytes.Clone(data)
			break
		}
		s.put(string(seq), width)
		data = data[n:]
	}
	return len(p), nil
}

// whole reports whether data, which is one sequence or character, does not go on in what is written next.
func whole(data []byte) bool {
	if data[0] != 0x1b {
		return utf8.Valid(data) || len(data) >= utf8.UTFMax
	}
	last := data[len(data)-1]
	return len(data) > 2 && (last >= 'A' && last <= 'Z' || last >= 'a' && last <= 'z') || len(data) > 64
}

func (s *Screen) put(seq string, width int) {
	n := 1
	switch {
	case seq == "\r":
		s.x = 0
	case seq == "\n":
		s.x = 0
		s.lines[s.y].soft = false
		s.down()
	case seq == "\x1b[J":
		s.clear()
		s.lines = s.lines[:s.y+1]
	case seq == "\x1b[K":
		s.clear()
	case strings.HasPrefix(seq, "\x1b[") && strings.HasSuffix(seq, "A"):
		_, _ = fmt.Sscanf(seq, "\x1b[%dA", &n)
		s.y = max(s.y-n, s.top)
	case strings.HasPrefix(seq, "\x1b[") && strings.HasSuffix(seq, "m"): // colours
	case width > 0:
		s.print(cell{seq, width})
	case seq[0] >= 0xa0 && s.x > 0: // a mark of the character before it
		s.mark(seq)
	default:
		s.unknown = append(s.unknown, seq)
	}
}

// clear clears the line from the cursor on. If all of it is cleared, the one above does not go on in it.
func (s *Screen) clear() {
	if s.x == 0 && s.y > 0 {
		s.lines[s.y-1].soft = false
	}
	l := &s.lines[s.y]
	l.cells, l.soft = l.cells[:min(s.x, len(l.cells))], false
}

// down goes to the next line.
func (s *Screen) down() {
	s.y++
	if s.y == len(s.lines) {
		s.lines = append(s.lines, line{})
	}
	s.top = max(s.top, s.y-s.rows+1)
}

func (s *Screen) print(c cell) {
	if s.x+c.width > s.columns {
		s.lines[s.y].soft = true
		s.x = 0
		s.down()
	}
	l := &s.lines[s.y]
	for len(l.cells) < s.x+c.width {
		l.cells = append(l.cells, cell{" ", 1})
	}
	for i := range c.width {
		s.split(l, s.x+i)
		l.cells[s.x+i] = cell{}
	}
	l.cells[s.x] = c
	s.x += c.width
}

// split makes blanks of a wide character if a part of it is overwritten.
func (s *Screen) split(l *line, at int) {
	first := at
	for first > 0 && l.cells[first].width == 0 {
		first--
	}
	for i := range l.cells[first].width {
		if w := l.cells[first].width; w > 1 && first+w <= len(l.cells) && i > 0 {
			l.cells[first+i] = cell{" ", 1}
		}
	}
	if l.cells[first].width > 1 {
		l.cells[first] = cell{" ", 1}
	}
}

// mark puts a mark on the character before the cursor.
func (s *Screen) mark(seq string) {
	l := &s.lines[s.y]
	for at := min(s.x, len(l.cells)) - 1; at >= 0; at-- {
		if l.cells[at].width > 0 {
			l.cells[at].text += seq
			return
		}
	}
}

// Resize changes the size. The cursor stays behind the character that it stood behind.
func (s *Screen) Resize(columns, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.Rewraps:
		s.rewrap(columns)
	default:
		for i := range s.lines {
			l := &s.lines[i]
			l.cells = l.cells[:min(len(l.cells), columns)]
		}
		s.x = min(s.x, columns-1)
	}
	s.columns, s.rows = columns, rows
	s.top = max(0, s.y-rows+1)
}

// rewrap wraps all lines anew.
func (s *Screen) rewrap(columns int) {
	old, y := s.lines, s.y
	s.lines = nil
	s.columns = columns
	for i := 0; i < len(old); i++ {
		var cells []cell
		cursor := -1
		for ; ; i++ {
			if i == y {
				cursor = len(cells) + s.x
			}
			cells = append(cells, old[i].cells...)
			if !old[i].soft || i == len(old)-1 {
				break
			}
		}
		s.wrap(cells, cursor)
	}
}

// wrap appends a line, in as many rows as it needs; the cursor, if it is in that line, is behind so many of its cells.
func (s *Screen) wrap(cells []cell, cursor int) {
	at := line{}
	for i := 0; i < len(cells); i++ {
		c := cells[i]
		if c.width == 0 {
			continue
		}
		if len(at.cells)+c.width > s.columns {
			at.soft = true
			s.lines = append(s.lines, at)
			at = line{}
		}
		if i == cursor {
			s.y, s.x = len(s.lines), len(at.cells)
		}
		at.cells = append(at.cells, c)
		for range c.width - 1 {
			at.cells = append(at.cells, cell{})
		}
	}
	if cursor >= len(cells) {
		s.y, s.x = len(s.lines), min(len(at.cells)+cursor-len(cells), s.columns)
	}
	s.lines = append(s.lines, at)
}

// Text returns what is visible, without blanks at the ends of lines.
func (s *Screen) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return text(s.lines[s.top:])
}

// All returns what is visible and what scrolled away.
func (s *Screen) All() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return text(s.lines)
}

func text(lines []line) string {
	var all []string
	for _, l := range lines {
		var b strings.Builder
		for _, c := range l.cells {
			b.WriteString(c.text)
		}
		all = append(all, strings.TrimRight(b.String(), " "))
	}
	return strings.TrimRight(strings.Join(all, "\n"), "\n")
}

// Wrapped returns the first rows of all lines that were too long.
func (s *Screen) Wrapped() (rows []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, l := range s.lines {
		if l.soft && (i == 0 || !s.lines[i-1].soft) {
			rows = append(rows, text([]line{l}))
		}
	}
	return rows
}

// Cursor returns where the cursor is: columns from the left, and rows from the top.
func (s *Screen) Cursor() (x, y int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.x, s.y - s.top
}

// Unknown returns the sequences that it does not know.
func (s *Screen) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unknown)
}

// Size returns the number of columns and rows.
func (s *Screen) Size() (columns, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.columns, s.rows
}
