package checkout

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"cbuild/cas"
)

// Shared keeps one copy of each tree for many readers of this machine, several processes included. Nothing keeps a reader from
// changing it, so a copy is compared with what was written when it is first used, and again when the build ends. Who writes a copy
// holds the lock of its tree, so that nobody takes away what another one has just begun to use.
type Shared struct {
	store cas.Store
	dir   string
	tidy  sync.Once

	mu    sync.Mutex
	trees map[cas.Digest]*sharedTree // guarded by mu
}

type sharedTree struct {
	once sync.Mutex
	path string // guarded by once; set when it is ready
	sum  string // guarded by once; the manifest of what is used
}

// NewShared keeps its copies in the directory dir.
func NewShared(s cas.Store, dir string) *Shared {
	return &Shared{store: s, dir: dir, trees: make(map[cas.Digest]*sharedTree)}
}

// Dir returns the directory below which all copies are: that of a tree has the name of its digest in hexadecimal.
func (s *Shared) Dir() string { return s.dir }

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
	if err := ctx.Err(); err != nil {
		return "", err // after waiting for somebody who got no further
	}
	path := s.path(root)
	sum, ok := intact(path)
	if !ok {
		var err error
		if sum, err = s.replace(ctx, root, path); err != nil {
			return "", fmt.Errorf("cannot check out %v: %w", root, err)
		}
	}
	t.path, t.sum = path, sum
	return path, nil
}

func (s *Shared) path(root cas.Digest) string { return filepath.Join(s.dir, root.Hex()) }

// lockPoll is how often a process looks whether another one has finished writing a copy.
const lockPoll = 20 * time.Millisecond

// replace writes a new copy and puts it in the place path, unless another process does so meanwhile. It returns the copy's manifest.
// A crash leaves a copy without a manifest, which counts as changed, or a directory that is removed by the next who comes.
func (s *Shared) replace(ctx context.Context, root cas.Digest, path string) (sum string, err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return "", err
	}
	s.tidy.Do(s.sweep)
	lock := flock.New(path + ".lock")
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return "", err
	}
	defer lock.Close()
	if sum, ok := intact(path); ok {
		return sum, nil
	}
	tmp := path + newSuffix
	if err := Remove(tmp); err != nil {
		return "", err
	}
	defer Remove(tmp)
	tree := filepath.Join(tmp, "tree")
	if err := writeParallel(ctx, s.store, root, tree); err != nil {
		return "", err
	}
	if err := os.Remove(path + ".sum"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	// Whoever still uses the old copy loses it: it is changed, so the results are withdrawn when that build ends.
	if err := os.Rename(path, filepath.Join(tmp, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.Rename(tree, path); err != nil {
		return "", err
	}
	if sum, err = manifest(path); err != nil {
		return "", err
	}
	return sum, os.WriteFile(path+".sum", []byte(sum), 0o644)
}

// newSuffix is the end of the names of copies that are being written. Only who holds the tree's lock makes or removes one.
const newSuffix = ".tmp"

// sweep removes what processes left that were killed while they wrote copies.
func (s *Shared) sweep() {
	left, _ := filepath.Glob(filepath.Join(s.dir, "*"+newSuffix))
	for _, tmp := range left {
		lock := flock.New(strings.TrimSuffix(tmp, newSuffix) + ".lock")
		if free, err := lock.TryLock(); err == nil && free {
			Remove(tmp)
			lock.Close()
		}
	}
}

// Changed compares every copy that was used with what was there at its first use, and returns those that were changed. They are
// written anew at the next use.
func (s *Shared) Changed() []cas.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []cas.Digest
	for root, t := range s.trees {
		t.once.Lock()
		path, sum := t.path, t.sum
		t.once.Unlock()
		if path == "" {
			continue
		}
		if now, err := manifest(path); err == nil && now == sum {
			continue
		}
		changed = append(changed, root)
		delete(s.trees, root)
		// Not if another process has replaced it meanwhile. And not the copy itself: others may use it now.
		if _, ok := intact(path); !ok {
			os.Remove(path + ".sum")
		}
	}
	return changed
}

// intact returns the manifest of the copy at path, and whether the copy is as it was written.
func intact(path string) (sum string, ok bool) {
	want, err := os.ReadFile(path + ".sum")
	if err != nil {
		return "", false
	}
	sum, err = manifest(path)
	return sum, err == nil && sum == string(want)
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
