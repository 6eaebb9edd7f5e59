// Package checkout puts trees of the store on the disk and takes directories into the store. Write copies a tree to a new place;
// Shared keeps one copy of a tree for many readers, and notices when somebody changed it; Capture stores a directory. What is
// written is always a copy: no file shares an inode with a blob, so nothing that is done to it can reach the store.
package checkout

import (
	"context"
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
	w := NewWriter(s, Ours)
	defer w.Close()
	return w.Tree(ctx, root, dir)
}

// File writes the blob d to a new file at path; the error wraps fs.ErrExist if there is one already.
func File(ctx context.Context, s cas.Store, d cas.Digest, executable bool, path string) error {
	w := NewWriter(s, Ours)
	defer w.Close()
	return w.File(ctx, d, executable, path)
}

// Tree writes the tree root to the directory dir, as Write does.
func (w *Writer) Tree(ctx context.Context, root cas.Digest, dir string) error {
	t := &treeWriter{Writer: w, file: func(e cas.Entry, path string) error { return w.File(ctx, e.Digest, e.Executable, path) }}
	if err := t.write(ctx, root, dir); err != nil {
		return err
	}
	return t.age()
}

// treeWriter writes a tree; file writes its files, or sees to it that others do.
type treeWriter struct {
	*Writer
	file func(e cas.Entry, path string) error
	dirs []string
}

// write writes all of a tree but what it tells of its directories.
func (t *treeWriter) write(ctx context.Context, root cas.Digest, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	t.dirs = append(t.dirs, dir)
	for e, err := range cas.Walk(ctx, t.store, root) {
		if err == nil {
			err = t.entry(e, filepath.Join(dir, filepath.FromSlash(e.Path)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *treeWriter) entry(e cas.Entry, path string) error {
	switch e.Kind {
	case cas.DirEntry:
		t.dirs = append(t.dirs, path)
		return os.Mkdir(path, 0o755)
	case cas.SymlinkEntry:
		if err := os.Symlink(e.Target, path); err != nil {
			return err
		}
		return t.give(path)
	}
	return t.file(e, path)
}

// give gives what has no descriptor to the user.
func (w *Writer) give(path string) error {
	if w.user == Ours {
		return nil
	}
	return os.Lchown(path, w.user, w.user)
}

// age sets the modes, times and owners of the directories, the innermost first, after everything in them is written.
func (t *treeWriter) age() error {
	for i := len(t.dirs) - 1; i >= 0; i-- {
		if err := os.Chmod(t.dirs[i], 0o755); err != nil {
			return err
		}
		if err := os.Chtimes(t.dirs[i], Epoch, Epoch); err != nil {
			return err
		}
		if err := t.give(t.dirs[i]); err != nil {
			return err
		}
	}
	return nil
}

type fileJob struct {
	cas.Entry
	path string
}

// writeParallel is Write with several files at a time, for large trees.
func writeParallel(ctx context.Context, s cas.Store, root cas.Digest, dir string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	files := make(chan fileJob, 64)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			w := NewWriter(s, Ours)
			defer w.Close()
			for f := range files {
				if err := w.File(ctx, f.Digest, f.Executable, f.path); err != nil {
					cancel(err)
				}
			}
		})
	}
	t := &treeWriter{Writer: NewWriter(s, Ours), file: func(e cas.Entry, path string) error {
		select {
		case files <- fileJob{e, path}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	err := t.write(ctx, root, dir)
	close(files)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	return t.age()
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
