// Package checkout puts trees of the store on the disk and takes directories into the store. Write copies a tree to a new place;
// Shared keeps one copy of a tree for many readers, and notices when somebody changed it; Capture stores a directory. What is
// written is always a copy: no file shares an inode with a blob, so nothing that is done to it can reach the store.
package checkout

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cbuild/cas"
)

// Epoch is the modification time of everything that is written, so that no action can tell when it was.
var Epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Write writes the tree root to the directory dir, which is created if it does not exist. Files are 0644 or 0755, directories
// 0755, their modification times are the Epoch.
func Write(ctx context.Context, s cas.Store, root cas.Digest, dir string) error {
	w := &writer{ctx: ctx, store: s}
	return w.write(root, dir)
}

// writer writes a tree; if files is not nil, others write the files.
type writer struct {
	ctx   context.Context
	store cas.Store
	files chan<- fileJob
	dirs  []string
}

type fileJob struct {
	digest     cas.Digest
	executable bool
	path       string
}

func (w *writer) write(root cas.Digest, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	w.dirs = append(w.dirs, dir)
	for e, err := range cas.Walk(w.ctx, w.store, root) {
		if err == nil {
			err = w.entry(e, filepath.Join(dir, filepath.FromSlash(e.Path)))
		}
		if err != nil {
			return err
		}
	}
	if w.files == nil {
		return w.age()
	}
	return nil
}

func (w *writer) entry(e cas.Entry, path string) error {
	switch e.Kind {
	case cas.DirEntry:
		w.dirs = append(w.dirs, path)
		return os.Mkdir(path, 0o755)
	case cas.SymlinkEntry:
		return os.Symlink(e.Target, path)
	}
	if w.files == nil {
		return File(w.ctx, w.store, e.Digest, e.Executable, path)
	}
	select {
	case w.files <- fileJob{e.Digest, e.Executable, path}:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// age sets the modes and times of the directories, the innermost first, after everything in them is written.
func (w *writer) age() error {
	for i := len(w.dirs) - 1; i >= 0; i-- {
		if err := os.Chmod(w.dirs[i], 0o755); err != nil {
			return err
		}
		if err := os.Chtimes(w.dirs[i], Epoch, Epoch); err != nil {
			return err
		}
	}
	return nil
}

// File writes the blob d to a new file at path; the error wraps fs.ErrExist if there is one already.
func File(ctx context.Context, s cas.Store, d cas.Digest, executable bool, path string) error {
	r, err := s.Open(ctx, d)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	if executable {
		err = program(path, r)
	} else {
		err = create(path, 0o644, r)
	}
	if cerr := r.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("%s: %w", filepath.Base(path), cerr) // the content is checked on the way
	}
	if err != nil {
		return err
	}
	return os.Chtimes(path, Epoch, Epoch)
}

// create makes the file at path with this mode, whatever our umask is, and the content of r.
func create(path string, mode fs.FileMode, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Chmod(mode)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// writeParallel is Write with several files at a time, for large trees.
func writeParallel(ctx context.Context, s cas.Store, root cas.Digest, dir string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	files := make(chan fileJob, 64)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for f := range files {
				if err := File(ctx, s, f.digest, f.executable, f.path); err != nil {
					cancel(err)
				}
			}
		})
	}
	w := &writer{ctx: ctx, store: s, files: files}
	err := w.write(root, dir)
	close(files)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	return w.age()
}

// Remove removes dir and everything in it, also what was made unwritable.
func Remove(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
