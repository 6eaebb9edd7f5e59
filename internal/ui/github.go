package ui

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// An Annotation is an error that GitHub shows at a place of a file, or beside a build. Its form is that of the runner's workflow commands.
type Annotation struct {
	Title, Text string
	// File is relative to the repository's root; it may be empty. Line and Column are counted from 1, and 0 if they are not known.
	File         string
	Line, Column int
}

// String writes a as a line that the runner takes for a command.
func (a Annotation) String() string {
	var properties []string
	add := func(name, value string) {
		if value != "" && value != "0" {
			properties = append(properties, name+"="+commandProperty.Replace(Text(value)))
		}
	}
	add("file", a.File)
	add("line", strconv.Itoa(a.Line))
	add("col", strconv.Itoa(a.Column))
	add("title", a.Title)
	return fmt.Sprintf("::error %s::%s\n", strings.Join(properties, ","), commandText.Replace(clean(a.Text)))
}

// What the runner takes for a part of a command's form.
var (
	commandText     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	commandProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// Disarm returns a writer to w of which the runner takes nothing for a command: what is shown there was written by anybody, such as the end of
// a failure's log. A command begins a line with ::, or stands anywhere in it behind ##[.
func Disarm(w io.Writer) io.Writer { return &disarmed{w: w, begin: true} }

type disarmed struct {
	w io.Writer

	mu    sync.Mutex
	begin bool // guarded by mu; of a line, blanks aside
	last  byte // guarded by mu
}

// Write is io.Writer's.
func (d *disarmed) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []byte
	for i, c := range p {
		if c == ':' && d.begin && (i+1 == len(p) || p[i+1] == ':') || c == '[' && d.last == '#' {
			out = append(out, "\u2060"...) // a word joiner: it is not seen, and no command begins with it
		}
		out = append(out, c)
		d.begin = c == '\n' || d.begin && (c == ' ' || c == '\t' || c == '\r')
		d.last = c
	}
	if _, err := d.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
