package local

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

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

// stream writes head and the rest to f in the given form, hashing them on the way. It takes as long as reading and hashing: pieces are
// written meanwhile, some of them late, for waking a writer for each would take as long as its writing. It may use all of head's capacity.
func (l *Local) stream(f vfs.File, form form, head []byte, r io.Reader) (d cas.Digest, err error) {
	var w io.Writer = f
	end := func() error { return nil }
	if form == compressed {
		enc, err := l.codec.writer(f)
		if err != nil {
			return d, err
		}
		defer l.codec.putWriter(enc)
		w, end = enc, enc.Close
	}
	bufs := l.codec.large()
	defer l.codec.putLarge(bufs)
	full, free := make(chan []byte, len(bufs)+1), make(chan []byte, len(bufs)+1)
	for _, b := range bufs {
		free <- b
	}
	var writing sync.WaitGroup
	var failed atomic.Bool
	var werr error
	writing.Go(func() {
		for piece := range full {
			if werr == nil {
				_, werr = w.Write(piece)
				failed.Store(werr != nil)
			}
			free <- piece
		}
	})
	h := cas.BLAKE3.New()
	size := int64(0)
	for piece, all := head, false; ; {
		full <- piece
		h.Write(piece) // it never fails
		size += int64(len(piece))
		if all || failed.Load() {
			break
		}
		piece = <-free
		var n int
		if n, all, err = fill(r, piece[:cap(piece)]); err != nil {
			break
		}
		piece = piece[:n]
	}
	close(full)
	writing.Wait()
	if err = cmp.Or(werr, err); err != nil {
		return d, err
	}
	return cas.Sum(cas.BLAKE3, h, size), end()
}
