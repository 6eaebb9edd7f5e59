package report

import (
	"errors"
	htmltemplate "html/template"
	"io"
	"iter"
	"strings"
	"text/template"
)

// A Template is a file of a report that its user wrote, in the language of Go's templates. If its name ends in .html, everything that is put into it is
// escaped for the place where it stands.
type Template struct {
	execute func(w io.Writer, data any, functions template.FuncMap) error
}

// ParseTemplate reads the text of a template for the file name.
func ParseTemplate(name, text string) (*Template, error) {
	functions := template.FuncMap{
		"markdown": EscapeMarkdown,
		goOn:       func() (string, error) { return "", nil },
	}
	if strings.HasSuffix(name, ".html") { // json is not there: in a script html/template does that itself
		t, err := htmltemplate.New(name).Option("missingkey=error").Funcs(functions).Parse(text)
		if err != nil {
			return nil, err
		}
		for _, part := range t.Templates() {
			askBefore(part.Tree)
		}
		return &Template{executing(t)}, nil
	}
	functions["json"] = func(v any) string { return string(appendJSON(nil, v)) }
	t, err := template.New(name).Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return nil, err
	}
	for _, part := range t.Templates() {
		askBefore(part.Tree)
	}
	return &Template{executing(t)}, nil
}

// parsed is a template of either package.
type parsed[T any] interface {
	Clone() (T, error)
	Funcs(functions template.FuncMap) T
	Execute(w io.Writer, data any) error
}

// executing returns what executes a copy of t, with functions of its own.
func executing[T parsed[T]](t T) func(w io.Writer, data any, functions template.FuncMap) error {
	return func(w io.Writer, data any, functions template.FuncMap) error {
		own, err := t.Clone()
		if err != nil {
			return err
		}
		return own.Funcs(functions).Execute(w, data)
	}
}

// To returns the format that writes what the template makes of a report. A template may go on for as long as it likes; it ends at the latest when ended
// returns an error, which is asked for at each turn of a loop.
func (t *Template) To(w io.Writer, ended func() error) Format {
	return &templated{template: t, w: w, ended: ended}
}

// A TemplateReport is what a template is about.
type TemplateReport struct {
	Title                  string
	Compare, Axes, Columns []string
	Count                  int
	// Classes are those that a headline shows, in its order, with how many rows have them; Summary has all.
	Classes []TemplateClass
	Summary map[string]int
	// Incomplete says what is missing; "" for a complete report.
	Incomplete string

	of *templated
}

// A TemplateClass is a class and how many rows have it.
type TemplateClass struct {
	Name  string
	Count int
}

// A TemplateRow is a row as templates see it. Columns holds texts, numbers and bools, and the display of everything else; an
// empty text where there is nothing.
type TemplateRow struct {
	Key, Class, Group string
	Axes              []string
	Columns           map[string]any
	Sides             []TemplateSide
}

// A TemplateSide is one side of a row; Key is what is compared, Class that against the base.
type TemplateSide struct {
	Key, Outcome, Class, Cause string
	ExitCode                   int
}

// Rows are the rows in the order of the report. They pass by once.
func (r *TemplateReport) Rows() (iter.Seq[*TemplateRow], error) {
	if r.of.asked {
		return nil, errors.New("the rows pass by once: put everything about them into one range")
	}
	r.of.asked = true
	return r.of.rows, nil
}

// templated runs a template beside the rows: the template goes on until it wants a row, and then waits for it.
type templated struct {
	template *Template
	w        io.Writer
	ended    func() error
	head     *Head

	asked   bool // for the rows
	row     *Row // the one that it waited for; nil at the end
	wait    func() bool
	next    func() (struct{}, bool)
	abandon func()
	err     error
}

// Begin implements Format.
func (t *templated) Begin(h *Head) error {
	t.head = h
	data := &TemplateReport{
		Title: h.Title, Compare: h.Compare, Axes: h.Axes, Columns: h.Columns, Count: h.Count, Summary: make(map[string]int), Incomplete: h.incomplete(), of: t,
	}
	for _, c := range Classes(len(h.Compare) > 0) {
		data.Summary[string(c)] = h.Summary[c]
	}
	for _, c := range h.headline() {
		data.Classes = append(data.Classes, TemplateClass{string(c), h.Summary[c]})
	}
	t.next, t.abandon = iter.Pull(func(yield func(struct{}) bool) {
		t.wait = func() bool { return yield(struct{}{}) }
		t.err = t.template.execute(t.w, data, template.FuncMap{goOn: func() (string, error) { return "", t.ended() }})
	})
	return t.step()
}

// step lets the template run until it wants a row, or ends.
func (t *templated) step() error {
	t.next()
	if err := t.ended(); t.err != nil && err != nil {
		return err
	}
	if errors.As(t.err, &template.ExecError{}) || errors.As(t.err, new(*htmltemplate.Error)) {
		return &TemplateError{t.err}
	}
	return t.err
}

// A TemplateError is a mistake in a template that shows only when it meets rows.
type TemplateError struct{ Err error }

func (e *TemplateError) Error() string { return strings.TrimPrefix(e.Err.Error(), "template: ") }
func (e *TemplateError) Unwrap() error { return e.Err }

// rows yields what Row is given.
func (t *templated) rows(yield func(*TemplateRow) bool) {
	for t.wait() && t.row != nil {
		if !yield(t.head.forTemplate(t.row)) {
			return
		}
	}
}

// Row implements Format.
func (t *templated) Row(r *Row) error {
	t.row = r
	return t.step()
}

// End implements Format.
func (t *templated) End() error {
	t.row = nil
	defer t.abandon()
	return t.step()
}

// Abandon ends the template before its end.
func (t *templated) Abandon() {
	if t.abandon != nil {
		t.row = nil
		t.abandon()
	}
}

func (h *Head) forTemplate(r *Row) *TemplateRow {
	out := &TemplateRow{Key: r.Key, Class: string(r.Class), Group: r.Group, Axes: r.Axes, Columns: make(map[string]any)}
	for i, name := range h.Columns {
		switch v := r.Columns[i].(type) {
		case string, bool, int64, float64:
			out.Columns[name] = v
		default:
			out.Columns[name] = Display(v)
		}
	}
	for i, s := range r.Sides {
		side := TemplateSide{Outcome: string(s.Outcome), Class: string(s.Class), Cause: s.Cause, ExitCode: s.ExitCode}
		if i < len(h.Compare) {
			side.Key = h.Compare[i]
		}
		out.Sides = append(out.Sides, side)
	}
	return out
}
