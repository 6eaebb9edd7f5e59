package local

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"

	"cbuild/cas"
	"cbuild/internal/vfs"
)

// Put is cas.Store's. A blob that is there and sound is not written again. When it returns, the blob is written and not yet synced: a
// kill loses nothing.
func (l *Local) Put(ctx context.Context, r io.Reader) (cas.Digest, error) {
	if err := ctx.Err(); err != nil {
		return cas.Digest{}, err
	}
	l.counters.puts.Add(1)
	buf := l.codec.buffer()
	defer l.codec.putBuffer(buf)
	src := &source{ctx: ctx, r: r}
	n, all, err := fill(src, *buf)
	if err != nil {
		return cas.Digest{}, fmt.Errorf("put: %w", err)
	}
	var d cas.Digest
	if all {
		d, err = l.putSmall((*buf)[:n])
	} else {
		d, err = l.putLarge(ctx, *buf, src)
	}
	if err != nil {
		err = fmt.Errorf("put: %w", err)
		if src.err == nil && ctx.Err() == nil {
			l.breaks(err)
		}
		return cas.Digest{}, err
	}
	l.pins.add(&d.Hash)
	l.sync.due()
	return d, nil
}

// fill reads until buf is full or r ends, and says whether that was all. Unlike io.ReadFull it takes only io.EOF for an end: a
// reader that was cut off says io.ErrUnexpectedEOF.
func fill(r io.Reader, buf []byte) (n int, all bool, err error) {
	for n < len(buf) {
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

// putSmall appends a blob to the pack. It does not ask whether there is a file of it: that would take as long as the writing.
func (l *Local) putSmall(data []byte) (cas.Digest, error) {
	d := cas.Of(data)
	if _, ok := l.packed(d); ok {
		l.counters.existing.Add(1)
		return d, nil
	}
	kind := rawBlob
	if small := l.codec.shrink(data); small != nil {
		kind, data = zstdBlob, small
	}
	if err := l.writer.append(kind, &d.Hash, uint32(d.Size), data); err != nil {
		return cas.Digest{}, err
	}
	l.checked.add(d.Hash)
	return d, nil
}

// putLarge makes a file for a blob that begins with head and goes on with r. Head decides its form.
func (l *Local) putLarge(ctx context.Context, head []byte, r io.Reader) (cas.Digest, error) {
	f, temp, err := l.temp.create()
	if err != nil {
		return cas.Digest{}, err
	}
	form := raw
	if l.codec.shrink(head) != nil {
		form = compressed
	}
	d, err := l.stream(f, form, head, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = ctx.Err()
	}
	switch {
	case err != nil:
		l.discard(temp)
		return cas.Digest{}, err
	case l.sound(ctx, d):
		l.counters.existing.Add(1)
		l.discard(temp)
		return d, nil
	}
	name := blobIn(l.own, d, form)
	if err := l.publish(temp, name); err != nil {
		return cas.Digest{}, err
	}
	l.sync.file(name, d.Size)
	l.checked.add(d.Hash)
	return d, nil
}

// stream writes head and the rest to f in the given form, hashing them on the way.
func (l *Local) stream(f vfs.File, form form, head []byte, r io.Reader) (cas.Digest, error) {
	var w io.Writer = f
	end := func() error { return nil }
	if form == compressed {
		enc, err := l.codec.writer(f)
		if err != nil {
			return cas.Digest{}, err
		}
		defer l.codec.putWriter(enc)
		w, end = enc, enc.Close
	}
	bufs := l.codec.large()
	defer l.codec.putLarge(bufs)
	h := cas.BLAKE3.New()
	size := int64(0)
	for piece, turn, all := head, 0, false; ; turn++ {
		size += int64(len(piece))
		var next []byte
		var writing sync.WaitGroup
		var werr, rerr error
		last := all
		// While a piece is written, it is hashed and the next one is read: together these take as long as writing.
		writing.Go(func() { _, werr = w.Write(piece) })
		h.Write(piece) // it never fails
		if !last {
			var n int
			next = bufs[turn%2]
			n, all, rerr = fill(r, next)
			next = next[:n]
		}
		writing.Wait()
		if err := cmp.Or(werr, rerr); err != nil {
			return cas.Digest{}, err
		}
		if last {
			break
		}
		piece = next
	}
	return cas.Sum(cas.BLAKE3, h, size), end()
}
