package main

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
)

// breakage is why the store takes no more blobs: the build then ends in good order, for whatever it did now would be lost.
type breakage struct {
	mu   sync.Mutex
	err  error  // guarded by mu
	stop func() // guarded by mu
}

// set notes the reason, and stops the build.
func (b *breakage) set(err error) {
	b.mu.Lock()
	b.err = err
	stop := b.stop
	b.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// then says how the build is stopped.
func (b *breakage) then(stop func()) {
	b.mu.Lock()
	b.stop = stop
	broken := b.err != nil
	b.mu.Unlock()
	if broken {
		stop()
	}
}

func (b *breakage) get() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// storeTrouble says what is wrong with a store that takes no more blobs, and what to do.
func (r *run) storeTrouble(err error) string {
	const kept = "Stopped cleanly; finished results are kept. "
	dir := r.store.Dir()
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		free, used := freeBytes(dir), r.store.Estimate()
		what := "No space left in the store"
		if errors.Is(err, syscall.EDQUOT) {
			what = "The disk quota of the store is used up"
		}
		return fmt.Sprintf("%s (%s free, %s used by the store)\n%sFree space: cbuild cas gc --keep %s", what, sizeText(free), sizeText(used), kept, keepText(used*2/3))
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("The store %s can't be written any more: %v\n%sTake another one with --cas, or make this one writable.", dir, root(err), kept)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Sprintf("Too many open files\n%sRaise the limit (ulimit -n), or run fewer actions at a time with -j.", kept)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.ENOTCONN):
		return fmt.Sprintf("The store %s is gone: %v\n%sMount it again, then run the same command.", dir, root(err), kept)
	}
	return fmt.Sprintf("The store %s fails: %v\n%sLook at the disk, then run the same command.", dir, root(err), kept)
}

// root returns the error of the system inside err, or err.
func root(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// keepText is a size that gc takes.
func keepText(n int64) string {
	for _, u := range units {
		if n >= u.bytes {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return "0"
}

// freeBytes is the room of the file system of dir for us.
func freeBytes(dir string) int64 {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return 0
	}
	return int64(uint64(st.Bsize) * st.Bavail)
}
