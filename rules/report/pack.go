package report

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"cbuild/engine"
)

// A pack holds the rows of a page by column: what a browser can use as it is, without parsing. Its form is in docs/FORMATS.md.
//
// Sections are columns of numbers or of words, one for each row; a column of words in which few differ is one of codes and the words.

const packMagic = "cbp1"

// A packed is a pack that is being put together.
type packed struct {
	data     []byte // of the sections
	sections object // what the header says of them
}

// add appends a section's data and returns where it is, from the beginning of the sections on.
func (p *packed) add(data []byte) (at, length int) {
	for len(p.data)%8 != 0 {
		p.data = append(p.data, 0)
	}
	at = len(p.data)
	p.data = append(p.data, data...)
	return at, len(data)
}

// place writes where data stands, as [offset, length].
func (p *packed) place(o *object, name string, data []byte) {
	at, length := p.add(data)
	o.member(name)
	o.buf = append(o.buf, '[')
	o.buf = appendJSON(o.buf, int64(at))
	o.buf = appendJSON(append(o.buf, ','), int64(length))
	o.buf = append(o.buf, ']')
}

// section adds a column that is data in the given form.
func (p *packed) section(name, form string, data []byte) {
	p.sections.member(name)
	o := object{buf: p.sections.buf}
	o.string("form", form)
	p.place(&o, "at", data)
	p.sections.buf = o.end()
}

// numbers adds a column of numbers in the smallest form that holds all.
func (p *packed) numbers(name string, values []uint32) {
	form, data := small(values)
	p.section(name, form, data)
}

// some is like numbers, but leaves out a column of zeros.
func (p *packed) some(name string, values []uint32) {
	if slices.ContainsFunc(values, func(v uint32) bool { return v != 0 }) {
		p.numbers(name, values)
	}
}

func (p *packed) floats(name string, values []float64) {
	data := make([]byte, 0, 8*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	p.section(name, "f64", data)
}

// words adds a column of words: as text if most of them differ, else as codes.
func (p *packed) words(name string, w *words) {
	if 2*len(w.list) > len(w.codes) {
		var b strings.Builder
		for i, c := range w.codes {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(w.list[c])
		}
		p.section(name, "text", []byte(b.String()))
		return
	}
	form, codes := small(w.codes)
	p.sections.member(name)
	o := object{buf: p.sections.buf}
	o.string("form", "dict")
	o.string("codes", form)
	p.place(&o, "at", codes)
	p.place(&o, "words", []byte(strings.Join(w.list, "\n")))
	p.sections.buf = o.end()
}

// end returns the pack; header is the object whose last member names the sections.
func (p *packed) end(header object) []byte {
	header.member("sections")
	header.buf = append(header.buf, p.sections.end()...)
	head := header.end()
	// Spaces fill the header up to a multiple of eight; the offsets in it count from its end.
	for (8+len(head))%8 != 0 {
		head = append(head, ' ')
	}
	out := append([]byte(packMagic), binary.LittleEndian.AppendUint32(nil, uint32(len(head)))...)
	return append(append(out, head...), p.data...)
}

// small returns values in the smallest form that holds all.
func small(values []uint32) (form string, data []byte) {
	most := uint32(0)
	for _, v := range values {
		most = max(most, v)
	}
	switch {
	case most <= math.MaxUint8:
		data = make([]byte, len(values))
		for i, v := range values {
			data[i] = byte(v)
		}
		return "u8", data
	case most <= math.MaxUint16:
		data = make([]byte, 0, 2*len(values))
		for _, v := range values {
			data = binary.LittleEndian.AppendUint16(data, uint16(v))
		}
		return "u16", data
	}
	data = make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, v)
	}
	return "u32", data
}

// words are a column of words: none holds a line feed.
type words struct {
	list  []string
	codes []uint32
	known map[string]uint32
}

func (w *words) add(word string) { w.codes = append(w.codes, w.code(word)) }

func (w *words) code(word string) uint32 {
	if w.known == nil {
		w.known = make(map[string]uint32)
	}
	c, ok := w.known[word]
	if !ok {
		c = uint32(len(w.list))
		w.list = append(w.list, word)
		w.known[word] = c
	}
	return c
}

// empty reports whether no row has a word.
func (w *words) empty() bool { return len(w.list) == 0 || len(w.list) == 1 && w.list[0] == "" }

// maxWhole is the greatest number up to which all whole ones are a float.
const maxWhole = 1 << 53

// cells are a column of the user's: numbers as long as there is nothing else that a float can't say, then words.
type cells struct {
	numbers []float64
	some    bool // there was a number
	mixed   bool
	kind    string
	words   words
	link    func(engine.Artifact) string
}

func (c *cells) add(v engine.Value) {
	if !c.mixed {
		switch v := v.(type) {
		case nil:
			c.numbers = append(c.numbers, math.NaN())
			return
		case int64:
			if -maxWhole <= v && v <= maxWhole {
				c.numbers, c.some = append(c.numbers, float64(v)), true
				return
			}
		case float64:
			c.numbers, c.some = append(c.numbers, v), true
			return
		}
		c.mix()
	}
	if a, ok := v.(engine.Artifact); ok {
		c.kind = "artifact" // name, digest and where it lies
		parts := []string{Name(a.Name), a.Digest.String()}
		if c.link != nil {
			parts = append(parts, c.link(a))
		}
		c.words.add(strings.Join(parts, "\t"))
		return
	}
	c.words.add(Name(Display(v)))
}

// mix makes the numbers words.
func (c *cells) mix() {
	c.mixed = true
	for _, n := range c.numbers {
		switch {
		case math.IsNaN(n):
			c.words.add("")
		case n == math.Trunc(n) && math.Abs(n) <= maxWhole: // as it was written
			c.words.add(Display(int64(n)))
		default:
			c.words.add(Display(n))
		}
	}
	c.numbers = nil
}

// pack adds the column, and returns its kind.
func (c *cells) pack(p *packed, name string) string {
	if c.some && !c.mixed {
		p.floats(name, c.numbers)
		return "number"
	}
	if !c.mixed {
		c.mix()
	}
	p.words(name, &c.words)
	return cmp.Or(c.kind, "text")
}
