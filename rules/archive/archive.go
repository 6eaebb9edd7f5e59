// Package archive unpacks archives of strangers into a cas.Store. Call Unpack; FormatOf tells the format from a name. Nothing is ever
// written to the file system: contents go into the store and the names become entries of a tree, so a hostile name has nothing to
// reach. Names, links and sizes that could harm whoever materializes the tree are refused all the same.
//
// What is kept of an entry is its name, its content, the executable bit, and the target of a symbolic link. Owners, times, extended
// attributes, setuid, setgid and sticky bits are dropped. A hard link becomes a copy of the earlier file that it names. Devices,
// FIFOs and sockets are refused.
//
// Names are kept byte by byte: neither case nor the form of Unicode is folded, so names that differ in these alone are different files.
// A name that is not UTF-8 is refused with ErrNotUTF8, since no tree can hold it. Of a zip file the central directory counts.
package archive

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"cbuild/cas"

	"github.com/bmatcuk/doublestar/v4"
)

// A Format is a kind of archive, by the suffix of its files without the dot.
type Format string

// The formats.
const (
	Zip    Format = "zip"
	Tar    Format = "tar"
	TarGz  Format = "tar.gz"
	TarZst Format = "tar.zst"
	TarXz  Format = "tar.xz"
	TarBz2 Format = "tar.bz2"
	Deb    Format = "deb"
	Gem    Format = "gem"
)

// suffixes are the endings of file names, with those that mean the same.
var suffixes = map[string]Format{
	".zip": Zip, ".whl": Zip, ".jar": Zip, ".nupkg": Zip, ".tar": Tar, ".crate": TarGz, ".tgz": TarGz, ".tar.gz": TarGz,
	".tar.zst": TarZst, ".tzst": TarZst, ".tar.xz": TarXz, ".txz": TarXz, ".tar.bz2": TarBz2, ".tbz2": TarBz2, ".deb": Deb, ".gem": Gem,
}

// FormatOf returns the format that name's suffix stands for.
func FormatOf(name string) (Format, bool) {
	name = strings.ToLower(name)
	for suffix, f := range suffixes {
		if strings.HasSuffix(name, suffix) {
			return f, true
		}
	}
	return "", false
}

// ParseFormat returns the format named name.
func ParseFormat(name string) (Format, error) {
	if f, ok := FormatOf("." + name); ok {
		return f, nil
	}
	return "", fmt.Errorf("unknown archive format %q: want zip, tar, tar.gz, tar.zst, tar.xz, tar.bz2, deb or gem", name)
}

// Limits bound what an archive may unpack to. A field that is 0 stands for the default.
type Limits struct {
	// Entries is the greatest number of entries; by default 500,000, but for a small archive only 50,000: it could not name more without
	// being made for that.
	Entries int
	// Bytes is the greatest sum of the sizes of the files; 16 GiB by default.
	Bytes int64
	// Ratio is how many times the size of the archive the sum may be, where it is over 64 MiB; 250 by default.
	Ratio int64
	// Depth is the greatest number of elements in a path; 100 by default.
	Depth int
}

// withDefaults returns the limits for an archive of size bytes.
func (l Limits) withDefaults(size int64) Limits {
	if l.Entries == 0 {
		l.Entries = int(min(max(50_000, size/entryBytes), 500_000))
	}
	if l.Bytes == 0 {
		l.Bytes = 16 << 30
	}
	if l.Ratio == 0 {
		l.Ratio = 250
	}
	if l.Depth == 0 {
		l.Depth = 100
	}
	return l
}

// entryBytes is what the entries of an archive take in it at least, on the average, where there are many.
const entryBytes = 16

// namesFree is how many bytes the names and the targets of links may have in all, whatever the archive's size is. Beyond that they may have
// namesRatio times the size.
const (
	namesFree  = 8 << 20
	namesRatio = 16
)

// ratioFree is the sum of sizes up to which the ratio does not matter: a small archive of zeros harms nobody.
const ratioFree = 64 << 20

// Options say how to unpack.
type Options struct {
	Format Format
	// Strip is how many leading elements of each path are dropped. What has no more than these is dropped, as tar does.
	Strip int
	// Prefix is what every path must begin with, a directory, and which is dropped.
	Prefix string
	// Executable are globs (with **) of files that get the executable bit, on their final paths.
	Executable []string
	Limits     Limits
	// Workers is how many files are stored at a time; 0 means 2.
	Workers int
}

// Unpack stores the files of the archive f, of size bytes, and returns the tree's entries for cas.PutTree, in the archive's order.
func Unpack(ctx context.Context, s cas.Store, f io.ReaderAt, size int64, o Options) ([]cas.Entry, error) {
	if o.Workers < 1 {
		o.Workers = 2
	}
	for _, g := range o.Executable {
		if !doublestar.ValidatePattern(g) {
			return nil, fmt.Errorf("executable: %q is not a glob", g)
		}
	}
	b := newBuilder(s, o, size)
	var err error
	switch o.Format {
	case Zip:
		err = unpackZip(ctx, b, f, size)
	case Deb:
		err = unpackDeb(ctx, b, f, size)
	case Gem:
		err = unpackGem(ctx, b, f, size)
	default:
		err = unpackTar(ctx, b, o.Format, io.NewSectionReader(f, 0, size), size)
	}
	if err != nil {
		return nil, err
	}
	return b.finish()
}

// UnpackFile is Unpack of an open file.
func UnpackFile(ctx context.Context, s cas.Store, f *os.File, o Options) ([]cas.Entry, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return Unpack(ctx, s, f, info.Size(), o)
}
