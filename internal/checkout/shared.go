package checkout

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"cbuild/cas"
)

// Shared keeps one copy of each tree for many readers of this machine, several processes included. Nothing keeps a reader from
// changing it, so a copy is compared with what was written when it is first used, and again when the build ends.
type Shared struct {
	store cas.Store
	dir   string

	mu    sync.Mutex
	trees map[cas.Digest]*sharedTree // guarded by mu
}

type sharedTree struct {
	once sync.Mutex
	path string // set when it is ready
}

// NewShared keeps its copies in the directory dir.
func NewShared(s cas.Store, dir string) *Shared {
	return &Shared{store: s, dir: dir, trees: make(map[cas.Digest]*sharedTree)}
}

// Tree returns the directory that holds a copy of the tree root. Callers must not write to it.
func (s *Shared) Tree(ctx context.Context, root cas.Digest) (string, error) {
	s.mu.Lock()
	t := s.trees[root]
	if t == nil {
		t = &sharedTree{}
		s.trees[root] = t
	}
	s.mu.Unlock()

	t.once.Lock()
	defer t.once.Unlock()
	if t.path != "" {
		return t.path, nil
	}
	path := s.path(root)
	if !intact(path) {
		if err := s.replace(ctx, root, path); err != nil {
			return "", err
		}
	}
	t.path = path
	return path, nil
}

func (s *Shared) path(root cas.Digest) string { return filepath.Join(s.dir, root.Hex()) }

// replace writes a new copy beside path and puts it in its place. Another process may do the same at the same time: the copies are
// equal, and who comes second uses the first one.
func (s *Shared) replace(ctx context.Context, root cas.Digest, path string) error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(s.dir, "new-")
	if err != nil {
		return err
	}
	defer Remove(tmp)
	tree := filepath.Join(tmp, "tree")
	if err := writeParallel(ctx, s.store, root, tree); err != nil {
		return fmt.Errorf("cannot check out %v: %w", root, err)
	}
	if !intact(path) {
		// Whoever still uses the old copy keeps its files; it is changed, so its results are withdrawn when it ends.
		old := filepath.Join(tmp, "old")
		if err := os.Rename(path, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		os.Remove(path + ".sum")
		if err := os.Rename(tree, path); err != nil && !intact(path) {
			return err
		}
	}
	sum, err := manifest(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path+".sum", []byte(sum), 0o644)
}

// Changed compares every copy that was used with what was written, removes those that were changed, and returns them.
func (s *Shared) Changed() []cas.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []cas.Digest
	for root, t := range s.trees {
		if t.path != "" && !intact(t.path) {
			changed = append(changed, root)
			os.Remove(t.path + ".sum")
			Remove(t.path)
			delete(s.trees, root)
		}
	}
	return changed
}

// intact reports whether the copy at path is as it was written.
func intact(path string) bool {
	want, err := os.ReadFile(path + ".sum")
	if err != nil {
		return false
	}
	got, err := manifest(path)
	return err == nil && got == string(want)
}

// manifest digests what the file system says about everything below dir: names, sizes, modes, inodes and times.
func manifest(dir string) (string, error) {
	var buf []byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		buf = binary.AppendUvarint(buf, uint64(len(path)-len(dir)))
		buf = append(buf, path[len(dir):]...)
		buf = binary.AppendVarint(buf, info.Size())
		buf = binary.AppendUvarint(buf, uint64(info.Mode()))
		if path == dir {
			return nil // renaming a directory changes its own times
		}
		for _, n := range fileIdentity(info) {
			buf = binary.AppendVarint(buf, n)
		}
		return nil
	})
	return cas.Of(buf).String(), err
}
