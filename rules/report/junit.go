package report

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// JUnit writes junit.xml for what shows results of tests: a case for each row. What regressed, or failed where nothing is compared, is a failure;
// what says nothing is an error. Like the html it tells times.
type JUnit struct {
	w    *bufio.Writer
	head *Head
}

// NewJUnit returns a format that writes to w.
func NewJUnit(w io.Writer) *JUnit { return &JUnit{w: bufio.NewWriter(w)} }

// verdict is what a class is to JUnit: "failure", "error", "skipped", or "" for what is in order.
func (c Class) verdict() string {
	switch c {
	case Regressed, "fail", "crash", "timeout", "oom":
		return "failure"
	case Inconclusive, "error", "invalid", "cancelled":
		return "error"
	case Skipped, "unavailable":
		return "skipped"
	}
	return ""
}

// Begin implements Format.
func (j *JUnit) Begin(h *Head) error {
	j.head = h
	counts := make(map[string]int)
	for c, n := range h.Summary {
		counts[c.verdict()] += n
	}
	_, err := fmt.Fprintf(j.w, "%s<testsuites>\n<testsuite name=%s tests=\"%d\" failures=\"%d\" errors=\"%d\" skipped=\"%d\">\n",
		xml.Header, quoted(h.Title), h.Count, counts["failure"], counts["error"], counts["skipped"])
	return err
}

// quoted returns text as the value of an attribute.
func quoted(text string) string {
	var b bytes.Buffer
	b.WriteByte('"')
	_ = xml.EscapeText(&b, []byte(Name(text))) // a buffer takes everything
	b.WriteByte('"')
	return b.String()
}

// Row implements Format.
func (j *JUnit) Row(r *Row) error {
	var took time.Duration
	target := ""
	for _, s := range r.Sides {
		took += s.Extra.Took
		if target == "" {
			target, _, _ = strings.Cut(s.Extra.Label, "[")
		}
	}
	name := strings.Join(append([]string{r.Key}, r.Axes...), " ")
	fmt.Fprintf(j.w, "<testcase name=%s classname=%s time=\"%.3f\">", quoted(name), quoted(target), took.Seconds())
	if verdict := r.Class.verdict(); verdict != "" {
		said := j.sides(r)
		fmt.Fprintf(j.w, "<%s type=%s message=%s>", verdict, quoted(string(r.Class)), quoted(said))
		_ = xml.EscapeText(j.w, []byte(excerpts(r))) // the writer keeps its error for End
		fmt.Fprintf(j.w, "</%s>", verdict)
	}
	_, err := j.w.WriteString("</testcase>\n")
	return err
}

// sides says how the sides of a row ended.
func (j *JUnit) sides(r *Row) string {
	var parts []string
	for i, s := range r.Sides {
		text := string(s.Outcome)
		if text == "" {
			text = "absent"
		}
		if s.Ran && s.ExitCode != 0 {
			text += fmt.Sprintf(" (exit %d)", s.ExitCode)
		}
		if why := s.why(); why != "" {
			text += ": " + why
		}
		if i < len(j.head.Compare) {
			text = j.head.Compare[i] + ": " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// excerpts are the texts of the sides of a row, one after the other.
func excerpts(r *Row) string {
	var b strings.Builder
	for _, s := range r.Sides {
		for _, t := range s.Extra.Texts {
			fmt.Fprintf(&b, "%s, %s\n%s%s\n", s.Extra.Label, Name(t.Name), t.Text, t.Note)
		}
	}
	return b.String()
}

// End implements Format.
func (j *JUnit) End() error {
	_, _ = j.w.WriteString("</testsuite>\n</testsuites>\n") // Flush returns its error
	return j.w.Flush()
}
