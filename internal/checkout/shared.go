package checkout

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"cbuild/cas"
)

// Shared keeps one copy of each tree for many readers of this machine, several processes included. Nothing keeps a reader from
// changing it, so a copy is compared with what was written when a process first uses it, and again when the build ends or the copy is removed.
// Copies that nobody uses are kept for the next build, up to a bound: then those go first that were not used for longest.
//
// Who writes or removes a copy holds the lock of its tree, and who uses it shares another one, so that nobody takes away what somebody has just
// begun to use.
type Shared struct {
	store cas.Store
	dir   string
	most  int64 // bytes of what nobody uses
	tidy  sync.Once

	mu      sync.Mutex
	trees   map[string]*sharedTree // guarded by mu; by the digest in hexadecimal
	unused  list.List              // guarded by mu; of *sharedTree, what was not used for longest first
	bytes   int64                  // guarded by mu; what the unused ones take
	changed []cas.Digest           // guarded by mu; of those that were removed
	removed func(cas.Digest)       // guarded by mu
}

type sharedTree struct {
	name string // the digest in hexadecimal

	once sync.Mutex
	root cas.Digest   // guarded by once; zero until this process uses it
	sum  string       // guarded by once; the manifest of what this process has used
	lock *flock.Flock // guarded by once; held by this process while it uses the copy

	users int           // guarded by Shared.mu
	size  int64         // guarded by Shared.mu; bytes
	place *list.Element // guarded by Shared.mu; among the unused
}

// maxUnused is how many bytes of copies are kept that nobody uses.
const maxUnused = 4 << 30

// NewShared keeps its copies in the directory dir.
func NewShared(s cas.Store, dir string) *Shared {
	return &Shared{store: s, dir: dir, most: maxUnused, trees: make(map[string]*sharedTree)}
}

// Dir returns the directory below which all copies are: that of a tree has the name of its digest in hexadecimal.
func (s *Shared) Dir() string { return s.dir }

// Removed has told called with each tree whose copy is removed and was unchanged until then: what used it need not be remembered.
func (s *Shared) Removed(told func(cas.Digest)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = told
}

// Tree returns the directory that holds a copy of the tree root, for as long as this process lives. Callers must not write to it.
func (s *Shared) Tree(ctx context.Context, root cas.Digest) (string, error) {
	dir, _, err := s.Use(ctx, root)
	return dir, err
}

// Use is Tree for a while: until done is called.
func (s *Shared) Use(ctx context.Context, root cas.Digest) (dir string, done func(), err error) {
	s.tidy.Do(s.sweep)
	s.mu.Lock()
	t := s.trees[root.Hex()]
	if t == nil {
		t = &sharedTree{name: root.Hex()}
		s.trees[t.name] = t
	}
	t.users++
	s.takeFromUnused(t)
	s.mu.Unlock()

	t.once.Lock()
	defer t.once.Unlock()
	if err := s.ready(ctx, t, root); err != nil {
		s.leave(t)
		return "", nil, err
	}
	return s.path(t), sync.OnceFunc(func() { s.done(t) }), nil
}

// Has reports whether there is a copy of the tree root, or was one of which Changed will tell. It may turn out to be changed at its next use.
func (s *Shared) Has(root cas.Digest) bool {
	s.tidy.Do(s.sweep)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trees[root.Hex()]
	return t != nil && (t.users > 0 || t.place != nil) || slices.Contains(s.changed, root)
}

func (s *Shared) takeFromUnused(t *sharedTree) {
	if t.place != nil {
		s.unused.Remove(t.place)
		s.bytes -= t.size
		t.place = nil
	}
}

// ready sees to it that there is a copy, and that nobody removes it. T.once is held.
func (s *Shared) ready(ctx context.Context, t *sharedTree, root cas.Digest) error {
	if t.lock != nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err // after waiting for somebody who got no further
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	path := s.path(t)
	lock, err := take(ctx, path+usedSuffix, (*flock.Flock).TryRLockContext)
	if err != nil {
		return err
	}
	sum, ok := t.sum, t.sum != "" && written(path) == t.sum
	if !ok {
		sum, ok = intact(path)
	}
	if !ok {
		if sum, err = s.replace(ctx, root, path); err != nil {
			lock.Close()
			return fmt.Errorf("cannot check out %v: %w", root, err)
		}
	}
	if t.root.IsZero() { // the order in which later processes remove what nobody uses
		now := time.Now()
		_ = os.Chtimes(path+sumSuffix, now, now)
	}
	t.root, t.sum, t.lock = root, sum, lock
	return nil
}

// done is called when a user of t needs it no longer.
func (s *Shared) done(t *sharedTree) {
	t.once.Lock()
	s.leave(t)
	t.once.Unlock()
	for oldest := s.tooMuch(); oldest != nil; oldest = s.tooMuch() {
		s.remove(oldest)
	}
}

// tooMuch takes what was not used for longest from what nobody uses, if that is more than is kept; else it returns nil.
func (s *Shared) tooMuch() *sharedTree {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes <= s.most || s.unused.Len() == 0 {
		return nil
	}
	oldest := s.unused.Front().Value.(*sharedTree)
	s.takeFromUnused(oldest)
	return oldest
}

// leave counts one user less. T.once is held.
func (s *Shared) leave(t *sharedTree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.users--; t.users > 0 {
		return
	}
	if t.lock == nil { // it never came to be, or was changed
		s.forget(t)
		return
	}
	t.lock.Close()
	t.lock = nil
	s.keep(t, sizeIn(t.sum))
}

// forget makes the next use of the tree begin anew. S.mu is held.
func (s *Shared) forget(t *sharedTree) {
	if s.trees[t.name] == t {
		delete(s.trees, t.name)
	}
}

// keep puts t behind all that nobody uses. S.mu is held.
func (s *Shared) keep(t *sharedTree, size int64) {
	t.size = size
	t.place = s.unused.PushBack(t)
	s.bytes += size
}

// remove removes the copy of a tree that nobody uses here. If another process does, it stays.
func (s *Shared) remove(t *sharedTree) {
	t.once.Lock()
	defer t.once.Unlock()
	s.mu.Lock()
	if t.users > 0 || t.place != nil {
		s.mu.Unlock()
		return
	}
	s.forget(t)
	told := s.removed
	s.mu.Unlock()
	path := s.path(t)
	if !t.root.IsZero() {
		if s.same(t) {
			if told != nil {
				told(t.root)
			}
		} else {
			s.mu.Lock()
			s.changed = append(s.changed, t.root)
			s.mu.Unlock()
		}
	}
	write, ok := try(path + lockSuffix)
	if !ok {
		return
	}
	defer write.Close()
	used, ok := try(path + usedSuffix)
	if !ok {
		return
	}
	defer used.Close()
	_ = os.Remove(path + sumSuffix)
	if Remove(path) == nil {
		_ = os.Remove(path + usedSuffix)
		_ = os.Remove(path + lockSuffix)
	}
}

// same reports whether the copy of t is the one that this process has used. T.once is held.
func (s *Shared) same(t *sharedTree) bool {
	now, err := manifest(s.path(t))
	return err == nil && now == t.sum
}

func (s *Shared) path(t *sharedTree) string { return filepath.Join(s.dir, t.name) }

// What is beside a copy.
const (
	sumSuffix  = ".sum"  // its manifest
	lockSuffix = ".lock" // locked by who writes or removes it
	usedSuffix = ".used" // locked by who uses it
	newSuffix  = ".tmp"  // one that is being written; only who holds the tree's lock makes or removes it
)

// lockPoll is how often a process looks whether another one has finished writing a copy.
const lockPoll = 20 * time.Millisecond

// replace writes a new copy and puts it in the place path, unless another process does so meanwhile. It returns the copy's manifest.
// A crash leaves a copy without a manifest, which counts as changed, or a directory that is removed by the next who comes.
func (s *Shared) replace(ctx context.Context, root cas.Digest, path string) (sum string, err error) {
	lock, err := take(ctx, path+lockSuffix, (*flock.Flock).TryLockContext)
	if err != nil {
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
	if err := os.Remove(path + sumSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
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

// take locks the file at path as lock does, once that is possible. Who removes such a file holds its lock, so one that is not there any more
// when it is locked at last is no lock.
func take(ctx context.Context, path string, lock func(*flock.Flock, context.Context, time.Duration) (bool, error)) (*flock.Flock, error) {
	for {
		f := flock.New(path)
		if _, err := lock(f, ctx, lockPoll); err != nil {
			return nil, err
		}
		if there(f, path) {
			return f, nil
		}
		f.Close()
	}
}

// try locks the file at path if nobody else does.
func try(path string) (*flock.Flock, bool) {
	f := flock.New(path)
	free, err := f.TryLock()
	if err == nil && free && there(f, path) {
		return f, true
	}
	f.Close()
	return nil, false
}

func there(f *flock.Flock, path string) bool {
	mine, err := f.Stat()
	now, err2 := os.Stat(path)
	return err == nil && err2 == nil && os.SameFile(mine, now)
}

// sweep removes what processes left that were killed while they wrote copies, and finds the copies that are there.
func (s *Shared) sweep() {
	left, _ := filepath.Glob(filepath.Join(s.dir, "*"+newSuffix))
	for _, tmp := range left {
		if lock, free := try(strings.TrimSuffix(tmp, newSuffix) + lockSuffix); free {
			Remove(tmp)
			lock.Close()
		}
	}
	type copied struct {
		name string
		used time.Time
		size int64
	}
	var all []copied
	sums, _ := filepath.Glob(filepath.Join(s.dir, "*"+sumSuffix))
	for _, sum := range sums {
		path := strings.TrimSuffix(sum, sumSuffix)
		if info, err := os.Stat(sum); err == nil {
			all = append(all, copied{filepath.Base(path), info.ModTime(), sizeIn(written(path))})
		}
	}
	slices.SortFunc(all, func(x, y copied) int { return x.used.Compare(y.used) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range all {
		t := &sharedTree{name: c.name}
		s.trees[t.name] = t
		s.keep(t, c.size)
	}
}

// Changed compares every copy that was used with what was there at its first use, and returns those that were changed. They are
// written anew at the next use.
func (s *Shared) Changed() []cas.Digest {
	s.mu.Lock()
	changed := s.changed
	s.changed = nil
	var all []*sharedTree
	for _, t := range s.trees {
		all = append(all, t)
	}
	s.mu.Unlock()
	for _, t := range all {
		if root, is := s.check(t); is {
			changed = append(changed, root)
		}
	}
	return changed
}

// check reports whether the copy of t, which this process has used, was changed. The next use begins anew then.
func (s *Shared) check(t *sharedTree) (root cas.Digest, changed bool) {
	t.once.Lock()
	defer t.once.Unlock()
	if t.root.IsZero() || s.same(t) {
		return t.root, false
	}
	s.mu.Lock()
	s.forget(t)
	s.takeFromUnused(t)
	s.mu.Unlock()
	if t.lock != nil {
		t.lock.Close()
		t.lock = nil
	}
	// Not if another process has replaced it meanwhile. And not the copy itself: others may use it now.
	if path := s.path(t); !is(intact(path)) {
		os.Remove(path + sumSuffix)
	}
	return t.root, true
}

func is(_ string, ok bool) bool { return ok }

// written returns the manifest that was written beside the copy at path.
func written(path string) string {
	sum, _ := os.ReadFile(path + sumSuffix)
	return string(sum)
}

// intact returns the manifest of the copy at path, and whether the copy is as it was written.
func intact(path string) (sum string, ok bool) {
	want := written(path)
	if want == "" {
		return "", false
	}
	sum, err := manifest(path)
	return sum, err == nil && sum == want
}

// sizeIn returns how many bytes a copy takes, as its manifest says.
func sizeIn(sum string) int64 {
	_, size, _ := strings.Cut(sum, " ")
	n, _ := strconv.ParseInt(size, 10, 64)
	return n
}

// blockSize is what files are assumed to be multiples of, in bytes.
const blockSize = 4096

// manifest digests what the file system says about everything below dir: names, sizes, modes, inodes and times. Behind the digest stands how
// many bytes that takes.
func manifest(dir string) (string, error) {
	var buf []byte
	var size int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += (info.Size() + blockSize - 1) / blockSize * blockSize
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
	return cas.Of(buf).String() + " " + strconv.FormatInt(size, 10), err
}
