package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"cbuild/cas"

	"golang.org/x/sync/errgroup"
)

// smallFile is the size up to which a file of a tar stream is held in memory, so that several can be stored at a time.
const smallFile = 1 << 20

// unpackTar reads the stream r of size bytes in order. Small files are stored in the background.
func unpackTar(ctx context.Context, b *builder, f Format, r io.Reader, size int64) error {
	stream, done, err := decompress(f, r, size)
	if err != nil {
		return damaged("", err)
	}
	defer done()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(b.opts.Workers)
	u := &untar{b: b, g: g, sources: map[string]*cas.Digest{}}
	// What lies between the files is bounded, too: headers and dropped entries can be endless.
	most := 2*b.most + 2048*int64(b.limits.Entries)
	bounded := &boundedReader{stream, most, most}
	err = u.read(gctx, tar.NewReader(bounded))
	if err == nil && bounded.left == most {
		err = damaged("", io.ErrUnexpectedEOF) // not even the end of an archive
	}
	if err == nil && f != Tar {
		_, err = io.Copy(io.Discard, bounded) // up to the checksum of the compressed stream
		err = damaged("", err)
	}
	if werr := g.Wait(); werr != nil {
		return werr
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// A boundedReader fails after so many bytes.
type boundedReader struct {
	r          io.Reader
	left, most int64
}

func (r *boundedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, &LimitError{What: "has a long stream", Most: r.most}
	}
	n, err := r.r.Read(p)
	r.left -= int64(n)
	return n, err
}

// An untar is the work on one stream.
type untar struct {
	b *builder
	g *errgroup.Group
	// sources are the files that a hard link can name, by their clean names in the archive.
	sources map[string]*cas.Digest
}

func (u *untar) read(ctx context.Context, t *tar.Reader) error {
	for ctx.Err() == nil {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, tar.ErrInsecurePath):
			return damaged("", err)
		case h.Typeflag == tar.TypeXGlobalHeader:
			continue
		}
		if err := u.entry(ctx, t, h); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// entry takes in the entry at which t stands.
func (u *untar) entry(ctx context.Context, t *tar.Reader, h *tar.Header) error {
	e, err := tarEntry(h)
	if err != nil {
		return err
	}
	i, err := u.b.add(h.Name, e)
	if err != nil || e.Kind != cas.FileEntry {
		return err
	}
	source, ok := u.sources[path.Clean(h.Linkname)]
	clean := path.Clean(h.Name)
	switch {
	case h.Typeflag == tar.TypeLink && !ok:
		return &EntryError{h.Name, fmt.Sprintf("is a hard link to %q, which is no file before it", h.Linkname)}
	case h.Typeflag == tar.TypeLink:
		u.sources[clean] = source
		if i >= 0 {
			u.b.digests[i] = source
		}
		return nil
	}
	digest := new(cas.Digest) // of a dropped file that a hard link may still name
	if i >= 0 {
		digest = u.b.digests[i]
	}
	u.sources[clean] = digest
	return u.store(ctx, t, h, digest)
}

func tarEntry(h *tar.Header) (cas.Entry, error) {
	switch h.Typeflag {
	case tar.TypeDir:
		return cas.Entry{Kind: cas.DirEntry}, nil
	case tar.TypeSymlink:
		return cas.Entry{Kind: cas.SymlinkEntry, Target: h.Linkname}, nil
	case tar.TypeReg, tar.TypeLink, tar.TypeGNUSparse, tar.TypeCont:
		return cas.Entry{Kind: cas.FileEntry, Executable: h.Mode&0o111 != 0}, nil
	case tar.TypeChar, tar.TypeBlock:
		return cas.Entry{}, &EntryError{h.Name, "is a device"}
	case tar.TypeFifo:
		return cas.Entry{}, &EntryError{h.Name, "is a FIFO"}
	}
	return cas.Entry{}, &EntryError{h.Name, "is of an unknown kind"}
}

// store stores the file at which t stands and puts its digest where digest points, by the time that the group is done.
func (u *untar) store(ctx context.Context, t *tar.Reader, h *tar.Header, digest *cas.Digest) (err error) {
	if h.Size > u.b.most {
		return u.b.tooLarge(h.Name)
	}
	if h.Size > smallFile {
		*digest, err = u.b.store(ctx, h.Name, t)
		return err
	}
	data, err := io.ReadAll(t)
	if err != nil {
		return damaged(h.Name, err)
	}
	u.g.Go(func() (err error) {
		*digest, err = u.b.store(ctx, h.Name, bytes.NewReader(data))
		return err
	})
	return nil
}
