package engine_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/engine"
)

// leases is a Leaser in memory. Stuck is somebody else who holds every lease and never lets go.
type leases struct {
	stuck bool
	taken atomic.Int64

	mu   sync.Mutex
	held map[engine.Key]bool // guarded by mu
}

func (l *leases) try(k engine.Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stuck || l.held[k] {
		return false
	}
	if l.held == nil {
		l.held = make(map[engine.Key]bool)
	}
	l.held[k] = true
	return true
}

func (l *leases) Try(_ context.Context, k engine.Key) (func(), bool) {
	if !l.try(k) {
		return func() {}, false
	}
	l.taken.Add(1)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, k)
	}, true
}

func (l *leases) holds(k engine.Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stuck || l.held[k]
}

func (l *leases) Await(ctx context.Context, k engine.Key, most time.Duration, waiting func(string, time.Duration)) (bool, error) {
	start := time.Now()
	for l.holds(k) {
		waited := time.Since(start)
		if most > 0 && waited >= most {
			return false, nil
		}
		if waited > 0 {
			waiting("host b", waited)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return true, nil
}

// counted returns a target that is repeated for n keys; each instance takes d and is counted.
func counted(n int, d time.Duration, done *atomic.Int64) *engine.Target {
	return &engine.Target{
		Label: label("a"), Items: items(numbered(n)...),
		Plan: func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
			return &engine.Plan{Pool: engine.CPUPool, Action: &action{key: i.Name(), took: d, do: func(context.Context) (*engine.Result, error) {
				done.Add(1)
				return &engine.Result{}, nil
			}}}, nil
		},
	}
}

func TestTwoBuildsDoEqualWorkOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int64
		shared, l := &cache{}, &leases{}
		opts := engine.Options{Jobs: 4, Window: 64, Cache: shared, Leases: l}
		a, b := newBuild(opts, counted(20, 5*time.Second, &done)), newBuild(opts, counted(20, 5*time.Second, &done))
		var both sync.WaitGroup
		start := time.Now()
		both.Go(func() { a.run(t, "a") })
		both.Go(func() { b.run(t, "a") })
		both.Wait()
		if got := done.Load(); got != 20 {
			t.Errorf("20 instances were done %d times", got)
		}
		// Nobody holds a slot while it waits, so the two share the work: 20 × 5 s over 8 slots.
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("both took %v", took)
		}
		cached := a.Sum().Cached[engine.CachedLocal] + b.Sum().Cached[engine.CachedLocal]
		if cached != 20 {
			t.Errorf("%d results were taken from the other build, want 20", cached)
		}
	})
}

func TestWhoWaitsSaysForWhom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int64
		l := &leases{stuck: true}
		b := newBuild(engine.Options{Jobs: 1, Window: 4, Leases: l}, counted(1, time.Second, &done))
		go func() {
			time.Sleep(90 * time.Second) // the holder dies
			l.mu.Lock()
			defer l.mu.Unlock()
			l.stuck = false
		}()
		b.run(t, "a")
		if done.Load() != 1 {
			t.Errorf("done %d times", done.Load())
		}
		var last engine.Event
		for _, e := range b.log.events {
			if e.Waiting != "" {
				last = e
			}
		}
		if last.Waiting != "host b" || last.Took < 60*time.Second || last.Text != `run.a["k0000"]` {
			t.Errorf("last event of waiting: %+v", last)
		}
	})
}

func TestKnownShortWorkWaitsBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int64
		l := &leases{}
		b := newBuild(engine.Options{Jobs: 1, Window: 1, Leases: l}, counted(3, time.Second, &done))
		go func() {
			time.Sleep(1500 * time.Millisecond) // the first is done and its duration known
			l.mu.Lock()
			defer l.mu.Unlock()
			l.stuck = true
		}()
		start := time.Now()
		b.run(t, "a")
		if took := time.Since(start); done.Load() != 3 || took > 10*time.Second {
			t.Errorf("%d done in %v", done.Load(), took)
		}
	})
}

func TestVeryShortWorkTakesNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int64
		l := &leases{}
		b := newBuild(engine.Options{Jobs: 1, Window: 1, Leases: l}, counted(50, 10*time.Millisecond, &done))
		b.run(t, "a")
		if done.Load() != 50 || l.taken.Load() != 1 {
			t.Errorf("%d done with %d leases", done.Load(), l.taken.Load())
		}
	})
}

func TestCancelEndsWaitingForALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int64
		b := newBuild(engine.Options{Jobs: 1, Window: 1, Leases: &leases{stuck: true}}, counted(2, time.Second, &done))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := b.Run(ctx, []engine.Want{{Label: label("a")}}); err != nil {
			t.Fatal(err)
		}
		if n := b.Sum().Classes[engine.ClassCancelled]; done.Load() != 0 || n == 0 {
			t.Errorf("%d done, %d cancelled", done.Load(), n)
		}
	})
}

// TestDrainEndsWaitingForALease shows that the first Ctrl-C does not wait for another machine.
func TestDrainEndsWaitingForALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int64
		b := newBuild(engine.Options{Jobs: 1, Window: 1, Leases: &leases{stuck: true}}, counted(2, time.Second, &done))
		time.AfterFunc(5*time.Second, b.Drain)
		start := time.Now()
		b.run(t, "a")
		if took := time.Since(start); done.Load() != 0 || took > 6*time.Second {
			t.Errorf("%d done, ended after %v", done.Load(), took)
		}
	})
}

// fullCache takes only so many results.
type fullCache struct {
	cache
	room atomic.Int64
}

func (c *fullCache) Record(ctx context.Context, r engine.Record) error {
	if c.room.Add(-1) < 0 {
		return errors.New("no space left")
	}
	return c.cache.Record(ctx, r)
}

// Results that can't be stored cost later builds work, and this one nothing: it is told once, and at the end how many they were.
func TestThatResultsCantBeStoredIsToldOnce(t *testing.T) {
	for lost, want := range [][]string{
		nil,
		{"a result could not be stored, and will have to be found out again: no space left"},
		{"a result could not be stored, and will have to be found out again: no space left", "2 results could not be stored"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var done atomic.Int64
			c := &fullCache{}
			c.room.Store(int64(20 - lost))
			b := newBuild(engine.Options{Jobs: 4, Window: 64, Cache: c}, counted(20, time.Second, &done))
			b.run(t, "a")
			var told []string
			for _, e := range b.log.events {
				if e.Type == engine.EventDiagnostic {
					told = append(told, e.Text)
				}
			}
			if !slices.Equal(told, want) || b.Sum().Classes[engine.ClassPass] != 20 {
				t.Errorf("%d lost: %q, %+v", lost, told, b.Sum())
			}
		})
	}
}
