package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
)

// aged makes everything in a store look older.
func aged(t *testing.T, dir string, by time.Duration) {
	t.Helper()
	for _, name := range files(t, dir) {
		fi, err := os.Stat(name)
		if err == nil {
			err = os.Chtimes(name, time.Time{}, fi.ModTime().Add(-by))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// blobsOf are the blobs of the n-th build of these tests: a small one, a large one, and one in a tree.
func blobsOf(n int) [][]byte {
	return [][]byte{fmt.Append(nil, "small ", n), castest.Content(uint64(n), chunk+n), fmt.Append(nil, "in a tree ", n)}
}

// build is what the n-th build does first: it makes things. Its result names them all.
func build(t *testing.T, dir string, n int) {
	t.Helper()
	l, err := Open(dir, Options{Durability: None})
	if err != nil {
		t.Fatal(err)
	}
	b := blobsOf(n)
	root, err := cas.PutTree(t.Context(), l, []cas.Entry{{Path: "d/f", Digest: put(t, l, b[2])}})
	if err != nil {
		t.Fatal(err)
	}
	r := engine.Record{Key: engine.Key{byte(n + 1)}, Result: &engine.Result{Log: put(t, l, b[0]), Outs: []engine.Output{
		{Path: "l", Artifact: engine.Artifact{Digest: put(t, l, b[1])}},
		{Path: "t", Artifact: engine.Artifact{Kind: engine.TreeKind, Digest: root}},
	}}}
	if err := errors.Join(l.Record(t.Context(), r), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// lookUp is what the n-th build does later: it finds its result, and reads nothing.
func lookUp(t *testing.T, l *Local, n int) {
	t.Helper()
	if r, reason, err := l.Lookup(t.Context(), engine.Key{byte(n + 1)}, engine.Conditions{}, engine.LookupNormal); r == nil {
		t.Fatal(n, reason, err)
	}
}

// whole returns which of the builds have all of their blobs in the store, trash left out.
func whole(t *testing.T, dir string, builds int) (all []int) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "cas")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(copied, "trash")); err != nil {
		t.Fatal(err)
	}
	l := open(t, copied)
	for n := range builds {
		found := 0
		for _, data := range blobsOf(n) {
			if finds(t, l, data) {
				found++
			}
		}
		if found == len(blobsOf(n)) {
			all = append(all, n)
		}
		lookUp(t, l, n) // results outlive their blobs
	}
	return all
}

func collect(t *testing.T, dir string, limits Limits) Collected {
	t.Helper()
	l, err := Open(dir, Options{Durability: None})
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Collect(t.Context(), limits)
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return c
}

func expectWhole(t *testing.T, dir string, builds int, want string) {
	t.Helper()
	if got := fmt.Sprint(whole(t, dir, builds)); got != want {
		t.Errorf("builds %s have their blobs, want %s", got, want)
	}
}

// What was used last stays longest, whether it was written or only found.
func TestTheLeastRecentlyUsedGoesFirst(t *testing.T) {
	dir := t.TempDir()
	for n := range 5 {
		build(t, dir, n)
		aged(t, dir, time.Hour)
	}
	l := open(t, dir)
	lookUp(t, l, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	expectWhole(t, dir, 5, "[0 1 2 3 4]")
	all := collect(t, dir, Limits{Keep: -1})
	c := collect(t, dir, Limits{Keep: all.After - chunk})
	if c.After > all.After-chunk || c.Blobs == 0 || c.Before != all.After {
		t.Errorf("%+v, then %+v", all, c)
	}
	expectWhole(t, dir, 5, "[1 2 3 4]")
	collect(t, dir, Limits{Keep: c.After - 2*chunk})
	expectWhole(t, dir, 5, "[1 4]")
	collect(t, dir, Limits{Keep: 3 * chunk / 2})
	expectWhole(t, dir, 5, "[1]")
	if c := collect(t, dir, Limits{Keep: 0}); c.Purged == 0 {
		t.Errorf("%+v", c)
	}
	expectWhole(t, dir, 5, "[]")
}

func TestWhatIsOldGoesEvenIfThereIsRoom(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, 0)
	aged(t, dir, 48*time.Hour)
	build(t, dir, 1)
	if c := collect(t, dir, Limits{Keep: -1, Older: 24 * time.Hour, Dry: true}); c.Blobs == 0 || c.After >= c.Before {
		t.Errorf("%+v", c)
	}
	expectWhole(t, dir, 2, "[0 1]")
	collect(t, dir, Limits{Keep: -1, Older: 24 * time.Hour})
	expectWhole(t, dir, 2, "[1]")
}

// A running build keeps what it used, however little may stay, on this machine and on others.
func TestWhatARunningBuildUsedIsNeverTaken(t *testing.T) {
	for _, far := range []bool{false, true} {
		dir := t.TempDir()
		for n := range 3 {
			build(t, dir, n)
			aged(t, dir, time.Hour)
		}
		running := open(t, dir)
		lookUp(t, running, 1)
		put(t, running, []byte("new"))
		running.beat()
		if far {
			elsewhere(t, running)
		}
		collect(t, dir, Limits{Keep: 0})
		expectWhole(t, dir, 3, "[1]")
		collect(t, dir, Limits{Keep: 0, Older: time.Nanosecond})
		expectWhole(t, dir, 3, "[1]")
		for _, data := range append(blobsOf(1), []byte("new")) {
			if !finds(t, running, data) {
				t.Error("a running build lost a blob")
			}
		}
	}
}

// What was taken is in trash until the next collection, and is back as soon as somebody asks for it.
func TestTrashGivesBack(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, 0)
	aged(t, dir, time.Hour)
	collect(t, dir, Limits{Keep: 0})
	expectWhole(t, dir, 1, "[]")
	l := open(t, dir)
	var ds []cas.Digest
	for _, data := range blobsOf(0) {
		ds = append(ds, cas.Of(data))
	}
	if m, err := l.Missing(t.Context(), ds); err != nil || len(m) > 0 {
		t.Errorf("%v, %v", m, err)
	}
	for _, data := range blobsOf(0) {
		if !finds(t, l, data) {
			t.Error("what is in trash is not found")
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	expectWholeBlobs(t, dir)
	aged(t, dir, time.Hour)
	collect(t, dir, Limits{Keep: 0})
	collect(t, dir, Limits{Keep: 0})
	for _, data := range blobsOf(0) {
		if finds(t, open(t, dir), data) {
			t.Error("trash is never emptied")
		}
	}
}

// expectWholeBlobs looks for the blobs of build 0 without trash.
func expectWholeBlobs(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, "trash")); err != nil {
		t.Fatal(err)
	}
	for _, data := range blobsOf(0) {
		if !finds(t, open(t, dir), data) {
			t.Error("what was used is not back")
		}
	}
}

// A reader that had the store open before sees no difference.
func TestCollectingDisturbsNobody(t *testing.T) {
	dir := t.TempDir()
	for n := range 20 {
		build(t, dir, n)
	}
	reader := open(t, dir)
	collect(t, dir, Limits{Keep: -1})
	if packs, _ := filepath.Glob(filepath.Join(dir, "pack", "*.pack")); len(packs) != 1 {
		t.Errorf("many small packs are not merged: %d", len(packs))
	}
	for n := range 20 {
		lookUp(t, reader, n)
		for _, data := range blobsOf(n) {
			if !finds(t, reader, data) {
				t.Errorf("a blob of build %d is not found", n)
			}
		}
	}
	if rep, err := reader.Verify(t.Context(), Sample{}); err != nil || len(rep.Damaged) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

func TestOneCollectsAtATime(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	unlock, err := a.lockCollection()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Collect(t.Context(), Limits{Keep: 0}); !errors.Is(err, ErrCollecting) {
		t.Errorf("%v", err)
	}
	unlock()
	if _, err := b.Collect(t.Context(), Limits{Keep: 0}); err != nil {
		t.Error(err)
	}
}

func TestCollectionComesOnceADayOrWhenTheStoreIsTooLarge(t *testing.T) {
	dir := t.TempDir()
	due := func(keep int64, write bool) bool {
		l := open(t, dir)
		if write {
			put(t, l, fmt.Append(nil, time.Now()))
		}
		done, err := l.CollectIfDue(t.Context(), keep)
		if err = errors.Join(err, l.Close()); err != nil {
			t.Fatal(err)
		}
		return done
	}
	const plenty = 1 << 40
	if due(plenty, true) {
		t.Error("a new store is collected")
	}
	for n := range 5 {
		build(t, dir, n)
	}
	if due(plenty, true) {
		t.Error("it is collected again at once")
	}
	if !due(1000, true) {
		t.Error("a store that is too large is not collected")
	}
	aged(t, dir, collectEvery+time.Minute)
	if due(plenty, false) {
		t.Error("a build that wrote nothing collects")
	}
	if !due(plenty, true) || due(plenty, true) {
		t.Error("it is not once a day")
	}
}

func TestTornPinsAreReadAsFarAsTheyGo(t *testing.T) {
	whole := append([]byte(pinsMagic), bytes.Repeat([]byte{1}, 16)...)
	whole = append(append(whole, bytes.Repeat([]byte{2}, 16)...), make([]byte, 16)...)
	for cut := range len(whole) + 1 {
		hashes, ended := decodePins(whole[:cut])
		if want := min(2, max(0, cut-len(pinsMagic))/16); len(hashes) != want {
			t.Errorf("cut at %d: %d hashes", cut, len(hashes))
		}
		if cut >= len(pinsMagic) && ended != (cut == len(whole)) {
			t.Errorf("cut at %d: ended %v", cut, ended)
		}
	}
}
