// Package vfs is the file system as the store, the engine and internal/state see it: a seam at which tests make any call fail. Take
// OS in programs and NewFaulty in tests. It adds nothing to what the operating system promises.
package vfs

import (
	"io"
	"io/fs"
)

// A FS is the few calls that we need of a file system. Errors are those of package os: errors.Is finds fs.ErrNotExist and the like,
// and the system's own (syscall.ENOSPC). All methods may be called concurrently. No descriptor is inherited by children.
type FS interface {
	// Open opens name for reading.
	Open(name string) (File, error)
	// Create makes name, which must not exist yet, and opens it for reading and writing. Perm may forbid writing: the File can.
	Create(name string, perm fs.FileMode) (File, error)
	// Append opens name for writing at its end, and makes it if need be.
	Append(name string, perm fs.FileMode) (File, error)
	// ReadFile returns the content of name.
	ReadFile(name string) ([]byte, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	Readlink(name string) (string, error)

	// Rename replaces what is at to, atomically.
	Rename(from, to string) error
	Remove(name string) error
	RemoveAll(name string) error
	MkdirAll(name string, perm fs.FileMode) error
	Symlink(target, name string) error
	Chmod(name string, perm fs.FileMode) error
}

// A File is an open file.
type File interface {
	io.ReadWriteCloser
	io.ReaderAt
	io.WriterAt
	io.Seeker
	Stat() (fs.FileInfo, error)
	// Sync makes what was written survive a power cut.
	Sync() error
	// TryLock takes the file's advisory lock and reports whether nobody else, in this or another process, has it. The lock lasts
	// until Close or the death of the process.
	TryLock() (bool, error)
}
