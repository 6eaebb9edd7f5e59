package rules

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"iter"
	"math"
	"os"
	"slices"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/report"
)

// A scratch is a file without a name: it is gone when it is closed, or when this process is.
type scratch struct {
	f *os.File
	*bufio.Writer
}

func newScratch(dir string) (*scratch, error) {
	f, err := os.CreateTemp(dir, "report-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return &scratch{f: f, Writer: bufio.NewWriterSize(f, 64<<10)}, nil
}

// put stores what was written.
func (s *scratch) put(ctx context.Context, store cas.Store) (cas.Digest, error) {
	if err := s.Flush(); err != nil {
		return cas.Digest{}, err
	}
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return cas.Digest{}, err
	}
	return store.Put(ctx, s.f)
}

func (s *scratch) close() { s.f.Close() }

// reportRows are the rows of a report: encoded in a scratch file, with an index in memory. A row takes about 200 bytes there.
type reportRows struct {
	scratch *scratch
	end     int64
	index   []indexed
}

// indexed is where a row is, and what decides over its place.
type indexed struct {
	key, sort   string
	digest      [32]byte // of the core
	offset      int64
	core, extra uint32 // bytes
	class       report.Class
}

func newReportRows(dir string) (*reportRows, error) {
	s, err := newScratch(dir)
	if err != nil {
		return nil, err
	}
	return &reportRows{scratch: s}, nil
}

func (rr *reportRows) close() { rr.scratch.close() }

// view returns the rows so far, to be read while others are added.
func (rr *reportRows) view() (*reportRows, error) {
	if err := rr.write(); err != nil {
		return nil, err
	}
	return &reportRows{scratch: rr.scratch, index: slices.Clone(rr.index)}, nil
}

// write writes out what was added.
func (rr *reportRows) write() error {
	if rr.scratch.Buffered() == 0 {
		return nil
	}
	return rr.scratch.Flush()
}

// add writes r to scratch; sort goes before its class and key where the report has an order of its own.
func (rr *reportRows) add(r *report.Row, sort []byte) error {
	core, extra, err := r.Encode()
	if err != nil {
		return err
	}
	if _, err := rr.scratch.Write(core); err != nil {
		return err
	}
	if _, err := rr.scratch.Write(extra); err != nil {
		return err
	}
	rr.index = append(rr.index, indexed{
		key: r.Key, sort: string(sort), digest: cas.Of(core).Hash, offset: rr.end,
		core: uint32(len(core)), extra: uint32(len(extra)), class: r.Class,
	})
	rr.end += int64(len(core) + len(extra))
	return nil
}

// seal returns the digest of all rows in the order of their keys, and brings them into the order in which they are shown. If that is
// not the usual one, it returns the digest of the order as well.
func (rr *reportRows) seal(compared, sorted bool) (rows, order cas.Digest) {
	slices.SortFunc(rr.index, byKey)
	rows = rr.digest()
	rr.show(compared, sorted)
	if sorted {
		order = rr.digest()
	}
	return rows, order
}

// arrange brings the rows into the order in which they are shown.
func (rr *reportRows) arrange(compared, sorted bool) {
	slices.SortFunc(rr.index, byKey)
	rr.show(compared, sorted)
}

// show brings rows that are in the order of their keys into the one in which they are shown.
func (rr *reportRows) show(compared, sorted bool) {
	rank := make(map[report.Class]int)
	for i, c := range report.Classes(compared) {
		rank[c] = i
	}
	slices.SortStableFunc(rr.index, func(a, b indexed) int {
		if sorted {
			return cmp.Compare(a.sort, b.sort)
		}
		return cmp.Compare(rank[a.class], rank[b.class])
	})
}

func byKey(a, b indexed) int {
	return cmp.Or(cmp.Compare(a.key, b.key), bytes.Compare(a.digest[:], b.digest[:]))
}

// digest is over the digests of the rows, which are over their cores.
func (rr *reportRows) digest() cas.Digest {
	h := cas.BLAKE3.New()
	n, _ := h.Write([]byte("cbuild rows 1\n"))
	for i := range rr.index {
		m, _ := h.Write(rr.index[i].digest[:])
		n += m
	}
	return cas.Sum(cas.BLAKE3, h, int64(n))
}

// all yields the rows in the order in which they are shown. They are all written.
func (rr *reportRows) all() iter.Seq2[*report.Row, error] {
	return func(yield func(*report.Row, error) bool) {
		var buf []byte
		for _, e := range rr.index {
			n := int(e.core + e.extra)
			buf = slices.Grow(buf[:0], n)[:n]
			_, err := rr.scratch.f.ReadAt(buf, e.offset)
			var r *report.Row
			if err == nil {
				r, err = report.Decode(buf[:e.core], buf[e.core:])
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// appendSortKey appends v in a form whose bytes sort as values do: nothing, then false and true, numbers, texts, everything else.
func appendSortKey(buf []byte, v engine.Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(buf, 0)
	case bool:
		if v {
			return append(buf, 2)
		}
		return append(buf, 1)
	case int64:
		buf = appendSortFloat(append(buf, 3), float64(v))
		return binary.BigEndian.AppendUint64(buf, uint64(v)^1<<63) // tells apart what no float64 does
	case float64:
		buf = appendSortFloat(append(buf, 3), v)
		return binary.BigEndian.AppendUint64(buf, 1<<63)
	case string:
		return appendSortText(append(buf, 4), v)
	}
	return appendSortText(append(buf, 5), report.Display(v))
}

func appendSortFloat(buf []byte, v float64) []byte {
	bits := math.Float64bits(v + 0) // -0 is 0
	if bits>>63 != 0 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(buf, bits)
}

// appendSortText ends the text with a zero that sorts before all that may follow: a zero inside is followed by 0xff.
func appendSortText(buf []byte, s string) []byte {
	for i := range len(s) {
		buf = append(buf, s[i])
		if s[i] == 0 {
			buf = append(buf, 0xff)
		}
	}
	return append(buf, 0, 0)
}
