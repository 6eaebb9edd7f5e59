package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"strings"

	"cbuild/engine"
)

//go:embed page.js
var pageScript string

//go:embed page.css
var pageStyle string

// HTML writes index.html: one file that needs nothing else. All that comes from outside stands in it compressed, or as escaped text; the
// page's policy lets only our own script and style run, named by their hashes.
type HTML struct {
	w       io.Writer
	options HTMLOptions
	columns *columns
	details details
	// listed are the rows for readers without scripts.
	listed []string
	// ran counts the commands of the rows by the class of their sandboxes.
	ran [engine.SandboxFull + 1]int
}

// HTMLOptions say what a page knows besides its rows. Each may be nil.
type HTMLOptions struct {
	// Build says at the end what is known of the build.
	Build func() *Build
	// Link returns where an artifact lies, relative to the page; "" if it does not lie there.
	Link func(engine.Artifact) string
}

// NewHTML returns a format that writes to w.
func NewHTML(w io.Writer, o HTMLOptions) *HTML {
	if o.Build == nil {
		o.Build = func() *Build { return &Build{} }
	}
	p := &HTML{w: w, options: o}
	p.details.use = func(chunk []byte) error { return p.embed(`class="detail"`, chunk) }
	return p
}

// embed writes data as an element that a browser neither shows nor runs.
func (p *HTML) embed(attribute string, data []byte) error {
	if _, err := fmt.Fprintf(p.w, `<script type="text/plain" %s>`, attribute); err != nil {
		return err
	}
	e := base64.NewEncoder(base64.StdEncoding, p.w)
	if _, err := e.Write(data); err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	_, err := io.WriteString(p.w, "</script>\n")
	return err
}

// hashed returns text's name in a content security policy.
func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

const pageHead = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src %s; style-src %s; %sbase-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>%s</title>
<style>%s</style>
</head>
<body%s>
<div id="app"></div>
`

// Begin implements Format.
func (p *HTML) Begin(h *Head) error {
	p.columns = newColumns(h, p.options.Link)
	_, err := io.WriteString(p.w, pageStart(h.Title, false))
	return err
}

// pageStart is all up to the data of a page. A live one may ask the server that it comes from.
func pageStart(title string, live bool) string {
	connect, body := "", ""
	if live {
		connect, body = "connect-src 'self'; ", ` data-live="./"`
	}
	return fmt.Sprintf(pageHead, hashed(pageScript), hashed(pageStyle), connect, html.EscapeString(Name(title)), pageStyle, body)
}

func pageEnd() string { return "<script>" + pageScript + "</script>\n</body>\n</html>\n" }

func (h *Head) about() string {
	parts := []string{plural(h.Count, "row")}
	if c := h.Compare; len(c) > 0 {
		parts = []string{Name(c[0]) + " → " + Name(strings.Join(c[1:], ", ")), parts[0]}
	}
	return html.EscapeString(strings.Join(parts, " · "))
}

func (h *Head) warning() string {
	text := h.incomplete()
	if text == "" {
		return ""
	}
	text = "Incomplete: " + text + "."
	if h.Trouble != "" {
		text += " " + Name(h.Trouble)
	}
	return `<p class="warning">` + html.EscapeString(text) + `</p>`
}

// Row implements Format.
func (p *HTML) Row(r *Row) error {
	for i := range r.Sides {
		if e := &r.Sides[i].Extra; e.Shielded {
			p.ran[e.Used.Sandbox]++
		}
	}
	if !r.Class.Quiet() && len(p.listed) < perClass {
		p.listed = append(p.listed, p.plain(r))
	}
	n, err := p.details.add(r)
	if err == nil {
		p.columns.add(r, n)
	}
	return err
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
	if p.columns.head.Grouped {
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
	if err := p.details.flush(); err != nil {
		return err
	}
	if _, err := io.WriteString(p.w, p.unscripted()); err != nil {
		return err
	}
	if err := p.embed(`id="pack"`, squeeze(p.columns.pack(p.options.Build(), p.details.chunks, p.sandbox()))); err != nil {
		return err
	}
	_, err := io.WriteString(p.w, pageEnd())
	return err
}

// unscripted is the page for readers without scripts.
func (p *HTML) unscripted() string {
	h := p.columns.head
	var b strings.Builder
	fmt.Fprintf(&b, "<noscript>\n<h1>%s</h1>\n<p>%s</p>%s\n<ul>", html.EscapeString(Name(h.Title)), h.about(), h.warning())
	for _, c := range h.headline() {
		fmt.Fprintf(&b, "<li>%s %s</li>", thousands(h.Summary[c]), c)
	}
	b.WriteString("</ul>\n")
	if len(p.listed) > 0 {
		fmt.Fprintf(&b, "<p>The first %s of those that need a look; all are in results.csv.</p>\n<table><tr>", plural(len(p.listed), "row"))
		for _, n := range append(append([]string{"key", "class"}, h.Axes...), h.Columns...) {
			b.WriteString("<th>" + html.EscapeString(Name(n)) + "</th>")
		}
		if h.Grouped {
			b.WriteString("<th>group</th>")
		}
		b.WriteString("</tr>\n" + strings.Join(p.listed, "") + "</table>\n")
	}
	b.WriteString("<p>" + p.sandbox() + "</p>\n</noscript>\n")
	return b.String()
}
