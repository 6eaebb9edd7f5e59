package report

import (
	"bufio"
	"io"

	"cbuild/engine"
)

// Retry writes retry-list.txt: the labels of the instances that may come out better when they are done once more, one on each line, as the
// command line takes them from a file. In a comparison these are the sides of regressed and inconclusive rows that did not pass, else everything
// that did not.
type Retry struct {
	w        *bufio.Writer
	compared bool
}

// NewRetry returns a format that writes to w.
func NewRetry(w io.Writer) *Retry { return &Retry{w: bufio.NewWriter(w)} }

// Begin implements Format.
func (r *Retry) Begin(h *Head) error {
	r.compared = len(h.Compare) > 0
	return nil
}

// Row implements Format.
func (r *Retry) Row(row *Row) error {
	if r.compared && row.Class != Regressed && row.Class != Inconclusive {
		return nil
	}
	for _, s := range row.Sides {
		if s.Outcome == "" || s.Outcome == engine.ClassPass || s.Outcome == engine.ClassSkipped || s.Extra.Label == "" {
			continue
		}
		if _, err := r.w.WriteString(s.Extra.Label + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// End implements Format.
func (r *Retry) End() error { return r.w.Flush() }
