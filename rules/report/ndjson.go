package report

import (
	"io"

	"github.com/klauspost/compress/zstd"
)

// NDJSON writes results.ndjson.zst: the rows of results.json, one on each line, compressed, for what reads them one by one.
type NDJSON struct {
	JSON
	zst *zstd.Encoder
}

// NewNDJSON returns a format that writes to w.
func NewNDJSON(w io.Writer) *NDJSON {
	zst, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) // equal rows, equal bytes
	if err != nil {
		panic("report: " + err.Error()) // only options can be wrong
	}
	return &NDJSON{JSON: JSON{w: zst}, zst: zst}
}

// Begin implements Format.
func (n *NDJSON) Begin(h *Head) error {
	n.head = h
	return nil
}

// Row implements Format.
func (n *NDJSON) Row(r *Row) error {
	n.buf = append(n.row(n.buf[:0], r), '\n')
	_, err := n.w.Write(n.buf)
	return err
}

// End implements Format.
func (n *NDJSON) End() error { return n.zst.Close() }
