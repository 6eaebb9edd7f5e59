package local

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"cbuild/cas"
	"cbuild/engine"
)

// exportMagic begins an export, inside its compression. Items follow: a kind, the length of the content (8), the hash or key (32), the
// content. The last item has kind 0, no content, and in place of the hash that of all before it.
const exportMagic = "cbuild-export 1\n"

const (
	exportEnd  = 0
	itemHeader = 41
	maxRecord  = maxPayload
)

// Moved says what an export or import moved.
type Moved struct {
	Blobs, Records int
	// Bytes are of the contents.
	Bytes int64
	// Lost counts results of which blobs are lost: they are moved without them.
	Lost int
}

// Export writes the results of keys, with all blobs that they name, to w.
func (l *Local) Export(ctx context.Context, w io.Writer, keys iter.Seq[engine.Key]) (m Moved, err error) {
	enc, err := l.codec.writer(w)
	if err != nil {
		return m, fmt.Errorf("export: %w", err)
	}
	defer l.codec.putWriter(enc)
	h := cas.BLAKE3.New()
	x := &exporter{store: l, out: bufio.NewWriterSize(io.MultiWriter(enc, h), chunk), blobs: make(map[[32]byte]bool), moved: &m}
	_, err = x.out.WriteString(exportMagic)
	done := make(map[engine.Key]bool)
	for k := range keys {
		if err == nil && !done[k] {
			done[k] = true
			err = x.record(ctx, k)
		}
	}
	if err == nil {
		err = x.out.Flush()
	}
	if err == nil {
		_, err = enc.Write(appendItem(nil, exportEnd, 0, [32]byte(h.Sum(nil))))
	}
	if err = errors.Join(err, enc.Close()); err != nil {
		return m, fmt.Errorf("export: %w", err)
	}
	return m, nil
}

func appendItem(buf []byte, k byte, length uint64, hash [32]byte) []byte {
	return append(binary.LittleEndian.AppendUint64(append(buf, k), length), hash[:]...)
}

// An exporter writes items.
type exporter struct {
	store *Local
	out   *bufio.Writer
	blobs map[[32]byte]bool // that were written
	moved *Moved
}

// record writes the record of k behind its blobs.
func (x *exporter) record(ctx context.Context, k engine.Key) error {
	var r engine.Record
	at, _, err := x.store.load(k, looking{fresh: true, whole: true}, &r)
	if err != nil || r.Result == nil {
		return err
	}
	if err := x.blobsOf(ctx, r.Result); errors.Is(err, cas.ErrNotFound) {
		x.moved.Lost++
	} else if err != nil {
		return err
	}
	hash := [32]byte(k)
	payload, err := at.pack.read(&hash, at.entry)
	if err != nil {
		return err
	}
	x.moved.Records++
	x.moved.Bytes += int64(len(payload))
	if _, err = x.out.Write(appendItem(nil, byte(aRecord), uint64(len(payload)), hash)); err == nil {
		_, err = x.out.Write(payload)
	}
	return err
}

// blobsOf writes the blobs of a result. The error wraps ErrNotFound if one is lost; the others are written.
func (x *exporter) blobsOf(ctx context.Context, r *engine.Result) (lost error) {
	for d, err := range x.store.named(ctx, r) {
		if err == nil {
			err = x.blob(ctx, d)
		}
		if err != nil && !errors.Is(err, cas.ErrNotFound) {
			return err
		}
		if err != nil {
			lost = err
		}
	}
	return lost
}

// named yields all blobs that r names, those in trees included.
func (l *Local) named(ctx context.Context, r *engine.Result) iter.Seq2[cas.Digest, error] {
	return func(yield func(cas.Digest, error) bool) {
		for _, d := range []cas.Digest{r.Stdout, r.Log} {
			if !d.IsZero() && !yield(d, nil) {
				return
			}
		}
		for _, o := range r.Outs {
			if !yield(o.Digest, nil) {
				return
			}
			if o.Kind != engine.TreeKind {
				continue
			}
			for e, err := range cas.Walk(ctx, unpinned{l}, o.Digest) {
				if e.Kind != cas.SymlinkEntry && !yield(e.Digest, err) {
					return
				}
			}
		}
	}
}

func (x *exporter) blob(ctx context.Context, d cas.Digest) error {
	if d.Function != cas.BLAKE3 || x.blobs[d.Hash] {
		return nil
	}
	r, err := x.store.get(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close() // errors of reading come with the content
	if _, err := x.out.Write(appendItem(nil, byte(rawBlob), uint64(d.Size), d.Hash)); err != nil {
		return err
	}
	n, err := io.Copy(x.out, r)
	if err == nil && n != d.Size {
		err = fmt.Errorf("%v has %d bytes", d, n)
	}
	if err != nil {
		return fmt.Errorf("%w: %s", errCut, err) // not one to go on after: the item is begun
	}
	x.blobs[d.Hash] = true
	x.moved.Blobs++
	x.moved.Bytes += n
	return nil
}

// errCut says that an export can't go on.
var errCut = errors.New("a blob ended early")

// ErrExport says that an import reads no export, or not a whole one.
var ErrExport = errors.New("not a whole export of cbuild")

// Import reads what Export wrote. Every blob and record is checked before it is taken; what is sound stays, even if the rest is not.
func (l *Local) Import(ctx context.Context, r io.Reader) (m Moved, err error) {
	dec, err := l.codec.reader(&source{ctx: ctx, r: r})
	if err != nil {
		return m, fmt.Errorf("import: %w: %w", ErrExport, err)
	}
	defer l.codec.putReader(dec)
	h := cas.BLAKE3.New()
	in := bufio.NewReaderSize(dec, chunk)
	magic := make([]byte, len(exportMagic))
	if _, err := io.ReadFull(in, magic); err != nil {
		return m, fmt.Errorf("import: %w: %w", ErrExport, err)
	}
	if string(magic) != exportMagic {
		return m, fmt.Errorf("import: %w", ErrExport)
	}
	h.Write(magic) // it never fails
	for {
		head := make([]byte, itemHeader)
		if _, err := io.ReadFull(in, head); err != nil {
			return m, fmt.Errorf("import: %w: %w", ErrExport, err)
		}
		length, hash := binary.LittleEndian.Uint64(head[1:]), [32]byte(head[9:])
		if head[0] == exportEnd {
			if hash != [32]byte(h.Sum(nil)) {
				return m, fmt.Errorf("import: %w: its checksum is wrong", ErrExport)
			}
			return m, nil
		}
		h.Write(head) // it never fails
		content := io.TeeReader(io.LimitReader(in, int64(min(length, 1<<62))), h)
		if err := l.importItem(ctx, kind(head[0]), length, hash, content, &m); err != nil {
			return m, fmt.Errorf("import: %w", err)
		}
	}
}

// importItem takes one blob or record.
func (l *Local) importItem(ctx context.Context, k kind, length uint64, hash [32]byte, content io.Reader, m *Moved) error {
	switch k {
	case rawBlob:
		d, err := l.Put(ctx, content)
		if err != nil {
			return err
		}
		if d.Hash != hash || uint64(d.Size) != length {
			return fmt.Errorf("%w: a blob has other bytes than its name says", ErrExport)
		}
		m.Blobs++
	case aRecord:
		if length > maxRecord {
			return fmt.Errorf("%w: a record has %d bytes", ErrExport, length)
		}
		payload, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		var r engine.Record
		err = decodeRecord(payload, &r)
		if errors.Is(err, errForm) {
			return fmt.Errorf("%w: a record is in a form that this cbuild does not know", ErrExport)
		}
		if err != nil || [32]byte(r.Key) != hash {
			return fmt.Errorf("%w: a record is damaged", ErrExport)
		}
		if r.Preimage, err = l.unpackPreimage(r.Preimage); err != nil {
			return fmt.Errorf("%w: a record is damaged", ErrExport)
		}
		if err := l.Record(ctx, r); err != nil {
			return err
		}
		m.Records++
	case oldRecord:
		return fmt.Errorf("%w: its records are those of an earlier cbuild", ErrExport)
	default:
		return fmt.Errorf("%w: an item of kind %d", ErrExport, k)
	}
	m.Bytes += int64(length)
	return nil
}
