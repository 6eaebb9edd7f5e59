package cas

import (
	"context"
	"iter"
)

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
	// Path is relative to the root of the tree, with forward slashes.
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

// PutTree stores the Directory messages of the tree that entries describe, in any order, and returns the digest of its root. The
// blobs of the files must be in the store already. Parents may be left out; an empty directory needs a DirEntry of its own.
// Names that are empty, "." or "..", hold a slash, a NUL or a backslash-free-standing control, are not UTF-8, or occur twice are
// an error.
func PutTree(ctx context.Context, s Store, entries []Entry) (Digest, error) {
	panic("not yet")
}

// Walk yields every entry of the tree root in the order of their paths, parents before their content.
func Walk(ctx context.Context, s Store, root Digest) iter.Seq2[Entry, error] {
	panic("not yet")
}
