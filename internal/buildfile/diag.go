package buildfile

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// maxShown is how many diagnostics Write prints.
const maxShown = 20

// A source is the text of one file, kept for snippets.
type source struct {
	// name is relative to the workspace root.
	name   string
	data   []byte
	blocks []span
	// files are the sources of the workspace by their names, and call is where the rule is called, if this is about the block of a rule.
	files map[string]*source
	call  *callSite
}

// of returns the source that rng is in: what stands in one file may lead into another.
func (s *source) of(rng hcl.Range) *source {
	if s != nil && rng.Filename != s.name && s.files[rng.Filename] != nil {
		return s.files[rng.Filename]
	}
	return s
}

// A span is where a block stands, and its title, as in `run "check"`.
type span struct {
	start, end int
	title      string
}

// line returns the text of line n, counted from 1.
func (s *source) line(n int) string {
	rest := s.data
	for ; n > 1; n-- {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return ""
		}
		rest = rest[i+1:]
	}
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	return strings.TrimRight(strings.ToValidUTF8(string(rest), "\uFFFD"), "\r")
}

// title returns the title of the block around a byte offset, or "".
func (s *source) title(offset int) string {
	for _, b := range s.blocks {
		if b.start <= offset && offset < b.end {
			return b.title
		}
	}
	return ""
}

// A Diagnostic is one mistake: what is wrong, where, why, and one thing to do.
type Diagnostic struct {
	// Warning is set for what does not keep the files from being used.
	Warning bool
	// Summary says what is wrong, Detail why, and what to do.
	Summary, Detail string

	src *source
	rng hcl.Range
	// syntax is set for what the parser found.
	syntax bool
}

// Where returns file:line, or "" for a diagnostic without a place.
func (d *Diagnostic) Where() string {
	if d.src == nil {
		return ""
	}
	return where(d.rng)
}

// Place returns the file, relative to the workspace root, and the line and column, counted from 1; "" for a diagnostic without a place.
func (d *Diagnostic) Place() (file string, line, column int) {
	if d.src == nil {
		return "", 0, 0
	}
	return d.src.name, d.rng.Start.Line, d.rng.Start.Column
}

func where(r hcl.Range) string { return r.Filename + ":" + strconv.Itoa(r.Start.Line) }

// text writes d without its severity, clipped and wrapped to width columns if width is more than 0.
func (d *Diagnostic) text(width int) string {
	var b strings.Builder
	b.WriteString(visible(d.Summary))
	word, src, rng := "on", d.src, d.rng
	for src != nil {
		fmt.Fprintf(&b, "\n  %s %s line %d", word, visible(src.name), rng.Start.Line)
		if t := src.title(rng.Start.Byte); t != "" {
			b.WriteString(", in " + visible(t))
		}
		b.WriteString(":\n")
		prefix := fmt.Sprintf("  %d: ", rng.Start.Line)
		b.WriteString(prefix + clip(visible(src.line(rng.Start.Line)), rng.Start.Column, width-len(prefix), width > 0))
		if src.call == nil {
			break
		}
		word, src, rng = "called on", src.call.src, src.call.rng
	}
	if d.Detail != "" {
		b.WriteString("\n" + wrap(visible(d.Detail), width))
	}
	return b.String()
}

// visible replaces control characters, which a hostile file could use against the terminal.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r < 0x20, r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfdd0, r == 0xfdd1:
			return utf8.RuneError
		}
		return r
	}, s)
}

// clip shortens a line to width columns, if that is limited, so that what stands at column, counted from 1, is seen.
func clip(s string, column, width int, limited bool) string {
	const least = 20
	width = max(width, least)
	line := []rune(s)
	if !limited || len(line) <= width {
		return s
	}
	if column <= width*2/3 {
		return string(line[:width-1]) + "…"
	}
	begin, tail := column-1-width/3, len(line)-width+1
	if begin < tail {
		return "…" + string(line[begin:begin+width-2]) + "…"
	}
	return "…" + string(line[tail:])
}

// wrap breaks the lines of s at blanks; indented lines stay whole.
func wrap(s string, width int) string {
	if width <= 0 {
		return s
	}
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		if strings.HasPrefix(line, " ") {
			out = append(out, line)
			continue
		}
		cur := ""
		for word := range strings.SplitSeq(line, " ") {
			switch {
			case cur == "":
				cur = word
			case utf8.RuneCountInString(cur)+1+utf8.RuneCountInString(word) > width:
				out, cur = append(out, cur), word
			default:
				cur += " " + word
			}
		}
		out = append(out, cur)
	}
	return strings.Join(out, "\n")
}

// Diagnostics are all the mistakes that were found. The zero value holds none.
type Diagnostics struct {
	// Codes makes Write show the code of each diagnostic.
	Codes bool

	list []*Diagnostic
}

// HasErrors reports whether any of ds is more than a warning. It may be called on nil.
func (ds *Diagnostics) HasErrors() bool {
	return ds != nil && slices.ContainsFunc(ds.list, func(d *Diagnostic) bool { return !d.Warning })
}

// All returns the diagnostics by file and place, each once.
func (ds *Diagnostics) All() []*Diagnostic {
	if ds == nil {
		return nil
	}
	list := slices.Clone(ds.list)
	slices.SortStableFunc(list, func(a, b *Diagnostic) int {
		return cmp.Or(cmp.Compare(a.rng.Filename, b.rng.Filename), cmp.Compare(a.rng.Start.Byte, b.rng.Start.Byte))
	})
	seen := make(map[string]bool)
	return slices.DeleteFunc(list, func(d *Diagnostic) bool {
		key := d.Where() + "\n" + d.Summary + "\n" + d.Detail // the same mistake in several calls of a rule is one
		had := seen[key]
		seen[key] = true
		return had
	})
}

// Write prints the diagnostics, at most 20, with a blank line between them. Lines are fitted to width columns if it is more than 0.
func (ds *Diagnostics) Write(w io.Writer, color bool, width int) {
	all := ds.All()
	for i, d := range all[:min(len(all), maxShown)] {
		if i > 0 {
			fmt.Fprintln(w)
		}
		code := ""
		if ds.Codes {
			code = "[" + d.Code() + "]"
		}
		fmt.Fprintf(w, "%s%s\n", severity(d.Warning, code, color), d.text(width))
	}
	if more := len(all) - maxShown; more > 0 {
		fmt.Fprintf(w, "\n%d more are not shown.\n", more)
	}
}

func severity(warning bool, code string, color bool) string {
	word, escape := "Error", "\x1b[1;31m"
	if warning {
		word, escape = "Warning", "\x1b[1;33m"
	}
	if !color {
		return word + code + ": "
	}
	return escape + word + code + ":\x1b[0m "
}

// Error makes Diagnostics usable where an error is wanted.
func (ds *Diagnostics) Error() string {
	var b strings.Builder
	ds.Write(&b, false, 0)
	return strings.TrimSuffix(b.String(), "\n")
}

func (ds *Diagnostics) add(src *source, rng hcl.Range, summary, detail string) {
	ds.list = append(ds.list, &Diagnostic{Summary: summary, Detail: detail, src: src.of(rng), rng: rng})
}

func (ds *Diagnostics) addf(src *source, rng hcl.Range, summary, format string, args ...any) {
	ds.add(src, rng, summary, fmt.Sprintf(format, args...))
}

// plain adds a diagnostic without a place.
func (ds *Diagnostics) plain(summary, detail string) {
	ds.list = append(ds.list, &Diagnostic{Summary: summary, Detail: detail})
}

// redefined is what HCL says of an attribute that is set twice: the one mistake of which it loses nothing else.
const redefined = "Attribute redefined"

var alreadySet = regexp.MustCompile(`(?s)^The argument ("[^"]*") was already set at (.*:[0-9]+),.*$`)

// hcl adds what the HCL parser reported.
func (ds *Diagnostics) hcl(src *source, diags hcl.Diagnostics) {
	for _, d := range diags {
		r := fromHCL(src, d)
		if r.syntax = d.Summary != redefined; !r.syntax {
			r.Detail = alreadySet.ReplaceAllString(r.Detail, `The attribute $1 was already set at $2.`)
		}
		ds.list = append(ds.list, r)
	}
}

func fromHCL(src *source, d *hcl.Diagnostic) *Diagnostic {
	r := &Diagnostic{Warning: d.Severity == hcl.DiagWarning, Summary: strings.TrimSuffix(d.Summary, "."), Detail: d.Detail}
	if d.Subject != nil {
		r.src, r.rng = src.of(*d.Subject), *d.Subject
	}
	return r
}
