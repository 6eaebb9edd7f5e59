package report

import (
	"encoding/csv"
	"io"
	"slices"
	"strings"
)

// CSV writes results.csv as RFC 4180 describes it. A spreadsheet takes none of its cells for a formula.
type CSV struct {
	w     *csv.Writer
	head  *Head
	cells []string
}

// NewCSV returns a format that writes to w.
func NewCSV(w io.Writer) *CSV {
	c := &CSV{w: csv.NewWriter(w)}
	c.w.UseCRLF = true
	return c
}

// Begin implements Format.
func (c *CSV) Begin(h *Head) error {
	c.head = h
	names := slices.Concat([]string{"key", "class"}, h.Axes, h.Columns)
	if h.Grouped {
		names = append(names, "group")
	}
	for i, n := range names {
		names[i] = cell(n)
	}
	return c.w.Write(names)
}

// Row implements Format.
func (c *CSV) Row(r *Row) error {
	c.cells = append(c.cells[:0], cell(r.Key), string(r.Class))
	for _, a := range r.Axes {
		c.cells = append(c.cells, cell(a))
	}
	for _, v := range r.Columns {
		switch v.(type) {
		case int64, float64:
			c.cells = append(c.cells, Display(v)) // -1 is a number, whatever else begins with a minus
		default:
			c.cells = append(c.cells, cell(Display(v)))
		}
	}
	if c.head.Grouped {
		c.cells = append(c.cells, cell(r.Group))
	}
	return c.w.Write(c.cells)
}

// cell returns text as a cell that nothing takes for a formula.
func cell(text string) string {
	text = Name(text)
	if text != "" && strings.IndexByte("=+-@\t\r", text[0]) >= 0 {
		return "'" + text
	}
	return text
}

// End implements Format.
func (c *CSV) End() error {
	c.w.Flush()
	return c.w.Error()
}

var _ = []Format{(*CSV)(nil), (*JSON)(nil), (*Markdown)(nil), (*HTML)(nil), (*NDJSON)(nil), (*Retry)(nil), (*JUnit)(nil)}
