package vfs

import (
	"errors"
	"io/fs"
	"sync/atomic"
)

// The faults that are more than an error of the system.
var (
	// ErrShortWrite makes a write end half-way. Calls that do not write are not touched by it.
	ErrShortWrite = errors.New("short write")
	// ErrCrash fails the call and every later one, as if the process had died at it: a write may be torn.
	ErrCrash = errors.New("crashed")
)

// A Faulty is a file system of which one call fails. It counts the calls of FS and File alike, in the order in which they come.
type Faulty struct {
	under FS
	n     int64
	fault error
	calls atomic.Int64
}

// NewFaulty returns a file system that fails the n-th call to under, counted from 1, with fault: a syscall.Errno, ErrShortWrite or
// ErrCrash. With n = 0 it only counts.
func NewFaulty(under FS, n int, fault error) *Faulty {
	return &Faulty{under: under, n: int64(n), fault: fault}
}

// Calls returns how many calls there were so far.
func (f *Faulty) Calls() int { return int(f.calls.Load()) }

// check counts a call and returns the error with which it must fail, nil if it may go on.
func (f *Faulty) check(op, name string) error {
	n := f.calls.Add(1)
	if f.n == 0 || n < f.n || (n > f.n && !errors.Is(f.fault, ErrCrash)) {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: f.fault}
}

// call is check for what does not write: a short write is nothing to it.
func (f *Faulty) call(op, name string) error {
	if err := f.check(op, name); err != nil && !errors.Is(err, ErrShortWrite) {
		return err
	}
	return nil
}

func (f *Faulty) file(op, name string, open func() (File, error)) (File, error) {
	if err := f.call(op, name); err != nil {
		return nil, err
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f, name: name}, nil
}

// Open is FS.Open, counted.
func (f *Faulty) Open(name string) (File, error) {
	return f.file("open", name, func() (File, error) { return f.under.Open(name) })
}

// Create is FS.Create, counted.
func (f *Faulty) Create(name string, perm fs.FileMode) (File, error) {
	return f.file("create", name, func() (File, error) { return f.under.Create(name, perm) })
}

// Append is FS.Append, counted.
func (f *Faulty) Append(name string, perm fs.FileMode) (File, error) {
	return f.file("append", name, func() (File, error) { return f.under.Append(name, perm) })
}

// ReadFile is FS.ReadFile, counted.
func (f *Faulty) ReadFile(name string) ([]byte, error) {
	if err := f.call("read", name); err != nil {
		return nil, err
	}
	return f.under.ReadFile(name)
}

// ReadDir is FS.ReadDir, counted.
func (f *Faulty) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.call("readdir", name); err != nil {
		return nil, err
	}
	return f.under.ReadDir(name)
}

// Stat is FS.Stat, counted.
func (f *Faulty) Stat(name string) (fs.FileInfo, error) {
	if err := f.call("stat", name); err != nil {
		return nil, err
	}
	return f.under.Stat(name)
}

// Lstat is FS.Lstat, counted.
func (f *Faulty) Lstat(name string) (fs.FileInfo, error) {
	if err := f.call("lstat", name); err != nil {
		return nil, err
	}
	return f.under.Lstat(name)
}

// Readlink is FS.Readlink, counted.
func (f *Faulty) Readlink(name string) (string, error) {
	if err := f.call("readlink", name); err != nil {
		return "", err
	}
	return f.under.Readlink(name)
}

// Rename is FS.Rename, counted.
func (f *Faulty) Rename(from, to string) error {
	if err := f.call("rename", from); err != nil {
		return err
	}
	return f.under.Rename(from, to)
}

// Remove is FS.Remove, counted.
func (f *Faulty) Remove(name string) error {
	if err := f.call("remove", name); err != nil {
		return err
	}
	return f.under.Remove(name)
}

// RemoveAll is FS.RemoveAll, counted.
func (f *Faulty) RemoveAll(name string) error {
	if err := f.call("removeall", name); err != nil {
		return err
	}
	return f.under.RemoveAll(name)
}

// MkdirAll is FS.MkdirAll, counted.
func (f *Faulty) MkdirAll(name string, perm fs.FileMode) error {
	if err := f.call("mkdir", name); err != nil {
		return err
	}
	return f.under.MkdirAll(name, perm)
}

// Symlink is FS.Symlink, counted.
func (f *Faulty) Symlink(target, name string) error {
	if err := f.call("symlink", name); err != nil {
		return err
	}
	return f.under.Symlink(target, name)
}

// Chmod is FS.Chmod, counted.
func (f *Faulty) Chmod(name string, perm fs.FileMode) error {
	if err := f.call("chmod", name); err != nil {
		return err
	}
	return f.under.Chmod(name, perm)
}

// A faultyFile is an open file of a Faulty.
type faultyFile struct {
	File
	fs   *Faulty
	name string
}

func (f *faultyFile) Read(p []byte) (int, error) {
	if err := f.fs.call("read", f.name); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.call("read", f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) Write(p []byte) (int, error) {
	return f.write(p, f.File.Write)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	return f.write(p, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

// write lets a failing write reach the file half-way where that is what the fault does.
func (f *faultyFile) write(p []byte, write func([]byte) (int, error)) (int, error) {
	err := f.fs.check("write", f.name)
	if err == nil {
		return write(p)
	}
	torn := errors.Is(err, ErrShortWrite) || (errors.Is(err, ErrCrash) && int64(f.fs.Calls()) == f.fs.n)
	if !torn {
		return 0, err
	}
	n, werr := write(p[:len(p)/2])
	return n, errors.Join(err, werr)
}

func (f *faultyFile) Seek(offset int64, whence int) (int64, error) {
	if err := f.fs.call("seek", f.name); err != nil {
		return 0, err
	}
	return f.File.Seek(offset, whence)
}

func (f *faultyFile) Stat() (fs.FileInfo, error) {
	if err := f.fs.call("fstat", f.name); err != nil {
		return nil, err
	}
	return f.File.Stat()
}

func (f *faultyFile) Sync() error {
	if err := f.fs.call("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) TryLock() (bool, error) {
	if err := f.fs.call("lock", f.name); err != nil {
		return false, err
	}
	return f.File.TryLock()
}

// Close closes the file even where it fails, as the system does: a crashed process holds no files and no locks.
func (f *faultyFile) Close() error {
	err := f.fs.call("close", f.name)
	return errors.Join(err, f.File.Close())
}
