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

	"cbuild/cas"
)

// ErrContent is wrapped by the errors of Capture that say that a directory holds what a tree can't.
var ErrContent = errors.New("not storable")

// Capture stores the directory dir as a tree and returns its digest. Symbolic links are kept as they are if they stay inside dir;
// others, and files that are neither regular nor directories, are an error.
func Capture(ctx context.Context, s cas.Store, dir string) (cas.Digest, error) {
	var entries []cas.Entry
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		e := cas.Entry{Path: filepath.ToSlash(p[len(dir)+1:])}
		switch d.Type() {
		case 0:
			e.Digest, e.Executable, err = CaptureFile(ctx, s, p)
		case fs.ModeDir:
			e.Kind = cas.DirEntry
		case fs.ModeSymlink:
			e.Kind = cas.SymlinkEntry
			e.Target, err = os.Readlink(p)
			if err == nil && leaves(e.Path, e.Target) {
				err = fmt.Errorf("%w: %s is a link to %s, outside the directory", ErrContent, e.Path, e.Target)
			}
		default:
			err = fmt.Errorf("%w: %s is neither a regular file nor a directory", ErrContent, e.Path)
		}
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return cas.Digest{}, err
	}
	return cas.PutTree(ctx, s, entries)
}

// CaptureFile stores the regular file at path. It does not follow a symbolic link.
func CaptureFile(ctx context.Context, s cas.Store, path string) (d cas.Digest, executable bool, err error) {
	f, err := openNoFollow(path)
	if err != nil {
		return d, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return d, false, err
	}
	if !info.Mode().IsRegular() {
		return d, false, fmt.Errorf("%w: %s is not a regular file", ErrContent, filepath.Base(path))
	}
	d, err = s.Put(ctx, f)
	return d, info.Mode()&0o100 != 0, err
}

// leaves reports whether a link at p to target leads out of the tree.
func leaves(p, target string) bool {
	if path.IsAbs(target) {
		return true
	}
	to := path.Join(path.Dir(p), target)
	return to == ".." || strings.HasPrefix(to, "../")
}

// openNoFollow opens the file at path unless it is a symbolic link. It never waits, as opening a FIFO would.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|noFollow, 0)
}
