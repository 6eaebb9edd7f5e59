// Package watch says which files change. Open watches all directories below one, and single files elsewhere; Next waits until something
// changed and things have been quiet for a moment. It looks at names only, never into files, and decides nothing about what a change
// means. What changes while nobody waits in Next is kept by the system, and given to the next call.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A burst of changes ends when nothing has changed for quiet, and at the latest most after its first one.
const (
	quiet = 100 * time.Millisecond
	most  = time.Second
)

// Options say what to watch. All paths are absolute.
type Options struct {
	// Root is the directory all of which is watched.
	Root string
	// Files are watched, too, wherever they are; they need not exist.
	Files []string
	// Ignore reports whether a file or directory below the root is left out, with everything below it. It is called from Open and Next.
	Ignore func(path string) bool
}

// A Watcher watches files. Its methods are called one at a time. The caller closes it.
type Watcher struct {
	opts   Options
	fs     *fsnotify.Watcher
	events <-chan fsnotify.Event
	errors <-chan error
	dirs   map[string]int // what is watched below the root → how many files are in it
}

// A LimitError says that the machine does not let a process watch as many directories as there are.
type LimitError struct {
	// Setting is the name of the limit, for sysctl.
	Setting string
	// Dirs is how many directories are watched already.
	Dirs int
	Err  error
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("after %d directories: %v (%s)", e.Dirs, e.Err, e.Setting)
}
func (e *LimitError) Unwrap() error { return e.Err }

// ErrGone means that the root is no longer there.
var ErrGone = errors.New("the directory that was watched is gone")

// Open begins to watch. What changes from then on is told by Next.
func Open(o Options) (*Watcher, error) {
	w := &Watcher{opts: o}
	if err := w.begin(); err != nil {
		return nil, err
	}
	return w, nil
}

// begin watches everything, and nothing that was watched before.
func (w *Watcher) begin() error {
	if err := w.Close(); err != nil {
		return err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		if errors.Is(err, syscall.EMFILE) {
			return &LimitError{"fs.inotify.max_user_instances", 0, err}
		}
		return err
	}
	w.fs, w.events, w.errors, w.dirs = watcher, watcher.Events, watcher.Errors, make(map[string]int)
	if err = w.add(w.opts.Root); err == nil {
		err = w.arm()
	}
	if err == nil && len(w.dirs) == 0 {
		err = ErrGone
	}
	if err != nil {
		return errors.Join(err, w.Close())
	}
	return nil
}

// Close ends the watch.
func (w *Watcher) Close() error {
	if w.fs == nil {
		return nil
	}
	return w.fs.Close()
}

// Files returns how many files are watched below the root.
func (w *Watcher) Files() (n int) {
	for _, files := range w.dirs {
		n += files
	}
	return n
}

// add watches dir and what is below it. A directory is watched before it is read, so that nothing is missed. What can't be read, or is
// gone already, is left out: nobody else can read it either.
func (w *Watcher) add(dir string) error {
	if err := w.watch(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	w.dirs[dir] = 0
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if w.opts.Ignore(path) {
			continue
		}
		if !e.IsDir() {
			w.dirs[dir]++
			continue
		}
		if err := w.add(path); err != nil {
			return err
		}
	}
	return nil
}

// watch begins to watch one directory, if it is there.
func (w *Watcher) watch(dir string) error {
	err := w.fs.Add(dir)
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return &LimitError{"fs.inotify.max_user_watches", len(w.dirs), err}
	case errors.Is(err, syscall.EMFILE): // where each file that is watched is an open one
		return &LimitError{"kern.maxfilesperproc", len(w.dirs), err}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR):
		return nil
	}
	return err
}

// forget ends to watch dir and what is below it, under these names.
func (w *Watcher) forget(dir string) {
	for d := range w.dirs {
		if d == dir || isBelow(d, dir) {
			_ = w.fs.Remove(d) // a directory that was removed is not watched any more
			delete(w.dirs, d)
		}
	}
}

// arm watches the directories of single files, or the nearest ones upwards that are there.
func (w *Watcher) arm() error {
	for _, file := range w.opts.Files {
		dir := filepath.Dir(file)
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				break
			}
		}
		if _, known := w.dirs[dir]; known {
			continue
		}
		if err := w.watch(dir); err != nil {
			return err
		}
	}
	return nil
}

// Next waits for changes and returns the paths that changed, sorted; the root stands for more than could be followed. The error is that of
// ctx, wraps ErrGone, or is a *LimitError if directories came that can't be watched.
func (w *Watcher) Next(ctx context.Context) ([]string, error) {
	for {
		changes, err := w.gather(ctx)
		if err != nil {
			return nil, err
		}
		if paths, err := w.settle(changes); err != nil || len(paths) > 0 {
			return paths, err
		}
	}
}

// A burst is what changed in one go: path → whether it was not there before.
type burst map[string]bool

// gather waits for a burst, and for its end.
func (w *Watcher) gather(ctx context.Context) (burst, error) {
	changes := make(burst)
	end, latest := newTimer(), newTimer()
	defer end.Stop()
	defer latest.Stop()
	for {
		before := len(changes)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case e := <-w.events:
			if !w.concerns(e.Name) {
				continue
			}
			if err := w.take(e, changes); err != nil {
				return nil, err
			}
		case err := <-w.errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return nil, err
			}
			changes[w.opts.Root] = false
			if err := w.begin(); err != nil {
				return nil, err
			}
		case <-end.C:
			return changes, nil
		case <-latest.C:
			return changes, nil
		}
		end.Reset(quiet)
		if before == 0 {
			latest.Reset(most)
		}
	}
}

// newTimer returns a timer that has to be set.
func newTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// take notes an event, and watches what came with it.
func (w *Watcher) take(e fsnotify.Event, changes burst) error {
	if _, known := changes[e.Name]; !known {
		changes[e.Name] = e.Has(fsnotify.Create)
	}
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		w.forget(e.Name)
	}
	if !e.Has(fsnotify.Create) || !w.below(e.Name) {
		return nil
	}
	if info, err := os.Lstat(e.Name); err != nil || !info.IsDir() {
		return nil //nolint:nilerr // it is gone again
	}
	return w.add(e.Name)
}

// below reports whether path is the root or below it.
func (w *Watcher) below(path string) bool {
	return path == w.opts.Root || isBelow(path, w.opts.Root)
}

func isBelow(path, dir string) bool { return strings.HasPrefix(path, dir+string(filepath.Separator)) }

// concerns reports whether a change of path is to be told: it is below the root and not ignored, or one of the single files, or a directory
// above one.
func (w *Watcher) concerns(path string) bool {
	if path == "" {
		return false // what fsnotify keeps to itself
	}
	if w.below(path) && !w.opts.Ignore(path) {
		return true
	}
	return slices.ContainsFunc(w.opts.Files, func(f string) bool {
		return f == path || isBelow(f, path)
	})
}

// settle returns the paths of a burst that say something now that it is over: what came and went does not.
func (w *Watcher) settle(changes burst) (paths []string, err error) {
	if _, err := os.Lstat(w.opts.Root); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrGone, w.opts.Root)
	}
	if _, watched := w.dirs[w.opts.Root]; !watched { // another one of this name has come
		if err := w.begin(); err != nil {
			return nil, err
		}
	}
	if err := w.arm(); err != nil {
		return nil, err
	}
	for path, created := range changes {
		w.count(filepath.Dir(path))
		switch {
		case created && !exists(path):
		case w.below(path), slices.Contains(w.opts.Files, path):
			paths = append(paths, path)
		default: // it is above single files, which may have come with it
			for _, f := range w.opts.Files {
				if isBelow(f, path) && exists(f) {
					paths = append(paths, f)
				}
			}
		}
	}
	slices.Sort(paths)
	news := ""
	paths = slices.DeleteFunc(slices.Compact(paths), func(path string) bool {
		if news != "" && isBelow(path, news) {
			return true // it came with its directory
		}
		if changes[path] {
			news = path
		}
		return false
	})
	return paths, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// count counts the files in a directory that is watched anew.
func (w *Watcher) count(dir string) {
	if _, watched := w.dirs[dir]; !watched {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it is gone, which is an event of its own
	}
	w.dirs[dir] = 0
	for _, e := range entries {
		if !e.IsDir() && !w.opts.Ignore(filepath.Join(dir, e.Name())) {
			w.dirs[dir]++
		}
	}
}
