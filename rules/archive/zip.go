package archive

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"cbuild/cas"

	"golang.org/x/sync/errgroup"
)

// unpackZip looks at all names before it reads any content, and then stores several files at a time.
func unpackZip(ctx context.Context, b *builder, f io.ReaderAt, size int64) error {
	z, err := zip.NewReader(f, size)
	if err != nil && z == nil {
		return damaged("", err)
	}
	type content struct {
		file   *zip.File
		digest *cas.Digest
	}
	var files []content
	for _, file := range z.File {
		e, err := zipEntry(file)
		if err != nil {
			return err
		}
		i, err := b.add(file.Name, e)
		if err != nil {
			return err
		}
		if e.Kind == cas.FileEntry && file.UncompressedSize64 > uint64(b.most) {
			return b.tooLarge(file.Name)
		}
		if i >= 0 && e.Kind == cas.FileEntry {
			files = append(files, content{file, b.digests[i]})
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(b.opts.Workers)
	for _, c := range files {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			var err error
			*c.digest, err = storeZipFile(gctx, b, c.file)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// zipEntry returns the entry for file, with the target of a link but without the content of a file.
func zipEntry(file *zip.File) (cas.Entry, error) {
	mode := file.Mode()
	if file.Flags&1 != 0 {
		return cas.Entry{}, &EntryError{file.Name, "is encrypted"}
	}
	if file.Method != zip.Store && file.Method != zip.Deflate {
		return cas.Entry{}, &EntryError{file.Name, fmt.Sprintf("is compressed in a way that is not known: method %d", file.Method)}
	}
	switch {
	case strings.HasSuffix(file.Name, "/") || mode.IsDir():
		return cas.Entry{Kind: cas.DirEntry}, nil
	case mode&fs.ModeSymlink != 0:
		target, err := zipLink(file)
		return cas.Entry{Kind: cas.SymlinkEntry, Target: target}, err
	case !mode.IsRegular():
		return cas.Entry{}, &EntryError{file.Name, "is a " + kindOf(mode)}
	}
	return cas.Entry{Kind: cas.FileEntry, Executable: mode&0o111 != 0}, nil
}

// zipLink reads the target of the link file.
func zipLink(file *zip.File) (string, error) {
	r, err := file.Open()
	if err != nil {
		return "", damaged(file.Name, err)
	}
	defer r.Close()
	target, err := io.ReadAll(io.LimitReader(r, maxName+1))
	if err != nil {
		return "", damaged(file.Name, err)
	}
	return string(target), nil
}

func storeZipFile(ctx context.Context, b *builder, file *zip.File) (cas.Digest, error) {
	r, err := file.Open()
	if err != nil {
		return cas.Digest{}, damaged(file.Name, err)
	}
	defer r.Close()
	return b.store(ctx, file.Name, r)
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeDevice != 0:
		return "device"
	case mode&fs.ModeNamedPipe != 0:
		return "FIFO"
	case mode&fs.ModeSocket != 0:
		return "socket"
	}
	return fmt.Sprintf("file of the unknown kind %v", mode.Type())
}
