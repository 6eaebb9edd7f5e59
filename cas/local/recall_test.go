package local

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"

	"cbuild/engine"
)

// recalledKeys are equal in all that a recall has of them.
func recalledKey(n uint64) (k engine.Key) {
	binary.BigEndian.PutUint64(k[:], 0x0123456789abcdef)
	binary.LittleEndian.PutUint64(k[8:], n)
	return k
}

// What a recall has of two keys may be equal: then the index decides, and nothing counts as damaged. A key that is not there is not found.
func TestARecallIsAGuess(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 10
	for i := range n {
		err = errors.Join(err, l.Record(t.Context(), engine.Record{Key: recalledKey(uint64(i)), Result: &engine.Result{ExitCode: i}}))
	}
	err = errors.Join(err, l.Withdraw(t.Context(), recalledKey(n-1)), l.Close())
	if err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	p := l.packs.all()[0]
	absent := uint64(n)
	for ; ; absent++ {
		hash := [32]byte(recalledKey(absent))
		if pr := probeOf(&hash); p.index.filter.has(&pr) {
			break
		}
	}
	remember := func() {
		r, err := p.index.remember()
		if err != nil || len(r.spots) != n {
			t.Fatal(r, err)
		}
		p.index.recalled.Store(r)
	}
	for i := range n {
		remember()
		r, reason, err := l.Lookup(t.Context(), recalledKey(uint64(i)), engine.Conditions{}, engine.LookupNormal)
		if withdrawn := i == n-1; err != nil || (r == nil) != withdrawn || !withdrawn && r.ExitCode != i {
			t.Errorf("%d: %+v, %q, %v", i, r, reason, err)
		}
		remember()
		if r, _, err := l.Lookup(t.Context(), recalledKey(absent), engine.Conditions{}, engine.LookupNormal); r != nil || err != nil {
			t.Errorf("what is not there is found: %+v, %v", r, err)
		}
	}
	if l.Stats().Damaged > 0 || len(files(t, filepath.Join(dir, "quarantine"))) > 0 {
		t.Errorf("%+v", l.Stats())
	}
}

// A pack that is asked for many records is remembered, and nobody can tell from what is found.
func TestAPackThatIsAskedOftenIsRemembered(t *testing.T) {
	dir := t.TempDir()
	const n = 5000
	l, err := Open(dir, Options{Durability: None})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		r := benchRecord(i)
		r.Result.ExitCode = i
		err = errors.Join(err, l.Record(t.Context(), r))
		if i%10 == 3 {
			err = errors.Join(err, l.Withdraw(t.Context(), r.Key))
		}
	}
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	x := l.packs.all()[0].index
	for i := range 2 * n {
		if before := i < n/recallSearches; before == (x.recalled.Load() != nil) && i != n/recallSearches {
			t.Fatalf("%d searches: remembered %v", i, !before)
		}
		r, reason, err := l.Lookup(t.Context(), benchRecord(i).Key, engine.Conditions{}, engine.LookupNormal)
		if there := i < n && i%10 != 3; err != nil || (r != nil) != there || there && r.ExitCode != i {
			t.Errorf("%d: %+v, %q, %v", i, r, reason, err)
		}
	}
}

// All recalls of a store have a bound.
func TestRecallsHaveABound(t *testing.T) {
	dir := t.TempDir()
	for i := range 2 {
		l, err := Open(dir, Options{Durability: None})
		if err == nil {
			err = errors.Join(l.Record(t.Context(), benchRecord(i)), l.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, dir)
	full := &recall{shift: 64, starts: []uint32{0, 0}, spots: make([]recalled, recallBytes/recalledSize)}
	first, second := l.packs.all()[0], l.packs.all()[1]
	first.index.recalled.Store(full)
	second.searched()
	if second.index.recalled.Load() != nil {
		t.Error("there is no bound")
	}
	first.index.recalled.Store(nil)
	second.index.searches.Store(0)
	second.searched()
	if second.index.recalled.Load() == nil {
		t.Error("there is room, and it is not taken")
	}
}
