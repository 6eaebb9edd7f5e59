package checkout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"cbuild/cas"
)

// ErrContent is wrapped by the errors of Capture that say that a directory holds what a tree can't.
var ErrContent = errors.New("not storable")

// Capture stores the directory dir as a tree and returns its digest. Symbolic links are kept as they are if they stay inside dir;
// others, names that a tree can't have, and files that are neither regular nor directories, are an error that wraps ErrContent. What
// its owner may not read is made readable.
func Capture(ctx context.Context, s cas.Store, dir string) (cas.Digest, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrPermission) && os.Chmod(dir, 0o700) == nil {
		root, err = os.OpenRoot(dir)
	}
	if err != nil {
		return cas.Digest{}, err
	}
	defer root.Close()
	c := &capture{ctx: ctx, store: s, root: root}
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case p == dir:
			return readable(p, d)
		}
		return c.entry(p, filepath.ToSlash(p[len(dir)+1:]), d)
	})
	if errors.Is(err, syscall.ENAMETOOLONG) {
		err = fmt.Errorf("%w: a path in it is longer than the system takes", ErrContent)
	}
	if err != nil {
		return cas.Digest{}, err
	}
	return cas.PutTree(ctx, s, c.entries)
}

// capture is a directory on its way into the store.
type capture struct {
	ctx     context.Context
	store   cas.Store
	root    *os.Root
	entries []cas.Entry
}

// entry takes what stands at p, whose path in the directory is name.
func (c *capture) entry(p, name string, d fs.DirEntry) (err error) {
	if err := cas.CheckName(d.Name()); err != nil {
		return fmt.Errorf("%w: %w", ErrContent, err)
	}
	if len(name) > cas.MaxPath {
		return fmt.Errorf("%w: the path %.40q… has %d bytes", ErrContent, name, len(name))
	}
	e := cas.Entry{Path: name}
	switch d.Type() {
	case 0:
		e.Digest, e.Executable, err = CaptureFile(c.ctx, c.store, p)
	case fs.ModeDir:
		e.Kind = cas.DirEntry
		err = readable(p, d)
	case fs.ModeSymlink:
		e.Kind = cas.SymlinkEntry
		if e.Target, err = os.Readlink(p); err == nil && c.leaves(name, e.Target) {
			err = fmt.Errorf("%w: %s is a link to %s, outside the directory", ErrContent, name, e.Target)
		}
	default:
		err = fmt.Errorf("%w: %s is neither a regular file nor a directory", ErrContent, name)
	}
	c.entries = append(c.entries, e)
	return err
}

// readable makes the directory at p one that can be walked.
func readable(p string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil || info.Mode()&0o500 == 0o500 {
		return err
	}
	return os.Chmod(p, 0o700)
}

// CaptureFile stores the regular file at path. It does not follow a symbolic link. A file that its owner may not read is made
// readable.
func CaptureFile(ctx context.Context, s cas.Store, path string) (d cas.Digest, executable bool, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return d, false, err
	}
	if !info.Mode().IsRegular() {
		return d, false, fmt.Errorf("%w: %s is not a regular file", ErrContent, filepath.Base(path))
	}
	f, err := openNoFollow(path)
	if errors.Is(err, fs.ErrPermission) && os.Chmod(path, 0o600) == nil {
		f, err = openNoFollow(path)
	}
	if err != nil {
		return d, false, err
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		return d, false, fmt.Errorf("%s was replaced while it was read", filepath.Base(path))
	}
	d, err = s.Put(ctx, f)
	return d, info.Mode()&0o100 != 0, err
}

// leaves reports whether the link at p to target leads out of the directory: as it is written, or through other links. One to
// nothing, or in a circle, does not.
func (c *capture) leaves(p, target string) bool {
	if path.IsAbs(target) {
		return true
	}
	to := path.Join(path.Dir(p), target)
	if to == ".." || strings.HasPrefix(to, "../") {
		return true
	}
	_, err := c.root.Stat(p)
	var errno syscall.Errno
	return err != nil && !errors.As(err, &errno) // an error that is not the system's: os.Root refused the path
}

// openNoFollow opens the file at path unless it is a symbolic link. It never waits, as opening a FIFO would.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|noFollow, 0)
}
