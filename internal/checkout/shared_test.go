package checkout

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/cas/castest"
)

// names lists the files in dir that end in suffix.
func names(t *testing.T, dir, suffix string) (all []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if strings.HasSuffix(e.Name(), suffix) {
			all = append(all, e.Name())
		}
	}
	return all
}

// use uses the copy of root once.
func use(t *testing.T, s *Shared, root cas.Digest) {
	t.Helper()
	dir, done, err := s.Use(t.Context(), root)
	if err != nil {
		t.Error(err)
		return
	}
	defer done()
	if got, err := Capture(t.Context(), s.store, dir); err != nil || got.Hash != root.Hash {
		t.Errorf("got %v, %v", got, err)
	}
}

// What nobody uses is kept up to a bound, the last used ones; nothing of the others stays.
func TestUnusedCopiesGo(t *testing.T) {
	store := castest.NewMemory()
	var roots []cas.Digest
	for n := 10; n < 14; n++ {
		roots = append(roots, tree(t, store, n))
	}
	dir := t.TempDir()
	shared := NewShared(store, dir)
	var removed []cas.Digest
	shared.Removed(func(d cas.Digest) { removed = append(removed, d) })
	use(t, shared, roots[0])
	shared.most = 5 * shared.bytes / 2 // two of them, not three
	held, done, err := shared.Use(t.Context(), roots[1])
	if err != nil {
		t.Fatal(err)
	}
	use(t, shared, roots[2])
	use(t, shared, roots[0]) // used after the last
	use(t, shared, roots[3])
	if !slices.Equal(removed, roots[2:3]) {
		t.Errorf("removed: %v", removed)
	}
	if got, err := Capture(t.Context(), store, held); err != nil || got.Hash != roots[1].Hash {
		t.Errorf("one in use was removed: %v, %v", got, err)
	}
	done()
	if want := roots[2:3]; !slices.Contains(removed, roots[0]) || len(removed) != 2 {
		t.Errorf("removed: %v, want %v and then the oldest", removed, want)
	}
	if got := names(t, dir, ""); len(got) != 2*4 {
		t.Errorf("left: %q", got)
	}
	if shared.Has(roots[2]) || !shared.Has(roots[3]) {
		t.Error("Has does not say what is there")
	}
	use(t, shared, roots[2])
	if changed := shared.Changed(); len(changed) > 0 {
		t.Errorf("changed: %v", changed)
	}
}

// A later process finds what others left, and what it has no room for goes, the oldest first, unless another process uses it.
func TestCopiesOfEarlierProcesses(t *testing.T) {
	store := castest.NewMemory()
	dir := t.TempDir()
	roots := []cas.Digest{tree(t, store, 10), tree(t, store, 11), tree(t, store, 12)}
	first := NewShared(store, dir)
	for i, r := range roots {
		use(t, first, r)
		old := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(first.path(&sharedTree{name: r.Hex()})+sumSuffix, old, old); err != nil {
			t.Fatal(err)
		}
	}
	_, done, err := NewShared(store, dir).Use(t.Context(), roots[0]) // by another process
	if err != nil {
		t.Fatal(err)
	}
	again := time.Now().Add(-20 * time.Hour)
	_ = os.Chtimes(filepath.Join(dir, roots[0].Hex()+sumSuffix), again, again)
	last := NewShared(store, dir)
	if !last.Has(roots[1]) {
		t.Error("it does not find what is there")
	}
	last.most = 1
	use(t, last, roots[2])
	got := names(t, dir, sumSuffix)
	if !slices.Equal(got, []string{roots[0].Hex() + sumSuffix}) {
		t.Errorf("left: %v, want the one in use", got)
	}
	done()
}

// A changed copy is noticed when it is removed, too.
func TestChangedUntilRemoved(t *testing.T) {
	store := castest.NewMemory()
	root := tree(t, store, 10)
	shared := NewShared(store, t.TempDir())
	shared.most = 0
	shared.Removed(func(cas.Digest) { t.Error("it is said to be unchanged") })
	dir, done, err := shared.Use(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "d1/f1")); err != nil {
		t.Fatal(err)
	}
	done()
	if changed := shared.Changed(); !slices.Equal(changed, []cas.Digest{root}) {
		t.Errorf("changed: %v", changed)
	}
	if changed := shared.Changed(); len(changed) > 0 {
		t.Errorf("changed, once more: %v", changed)
	}
}

// Users of few copies with room for none come and go: each finds what it asked for.
func TestUsersComeAndGo(t *testing.T) {
	store := castest.NewMemory()
	dir := t.TempDir()
	roots := []cas.Digest{tree(t, store, 5), tree(t, store, 6)}
	var users sync.WaitGroup
	for range 3 { // processes
		shared := NewShared(store, dir)
		shared.most = 0
		for n := range 4 {
			users.Go(func() {
				for i := range 25 {
					use(t, shared, roots[(n+i)%2])
				}
			})
		}
	}
	users.Wait()
	if left := names(t, dir, ""); len(left) > 8 {
		t.Errorf("left: %v", left)
	}
}
