package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A package of Debian is an ar archive: of its members only data.tar counts, in one of the ways in which it may be compressed. A gem is a tar
// archive of which only data.tar.gz counts. What else is there, such as scripts that an installation would run, is not unpacked.

// debMembers are the names that the files of a package may have, by how they are compressed.
var debMembers = map[string]Format{
	"data.tar": Tar, "data.tar.gz": TarGz, "data.tar.xz": TarXz, "data.tar.zst": TarZst, "data.tar.bz2": TarBz2,
}

// maxMembers is how many members a package is looked through: a package has three, and a signature at most.
const maxMembers = 64

// unpackDeb unpacks the member of an ar archive that holds a package's files. They are meant for the root of a system, so a link to an
// absolute path leads to another place of the package; it is made relative.
func unpackDeb(ctx context.Context, b *builder, f io.ReaderAt, size int64) error {
	b.rooted = true
	found := false
	err := arMembers(f, size, func(name string, data *io.SectionReader) error {
		format, ok := debMembers[name]
		switch {
		case !ok && strings.HasPrefix(name, "data.tar"):
			return &EntryError{name, "is compressed in a way that is not known"}
		case !ok:
			return nil
		case found:
			return &EntryError{name, "is a second one with the package's files"}
		}
		found = true
		return unpackTar(ctx, b, format, data, data.Size())
	})
	if err == nil && !found {
		return damaged("", errors.New("no member data.tar"))
	}
	return err
}

// arMembers calls member for each member of the ar archive f.
func arMembers(f io.ReaderAt, size int64, member func(name string, data *io.SectionReader) error) error {
	const magic, headerSize = "!<arch>\n", 60
	header := make([]byte, headerSize)
	if _, err := f.ReadAt(header[:len(magic)], 0); err != nil || string(header[:len(magic)]) != magic {
		return damaged("", errors.New("not in the format ar"))
	}
	at := int64(len(magic))
	for n := 0; at < size; n++ {
		if n == maxMembers {
			return &LimitError{What: "has many members", Most: maxMembers}
		}
		if _, err := f.ReadAt(header, at); err != nil {
			return damaged("", unexpected(err))
		}
		name := strings.TrimSuffix(strings.TrimRight(string(header[:16]), " "), "/")
		length, err := strconv.ParseInt(strings.TrimRight(string(header[48:58]), " "), 10, 64)
		at += headerSize
		if string(header[58:]) != "`\n" || err != nil || length < 0 || length > size-at {
			return damaged(name, errors.New("wrong header in the ar archive"))
		}
		if err := member(name, io.NewSectionReader(f, at, length)); err != nil {
			return err
		}
		at += length + length%2
	}
	return nil
}

// unpackGem unpacks the data.tar.gz of a gem.
func unpackGem(ctx context.Context, b *builder, f io.ReaderAt, size int64) error {
	outer := tar.NewReader(bufio.NewReader(io.NewSectionReader(f, 0, size)))
	found := false
	for n := 0; ; n++ {
		h, err := outer.Next()
		switch {
		case errors.Is(err, io.EOF) && found:
			return nil
		case errors.Is(err, io.EOF):
			return damaged("", errors.New("no member data.tar.gz"))
		case err != nil:
			return damaged("", err)
		case n == maxMembers:
			return &LimitError{What: "has many members", Most: maxMembers}
		case h.Name != "data.tar.gz":
			continue
		case found:
			return &EntryError{h.Name, "is a second one with the gem's files"}
		case h.Typeflag != tar.TypeReg:
			return &EntryError{h.Name, "is no file"}
		}
		found = true
		if err := unpackTar(ctx, b, TarGz, outer, h.Size); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}
