// Package mask finds and hides secrets in streams of bytes. Make Patterns of the values with New, then wrap a writer with Writer, which
// writes Stars for whatever matches, or let a Finder read what must hold none. A value is found as it is, line by line if it has several, in
// base64 wherever it stands in what is encoded, also cut into lines, URL-encoded, and as a JSON string. What was compressed, encrypted or split up is not found.
package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
)

// Stars stand in the place of a secret.
const Stars = "***"

// MinLength is the shortest secret, in bytes, that can be kept out of text without making it unreadable.
const MinLength = 4

// minLine is the shortest line of a value of several lines that counts as a secret itself.
const minLine = 8

// Patterns are the forms of some values. They may be used concurrently.
type Patterns struct {
	forms   []form // the longest first
	begins  [256]bool
	longest int // bytes that a form can take, line ends included
}

// A form is one way to write a value.
type form struct {
	text  []byte
	lines bool // line ends may stand anywhere in it
}

// minWidth is the length of the shortest lines, in characters, into which base64 is cut: PEM has 64, MIME 76.
const minWidth = 60

// most returns how many bytes f can take.
func (f form) most() int {
	if !f.lines {
		return len(f.text)
	}
	return len(f.text) + len("\r\n")*(len(f.text)/minWidth+1)
}

// match returns how long the beginning of p is that is f; 0 if there is none.
func (f form) match(p []byte) int {
	if bytes.HasPrefix(p, f.text) {
		return len(f.text)
	}
	if !f.lines {
		return 0
	}
	n := 0
	for _, b := range f.text {
		for n > 0 && n < len(p) && (p[n] == '\r' || p[n] == '\n') {
			n++
		}
		if n >= min(len(p), f.most()) || p[n] != b {
			return 0
		}
		n++
	}
	return n
}

// New returns the patterns of values; those that are shorter than MinLength have none.
func New(values []string) *Patterns {
	found := make(map[string]bool) // whether there may be line ends in it
	for _, v := range values {
		for _, text := range forms(v) {
			found[text] = false
		}
	}
	for _, v := range values {
		for _, text := range encoded(v) {
			found[text] = true
		}
	}
	p := &Patterns{}
	for text, lines := range found {
		if len(text) < MinLength {
			continue
		}
		f := form{[]byte(text), lines}
		p.forms = append(p.forms, f)
		p.begins[text[0]] = true
		p.longest = max(p.longest, f.most())
	}
	slices.SortFunc(p.forms, func(a, b form) int {
		if n := len(b.text) - len(a.text); n != 0 {
			return n
		}
		return bytes.Compare(a.text, b.text)
	})
	return p
}

// forms are the ways in which v may be written, but for base64.
func forms(v string) []string {
	all := []string{v, url.QueryEscape(v), url.PathEscape(v), lowerEscapes(url.QueryEscape(v))}
	if quoted, err := json.Marshal(v); err == nil {
		all = append(all, strings.Trim(string(quoted), `"`))
	}
	for line := range strings.Lines(v) {
		if line = strings.TrimRight(line, "\r\n"); line != v && len(line) >= minLine {
			all = append(all, line)
		}
	}
	return all
}

// encoded are the ways in which v may be written in base64.
func encoded(v string) (all []string) {
	if len(v) < MinLength {
		return nil
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		all = append(all, inBase64(e, v)...)
	}
	return all
}

// lowerEscapes writes the digits of %-escapes in lower case, as some do.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// inBase64 returns the digits that depend on nothing but v, for each place that v can have among groups of three bytes.
func inBase64(e *base64.Encoding, v string) []string {
	var all []string
	for before := range 3 {
		text := e.WithPadding(base64.NoPadding).EncodeToString([]byte(strings.Repeat("\x00", before) + v))
		first := (before*8 + 5) / 6        // digits that hold bits of what stands before
		whole := (before + len(v)) * 8 / 6 // digits that hold bits of v only
		all = append(all, text[first:whole])
	}
	return all
}

// match returns how long the longest form is that p begins with; 0 if none does.
func (ps *Patterns) match(p []byte) int {
	if !ps.begins[p[0]] {
		return 0
	}
	for _, f := range ps.forms {
		if n := f.match(p); n > 0 {
			return n
		}
	}
	return 0
}

// A Writer writes to another one with Stars in place of secrets. It holds back what may be the beginning of one until Close.
type Writer struct {
	ps   *Patterns
	to   io.Writer
	held []byte
}

// Writer returns one that writes to w. The caller closes it; w stays open.
func (ps *Patterns) Writer(w io.Writer) *Writer { return &Writer{ps: ps, to: w} }

// Write takes all of p, or returns the error of the other writer.
func (w *Writer) Write(p []byte) (int, error) {
	w.held = append(w.held, p...)
	return len(p), w.pass(w.ps.longest - 1)
}

// Close writes what is left.
func (w *Writer) Close() error { return w.pass(0) }

// pass writes all but the last keep bytes, in which a secret may begin whose end is still to come.
func (w *Writer) pass(keep int) error {
	out := make([]byte, 0, len(w.held))
	i := 0
	for i < len(w.held)-max(keep, 0) {
		if n := w.ps.match(w.held[i:]); n > 0 {
			out = append(out, Stars...)
			i += n
			continue
		}
		out = append(out, w.held[i])
		i++
	}
	w.held = append(w.held[:0], w.held[i:]...)
	if len(out) == 0 {
		return nil
	}
	_, err := w.to.Write(out)
	return err
}

// A Finder is a writer that looks for secrets in what is written to it.
type Finder struct {
	ps    *Patterns
	held  []byte
	found bool
}

// Finder returns a new one.
func (ps *Patterns) Finder() *Finder { return &Finder{ps: ps} }

// Write takes all of p.
func (f *Finder) Write(p []byte) (int, error) {
	f.held = append(f.held, p...)
	for i := 0; i < len(f.held) && !f.found; i++ {
		f.found = f.ps.match(f.held[i:]) > 0
	}
	f.held = append(f.held[:0], f.held[max(0, len(f.held)-max(f.ps.longest-1, 0)):]...)
	return len(p), nil
}

// Found reports whether there was a secret in what was written.
func (f *Finder) Found() bool { return f.found }
