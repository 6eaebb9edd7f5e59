package report

import (
	"io"
	"maps"
	"slices"
)

// JSON writes results.json, a row on each line.
type JSON struct {
	w    io.Writer
	head *Head
	buf  []byte
	rows int
}

// NewJSON returns a format that writes to w.
func NewJSON(w io.Writer) *JSON { return &JSON{w: w} }

// Begin implements Format.
func (j *JSON) Begin(h *Head) error {
	j.head = h
	o := object{buf: j.buf[:0]}
	o.int("version", 1)
	o.string("title", h.Title)
	o.strings("compare", h.Compare)
	o.member("incomplete")
	o.buf = appendBool(o.buf, len(h.Incomplete) > 0)
	if len(h.Incomplete) > 0 {
		o.member("missing")
		m := object{buf: o.buf}
		for _, word := range slices.Sorted(maps.Keys(h.Incomplete)) {
			m.int(word, h.Incomplete[word])
		}
		o.buf = m.end()
	}
	o.int("count", h.Count)
	o.member("summary")
	o.buf = h.appendSummary(o.buf)
	o.strings("axes", h.Axes)
	o.strings("columns", h.Columns)
	o.member("rows")
	_, err := j.w.Write(append(o.buf, '['))
	return err
}

func appendBool(buf []byte, v bool) []byte {
	if v {
		return append(buf, "true"...)
	}
	return append(buf, "false"...)
}

// SummaryJSON returns the numbers of rows by class, in the order of the classes. A comparison always has regressed and inconclusive.
func (h *Head) SummaryJSON() string { return string(h.appendSummary(nil)) }

func (h *Head) appendSummary(buf []byte) []byte {
	o := object{buf: buf}
	for _, c := range h.headline() {
		o.int(string(c), h.Summary[c])
	}
	return o.end()
}

// headline lists the classes that are shown with their counts.
func (h *Head) headline() []Class {
	var list []Class
	compared := len(h.Compare) > 0
	for _, c := range Classes(compared) {
		if h.Summary[c] > 0 || compared && (c == Regressed || c == Inconclusive) {
			list = append(list, c)
		}
	}
	return list
}

// Row implements Format.
func (j *JSON) Row(r *Row) error {
	buf := append(j.buf[:0], ',', '\n')
	if j.rows == 0 {
		buf = buf[1:]
	}
	j.rows++
	j.buf = j.row(buf, r)
	_, err := j.w.Write(j.buf)
	return err
}

// row appends r to buf.
func (j *JSON) row(buf []byte, r *Row) []byte {
	o := object{buf: buf}
	o.string("key", r.Key)
	o.string("class", string(r.Class))
	if len(j.head.Axes) > 0 {
		o.member("axes")
		m := object{buf: o.buf}
		for i, a := range r.Axes {
			m.string(j.head.Axes[i], a)
		}
		o.buf = m.end()
	}
	o.member("sides")
	o.buf = j.sides(o.buf, r)
	o.member("columns")
	m := object{buf: o.buf}
	for i, v := range r.Columns {
		m.member(j.head.Columns[i])
		m.buf = appendJSON(m.buf, v)
	}
	o.buf = m.end()
	if j.head.Grouped {
		o.string("group", r.Group)
	}
	return o.end()
}

// sides writes the sides by their names; that of a report without a comparison is "self".
func (j *JSON) sides(buf []byte, r *Row) []byte {
	o := object{buf: buf}
	for i, s := range r.Sides {
		name := "self"
		if i < len(j.head.Compare) {
			name = j.head.Compare[i]
		}
		o.member(name)
		if s.Outcome == "" {
			o.buf = append(o.buf, "null"...)
			continue
		}
		m := object{buf: o.buf}
		m.string("outcome", string(s.Outcome))
		if s.Ran {
			m.int("exit_code", s.ExitCode)
		}
		if s.Class != "" && len(j.head.Compare) > 2 {
			m.string("class", string(s.Class))
		}
		if s.Cause != "" {
			m.string("cause", s.Cause)
		}
		if !s.Evidence.IsZero() {
			m.string("evidence", s.Evidence.String())
		}
		o.buf = m.end()
	}
	return o.end()
}

// End implements Format.
func (j *JSON) End() error {
	_, err := io.WriteString(j.w, "\n]}\n")
	return err
}
