package manual

import (
	"fmt"
	"strings"
)

// A Head is what a man page says of itself.
type Head struct {
	Name    string // as in cbuild-list
	Section int
	Date    string // of the version, as in 2026-11-26
	Version string // as in cbuild 1.0
	Manual  string // the title of what it is a part of
	About   string // a line: what the thing does
}

// Page returns a man page, in the macros of man(7) and in ASCII. Headings of markdown begin its sections.
func Page(h Head, markdown string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s %d %s \"%s\" \"%s\"\n", roff(strings.ToUpper(h.Name)), h.Section, h.Date, roff(h.Version), roff(h.Manual))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(h.Name), roff(h.About))
	begun := true // a section, in which a paragraph needs no room before it
	for _, part := range parse(markdown) {
		switch part.kind {
		case heading:
			fmt.Fprintf(&b, ".SH %s\n", roff(strings.ToUpper(part.text)))
		case paragraph:
			if !begun {
				b.WriteString(".PP\n")
			}
			b.WriteString(typeset(part.text) + "\n")
		case code:
			if !begun {
				b.WriteString(".PP\n")
			}
			b.WriteString(".RS 4\n.nf\n")
			for _, line := range part.rows {
				b.WriteString(guarded(roff(line[0])) + "\n")
			}
			b.WriteString(".fi\n.RE\n")
		default:
			for _, e := range part.entries() {
				if e[0] == "" {
					fmt.Fprintf(&b, ".IP \\(bu 2\n%s\n", typeset(e[1]))
					continue
				}
				fmt.Fprintf(&b, ".TP\n%s\n", typeset(e[0]))
				if e[1] != "" {
					b.WriteString(typeset(e[1]) + "\n")
				}
			}
		}
		begun = part.kind == heading
	}
	return b.String()
}

// typeset writes a text on one line.
func typeset(text string) string {
	var b strings.Builder
	for _, p := range spans(text) {
		switch t := roff(p.text); p.kind {
		case literal:
			b.WriteString(`\fB` + t + `\fR`)
		case emphasis:
			b.WriteString(`\fI` + t + `\fR`)
		default:
			b.WriteString(t)
		}
	}
	return guarded(b.String())
}

// guarded keeps a line from being a request.
func guarded(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

// roff escapes text. What is no ASCII is named by its number.
func roff(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '"':
			b.WriteString(`\(dq`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '`':
			b.WriteString("\\(ga")
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r == '\t':
			b.WriteString("    ")
		case r > '~':
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
