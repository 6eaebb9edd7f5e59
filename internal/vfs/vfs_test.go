package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// write is a small story of five calls: mkdir, create, write, close, rename.
func write(fsys FS, dir string) error {
	if err := fsys.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	f, err := fsys.Create(filepath.Join(dir, "tmp"), 0o444)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte("content"))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fsys.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, "name"))
	}
	return err
}

func TestEveryCallCanFail(t *testing.T) {
	count := NewFaulty(OS, 0, nil)
	if err := write(count, t.TempDir()); err != nil || count.Calls() != 5 {
		t.Fatalf("%d calls, %v; want 5", count.Calls(), err)
	}
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC, syscall.EMFILE, syscall.EROFS, ErrCrash} {
		for n := 1; n <= 5; n++ {
			dir := filepath.Join(t.TempDir(), "d")
			if err := write(NewFaulty(OS, n, fault), dir); !errors.Is(err, fault) {
				t.Errorf("call %d, %v: err = %v", n, fault, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "name")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("call %d, %v: the file is there: %v", n, fault, err)
			}
		}
	}
}

func TestShortWriteWritesHalf(t *testing.T) {
	dir := t.TempDir()
	if err := write(NewFaulty(OS, 3, ErrShortWrite), dir); !errors.Is(err, ErrShortWrite) {
		t.Errorf("err = %v", err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "tmp")); string(got) != "con" {
		t.Errorf("%q was written", got)
	}
	if err := write(NewFaulty(OS, 1, ErrShortWrite), t.TempDir()); err != nil {
		t.Errorf("a call that does not write fails with a short write: %v", err)
	}
}

func TestNothingWorksAfterACrash(t *testing.T) {
	dir := t.TempDir()
	f := NewFaulty(OS, 2, ErrCrash)
	for range 3 {
		if err := f.MkdirAll(filepath.Join(dir, "a"), 0o777); err != nil && f.Calls() == 1 {
			t.Fatal(err)
		}
	}
	if _, err := f.Stat(dir); !errors.Is(err, ErrCrash) {
		t.Errorf("err = %v", err)
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	f, err := OS.Create(name, 0o444)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := OS.Create(name, 0o444); !errors.Is(err, fs.ErrExist) {
		t.Errorf("err = %v", err)
	}
	if _, err := f.Write([]byte("read-only for others")); err != nil {
		t.Error(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, []byte("read-only for others")) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestALockIsForOne(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	a, err := OS.Create(name, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := a.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	b, err := OS.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if ok, err := b.TryLock(); ok || err != nil {
		t.Errorf("two have it: %v, %v", ok, err)
	}
	a.Close()
	if ok, err := b.TryLock(); !ok || err != nil {
		t.Errorf("nobody has it, but: %v, %v", ok, err)
	}
}
