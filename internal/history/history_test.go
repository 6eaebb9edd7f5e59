package history

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/clock"
)

var check = &engine.Target{Label: engine.Label{Name: "check"}, Rule: "run", Repeated: true}

// finished is the event of an instance of check.
func finished(key string, status engine.Status, cached engine.Cached, made string) engine.Event {
	r := &engine.Result{Status: status, Stdout: cas.Of([]byte(made))}
	if status != engine.Pass {
		r.ExitCode = 1
	}
	o := &engine.Outcome{Result: r, Key: engine.Key(cas.Of([]byte(key)).Hash), Cached: cached}
	return engine.Event{Type: engine.EventFinished, Target: check, Instance: []string{key}, Outcome: o, Took: 5 * time.Millisecond, Why: "because"}
}

func ended(outcome string, code int) engine.Event {
	return engine.Event{Type: engine.EventBuildFinished, Text: outcome, ExitCode: code, Counts: map[string]int{"pass": 2}}
}

// record writes a build of these events, a second later than the one before.
func record(t *testing.T, dir string, c *tick, events ...engine.Event) *Recorder {
	t.Helper()
	c.Advance(time.Second)
	r, err := Record(dir, []string{"report", "-j2"}, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		r.Observe(e)
	}
	c.Advance(3 * time.Second)
	return r
}

func closed(t *testing.T, r *Recorder) string {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return r.id
}

func open(t *testing.T, dir string) *History {
	t.Helper()
	h, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func list(t *testing.T, h *History) []Build {
	t.Helper()
	all, err := h.Builds(100)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func results(t *testing.T, h *History, id string) (lines []string) {
	t.Helper()
	err := h.Results(id, func(r Result) error {
		lines = append(lines, fmt.Sprintf("%s %s %s %d", r.Name(), r.Outcome, r.Cached, r.ExitCode))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// tick is a clock that stands still between calls of Advance.
type tick struct{ elapsed time.Duration }

func newClock() *tick { return new(tick) }

func (c *tick) Advance(d time.Duration) { c.elapsed += d }
func (c *tick) Now() time.Time          { return time.Date(2026, 11, 25, 21, 0, 0, 0, time.UTC).Add(c.elapsed) }
func (c *tick) Elapsed() time.Duration  { return c.elapsed }

func (c *tick) Sleep(context.Context, time.Duration) error { panic("nobody sleeps here") }

func TestWhatABuildDidIsKept(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	id := closed(t, record(t, dir, c, finished("a", engine.Pass, engine.NotCached, "1"), finished("b", engine.Fail, engine.CachedLocal, "2"), ended("fail", 1)))
	h := open(t, dir)
	want := []Build{{
		ID: id, Began: time.Date(2026, 11, 25, 21, 0, 1, 0, time.UTC).Local(), Took: 3 * time.Second, Args: []string{"report", "-j2"},
		Outcome: "fail", ExitCode: 1, Counts: map[string]int{"pass": 2}, Ran: 1,
	}}
	if diff := cmp.Diff(want, list(t, h)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"//:check[a] pass no 0", "//:check[b] fail local 1"}, results(t, h, id)); diff != "" {
		t.Error(diff)
	}
	attempts, err := h.Attempts("//:check[a]")
	if err != nil || len(attempts) != 1 || attempts[0].Build != id || attempts[0].Ms != 5 || attempts[0].Why != "because" {
		t.Errorf("attempts %+v, %v", attempts, err)
	}
	if attempts, _ := h.Attempts("//:check[b]"); len(attempts) != 0 {
		t.Errorf("what was cached was attempted: %+v", attempts)
	}
}

func TestABuildThatDidNothingSharesItsResults(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	cached := []engine.Event{finished("b", engine.Fail, engine.CachedLocal, "2"), finished("a", engine.Pass, engine.CachedLocal, "1"), ended("pass", 0)}
	one := closed(t, record(t, dir, c, finished("a", engine.Pass, engine.NotCached, "1"), finished("b", engine.Fail, engine.NotCached, "2"), ended("pass", 0)))
	two := closed(t, record(t, dir, c, cached...))
	three := closed(t, record(t, dir, c, cached[0], finished("a", engine.Pass, engine.CachedLocal, "other"), cached[2]))
	stat := func(id string) os.FileInfo {
		fi, err := os.Stat(filepath.Join(dir, id+resultsSuffix))
		if err != nil {
			t.Fatal(err)
		}
		return fi
	}
	if !os.SameFile(stat(one), stat(two)) {
		t.Error("equal results are there twice")
	}
	if os.SameFile(stat(one), stat(three)) {
		t.Error("other results are shared")
	}
	if got := results(t, open(t, dir), two); len(got) != 2 {
		t.Errorf("results of the second build: %v", got)
	}
}

func TestTheIndexIsRebuilt(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	for i := range 5 {
		closed(t, record(t, dir, c, finished(fmt.Sprint(i), engine.Pass, engine.NotCached, "1"), ended("pass", 0)))
	}
	h := open(t, dir)
	want := list(t, h)
	h.Close()
	for what, spoil := range map[string]func(name string) error{
		"deleted": os.Remove,
		"garbage": func(name string) error {
			return os.WriteFile(name, []byte("this is no database, but a text of some length\n"), 0o600)
		},
		"empty":     func(name string) error { return os.Truncate(name, 0) },
		"cut short": func(name string) error { return os.Truncate(name, 4096) },
	} {
		t.Run(what, func(t *testing.T) {
			if err := spoil(filepath.Join(dir, "index.db")); err != nil {
				t.Fatal(err)
			}
			h := open(t, dir)
			if diff := cmp.Diff(want, list(t, h)); diff != "" {
				t.Error(diff)
			}
			if a, err := h.Attempts("//:check[3]"); err != nil || len(a) != 1 {
				t.Errorf("attempts %v, %v", a, err)
			}
			h.Close()
		})
	}
}

func TestRunningAndKilled(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	r := record(t, dir, c, finished("a", engine.Pass, engine.NotCached, "1"))
	r.Observe(finished("b", engine.Pass, engine.NotCached, "1")) // three seconds later: what was before it is on the disk
	h := open(t, dir)
	if b := list(t, h)[0]; b.Outcome != Running || b.Ran == 0 {
		t.Errorf("while it runs: %+v", b)
	}
	h.Close()
	// A kill: the lock is gone, and so is the end of a line.
	if err := r.lock.Close(); err != nil {
		t.Fatal(err)
	}
	h = open(t, dir)
	b := list(t, h)[0]
	if b.Outcome != Killed || b.Ran != 2 || b.Counts["pass"] != 2 {
		t.Errorf("after a kill: %+v", b)
	}
	name := filepath.Join(dir, r.id+resultsSuffix)
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	for cut := fi.Size(); cut > 0; cut-- {
		if err := os.Truncate(name, cut-1); err != nil {
			t.Fatal(err)
		}
		if err := h.Results(r.id, func(r Result) error {
			if r.Outcome != "pass" {
				return fmt.Errorf("torn result %+v", r)
			}
			return nil
		}); err != nil {
			t.Fatalf("cut to %d bytes: %v", cut-1, err)
		}
	}
	_ = r.file.Close()
}

func TestBuildsAreFound(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	var ids []string
	for range 3 {
		ids = append(ids, closed(t, record(t, dir, c, ended("pass", 0))))
	}
	h := open(t, dir)
	for ref, want := range map[string]string{"@1": ids[2], "@3": ids[0], ids[1]: ids[1], ids[1][:len(ids[1])-2]: ids[1]} {
		if b, err := h.Find(ref); err != nil || b.ID != want {
			t.Errorf("%s: %v, %v; want %s", ref, b.ID, err, want)
		}
	}
	for _, ref := range []string{"@4", "@0", "@1x", "", "nothing"} {
		if b, err := h.Find(ref); !errors.Is(err, ErrNoBuild) {
			t.Errorf("%q: %v, %v", ref, b, err)
		}
	}
	if _, err := h.Find("2026"); err == nil || errors.Is(err, ErrNoBuild) {
		t.Errorf("an ambiguous name: %v", err)
	}
}

func TestOldBuildsAreForgotten(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	first := closed(t, record(t, dir, c, ended("pass", 0)))
	open(t, dir).Close()
	for i := range maxBuilds {
		name := filepath.Join(dir, fmt.Sprintf("20260101-%06d.000-0000", i))
		for _, suffix := range []string{summarySuffix, resultsSuffix} {
			if err := os.WriteFile(name+suffix, []byte(`{"v":1,"outcome":"pass"}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	closed(t, record(t, dir, c, ended("pass", 0)))
	ids, err := builds(dir)
	if err != nil || len(ids) != maxBuilds || !slices.Contains(ids, first) {
		t.Errorf("%d builds are kept (%v), %s among them: %v", len(ids), err, first, slices.Contains(ids, first))
	}
	if all, err := open(t, dir).Builds(2 * maxBuilds); err != nil || len(all) != maxBuilds {
		t.Errorf("the index has %d, %v", len(all), err)
	}
}

func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 5 {
				r, err := Record(dir, nil, clock.System)
				if err != nil {
					t.Error(err)
					return
				}
				r.Observe(finished("a", engine.Pass, engine.NotCached, "1"))
				r.Observe(ended("pass", 0))
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				h, err := Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				h.Close()
			}
		})
	}
	all.Wait()
	if n := len(list(t, open(t, dir))); n != 20 {
		t.Errorf("%d builds, want 20", n)
	}
}
