package local

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/engine"
	"cbuild/internal/clock"
	"cbuild/internal/vfs"
)

var leaseKey = engine.Key{7}

// pair are two processes, as far as the store knows, on one directory in virtual time.
func pair(t *testing.T) (a, b *Local) {
	dir := t.TempDir()
	return openWith(t, dir, Options{Durability: None}), openWith(t, dir, Options{Durability: None, Clock: clock.Skewed(-100 * 24 * time.Hour)})
}

func TestOneHoldsALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		release, ok := a.Try(t.Context(), leaseKey)
		if !ok {
			t.Fatal("nobody holds it")
		}
		if _, ok := b.Try(t.Context(), leaseKey); ok {
			t.Error("two hold it")
		}
		if _, ok := b.Try(t.Context(), engine.Key{8}); !ok {
			t.Error("another key is held, too")
		}
		release()
		release2, ok := b.Try(t.Context(), leaseKey)
		if !ok {
			t.Error("it was released")
		}
		release2()
	})
}

func TestWhoeverWaitsFindsWhatWasRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		release, _ := a.Try(t.Context(), leaseKey)
		go func() {
			time.Sleep(3*time.Minute + time.Millisecond)
			r := goldenRecord(leaseKey[0])
			if err := a.Record(context.Background(), r); err != nil {
				t.Error(err)
			}
			release()
		}()
		var told []time.Duration
		free, err := b.Await(t.Context(), leaseKey, 0, func(holder string, waited time.Duration) {
			if host, _ := os.Hostname(); !strings.HasPrefix(holder, "host "+host+", process ") {
				t.Errorf("it waits for %q", holder)
			}
			told = append(told, waited)
		})
		if !free || err != nil {
			t.Errorf("%v, %v", free, err)
		}
		if len(told) < 100 || len(told) > 180 {
			t.Errorf("in three minutes it was told %d times", len(told))
		}
		if r, reason, err := b.Lookup(t.Context(), leaseKey, engine.Conditions{}, engine.LookupNormal); r == nil {
			t.Errorf("what was recorded under the lease is not found: %s, %v", reason, err)
		}
	})
}

// Whoever may be waiting sees what is on the disk; nobody else makes us wait for it.
func TestALeaseIsReleasedWhenOthersCanSeeWhatWasRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		fsys := &syncCounter{FS: vfs.OS, synced: map[string]int{}}
		a := openWith(t, dir, Options{FS: fsys})
		work := func(k engine.Key) {
			release, _ := a.Try(t.Context(), k)
			if err := a.Record(t.Context(), goldenRecord(k[0])); err != nil {
				t.Fatal(err)
			}
			release()
		}
		work(engine.Key{1})
		if n := fsys.count(liveSuffix); n != 0 {
			t.Errorf("alone it waits for the disk: %d", n)
		}
		b := openWith(t, dir, Options{Durability: None})
		b.Try(t.Context(), engine.Key{2})
		work(engine.Key{3})
		if n := fsys.count(liveSuffix); n != 1 {
			t.Errorf("what was recorded is synced %d times", n)
		}
		data, err := os.ReadFile(a.agentPath(a.id))
		if got, ok := decodeAgent(data); err != nil || !ok || got.packs[0] != a.writer.pack.length() {
			t.Errorf("%+v, %v; the pack has %d bytes", got, err, a.writer.pack.length())
		}
	})
}

func TestNobodyWaitsLongerThanHeWantsTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t)
		defer first(a.Try(t.Context(), leaseKey))()
		start := time.Now()
		if free, err := b.Await(t.Context(), leaseKey, 7*time.Second, nil); free || err != nil || time.Since(start) != 7*time.Second {
			t.Errorf("%v, %v after %v", free, err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Await(ctx, leaseKey, 0, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

func first[A, B any](a A, _ B) A { return a }

// kill ends l as a kill -9 would: its lock is free, its files stay.
func kill(t *testing.T, l *Local) {
	t.Helper()
	l.start.Do(func() {})
	l.life.end()
	l.background.Wait()
	l.temp.mu.Lock()
	defer l.temp.mu.Unlock()
	if err := l.temp.lock.Close(); err != nil {
		t.Error(err)
	}
	l.temp.dir, l.temp.closed = "", true
}

// mustOpen opens a store that the test does not close.
func mustOpen(t *testing.T, dir string) *Local {
	t.Helper()
	l, err := Open(dir, Options{Durability: None})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTheLeaseOfADeadProcessIsTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, b := mustOpen(t, dir), openWith(t, dir, Options{Durability: None})
		a.Try(t.Context(), leaseKey)
		if err := a.Record(t.Context(), goldenRecord(leaseKey[0])); err != nil {
			t.Fatal(err)
		}
		kill(t, a)
		start := time.Now()
		if free, err := b.Await(t.Context(), leaseKey, 0, nil); !free || err != nil || time.Since(start) > 0 {
			t.Errorf("%v, %v after %v", free, err, time.Since(start))
		}
		release, ok := b.Try(t.Context(), leaseKey)
		if !ok {
			t.Error("a dead process holds it")
		}
		release()
		if r, reason, _ := b.Lookup(t.Context(), leaseKey, engine.Conditions{}, engine.LookupNormal); r == nil {
			t.Errorf("what the dead one has recorded is not found: %s", reason)
		}
	})
}

// elsewhere makes l look like a process of another machine: nobody here can prove that it is dead.
func elsewhere(t *testing.T, l *Local) {
	t.Helper()
	name := filepath.Join(l.own, "tmp", hex.EncodeToString(l.id[:]), "lock")
	if err := os.WriteFile(name, []byte("host not-this-one\nboot 7\n"), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestABeatThatStandsStillIsTheEndOfALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, b := mustOpen(t, dir), openWith(t, dir, Options{Durability: None})
		a.Try(t.Context(), leaseKey)
		put(t, a, []byte("left behind"))
		elsewhere(t, a)
		time.Sleep(17 * time.Minute) // it beats
		if _, ok := b.Try(t.Context(), leaseKey); ok {
			t.Error("it is taken from a process that is alive")
		}
		kill(t, a)
		start := time.Now()
		free, err := b.Await(t.Context(), leaseKey, 0, nil)
		if took := time.Since(start); !free || err != nil || took < staleAfter || took > staleAfter+time.Second {
			t.Errorf("%v, %v after %v", free, err, took)
		}
		if _, ok := b.Try(t.Context(), leaseKey); !ok {
			t.Error("it is not taken")
		}
		// Its packs are sealed by who saw that it is dead.
		time.Sleep(2 * beatEvery)
		synctest.Wait()
		if live, _ := filepath.Glob(filepath.Join(dir, "pack", "*.live")); len(live) > 0 {
			t.Errorf("%v", live)
		}
		if !finds(t, b, []byte("left behind")) {
			t.Error("a blob is lost")
		}
	})
}

// A process that was stopped for a while, and taken for dead, goes on: nothing is lost, at most something is done twice.
func TestWhoWasTakenForDeadGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, b := mustOpen(t, dir), openWith(t, dir, Options{Durability: None})
		release, _ := a.Try(t.Context(), leaseKey)
		put(t, a, []byte("before"))
		b.bury(a.id)
		b.stealLease(leaseKey, first(b.readLease(leaseKey)))
		if _, ok := b.Try(t.Context(), leaseKey); !ok {
			t.Error("the stolen lease is held")
		}
		put(t, a, []byte("after"))
		release() // which is not its lease any more
		if h, held := a.holder(leaseKey); !held || h.id != b.id {
			t.Error("somebody else's lease was released")
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		c := openWith(t, dir, Options{Durability: None})
		if !finds(t, c, []byte("before")) || !finds(t, c, []byte("after")) {
			t.Error("a blob is lost")
		}
	})
}

// Who looks after others may know of a pack as it was long ago, when its writer ends in good order, or is killed: what was written since is not lost.
func TestWhoLooksAfterOthersLosesNothingOfTheirs(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, l *Local){
		"closed": func(t *testing.T, l *Local) {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		},
		"killed": kill,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				a, b := mustOpen(t, dir), openWith(t, dir, Options{Durability: None})
				put(t, a, []byte("before"))
				if !finds(t, b, []byte("before")) {
					t.Fatal("what somebody wrote is not found")
				}
				put(t, a, []byte("after"))
				end(t, a)
				b.observe()
				for _, word := range []string{"before", "after"} {
					if !finds(t, openWith(t, dir, Options{Durability: None}), []byte(word)) {
						t.Errorf("%q is lost", word)
					}
					if !finds(t, b, []byte(word)) {
						t.Errorf("%q is lost to who looked", word)
					}
				}
			})
		})
	}
}

func TestLeasesAreNoTrouble(t *testing.T) {
	dir := t.TempDir()
	put(t, open(t, dir), []byte("a"))
	l := openWith(t, dir, Options{FS: readOnly{vfs.OS, dir}})
	release, ok := l.Try(t.Context(), leaseKey)
	if !ok {
		t.Error("a store that can't be written keeps work from being done")
	}
	release()
	if free, err := l.Await(t.Context(), leaseKey, 0, nil); !free || err != nil {
		t.Error(free, err)
	}
	// A lease that was never written ends, too.
	synctest.Test(t, func(t *testing.T) {
		l := open(t, t.TempDir())
		if err := errors.Join(os.MkdirAll(filepath.Join(l.Dir(), "leases"), 0o777), os.WriteFile(l.leasePath(leaseKey), nil, 0o666)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if free, err := l.Await(t.Context(), leaseKey, 0, nil); !free || err != nil || time.Since(start) < beatEvery {
			t.Error(free, err, time.Since(start))
		}
		if _, ok := l.Try(t.Context(), leaseKey); !ok {
			t.Error("it is held")
		}
	})
}
