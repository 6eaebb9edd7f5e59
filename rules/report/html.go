package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"strings"
	"time"

	"cbuild/engine"
)

//go:embed page.js
var pageScript string

//go:embed page.css
var pageStyle string

// HTML writes index.html: one file that needs nothing else. All that comes from outside stands in it as JSON or escaped text; the
// page's policy lets only our own script and style run, named by their hashes.
type HTML struct {
	w    io.Writer
	head *Head
	buf  []byte
	rows int
	// listed are the rows for readers without scripts.
	listed []string
	// ran counts the commands of the rows by the class of their sandboxes.
	ran [engine.SandboxFull + 1]int
}

// NewHTML returns a format that writes to w.
func NewHTML(w io.Writer) *HTML { return &HTML{w: w} }

// hashed returns text's name in a content security policy.
func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

const pageHead = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src %s; style-src %s; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>%s</title>
<style>%s</style>
</head>
<body>
<header><h1>%s</h1><p id="about">%s</p>%s</header>
<div id="app"></div>
`

// Begin implements Format.
func (p *HTML) Begin(h *Head) error {
	p.head = h
	title := html.EscapeString(Name(h.Title))
	_, err := fmt.Fprintf(p.w, pageHead, hashed(pageScript), hashed(pageStyle), title, pageStyle, title, p.about(), p.warning())
	if err != nil {
		return err
	}
	_, err = p.w.Write(p.data())
	return err
}

func (p *HTML) about() string {
	parts := []string{plural(p.head.Count, "row")}
	if c := p.head.Compare; len(c) > 0 {
		parts = []string{Name(c[0]) + " → " + Name(strings.Join(c[1:], ", ")), parts[0]}
	}
	return html.EscapeString(strings.Join(parts, " · "))
}

func (p *HTML) warning() string {
	text := p.head.incomplete()
	if text == "" {
		return ""
	}
	text = "Incomplete: " + text + "."
	if p.head.Trouble != "" {
		text += " " + Name(p.head.Trouble)
	}
	return `<p class="warning">` + html.EscapeString(text) + `</p>`
}

// data opens the element that holds the rows as JSON, and writes the head into it.
func (p *HTML) data() []byte {
	h := p.head
	o := object{buf: []byte(`<script type="application/json" id="data">`)}
	o.strings("compare", names(h.Compare))
	o.strings("axes", names(h.Axes))
	o.strings("columns", names(h.Columns))
	o.member("grouped")
	o.buf = appendBool(o.buf, h.Grouped)
	var classes []string
	for _, c := range h.headline() {
		classes = append(classes, string(c))
	}
	o.strings("classes", classes)
	o.member("summary")
	o.buf = h.appendSummary(o.buf)
	o.member("rows")
	return append(o.buf, '[')
}

func names(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = Name(s)
	}
	return out
}

// Row implements Format. A row is [key, class, axes, columns, group, sides, problems].
func (p *HTML) Row(r *Row) error {
	buf := append(p.buf[:0], ',', '\n')
	if p.rows == 0 {
		buf = buf[1:]
	}
	p.rows++
	buf = appendString(append(buf, '['), Name(r.Key))
	buf = appendString(append(buf, ','), string(r.Class))
	buf = appendStrings(append(buf, ','), names(r.Axes))
	buf = append(buf, ',', '[')
	for i, v := range r.Columns {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendCell(buf, v)
	}
	buf = appendString(append(buf, ']', ','), Name(r.Group))
	buf = append(buf, ',', '[')
	for i, s := range r.Sides {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendSide(buf, Name(r.Key), &s)
		if s.Extra.Shielded {
			p.ran[s.Extra.Used.Sandbox]++
		}
	}
	buf = append(buf, ']')
	if len(r.Problems) > 0 {
		buf = appendStrings(append(buf, ','), names(r.Problems))
	}
	p.buf = append(buf, ']')
	if !r.Class.Quiet() && len(p.listed) < perClass {
		p.listed = append(p.listed, p.plain(r))
	}
	_, err := p.w.Write(p.buf)
	return err
}

// appendCell writes a column: numbers as they are, artifacts as [name, digest], everything else as text.
func appendCell(buf []byte, v engine.Value) []byte {
	switch v := v.(type) {
	case int64, float64:
		return appendJSON(buf, v)
	case engine.Artifact:
		return appendStrings(buf, []string{Name(v.Name), v.Digest.String()})
	}
	return appendString(buf, Name(Display(v)))
}

// keyMark stands for the row's key in a label, which would else be most of the page. No name holds it: it would be spelled out.
const keyMark = "\x01"

// appendSide writes a side of the row with the given key; 0 for one that does not exist.
func appendSide(buf []byte, key string, s *Side) []byte {
	if s.Outcome == "" {
		return append(buf, '0')
	}
	o := object{buf: buf}
	o.string("o", string(s.Outcome))
	if s.Ran && s.ExitCode != 0 {
		o.int("x", s.ExitCode)
	}
	if s.Class != "" {
		o.string("c", string(s.Class))
	}
	if why := s.why(); why != "" {
		o.string("why", Clean(why))
	}
	e := &s.Extra
	if e.Label != "" {
		label := Name(e.Label)
		if key != "" {
			label = strings.Replace(label, key, keyMark, 1)
		}
		o.string("label", label)
	}
	if e.Took > 0 {
		o.int("ms", int((e.Took+time.Millisecond/2)/time.Millisecond))
	}
	if busy := e.Used.User + e.Used.System; busy > 0 {
		o.int("cpu", int((busy+time.Millisecond/2)/time.Millisecond))
	}
	if e.Used.Memory > 0 {
		o.int("mem", int(e.Used.Memory>>20)+1)
	}
	if e.Cached != engine.NotCached {
		o.string("from", e.Cached.String())
	}
	if len(e.Texts) > 0 {
		o.member("texts")
		o.buf = append(o.buf, '[')
		for i, t := range e.Texts {
			if i > 0 {
				o.buf = append(o.buf, ',')
			}
			o.buf = appendStrings(o.buf, []string{Name(t.Name), t.Text, t.Note})
		}
		o.buf = append(o.buf, ']')
	}
	return o.end()
}

func (s *Side) why() string {
	if s.Extra.Trouble != "" {
		return s.Extra.Trouble
	}
	return s.Cause
}

// plain returns a row of the table for readers without scripts.
func (p *HTML) plain(r *Row) string {
	var b strings.Builder
	b.WriteString("<tr>")
	cell := func(text string) { b.WriteString("<td>" + html.EscapeString(Name(text)) + "</td>") }
	cell(r.Key)
	cell(string(r.Class))
	for _, a := range r.Axes {
		cell(a)
	}
	for _, v := range r.Columns {
		cell(Display(v))
	}
	if p.head.Grouped {
		cell(r.Group)
	}
	b.WriteString("</tr>\n")
	return b.String()
}

// sandbox says how well the commands of the rows were shielded.
func (p *HTML) sandbox() string {
	full, none := p.ran[engine.SandboxFull], p.ran[engine.SandboxNone]
	switch {
	case none > 0:
		return fmt.Sprintf("%s of %s ran in sandbox class none: what a command did not declare was not hidden from it.", thousands(none), plural(full+none, "run"))
	case full > 0:
		return "All ran in sandbox class full: a command saw what it declared."
	}
	return ""
}

// End implements Format.
func (p *HTML) End() error {
	var b strings.Builder
	b.WriteString("]}</script>\n<noscript>\n<ul>")
	for _, c := range p.head.headline() {
		fmt.Fprintf(&b, "<li>%s %s</li>", thousands(p.head.Summary[c]), c)
	}
	b.WriteString("</ul>\n")
	if len(p.listed) > 0 {
		fmt.Fprintf(&b, "<p>The first %s of those that need a look; all are in results.csv.</p>\n<table><tr>", plural(len(p.listed), "row"))
		for _, n := range append(append([]string{"key", "class"}, p.head.Axes...), p.head.Columns...) {
			b.WriteString("<th>" + html.EscapeString(Name(n)) + "</th>")
		}
		if p.head.Grouped {
			b.WriteString("<th>group</th>")
		}
		b.WriteString("</tr>\n" + strings.Join(p.listed, "") + "</table>\n")
	}
	b.WriteString("</noscript>\n<footer>" + p.sandbox() + "</footer>\n<script>" + pageScript + "</script>\n</body>\n</html>\n")
	_, err := io.WriteString(p.w, b.String())
	return err
}
