package report

import (
	"bytes"

	"github.com/klauspost/compress/gzip"
)

// details are what a page shows of the rows that need a look: JSON, compressed in chunks, of which a browser opens those that it needs.
type details struct {
	use    func(chunk []byte) error // takes each chunk; it does not keep it
	buf    []byte
	n      int   // rows so far
	chunks []int // rows before each chunk
}

// chunkBytes is from how many bytes on a chunk is closed.
const chunkBytes = 256 << 10

// add adds what r has to say, and returns its number, from 1 on; 0 if there is nothing.
func (d *details) add(r *Row) (uint32, error) {
	if !r.detailed() {
		return 0, nil
	}
	switch {
	case len(d.buf) == 0:
		d.chunks = append(d.chunks, d.n)
		d.buf = append(d.buf, '[')
	default:
		d.buf = append(d.buf, ',')
	}
	d.n++
	d.buf = r.appendDetail(d.buf)
	if len(d.buf) < chunkBytes {
		return uint32(d.n), nil
	}
	return uint32(d.n), d.flush()
}

func (d *details) flush() error {
	if len(d.buf) == 0 {
		return nil
	}
	data := squeeze(append(d.buf, ']'))
	d.buf = d.buf[:0]
	return d.use(data)
}

// squeeze returns data compressed as browsers read it. The level is a middle one: higher ones take ten times as long for some percent.
func squeeze(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, 6)
	_, _ = w.Write(data) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// detailed reports whether there is more to say of r than its line does.
func (r *Row) detailed() bool {
	if r.Detail != nil || len(r.Problems) > 0 {
		return true
	}
	for i := range r.Sides {
		if e := &r.Sides[i].Extra; len(e.Texts) > 0 || len(e.Inputs) > 0 || bytes.IndexByte([]byte(r.Sides[i].why()), '\n') >= 0 {
			return true
		}
	}
	return false
}

func (r *Row) appendDetail(buf []byte) []byte {
	o := object{buf: buf}
	d := r.Detail
	if d == nil {
		d = &Detail{}
	}
	o.int("side", r.Deciding())
	o.string("error", Clean(d.Error))
	o.excerpts("diffs", d.Diffs)
	o.list("sides", len(r.Sides), func(i int, m *object) {
		s := &r.Sides[i]
		m.string("key", s.Extra.Key.String())
		m.string("why", Clean(s.why()))
		m.excerpts("texts", s.Extra.Texts)
		m.strings("inputs", names(s.Extra.Inputs))
	})
	o.strings("problems", names(r.Problems))
	return o.end()
}

// excerpts adds excerpts as lists of name, text and note.
func (o *object) excerpts(name string, list []Excerpt) {
	o.member(name)
	o.buf = append(o.buf, '[')
	for i, t := range list {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		o.buf = appendStrings(o.buf, []string{Name(t.Name), t.Text, t.Note})
	}
	o.buf = append(o.buf, ']')
}
