package cas

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxPath is the longest path of a tree in bytes: no system that we run on takes a longer one. It bounds the depth of trees.
const MaxPath = 4095

// maxDirectory bounds the encoding of one Directory, in bytes.
const maxDirectory = 256 << 20

// A File is an entry of a Directory.
type File struct {
	Name       string
	Digest     Digest
	Executable bool
}

// A Subdir is a directory inside another; Digest names its encoded Directory.
type Subdir struct {
	Name   string
	Digest Digest
}

// A Symlink is a link inside a Directory; Target is kept as written.
type Symlink struct {
	Name   string
	Target string
}

// A Directory is one level of a tree. Its encoding is the canonical form of the message
// build.bazel.remote.execution.v2.Directory (digests in lower-case hexadecimal, entries sorted by name), so a tree of ours is
// valid in any store of the Remote Execution API. The digest of a tree is the digest of its root Directory's encoding.
type Directory struct {
	Files    []File
	Dirs     []Subdir
	Symlinks []Symlink
}

// An Entry is one name of a tree on the way through all of it.
type Entry struct {
	// Path is relative to the root of the tree: names joined by forward slashes.
	Path string
	// Kind says which of the other fields hold.
	Kind EntryKind
	// Digest names a file's content or a directory's encoding.
	Digest     Digest
	Executable bool
	Target     string
}

// EntryKind is the kind of an Entry.
type EntryKind uint8

// The kinds of an Entry.
const (
	FileEntry EntryKind = iota
	DirEntry
	SymlinkEntry
)

// CheckName reports what is wrong with name as that of an entry of a Directory. A name is valid UTF-8, not empty, not "." or "..",
// and holds neither a slash nor a NUL.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("empty name")
	case name == "." || name == "..":
		return fmt.Errorf("name %q", name)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("name %q: holds a slash or a NUL", name)
	case !utf8.ValidString(name):
		return fmt.Errorf("name %q: not UTF-8", name)
	}
	return nil
}

// PutTree stores the Directory messages of the tree that entries describe, in any order, and returns the digest of its root. The
// blobs of the files must be in the store already. Every name on a path is as CheckName says, unique among the files, directories
// and symlinks of one directory, and a path is at most MaxPath bytes long; anything else is an error and stores no root. Parents
// may be left out: they are directories. An empty directory needs a DirEntry of its own, whose Digest does not matter.
func PutTree(ctx context.Context, s Store, entries []Entry) (Digest, error) {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Entry) int { return comparePaths(a.Path, b.Path) })
	for i := range sorted {
		if err := checkPath(&sorted[i]); err != nil {
			return Digest{}, fmt.Errorf("tree: %w", err)
		}
	}
	return putLevel(ctx, s, sorted, 0)
}

func checkPath(e *Entry) error {
	if len(e.Path) > MaxPath {
		return fmt.Errorf("path %.40q…: %d bytes, more than %d", e.Path, len(e.Path), MaxPath)
	}
	for name := range strings.SplitSeq(e.Path, "/") {
		if err := CheckName(name); err != nil {
			return fmt.Errorf("path %q: %w", e.Path, err)
		}
	}
	return nil
}

// comparePaths orders paths name by name, so that what is in a directory directly follows it: a slash sorts before every byte.
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := a[i], b[i]; x != y {
			if x == '/' || y == '/' {
				return boolInt(y == '/') - boolInt(x == '/')
			}
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// putLevel stores the directory that entries, sorted by path, lie in. Their paths agree in the first skip bytes: the directory's
// own path and its slash.
func putLevel(ctx context.Context, s Store, entries []Entry, skip int) (Digest, error) {
	var d Directory
	for len(entries) > 0 {
		name, _, inside := strings.Cut(entries[0].Path[skip:], "/")
		n := 1
		for n < len(entries) && under(entries[n].Path[skip:], name) {
			n++
		}
		first, below := entries[0], entries[:n]
		if !inside {
			below = below[1:]
		}
		if len(below) > 0 && (below[0].Path[skip:] == name || !inside && first.Kind != DirEntry) {
			return Digest{}, fmt.Errorf("tree: %q occurs twice", first.Path[:skip]+name)
		}
		switch {
		case inside || first.Kind == DirEntry:
			sub, err := putLevel(ctx, s, below, skip+len(name)+1)
			if err != nil {
				return Digest{}, err
			}
			d.Dirs = append(d.Dirs, Subdir{Name: name, Digest: sub})
		case first.Kind == FileEntry:
			d.Files = append(d.Files, File{Name: name, Digest: first.Digest, Executable: first.Executable})
		default:
			d.Symlinks = append(d.Symlinks, Symlink{Name: name, Target: first.Target})
		}
		entries = entries[n:]
	}
	data, err := d.Encode()
	if err != nil {
		return Digest{}, err
	}
	return PutBytes(ctx, s, data)
}

// under reports whether path is name or lies in it.
func under(path, name string) bool {
	return strings.HasPrefix(path, name) && (len(path) == len(name) || path[len(name)] == '/')
}

// Walk yields every entry of the tree root, parents before their content: the names of a directory in the order of their bytes, each
// followed at once by what is in it. Paths are as PutTree takes them, whoever made the tree. After an error it ends; a missing
// directory is one that wraps ErrNotFound. It may run long for a tree that repeats itself: it is for the caller to count.
func Walk(ctx context.Context, s Store, root Digest) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := walkLevel(ctx, s, root, "", func(e Entry) bool { return yield(e, nil) })
		if err != nil && !errors.Is(err, errStopped) {
			yield(Entry{}, err)
		}
	}
}

// errStopped unwinds a walk whose reader has seen enough.
var errStopped = errors.New("stopped")

func walkLevel(ctx context.Context, s Store, digest Digest, prefix string, yield func(Entry) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	dir, err := GetDirectory(ctx, s, digest)
	if err != nil {
		return fmt.Errorf("tree, directory %q: %w", strings.TrimSuffix(prefix, "/"), err)
	}
	for _, e := range dir.Entries() {
		e.Path = prefix + e.Path
		if len(e.Path) > MaxPath {
			return fmt.Errorf("tree: a path below %.40q… is longer than %d bytes", prefix, MaxPath)
		}
		if !yield(e) {
			return errStopped
		}
		if e.Kind == DirEntry {
			if err := walkLevel(ctx, s, e.Digest, e.Path+"/", yield); err != nil {
				return err
			}
		}
	}
	return nil
}

// GetDirectory reads the Directory that d names.
func GetDirectory(ctx context.Context, s Store, d Digest) (*Directory, error) {
	data, err := ReadAll(ctx, s, d, maxDirectory)
	if err != nil {
		return nil, err
	}
	return DecodeDirectory(data)
}

// Entries returns the entries of d itself, not of its subdirectories, sorted by name: their paths are names.
func (d *Directory) Entries() []Entry {
	entries := make([]Entry, 0, len(d.Files)+len(d.Dirs)+len(d.Symlinks))
	for _, f := range d.Files {
		entries = append(entries, Entry{Path: f.Name, Kind: FileEntry, Digest: f.Digest, Executable: f.Executable})
	}
	for _, sub := range d.Dirs {
		entries = append(entries, Entry{Path: sub.Name, Kind: DirEntry, Digest: sub.Digest})
	}
	for _, l := range d.Symlinks {
		entries = append(entries, Entry{Path: l.Name, Kind: SymlinkEntry, Target: l.Target})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries
}
