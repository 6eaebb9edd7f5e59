package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"cbuild/cas"
	"cbuild/internal/vfs"
)

// A form is how a blob lies in a file of its own: the suffix of the name.
type form string

// The forms: as it is, or compressed.
const (
	raw        form = ""
	compressed form = ".zst"
)

// forms is in the order in which they are tried.
var forms = [...]form{raw, compressed}

func blobIn(dir string, d cas.Digest, f form) string {
	hex := d.Hex()
	return dir + "/blob/" + hex[:2] + "/" + hex + string(f)
}

// openLoose opens d if it has a file of its own.
func (l *Local) openLoose(ctx context.Context, d cas.Digest) (io.ReadCloser, error) {
	miss := notFound(d)
	for _, dir := range l.dirs {
		for _, form := range forms {
			r, err := l.openForm(ctx, blobIn(dir, d, form), d, form)
			if !errors.Is(err, cas.ErrNotFound) {
				return r, err
			}
			if errors.Is(err, errDamaged) {
				miss = err
			}
		}
	}
	return nil, miss
}

// openForm opens the file name of d and gives one that seems damaged a second chance.
func (l *Local) openForm(ctx context.Context, name string, d cas.Digest, form form) (io.ReadCloser, error) {
	var damage error
	for range 2 {
		f, err := l.fs.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, notFound(d)
		}
		if err != nil {
			return nil, fmt.Errorf("blob %v: %w", d, err)
		}
		r, err := l.contents(ctx, f, d, form)
		if err == nil {
			return r, nil
		}
		_ = f.Close() // nothing was written
		if !errors.Is(err, errDamaged) {
			return nil, err
		}
		damage = err
		if mutant == "again" {
			break
		}
	}
	l.condemnLoose(name, d, damage)
	return nil, fmt.Errorf("blob %v: %w: %w", d, cas.ErrNotFound, damage)
}

// condemnLoose counts a damaged file, and moves it away if it is certain that its content is wrong. One that can't be read may be readable
// tomorrow; Put replaces it.
func (l *Local) condemnLoose(name string, d cas.Digest, damage error) {
	l.checked.remove(d.Hash)
	if errors.Is(damage, errContent) {
		l.quarantine(name)
		return
	}
	l.counters.damaged.Add(1)
}

// contents returns a reader of the blob d in f, and owns f if it succeeds.
func (l *Local) contents(ctx context.Context, f vfs.File, d cas.Digest, form form) (io.ReadCloser, error) {
	if form == compressed && d.Size >= 0 && d.Size <= maxInMemory {
		if data, ok := l.unpack(f, d); ok {
			_ = f.Close() // nothing was written
			return io.NopCloser(bytes.NewReader(data)), nil
		}
		l.checked.remove(d.Hash) // have a closer look
	}
	sure := l.checked.has(d.Hash)
	if form == raw && sure && d.Size >= 0 {
		fi, err := f.Stat()
		sure = err == nil && fi.Size() == d.Size
	}
	if !sure {
		if err := l.check(ctx, f, d, form); err != nil {
			return nil, err
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if form == raw {
		return f, nil
	}
	dec, err := l.codec.reader(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return &unpacker{store: l, file: f, dec: dec, digest: d}, nil
}

// unpack returns the content of a small compressed blob if all is well with it.
func (l *Local) unpack(f vfs.File, d cas.Digest) ([]byte, bool) {
	packed, err := io.ReadAll(io.LimitReader(f, maxInMemory+1))
	if err != nil || len(packed) > maxInMemory {
		return nil, false
	}
	data, err := l.codec.dec.DecodeAll(packed, make([]byte, 0, d.Size))
	if err != nil || int64(len(data)) != d.Size {
		return nil, false
	}
	if !l.checked.has(d.Hash) {
		if cas.Of(data) != d {
			return nil, false
		}
		l.checked.add(d.Hash)
	}
	return data, true
}

// check reads all of f and compares it with d. The error wraps errContent if the file is wrong, errDamaged if it can't be read, and
// ErrNotFound if the file is right but has another size than d says.
func (l *Local) check(ctx context.Context, f vfs.File, d cas.Digest, form form) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	src := &source{ctx: ctx, r: f}
	var content io.Reader = src
	if form == compressed {
		dec, err := l.codec.reader(src)
		if err != nil {
			return fmt.Errorf("%w: %w", errContent, err)
		}
		defer l.codec.putReader(dec)
		content = dec
	}
	h := cas.BLAKE3.New()
	buf := l.codec.buffer()
	defer l.codec.putBuffer(buf)
	size, err := io.CopyBuffer(h, struct{ io.Reader }{content}, *buf)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case src.err != nil && !errors.Is(src.err, syscall.EISDIR):
		return fmt.Errorf("%w: %w", errDamaged, src.err)
	case err != nil:
		return fmt.Errorf("%w: %w", errContent, err)
	case cas.Sum(cas.BLAKE3, h, size).Hash != d.Hash && mutant != "check":
		return errContent
	}
	l.checked.add(d.Hash)
	if d.Size >= 0 && d.Size != size {
		return notFound(d)
	}
	return nil
}

// An unpacker reads a compressed blob that was checked before.
type unpacker struct {
	store  *Local
	file   vfs.File
	dec    *zstd.Decoder
	digest cas.Digest
}

func (u *unpacker) Read(p []byte) (int, error) {
	if u.dec == nil {
		return 0, fs.ErrClosed
	}
	n, err := u.dec.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("blob %v: %w: %w", u.digest, cas.ErrNotFound, err)
	}
	return n, err
}

func (u *unpacker) Close() error {
	if u.dec == nil {
		return fs.ErrClosed
	}
	u.store.codec.putReader(u.dec)
	u.dec = nil
	return u.file.Close()
}

// find returns the file of d and its form, as far as names and sizes tell; name is empty if there is none.
func (l *Local) find(d cas.Digest) (name string, f form, err error) {
	if d.Function != cas.BLAKE3 {
		return "", raw, nil
	}
	for _, dir := range l.dirs {
		for _, f := range forms {
			name := blobIn(dir, d, f)
			fi, err := l.fs.Lstat(name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return "", raw, err
			case fi.Mode().IsRegular() && (f == compressed || d.Size < 0 || fi.Size() == d.Size):
				return name, f, nil
			}
		}
	}
	return "", raw, nil
}
