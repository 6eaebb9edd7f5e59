package report

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"strings"

	"cbuild/rules/report/ui"
)

// The page's script and style.
var pageScript, pageStyle = ui.Script, ui.Style

// HTML writes index.html: one file that needs nothing else. All that comes from outside stands in it compressed, or as escaped text; the
// page's policy lets only our own script and style run, named by their hashes.
type HTML struct {
	w io.Writer
	pageData
	// listed are the rows for readers without scripts.
	listed []string
}

// NewHTML returns a format that writes to w.
func NewHTML(w io.Writer, o PageOptions) *HTML {
	p := &HTML{w: w, pageData: pageData{options: o}}
	p.details.use = func(chunk []byte) error { return p.embed(chunkAttribute, chunk) }
	return p
}

// The elements that hold data begin and end like this, and have one of these attributes.
const (
	dataStart      = `<script type="text/plain" `
	dataEnd        = "</script>"
	chunkAttribute = `class="detail"`
	packAttribute  = `id="pack"`
)

// embed writes data as an element that a browser neither shows nor runs.
func (p *HTML) embed(attribute string, data []byte) error {
	if _, err := io.WriteString(p.w, dataStart+attribute+">"); err != nil {
		return err
	}
	e := base64.NewEncoder(base64.StdEncoding, p.w)
	if _, err := e.Write(data); err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	_, err := io.WriteString(p.w, dataEnd+"\n")
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
	p.begin(h)
	_, err := io.WriteString(p.w, pageStart(h.Title, false))
	return err
}

// LivePage is a page without data: it asks for them, and for what happens, at the addresses pack, detail/N and events beside its own.
func LivePage(title string) string { return pageStart(title, true) + pageEnd() }

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
	if !r.Class.Quiet() && len(p.listed) < perClass {
		p.listed = append(p.listed, p.plain(r))
	}
	return p.add(r)
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

// End implements Format.
func (p *HTML) End() error {
	pack, err := p.end()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(p.w, p.unscripted()); err != nil {
		return err
	}
	if err := p.embed(packAttribute, pack); err != nil {
		return err
	}
	_, err = io.WriteString(p.w, pageEnd())
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
