package local

import (
	"errors"
	"testing"

	"cbuild/engine"
)

// recordMany records results of n keys from the first on, each of which is replaced by a later one, and withdraws some.
func recordMany(t *testing.T, l *Local, first, n, exit int) {
	var err error
	for i := first; i < first+n; i++ {
		r := benchRecord(i)
		r.Result.Status, r.Result.ExitCode = engine.Fail, exit
		err = errors.Join(err, l.Record(t.Context(), r))
		if i%7 == exit%7 {
			err = errors.Join(err, l.Withdraw(t.Context(), r.Key))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Whether packs are asked one by one or all at once, the same record is found: the latest, of those that several processes recorded at the same time
// the same, and none that was withdrawn.
func TestWhereabouts(t *testing.T) {
	dir := t.TempDir()
	const each, step, packs = 2200, 1100, 12
	write := func(ls []*Local, from int) {
		for i, l := range ls {
			recordMany(t, l, (from+i/2)*step, each, from+i)
		}
		for _, l := range ls {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	begin := func(n int) (ls []*Local) {
		for range n {
			l, err := Open(dir, Options{Durability: None})
			if err != nil {
				t.Fatal(err)
			}
			ls = append(ls, l)
		}
		return ls
	}
	write(begin(packs-2), 0) // at the same time
	write(begin(1), 0)
	write(begin(1), 3)
	l := open(t, dir)
	same := func(when string, gathered, rest int) {
		t.Helper()
		list := l.packs.list.Load()
		if got := list.where; gathered == 0 && got != nil || gathered > 0 && (got == nil || len(got.packs) != gathered) || len(list.rest) != rest {
			t.Fatalf("%s: %d packs are not gathered, want %d; some are: %v", when, len(list.rest), rest, got != nil)
		}
		for i := range 9 * step {
			k := benchRecord(i).Key
			if got, want := l.top(k, true), l.top(k, false); got != want {
				t.Fatalf("%s: key %d: %+v, want %+v", when, i, got, want)
			}
		}
	}
	remember := func(n int) {
		for _, p := range l.packs.all()[packs-n:] { // the others come first in the order of identities
			r, err := p.index.remember()
			if err != nil {
				t.Fatal(err)
			}
			p.index.recalled.Store(r)
		}
		l.packs.gather()
	}
	for _, p := range l.packs.all() {
		p.index.searches.Store(1 << 40) // so that nothing is remembered by itself
	}
	same("at first", 0, packs)
	remember(whereMin - 1)
	same("few are remembered", 0, packs)
	remember(whereMin)
	same("some are remembered", whereMin, packs-whereMin)
	remember(packs)
	same("not many more are", whereMin, packs-whereMin)
	l.packs.show(l.packs.all(), nil)
	l.packs.gather()
	same("all are", packs, 0)
	write(begin(1), 1)
	if err := l.packs.refresh(true); err != nil {
		t.Fatal(err)
	}
	same("a new one", packs, 1)
	where := l.packs.list.Load().where
	for i := range where.lines {
		where.lines[i].full = where.lines[i].full || i%2 == 0
	}
	same("half of the lines are full", packs, 1)
	l.packs.remove(where.packs[3])
	same("one of them is gone", 0, packs)
}

// A line that is full says so, and until then has everything.
func TestAFullLineOfWhereabouts(t *testing.T) {
	var l whereLine
	for i := range len(l.parts) {
		l.add(uint8(i), uint8(2*i))
		if int(l.n) != i+1 || l.parts[i] != uint8(i) || l.packs[i] != uint8(2*i) || l.full {
			t.Fatalf("%d: %+v", i, l)
		}
	}
	if l.add(1, 1); !l.full {
		t.Error("it is not said")
	}
}
