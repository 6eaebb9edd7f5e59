package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Markdown writes summary.md: the headline, and tables of the rows that need a look.
type Markdown struct {
	w      io.Writer
	head   *Head
	tables map[Class]*strings.Builder
	shown  map[Class]int
}

// perClass is how many rows of a class are listed.
const perClass = 500

// NewMarkdown returns a format that writes to w.
func NewMarkdown(w io.Writer) *Markdown {
	return &Markdown{w: w, tables: make(map[Class]*strings.Builder), shown: make(map[Class]int)}
}

// Begin implements Format.
func (m *Markdown) Begin(h *Head) error {
	m.head = h
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", EscapeMarkdown(h.Title))
	parts := []string{plural(h.Count, "row")}
	for _, c := range h.headline() {
		parts = append(parts, fmt.Sprintf("**%s** %s", thousands(h.Summary[c]), c))
	}
	b.WriteString(strings.Join(parts, " · ") + "\n")
	if text := h.incomplete(); text != "" {
		fmt.Fprintf(&b, "\n**Incomplete:** %s.\n", text)
	}
	_, err := io.WriteString(m.w, b.String())
	return err
}

// incomplete says what is missing; nothing for a complete report.
func (h *Head) incomplete() string {
	var parts []string
	for _, word := range slices.Sorted(maps.Keys(h.Incomplete)) {
		n := h.Incomplete[word]
		switch word {
		case EndedEarly:
			parts = append(parts, "the rows ended early")
		case BadColumns:
			parts = append(parts, plural(n, "column value")+" could not be evaluated")
		case LostEvidence:
			parts = append(parts, "the evidence of "+plural(n, "row")+" is lost")
		default:
			parts = append(parts, plural(n, "instance")+" ended in "+strings.Replace(word, "cancelled", "cancellation", 1))
		}
	}
	return strings.Join(parts, ", ")
}

// Row implements Format.
func (m *Markdown) Row(r *Row) error {
	if r.Class.Quiet() {
		return nil
	}
	b := m.tables[r.Class]
	if b == nil {
		b = new(strings.Builder)
		m.tables[r.Class] = b
	}
	if m.shown[r.Class]++; m.shown[r.Class] > perClass {
		return nil
	}
	b.WriteString("| " + EscapeMarkdown(r.Key))
	for _, a := range r.Axes {
		b.WriteString(" | " + EscapeMarkdown(a))
	}
	for _, v := range r.Columns {
		b.WriteString(" | " + EscapeMarkdown(Display(v)))
	}
	if m.head.Grouped {
		b.WriteString(" | " + EscapeMarkdown(r.Group))
	}
	b.WriteString(" |\n")
	return nil
}

// End implements Format.
func (m *Markdown) End() error {
	names := slices.Concat([]string{"key"}, m.head.Axes, m.head.Columns)
	if m.head.Grouped {
		names = append(names, "group")
	}
	for i, n := range names {
		names[i] = EscapeMarkdown(n)
	}
	header := "| " + strings.Join(names, " | ") + " |\n" + strings.Repeat("|---", len(names)) + "|\n"
	for _, c := range Classes(len(m.head.Compare) > 0) {
		b := m.tables[c]
		if b == nil {
			continue
		}
		text := fmt.Sprintf("\n## %s (%s)\n\n%s%s", title(string(c)), thousands(m.shown[c]), header, b)
		if left := m.shown[c] - perClass; left > 0 {
			text += fmt.Sprintf("\n%s more %s left out; they are in results.json.\n", thousands(left), plainWord(left, "row is", "rows are"))
		}
		if _, err := io.WriteString(m.w, text); err != nil {
			return err
		}
	}
	return nil
}

// EscapeMarkdown returns text that Markdown shows as it is, on one line of a table.
func EscapeMarkdown(text string) string {
	text = Name(text)
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_[]|~>$", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func plainWord(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func plural(n int, word string) string { return thousands(n) + " " + plainWord(n, word, word+"s") }

// thousands writes n with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
