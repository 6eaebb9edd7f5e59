package manual

import (
	"strings"
	"unicode/utf8"
)

// aligned is the widest term that explanations stand beside; behind wider ones they begin a line.
const aligned = 24

// Text returns Markdown as lines of at most width columns, but for what must not be broken: code, and long words. What is typed stands between
// backquotes.
func Text(markdown string, width int) string {
	p := &page{width: width}
	for i, part := range parse(markdown) {
		if i > 0 {
			p.WriteByte('\n')
		}
		switch part.kind {
		case heading:
			if i > 0 && !strings.Contains(part.text, ":") {
				part.text += ":"
			}
			p.WriteString(part.text + "\n")
		case paragraph:
			p.fill(part.text, "", "")
		case code:
			for _, line := range part.rows {
				p.WriteString(strings.TrimRight("  "+line[0], " ") + "\n")
			}
		default:
			p.entries(part.entries())
		}
	}
	return p.String()
}

// A page is text on its way.
type page struct {
	strings.Builder
	width int
}

// entries writes what is explained at the left, and the explanations in a column of their own: beside most of them, or else below each.
func (p *page) entries(all [][2]string) {
	column, narrow := 0, 0
	for _, e := range all {
		if n := utf8.RuneCountInString(typed(e[0])); n <= aligned {
			column = max(column, n)
			narrow++
		}
	}
	indent := "      "
	if 2*narrow > len(all) {
		indent = strings.Repeat(" ", 2+column+2)
	} else {
		column = 0
	}
	for _, e := range all {
		name := typed(e[0])
		switch n := utf8.RuneCountInString(name); {
		case name == "":
			p.fill(e[1], "  - ", "    ")
		case e[1] == "":
			p.WriteString("  " + name + "\n")
		case n > column:
			p.fill(name, "  ", "    ")
			p.fill(e[1], indent, indent)
		default:
			p.fill(e[1], "  "+name+strings.Repeat(" ", column-n+2), indent)
		}
	}
}

// typed returns what is explained. It needs no quotes: its place says what it is.
func typed(name string) string { return strings.ReplaceAll(name, "`", "") }

// fill writes text in lines that fit; the first begins with begin, the others with rest.
func (p *page) fill(text, begin, rest string) {
	line, empty := begin, true
	for _, w := range words(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(w) > p.width {
			p.WriteString(line + "\n")
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+w, false
	}
	p.WriteString(strings.TrimRight(line, " ") + "\n")
}

// words splits text where lines may be broken.
func words(text string) []string {
	var b strings.Builder
	for _, s := range spans(text) {
		if s.kind == literal {
			s.text = "`" + s.text + "`"
		}
		b.WriteString(s.text)
	}
	return strings.Fields(b.String())
}
