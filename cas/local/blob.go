package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"cbuild/cas"
)

// errDamaged says that a file does not hold what its name promises.
var errDamaged = errors.New("damaged")

// errContent is errDamaged for content that could be read and is wrong.
var errContent = fmt.Errorf("%w: its content does not match its name", errDamaged)

func notFound(d cas.Digest) error { return fmt.Errorf("blob %v: %w", d, cas.ErrNotFound) }

// Open is cas.Store's. The content is checked before the first reader in this process gets any of it. What can't be read, or is damaged
// at a second reading too, is a miss. A miss is one only when nobody else has written the blob meanwhile.
func (l *Local) Open(ctx context.Context, d cas.Digest) (io.ReadCloser, error) {
	l.counters.opens.Add(1)
	if d.Function == cas.BLAKE3 {
		l.pins.add(&d.Hash)
	}
	return l.get(ctx, d)
}

// get is Open for whoever does not use the blob: collectors must not keep what they look at.
func (l *Local) get(ctx context.Context, d cas.Digest) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d.Function != cas.BLAKE3 {
		return nil, notFound(d)
	}
	if data, ok := l.packed(d); ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	r, miss := l.openLoose(ctx, d)
	if !errors.Is(miss, cas.ErrNotFound) {
		return r, miss
	}
	if err := l.packs.refresh(false); err != nil {
		return nil, fmt.Errorf("blob %v: %w", d, err)
	}
	if data, ok := l.packed(d); ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	if l.salvage(ctx, d) {
		return l.get(ctx, d)
	}
	return nil, miss
}

// packed returns the content of d from the first pack that has a sound copy.
func (l *Local) packed(d cas.Digest) ([]byte, bool) {
	pr := probeOf(&d.Hash)
	for _, p := range l.packs.all() {
		e, ok := p.find(&d.Hash, &pr, blobs)
		if !ok || d.Size >= 0 && int64(e.size) != d.Size || l.condemned.has(p, e) {
			continue
		}
		if data, err := l.packedIn(p, &d.Hash, e); err == nil {
			return data, true
		}
	}
	return nil, false
}

// packedIn returns the content of the blob at e. What seems damaged gets a second chance.
func (l *Local) packedIn(p *pack, hash *[32]byte, e entry) (data []byte, err error) {
	for range 2 {
		if data, err = l.readBlob(p, hash, e); err == nil {
			return data, nil
		}
	}
	l.checked.remove(*hash)
	l.failed(p, e, err)
	return nil, err
}

// failed draws the consequences when a frame could not be read twice.
func (l *Local) failed(p *pack, e entry, err error) {
	switch {
	case errors.Is(err, errContent):
		l.condemn(p, e)
	case errors.Is(err, fs.ErrNotExist):
		l.packs.remove(p)
	case !errors.Is(err, fs.ErrClosed):
		l.counters.damaged.Add(1)
	}
}

// readBlob reads and checks the blob at e.
func (l *Local) readBlob(p *pack, hash *[32]byte, e entry) ([]byte, error) {
	data, err := p.read(hash, e)
	if err != nil {
		return nil, err
	}
	return l.blobOf(e.kind, hash, e.size, data)
}

// blobOf returns the blob that a payload holds.
func (l *Local) blobOf(k kind, hash *[32]byte, size uint32, payload []byte) (data []byte, err error) {
	data = payload
	if k == zstdBlob {
		if size > maxInMemory {
			return nil, errContent
		}
		if data, err = l.codec.dec.DecodeAll(payload, make([]byte, 0, size)); err != nil {
			return nil, fmt.Errorf("%w: %w", errContent, err)
		}
	}
	if uint32(len(data)) != size {
		return nil, errContent
	}
	if !l.checked.has(*hash) {
		if cas.Of(data).Hash != *hash {
			return nil, errContent
		}
		l.checked.add(*hash)
	}
	return data, nil
}

// Missing is cas.Store's. It looks into the packs' indexes, and asks the file system for loose blobs.
func (l *Local) Missing(ctx context.Context, ds []cas.Digest) ([]cas.Digest, error) {
	var missing []cas.Digest
	refreshed := false
	for _, d := range ds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ok, err := l.has(d)
		if err == nil && !ok && !refreshed {
			refreshed = true
			if err = l.packs.refresh(false); err == nil {
				ok, err = l.has(d)
			}
		}
		ok = ok || err == nil && l.salvage(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("blob %v: %w", d, err)
		}
		if !ok {
			missing = append(missing, d)
		}
	}
	return missing, ctx.Err()
}

// has reports whether the store has d, as far as indexes, names and sizes tell.
func (l *Local) has(d cas.Digest) (bool, error) {
	if d.Function != cas.BLAKE3 {
		return false, nil
	}
	pr := probeOf(&d.Hash)
	for _, p := range l.packs.all() {
		if e, ok := p.find(&d.Hash, &pr, blobs); ok && (d.Size < 0 || int64(e.size) == d.Size) && !l.condemned.has(p, e) {
			return true, nil
		}
	}
	name, _, err := l.find(d)
	return name != "", err
}

// sound reports whether the store has d in a file and its content was or is now found right. Trouble means no: who asks then writes it anew.
func (l *Local) sound(ctx context.Context, d cas.Digest) bool {
	name, form, err := l.find(d)
	if err != nil || name == "" {
		return false
	}
	if l.checked.has(d.Hash) {
		return true
	}
	r, err := l.openForm(ctx, name, d, form)
	if err != nil {
		return false
	}
	return r.Close() == nil
}

// A source is a reader that ends with its context and remembers the error with which it ended, which decoders may hide.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
