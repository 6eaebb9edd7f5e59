package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"cbuild/cas"
	"cbuild/internal/vfs"
)

// ignored are names that no directory input takes along.
var ignored = map[string]bool{"BUILD.lock.hcl": true, "BUILD.lock.d": true, "cbuild-out": true, ".git": true, ".cbuild.hcl": true}

// tree stores the directory rel.
func (s *Sources) tree(ctx context.Context, rel string) (cas.Digest, error) {
	var entries []cas.Entry
	if err := s.collect(ctx, rel, "", &entries); err != nil {
		return cas.Digest{}, err
	}
	return cas.PutTree(ctx, s.store, entries)
}

// collect adds what is in the directory rel, which has the path prefix in the tree.
func (s *Sources) collect(ctx context.Context, rel, prefix string, entries *[]cas.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	list, err := s.fs.ReadDir(s.abs(rel))
	if err != nil {
		return err
	}
	for _, d := range list {
		if ignored[d.Name()] {
			continue
		}
		at := path.Join(rel, d.Name())
		if err := checkName(d.Name()); err != nil {
			return fmt.Errorf("%s: %w", rel, err)
		}
		e := cas.Entry{Path: prefix + d.Name()}
		keep := true
		switch d.Type() {
		case fs.ModeDir:
			e.Kind = cas.DirEntry
			keep, err = s.subdir(ctx, at, e.Path+"/", entries)
		case fs.ModeSymlink:
			e.Kind = cas.SymlinkEntry
			e.Target, err = s.link(rel, at)
		case 0:
			var fi fs.FileInfo
			if fi, err = d.Info(); err == nil {
				e.Digest, e.Executable, err = s.file(ctx, at, fi)
			}
		default:
			err = fmt.Errorf("%s: a %v can't be an input", at, d.Type())
		}
		if err != nil {
			return err
		}
		if keep {
			*entries = append(*entries, e)
		}
	}
	return nil
}

// subdir collects a directory unless it is a package of its own.
func (s *Sources) subdir(ctx context.Context, rel, prefix string, entries *[]cas.Entry) (keep bool, err error) {
	is, err := s.isPackage(rel)
	if err != nil || is {
		return false, err
	}
	return true, s.collect(ctx, rel, prefix, entries)
}

// link returns the target of the symlink at in the directory rel.
func (s *Sources) link(rel, at string) (string, error) {
	target, err := s.fs.Readlink(s.abs(at))
	if err != nil {
		return "", err
	}
	if path.IsAbs(target) || leaves(path.Join(rel, target)) {
		return "", fmt.Errorf("the symlink %q to %q leaves the workspace", at, target)
	}
	return target, nil
}

func leaves(rel string) bool {
	return rel == ".." || len(rel) > 2 && rel[:3] == "../"
}

// file stores the file rel, which looked like fi a moment ago. If the table knows it, it is not read.
func (s *Sources) file(ctx context.Context, rel string, fi fs.FileInfo) (cas.Digest, bool, error) {
	if !fi.Mode().IsRegular() {
		return cas.Digest{}, false, fmt.Errorf("%s: neither a file nor a directory", rel)
	}
	name := s.abs(rel)
	if d, ok := s.table.lookup(name, stampOf(fi)); ok && !s.fresh {
		missing, err := s.store.Missing(ctx, []cas.Digest{d})
		if err != nil || len(missing) == 0 {
			return d, executable(fi), err
		}
	}
	for range 3 {
		d, exec, err := s.hash(ctx, name)
		if !errors.Is(err, errChanging) {
			return d, exec, err
		}
	}
	return cas.Digest{}, false, fmt.Errorf("%s: %w", rel, errChanging)
}

func executable(fi fs.FileInfo) bool { return fi.Mode()&0o100 != 0 }

var errChanging = errors.New("it is being written: stop what writes it and build again")

// hash stores the file name, all from one descriptor, and makes sure that it did not change meanwhile.
func (s *Sources) hash(ctx context.Context, name string) (d cas.Digest, exec bool, err error) {
	f, err := s.fs.Open(name)
	if err != nil {
		return d, false, err
	}
	defer f.Close() // nothing was written
	before, err := regular(f)
	if err != nil {
		return d, false, err
	}
	if d, err = s.store.Put(ctx, f); err != nil {
		return d, false, err
	}
	after, err := regular(f)
	if err != nil {
		return d, false, err
	}
	if stampOf(before) != stampOf(after) || d.Size != after.Size() {
		return cas.Digest{}, false, errChanging
	}
	s.table.add(name, stampOf(after), d)
	return d, executable(after), nil
}

func regular(f vfs.File) (fs.FileInfo, error) {
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a file any more", fi.Name())
	}
	return fi, err
}
