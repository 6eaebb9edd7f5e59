package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"cbuild/cas"
	"cbuild/engine"
)

// recordMagic begins a record: its kind and version.
const recordMagic = "cbuild-ac 0\n"

// sumSize is how many bytes of checksum follow the magic.
const sumSize = 16

// recordSum is the plain hash: Derive would allocate 10 KiB for every look-up.
func recordSum(body []byte) [32]byte { return cas.Of(body).Hash }

func (l *Local) recordPath(k engine.Key) string {
	name := hex.EncodeToString(k[:])
	return l.dir + "/ac/" + name[:2] + "/" + name
}

// Lookup is engine.ActionCache's.
func (l *Local) Lookup(ctx context.Context, k engine.Key, want engine.Conditions, mode engine.LookupMode) (*engine.Result, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	l.counters.lookups.Add(1)
	if mode == engine.LookupBypass {
		return nil, "it is to be done again", nil
	}
	r, reason, err := l.load(k)
	if err != nil {
		return nil, "", fmt.Errorf("look-up of %v: %w", k, err)
	}
	if r == nil {
		return nil, reason, nil
	}
	if ok, reason := r.Conditions.Serve(r.Result.Status, want); !ok {
		return nil, reason, nil
	}
	l.counters.hits.Add(1)
	return r.Result, "", nil
}

// Stored returns the record of k, whatever its conditions, with its pre-image. The error wraps cas.ErrNotFound if there is none.
func (l *Local) Stored(ctx context.Context, k engine.Key) (*engine.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, reason, err := l.load(k)
	if err == nil && r == nil {
		err = fmt.Errorf("%s: %w", reason, cas.ErrNotFound)
	}
	if err == nil {
		r.Preimage, err = l.unpackPreimage(r.Preimage)
	}
	if err != nil {
		return nil, fmt.Errorf("record of %v: %w", k, err)
	}
	return r, nil
}

// load reads the record of k, or says why there is none. Its pre-image is as it lies in the file. A file that fails gets a second
// chance; if its content is wrong then too, it is moved away.
func (l *Local) load(k engine.Key) (r *engine.Record, reason string, err error) {
	name := l.recordPath(k)
	for range 2 {
		r, err = l.readRecord(name, k)
		if !errors.Is(err, errDamaged) {
			break
		}
	}
	switch {
	case err == nil:
		return r, "", nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, "no result is stored", nil
	case errors.Is(err, errContent):
		l.quarantine(name)
		return nil, "its record was damaged", nil
	case errors.Is(err, errDamaged):
		l.counters.damaged.Add(1)
		return nil, "its record can't be read", nil
	case errors.Is(err, errForm):
		return nil, "its record is in a form that this cbuild does not know", nil
	}
	return nil, "", err
}

// readRecord reads the record of k from the file name. The error wraps errContent if the file is wrong, errDamaged if the disk fails,
// errForm if another version wrote it.
func (l *Local) readRecord(name string, k engine.Key) (*engine.Record, error) {
	data, err := l.fs.ReadFile(name)
	switch {
	case errors.Is(err, syscall.EISDIR):
		return nil, errContent
	case errors.Is(err, syscall.EIO):
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	case err != nil:
		return nil, err
	}
	r, err := decodeRecord(data)
	if err == nil && r.Key != k {
		err = errContent
	}
	return r, err
}

// Record is engine.ActionCache's. Which of two records of a key stays says engine.Record.YieldsTo; a pass whose blobs are lost yields
// to another one besides. Two processes that record one key at the same instant both succeed, and the later one stays. Durability
// is that of Put.
func (l *Local) Record(ctx context.Context, r engine.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.Key.IsZero() {
		return errors.New("record: the zero key is never stored")
	}
	old, _, err := l.load(r.Key)
	if err != nil {
		return fmt.Errorf("record of %v: %w", r.Key, err)
	}
	if old != nil && !old.YieldsTo(&r) {
		if old.Result.Status != engine.Pass || r.Result.Status != engine.Pass || sameResult(old.Result, r.Result) {
			return nil
		}
		lost, err := l.lost(ctx, old.Result)
		if err != nil {
			return fmt.Errorf("record of %v: %w", r.Key, err)
		}
		l.counters.differing.Add(1)
		if !lost {
			return nil
		}
	}
	body := l.encodeRecord(&r)
	sum := recordSum(body)
	if err := l.writeFile(l.recordPath(r.Key), []byte(recordMagic), sum[:sumSize], body); err != nil {
		return fmt.Errorf("record of %v: %w", r.Key, err)
	}
	l.counters.records.Add(1)
	return nil
}

// sameResult compares all but how long it took.
func sameResult(a, b *engine.Result) bool {
	x, y := *a, *b
	x.Took, y.Took = 0, 0
	return bytes.Equal(engine.AppendResult(nil, &x), engine.AppendResult(nil, &y))
}

// lost reports whether a blob that r names is missing. It looks into trees.
func (l *Local) lost(ctx context.Context, r *engine.Result) (bool, error) {
	var files []cas.Digest
	for _, d := range []cas.Digest{r.Stdout, r.Log} {
		if !d.IsZero() {
			files = append(files, d)
		}
	}
	for _, o := range r.Outs {
		if o.Kind == engine.FileKind {
			files = append(files, o.Digest)
			continue
		}
		for e, err := range cas.Walk(ctx, l, o.Digest) {
			if errors.Is(err, cas.ErrNotFound) {
				return true, nil
			}
			if err != nil {
				return false, err
			}
			if e.Kind == cas.FileEntry {
				files = append(files, e.Digest)
			}
		}
	}
	missing, err := l.Missing(ctx, files)
	return len(missing) > 0, err
}

// The forms of a pre-image in a record.
const (
	preimageRaw = iota
	preimageCompressed
)

func (l *Local) encodeRecord(r *engine.Record) []byte {
	buf := append(make([]byte, 0, 512+len(r.Preimage)), r.Key[:]...)
	buf = append(buf, byte(r.Conditions.Sandbox))
	buf = binary.AppendVarint(buf, int64(r.Conditions.Timeout))
	buf = binary.AppendVarint(buf, r.Conditions.Memory)
	buf = appendBytes(buf, r.Conditions.Machine)
	buf = appendBytes(buf, engine.AppendResult(nil, r.Result))
	if len(r.Preimage) <= maxInMemory {
		if small := l.codec.shrink(r.Preimage); small != nil {
			return append(append(buf, preimageCompressed), small...)
		}
	}
	return append(append(buf, preimageRaw), r.Preimage...)
}

func appendBytes[T []byte | string](buf []byte, s T) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// errForm says that a record is sound and not for us to read.
var errForm = errors.New("unknown form")

// decodeRecord reads a record. The error wraps errContent if the checksum is wrong, else errForm. The pre-image stays as it is, with
// the byte that tells its form.
func decodeRecord(data []byte) (*engine.Record, error) {
	body, ok := bytes.CutPrefix(data, []byte(recordMagic))
	if !ok || len(body) < sumSize {
		return nil, errContent
	}
	sum, body := body[:sumSize], body[sumSize:]
	if want := recordSum(body); !bytes.Equal(sum, want[:sumSize]) {
		return nil, errContent
	}
	p := parser{data: body}
	r := new(engine.Record)
	copy(r.Key[:], p.take(uint64(len(r.Key))))
	r.Conditions.Sandbox = engine.SandboxClass(p.byte())
	r.Conditions.Timeout = time.Duration(p.varint())
	r.Conditions.Memory = p.varint()
	r.Conditions.Machine = string(p.take(p.uvarint()))
	result := p.take(p.uvarint())
	r.Preimage = p.data
	if p.short || len(p.data) == 0 || r.Conditions.Sandbox > engine.SandboxFull {
		return nil, errForm
	}
	var err error
	if r.Result, err = engine.DecodeResult(result); err != nil {
		return nil, fmt.Errorf("%w: %w", errForm, err)
	}
	return r, nil
}

// unpackPreimage returns the readable pre-image that a record holds.
func (l *Local) unpackPreimage(stored []byte) ([]byte, error) {
	switch form, data := stored[0], stored[1:]; form {
	case preimageRaw:
		return data, nil
	case preimageCompressed:
		return l.codec.dec.DecodeAll(data, nil)
	default:
		return nil, fmt.Errorf("pre-image of the unknown form %d", form)
	}
}

// A parser reads a record's body. What is short leaves zeros and sets short.
type parser struct {
	data  []byte
	short bool
}

func (p *parser) take(n uint64) []byte {
	if n > uint64(len(p.data)) {
		p.data, p.short = nil, true
		return nil
	}
	b := p.data[:n]
	p.data = p.data[n:]
	return b
}

func (p *parser) byte() byte {
	if b := p.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.data)
	p.take(uint64(max(n, 0)))
	p.short = p.short || n <= 0
	return v
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.data)
	p.take(uint64(max(n, 0)))
	p.short = p.short || n <= 0
	return v
}

// Withdraw is engine.ActionCache's.
func (l *Local) Withdraw(ctx context.Context, k engine.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.fs.Remove(l.recordPath(k)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("withdraw the record of %v: %w", k, err)
	}
	return nil
}
