package local

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"cbuild/cas"
)

// toTrash moves a file to trash, where it serves until the next collection.
func (l *Local) toTrash(name string) error {
	to := filepath.Join(l.own, "trash", filepath.Base(name))
	err := l.fs.Rename(name, to)
	if errors.Is(err, fs.ErrNotExist) {
		if err = l.fs.MkdirAll(filepath.Dir(to), 0o777); err == nil {
			err = l.fs.Rename(name, to)
		}
	}
	return err
}

// salvage takes d back from trash, if it is there, and reports whether it was.
func (l *Local) salvage(ctx context.Context, d cas.Digest) bool {
	if mutant == "trash" || l.readOnly || d.Function != cas.BLAKE3 || ctx.Err() != nil {
		return false
	}
	if _, err := l.fs.Stat(filepath.Join(l.own, "trash")); err != nil {
		return false
	}
	for _, f := range forms {
		name := blobIn(l.own, d, f)
		if l.fs.Rename(filepath.Join(l.own, "trash", filepath.Base(name)), name) == nil {
			l.sync.file(name, 0)
			return true
		}
	}
	if l.trash.refresh(false) != nil {
		return false
	}
	pr := probeOf(&d.Hash)
	for _, p := range l.trash.all() {
		e, ok := p.find(&d.Hash, &pr, blobs)
		if !ok || d.Size >= 0 && int64(e.size) != d.Size {
			continue
		}
		if data, err := l.readBlob(p, &d.Hash, e); err == nil {
			_, err = l.putSmall(data)
			return err == nil
		}
	}
	return false
}

// purge deletes what earlier collections moved to trash, and reports how many bytes that frees.
func (l *Local) purge() (freed int64, err error) {
	dir := filepath.Join(l.own, "trash")
	entries, err := l.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, e := range entries {
		if fi, ierr := e.Info(); ierr == nil {
			freed += fi.Size()
		}
		err = errors.Join(err, l.fs.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return freed, err
}

// strays moves indexes without a pack to trash: a collection that was killed leaves them.
func (l *Local) strays() error {
	dir := filepath.Join(l.own, "pack")
	entries, err := l.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	packs := make(map[string]bool)
	for _, e := range entries {
		name := strings.TrimSuffix(strings.TrimSuffix(e.Name(), liveSuffix), packSuffix)
		packs[name] = true
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), indexSuffix); ok && !packs[name] {
			err = errors.Join(err, l.toTrash(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// unpinned is a store whose blobs are only looked at.
type unpinned struct{ *Local }

// Open is cas.Store's.
func (u unpinned) Open(ctx context.Context, d cas.Digest) (io.ReadCloser, error) {
	return u.get(ctx, d)
}
