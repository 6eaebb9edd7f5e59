package engine_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/cas"
	"cbuild/engine"
)

// cache is an action cache in memory.
type cache struct {
	mu      sync.Mutex
	records map[engine.Key]engine.Record
}

func (c *cache) Lookup(_ context.Context, k engine.Key, want engine.Conditions, mode engine.LookupMode) (*engine.Result, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.records[k]
	if !ok || mode == engine.LookupBypass {
		return nil, "new", nil
	}
	if ok, reason := r.Conditions.Serve(r.Result.Status, want); !ok {
		return nil, reason, nil
	}
	return r.Result, "", nil
}

func (c *cache) Record(_ context.Context, r engine.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.records == nil {
		c.records = make(map[engine.Key]engine.Record)
	}
	c.records[r.Key] = r
	return nil
}

func (c *cache) Withdraw(_ context.Context, k engine.Key) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.records, k)
	return nil
}

// log is an observer that keeps all events.
type log struct {
	mu     sync.Mutex
	events []engine.Event
}

func (l *log) Observe(e engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// finished returns "target[keys] class cached" for every finished instance, sorted.
func (l *log) finished() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, e := range l.events {
		if e.Type == engine.EventFinished {
			lines = append(lines, fmt.Sprintf("%s%v %s %v", e.Target.Label.Name, e.Instance, e.Outcome.Class(), e.Outcome.Cached))
		}
	}
	slices.Sort(lines)
	return lines
}

// action is a step that takes some time and then returns what do returns.
type action struct {
	key  string
	took time.Duration
	do   func(ctx context.Context) (*engine.Result, error)
}

func (a *action) Key() engine.Key {
	if a.key == "" {
		return engine.Key{}
	}
	b := engine.NewKey("test", 1)
	b.String("key", a.key)
	return b.Sum()
}

func (a *action) Preimage() []byte { return []byte(a.key) }

func (a *action) Do(ctx context.Context, _ func(engine.Event)) (*engine.Result, error) {
	// A timer of no time at all is run by the select itself, and there the race detector of Go 1.26 crashes inside a bubble.
	if a.took > 0 {
		select {
		case <-time.After(a.took):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if a.do != nil {
		return a.do(ctx)
	}
	return &engine.Result{Facts: map[string]string{"key": a.key}}, nil
}

func label(name string) engine.Label { return engine.Label{Name: name} }

func items(keys ...string) func(context.Context, engine.View) iter.Seq2[engine.Item, error] {
	return func(context.Context, engine.View) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			for _, k := range keys {
				if !yield(engine.Item{Key: k, Value: k}, nil) {
					return
				}
			}
		}
	}
}

func numbered(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%04d", i)
	}
	return keys
}

// takes returns a Plan function for actions that take d of a cpu slot each.
func takes(d time.Duration) func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
	return func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
		return &engine.Plan{Action: &action{key: i.Name(), took: d}, Pool: engine.CPUPool}, nil
	}
}

func stream(l string) []engine.Need {
	return []engine.Need{{Label: label(l), Mode: engine.StreamMode, Attribute: "for_each"}}
}

func over(l string) *engine.Label { return &engine.Label{Name: l} }

type build struct {
	*engine.Build
	log   *log
	cache *cache
}

func newBuild(opts engine.Options, targets ...*engine.Target) *build {
	b := &build{log: &log{}, cache: &cache{}}
	opts.Targets = targets
	opts.Observer = b.log
	if opts.Cache == nil {
		opts.Cache = b.cache
	}
	for _, t := range targets {
		t.Rule = "run"
		t.Repeated = t.Items != nil || t.Over != nil || t.Query != nil
	}
	b.Build = engine.New(opts)
	return b
}

func (b *build) run(t *testing.T, wanted ...string) engine.Counts {
	t.Helper()
	var wants []engine.Want
	for _, w := range wanted {
		wants = append(wants, engine.Want{Label: label(w)})
	}
	if err := b.Run(t.Context(), wants); err != nil {
		t.Fatal(err)
	}
	return b.Sum()
}

// collect is a Plan function for a target that reads the whole stream of l and takes its keys for its own key.
func collect(l string) func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
	return func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
		var keys []string
		for r, err := range v.Rows(ctx, label(l)) {
			if err != nil {
				return nil, err
			}
			keys = append(keys, r.Key)
		}
		slices.Sort(keys)
		return &engine.Plan{Action: &action{key: i.Name() + strings.Join(keys, ",")}}, nil
	}
}

func TestSecondTargetStartsBeforeFirstEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuild(engine.Options{Jobs: 2, Window: 4},
			&engine.Target{Label: label("a"), Items: items(numbered(100)...), Plan: takes(time.Second)},
			&engine.Target{Label: label("b"), Over: over("a"), Needs: stream("a"), Plan: takes(time.Second)},
			&engine.Target{Label: label("all"), Needs: stream("b"), Plan: collect("b")})
		start := time.Now()
		b.run(t, "all")
		if took := time.Since(start); took > 102*time.Second {
			t.Errorf("200 actions of 1 s took %v on two slots", took)
		}
		seen, lead, worst := map[string]int{}, 0, 0
		for _, e := range b.log.events {
			if e.Type != engine.EventFinished {
				continue
			}
			seen[e.Target.Label.Name]++
			lead = seen["a"] - seen["b"]
			worst = max(worst, lead)
		}
		if worst > 2*4+2 {
			t.Errorf("a ran ahead of b by %d rows, with a window of 4", worst)
		}
	})
}

func TestRowIsDemandedBeyondTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := numbered(50)
		b := newBuild(engine.Options{Jobs: 1, Window: 1, DiskAhead: 1},
			&engine.Target{Label: label("a"), Items: items(keys...), Plan: takes(time.Second)},
			// Each instance of b needs the instance of a at the other end, and all of them are read at once.
			&engine.Target{Label: label("b"), Items: items(keys...), Needs: stream("a"), Plan: func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
				var n int
				fmt.Sscanf(i.Key, "k%d", &n)
				if _, err := v.Row(ctx, label("a"), keys[len(keys)-1-n]); err != nil {
					return nil, err
				}
				return takes(time.Second)(ctx, v, i)
			}},
			&engine.Target{Label: label("all"), Needs: stream("b"), Plan: collect("b")})
		counts := b.run(t, "all")
		if counts.Classes[engine.ClassPass] != 101 {
			t.Errorf("counts: %+v", counts)
		}
	})
}

func TestOnlyWhatIsAskedForRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuild(engine.Options{Jobs: 1, Window: 2},
			&engine.Target{Label: label("a"), Items: items(numbered(50)...), Plan: takes(time.Second)},
			&engine.Target{Label: label("b"), Over: over("a"), Needs: stream("a"), Plan: takes(time.Second)},
			&engine.Target{Label: label("one"), Needs: []engine.Need{{Label: label("b"), Mode: engine.InstanceMode}}, Plan: func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
				if _, err := v.Row(ctx, label("b"), "k0040"); err != nil {
					return nil, err
				}
				return takes(0)(ctx, v, i)
			}})
		b.run(t, "one")
		want := []string{"a[k0040] pass no", "b[k0040] pass no", "one[] pass no"}
		if got := b.log.finished(); !slices.Equal(got, want) {
			t.Errorf("finished %v, want %v", got, want)
		}
	})
}

func TestWantedByMatchingKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuild(engine.Options{Jobs: 8, Connections: 1, Window: 2},
			&engine.Target{Label: label("a"), Items: items("serde-1", "serde-2", "rand-1", "serde-3"), Plan: takes(time.Second)},
			&engine.Target{Label: label("b"), Over: over("a"), Needs: stream("a"), Plan: takes(time.Second), Where: func(_ context.Context, _ engine.View, i engine.Instance) (bool, error) {
				return i.Key != "serde-2", nil
			}})
		begun := time.Now()
		err := b.Run(t.Context(), []engine.Want{{
			Label: label("b"), Keys: []string{"serde-3", "nope"},
			Match: func(key string) bool { return strings.HasPrefix(key, "serde-") },
		}})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"a[serde-1] pass no", "a[serde-2] pass no", "a[serde-3] pass no",
			"b[nope] invalid no", "b[serde-1] pass no", "b[serde-3] pass no",
		}
		if got := b.log.finished(); !slices.Equal(got, want) {
			t.Errorf("finished %v, want %v", got, want)
		}
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("took %v: what is wanted is not done side by side", took)
		}
	})
}

func TestAnElementThatCannotBeUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := func(context.Context, engine.View) iter.Seq2[engine.Item, error] {
			return func(yield func(engine.Item, error) bool) {
				for i, key := range numbered(2000) {
					item := engine.Item{Key: key}
					if i%1000 == 7 {
						item.Err = &engine.InvalidError{Err: errors.New("bad " + key)}
					}
					if !yield(item, nil) {
						return
					}
				}
			}
		}
		for _, sealed := range []bool{false, true} {
			opts := engine.Options{Jobs: 4, Window: 64}
			if sealed {
				scratch := &spool{}
				opts.Spool = func() (engine.Spool, error) { return scratch, nil }
			}
			b := newBuild(opts,
				&engine.Target{Label: label("q"), Rule: "query", Repeated: true, Query: asked},
				&engine.Target{Label: label("b"), Repeated: true, Over: over("q"), Needs: stream("q"), Plan: takes(0)},
				&engine.Target{Label: label("c"), Repeated: true, Over: over("b"), Needs: stream("b"), Plan: takes(0)},
			)
			b.run(t, "c")
			var bad []string
			for _, line := range b.log.finished() {
				if !strings.Contains(line, "pass") {
					bad = append(bad, line)
				}
			}
			want := []string{"b[k0007] invalid no", "b[k1007] invalid no", "q[k0007] invalid no", "q[k1007] invalid no"}
			if !slices.Equal(bad, want) {
				t.Errorf("not a pass: %v, want %v", bad, want)
			}
			n := 0
			for r, err := range b.Whole(t.Context(), label("q")) {
				if err != nil {
					t.Fatal(err)
				}
				if (r.Err != nil) != (r.Key == "k0007" || r.Key == "k1007") || r.Err != nil && (engine.ClassOf(r.Err) != engine.ClassInvalid || r.Err.Error() != "bad "+r.Key) {
					t.Errorf("%s: %v", r.Key, r.Err)
				}
				n++
			}
			if n != 2000 {
				t.Errorf("%d rows", n)
			}
		}
	})
}

func TestUnknownAndDroppedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := func(key string) func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
			return func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
				_, err := v.Row(ctx, label("b"), key)
				return nil, err
			}
		}
		need := []engine.Need{{Label: label("b"), Mode: engine.InstanceMode}}
		b := newBuild(engine.Options{Jobs: 1, Window: 1},
			&engine.Target{Label: label("a"), Items: items("serde-1", "serde-2", "rand-1"), Plan: takes(0)},
			&engine.Target{Label: label("b"), Over: over("a"), Needs: stream("a"), Plan: takes(0), Where: func(_ context.Context, _ engine.View, i engine.Instance) (bool, error) {
				return i.Key != "rand-1", nil
			}},
			&engine.Target{Label: label("unknown"), Needs: need, Plan: ask("serdee-1")},
			&engine.Target{Label: label("dropped"), Needs: need, Plan: ask("rand-1")})
		b.run(t, "unknown", "dropped")
		for _, name := range []string{"unknown", "dropped"} {
			for r := range b.Whole(t.Context(), label(name)) {
				var no *engine.NoRowError
				if !errors.As(r.Cells[0].Err, &no) || no.Dropped != (name == "dropped") {
					t.Errorf("%s: %v", name, r.Cells[0].Err)
				}
			}
		}
	})
}

func TestMatrixCells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var awaited atomic.Int32
		b := newBuild(engine.Options{Jobs: 4, Window: 4},
			&engine.Target{Label: label("tool"), Items: items("before", "after"), Plan: takes(5 * time.Second)},
			&engine.Target{
				Label: label("a"), Items: items("x", "y"), Axes: []string{"go"},
				Needs: []engine.Need{{Label: label("tool"), Mode: engine.StreamMode, Attribute: "matrix"}},
				Matrix: func(ctx context.Context, v engine.View) ([]engine.Axis, error) {
					keys, err := v.Keys(ctx, label("tool"))
					return []engine.Axis{{Name: "go", Keys: keys, Value: func(ctx context.Context, key string) (engine.Value, error) {
						r, err := v.Row(ctx, label("tool"), key)
						awaited.Add(1)
						return r, err
					}}}, err
				},
				Plan: takes(time.Second),
			})
		b.run(t, "a")
		want := []string{
			"a[x after] pass no", "a[x before] pass no", "a[y after] pass no", "a[y before] pass no",
			"tool[after] pass no", "tool[before] pass no",
		}
		if got := b.log.finished(); !slices.Equal(got, want) {
			t.Errorf("finished %v", got)
		}
		if awaited.Load() != 4 {
			t.Errorf("%d axis values were awaited, want one for each of 4 instances", awaited.Load())
		}
		for r := range b.Whole(t.Context(), label("a")) {
			if c, ok := r.Cell("after"); !ok || c.Axes[0] != "after" {
				t.Errorf("row %s has no cell after: %v", r.Key, r.Cells)
			}
		}
	})
}

func TestTroubleIsRetriedFailureIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := map[string]int{}
		plan := func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
			return &engine.Plan{Pool: engine.CPUPool, Retries: 3, Action: &action{key: i.Key, do: func(context.Context) (*engine.Result, error) {
				tries[i.Key]++
				switch {
				case i.Key == "passing trouble" && tries[i.Key] < 3:
					return nil, &engine.TroubleError{Err: errors.New("503"), Retry: true, After: time.Minute}
				case i.Key == "lasting trouble":
					return nil, engine.Transient(errors.New("reset"))
				case i.Key == "failure":
					return &engine.Result{Status: engine.Fail, ExitCode: 1}, nil
				case i.Key == "gone":
					return nil, &engine.UnavailableError{Err: errors.New("404")}
				}
				return &engine.Result{}, nil
			}}}, nil
		}
		b := newBuild(engine.Options{Jobs: 1, Window: 1},
			&engine.Target{Label: label("a"), Items: items("passing trouble", "lasting trouble", "failure", "gone", "good"), Plan: plan})
		start := time.Now()
		b.run(t, "a")
		want := []string{"a[failure] fail no", "a[gone] unavailable no", "a[good] pass no", "a[lasting trouble] error no", "a[passing trouble] pass no"}
		if got := b.log.finished(); !slices.Equal(got, want) {
			t.Errorf("finished %v", got)
		}
		if want := map[string]int{"passing trouble": 3, "lasting trouble": 4, "failure": 1, "gone": 1, "good": 1}; !maps.Equal(tries, want) {
			t.Errorf("tries: %v", tries)
		}
		if took := time.Since(start); took < 2*time.Minute {
			t.Errorf("Retry-After was not honoured: %v", took)
		}
		if len(b.cache.records) != 3 {
			t.Errorf("%d records, want those of 3 results", len(b.cache.records))
		}
	})
}

func TestBackingOffHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		b := newBuild(engine.Options{Jobs: 1, Window: 1},
			&engine.Target{Label: label("a"), Items: items(numbered(20)...), Plan: func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
				return &engine.Plan{Pool: engine.CPUPool, Retries: 1, Action: &action{key: i.Key, took: time.Second, do: func(context.Context) (*engine.Result, error) {
					if i.Key == "k0000" && first {
						first = false
						return nil, &engine.TroubleError{Err: errors.New("503"), Retry: true, After: 10 * time.Second}
					}
					return &engine.Result{}, nil
				}}}, nil
			}})
		start := time.Now()
		b.run(t, "a")
		if took := time.Since(start); took > 22*time.Second {
			t.Errorf("took %v: the others waited for the one that backed off", took)
		}
	})
}

// What was not tried is no attempt: it may wait as often as it likes, and holds neither a slot nor a place in the window meanwhile.
func TestWaitingIsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, waits := 0, 0
		var before []string
		b := newBuild(engine.Options{Jobs: 1, Window: 1},
			&engine.Target{Label: label("a"), Items: items(numbered(20)...), Plan: func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
				return &engine.Plan{Pool: engine.CPUPool, Retries: 1, Action: &action{key: i.Key, took: time.Second, do: func(context.Context) (*engine.Result, error) {
					if i.Key != "k0000" {
						if waits > 0 && waits < 100 {
							before = append(before, i.Key)
						}
						return &engine.Result{}, nil
					}
					if waits < 100 {
						waits++
						return nil, &engine.TroubleError{Err: errors.New("paused"), Retry: true, After: 10 * time.Second, Wait: true}
					}
					if tries++; tries == 1 {
						return nil, engine.Transient(errors.New("reset"))
					}
					return &engine.Result{}, nil
				}}}, nil
			}})
		b.run(t, "a")
		if waits != 100 || tries != 2 || len(before) != 19 {
			t.Errorf("%d waits, %d tries, meanwhile %v", waits, tries, before)
		}
		if got := b.log.finished(); !slices.Contains(got, "a[k0000] pass no") {
			t.Errorf("finished %v", got)
		}
		told := 0
		for _, e := range b.log.events {
			switch {
			case e.Type == engine.EventProgress && e.Attempt > 1:
				t.Errorf("a wait was told as attempt %d", e.Attempt)
			case e.Type == engine.EventProgress && e.After == 10*time.Second:
				told++ // else it would count as running
			}
		}
		if told != 100 {
			t.Errorf("%d waits were told, want 100", told)
		}
	})
}

// A build that is stopped does not wait for what has not begun.
func TestDrainingEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuild(engine.Options{Jobs: 1, Window: 1}, &engine.Target{Label: label("a"), Plan: func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
			return &engine.Plan{Pool: engine.CPUPool, Action: &action{key: "k", do: func(context.Context) (*engine.Result, error) {
				return nil, &engine.TroubleError{Err: errors.New("paused"), Retry: true, After: time.Hour, Wait: true}
			}}}, nil
		}})
		start := time.Now()
		time.AfterFunc(time.Minute, b.Drain)
		b.run(t, "a")
		if got := b.log.finished(); !slices.Equal(got, []string{"a[] cancelled no"}) || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), got)
		}
	})
}

// However much waits, the rows that are under way have a bound.
func TestWaitingRowsHaveABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 10_000
		waiting, most := map[string]bool{}, 0
		open := time.Now().Add(time.Minute)
		var mu sync.Mutex
		b := newBuild(engine.Options{Jobs: 4, Window: 8},
			&engine.Target{Label: label("a"), Items: items(numbered(many)...), Plan: func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
				return &engine.Plan{Pool: engine.CPUPool, Action: &action{key: i.Key, do: func(context.Context) (*engine.Result, error) {
					mu.Lock()
					defer mu.Unlock()
					if wait := time.Until(open); wait > 0 {
						waiting[i.Key] = true
						most = max(most, len(waiting))
						return nil, &engine.TroubleError{Err: errors.New("paused"), Retry: true, After: wait, Wait: true}
					}
					delete(waiting, i.Key)
					return &engine.Result{}, nil
				}}}, nil
			}})
		b.run(t, "a")
		if got := b.log.finished(); len(got) != many || most > 5000 || most < 4000 {
			t.Errorf("%d finished, at most %d waited", len(got), most)
		}
	})
}

func TestEqualWorkIsDoneOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		plan := func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
			return &engine.Plan{Action: &action{key: "same", took: time.Second, do: func(context.Context) (*engine.Result, error) {
				runs++
				return &engine.Result{}, nil
			}}}, nil
		}
		b := newBuild(engine.Options{Jobs: 8, Window: 8}, &engine.Target{Label: label("a"), Items: items(numbered(100)...), Plan: plan})
		b.run(t, "a")
		if runs != 1 {
			t.Errorf("the action ran %d times", runs)
		}
	})
}

func TestStoredResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cache{}
		status := engine.Pass
		var want engine.Conditions
		var reuse func(*engine.Result) bool
		run := func() string {
			b := newBuild(engine.Options{Jobs: 1, Cache: c}, &engine.Target{Label: label("a"), Plan: func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
				return &engine.Plan{Want: want, Reuse: reuse, Action: &action{key: "k", do: func(context.Context) (*engine.Result, error) {
					return &engine.Result{Status: status}, nil
				}}}, nil
			}})
			b.run(t, "a")
			return b.log.finished()[0]
		}
		check := func(want string) {
			t.Helper()
			if got := run(); got != "a[] "+want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		check("pass no")
		check("pass local")
		clear(c.records)
		status = engine.Fail
		check("fail no")
		check("fail no") // a failure is not used again …
		reuse = func(*engine.Result) bool { return true }
		check("fail local") // … unless the target says that it is a result
		clear(c.records)
		status, want = engine.Timeout, engine.Conditions{Timeout: time.Minute, Machine: "m"}
		check("timeout no")
		check("timeout local")
		want.Timeout = 2 * time.Minute
		check("timeout no") // a longer limit may end otherwise
		want.Timeout = time.Second
		check("timeout local")
	})
}

// A result that is to be refreshed is made again and kept, and counts as cached; if that fails, the stored one is as good. What others read of
// it stays the first, so that nothing that reads it is done again; the last is for people.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cache{}
		made := 0
		var trouble error
		out := func() engine.Output {
			return engine.Output{Path: "o", Artifact: engine.Artifact{Digest: cas.Of([]byte{byte(made)})}}
		}
		var first engine.Output
		run := func(refresh, dry bool) (string, int) {
			var seen int
			b := newBuild(engine.Options{Jobs: 1, Cache: c, Dry: dry, Leases: &leases{}}, &engine.Target{Label: label("a"), Plan: func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
				return &engine.Plan{Refresh: refresh, Action: &action{key: "k", do: func(context.Context) (*engine.Result, error) {
					if made++; made == 1 {
						first = out()
					}
					return &engine.Result{ExitCode: made, Outs: []engine.Output{out()}}, trouble
				}}}, nil
			}})
			b.run(t, "a")
			for _, e := range b.log.events {
				if e.Type == engine.EventFinished && e.Outcome.Result != nil {
					seen = e.Outcome.Result.ExitCode
					outs := e.Outcome.Result.Outs
					if a, _ := e.Outcome.Result.Out("o"); a != first.Artifact || len(outs) != min(seen, 2) || outs[len(outs)-1].Digest != cas.Of([]byte{byte(seen)}) {
						t.Errorf("attempt %d has the outputs %v", seen, outs)
					}
				}
			}
			return b.log.finished()[0], seen
		}
		for _, step := range []struct {
			refresh, dry bool
			fails        error
			want         string
			seen         int
		}{
			{true, false, nil, "a[] pass no", 1},
			{false, false, nil, "a[] pass local", 1},
			{true, false, nil, "a[] pass local", 2},
			{false, false, nil, "a[] pass local", 2},
			{true, false, errors.New("disk full"), "a[] pass local", 2},
			{true, true, nil, "a[] pass local", 2},
		} {
			trouble = step.fails
			if got, seen := run(step.refresh, step.dry); got != step.want || seen != step.seen {
				t.Errorf("%+v: got %q of attempt %d", step, got, seen)
			}
		}
		if made != 3 {
			t.Errorf("made %d times", made)
		}
	})
}

// TestLostOutputIsMadeAgain loses an output that two others read, one of them deep below, and one that was asked for itself.
func TestLostOutputIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cache{}
		var mu sync.Mutex
		store, ran := map[cas.Digest]bool{}, map[string]int{}
		lost := func(d cas.Digest) error {
			mu.Lock()
			defer mu.Unlock()
			if store[d] {
				return nil
			}
			return &engine.LostError{Digest: d, Err: fmt.Errorf("input: %w", cas.ErrNotFound)}
		}
		makes := func(salt string, inputs ...string) func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
			return func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
				var digests []cas.Digest
				for _, in := range inputs {
					r, err := v.Row(ctx, label(in), "")
					if err != nil {
						return nil, err
					}
					digests = append(digests, r.Cells[0].Result.Outs[0].Digest)
				}
				name := i.Target.Label.Name
				return &engine.Plan{Pool: engine.CPUPool, Action: &action{key: fmt.Sprint(name, salt, digests), took: time.Second, do: func(context.Context) (*engine.Result, error) {
					for _, d := range digests {
						if err := lost(d); err != nil {
							return nil, err
						}
					}
					d := cas.Of([]byte(name))
					mu.Lock()
					defer mu.Unlock()
					store[d] = true
					ran[name]++
					return &engine.Result{Outs: []engine.Output{{Path: "o", Artifact: engine.Artifact{Digest: d}}}}, nil
				}}}, nil
			}
		}
		needs := func(labels ...string) (n []engine.Need) {
			for _, l := range labels {
				n = append(n, engine.Need{Label: label(l)})
			}
			return n
		}
		run := func(salt string) {
			b := newBuild(engine.Options{Jobs: 4, Cache: c},
				&engine.Target{Label: label("a"), Plan: makes("")},
				&engine.Target{Label: label("b"), Needs: needs("a"), Plan: makes("", "a")},
				&engine.Target{Label: label("c"), Needs: needs("b"), Plan: makes(salt, "b")},
				&engine.Target{Label: label("d"), Needs: needs("b"), Plan: makes(salt, "b")},
				&engine.Target{Label: label("e"), Needs: needs("c", "d"), Plan: makes("", "c", "d")})
			use := func(_ context.Context, _ *engine.Row, o *engine.Outcome) error { return lost(o.Result.Outs[0].Digest) }
			if err := b.Run(t.Context(), []engine.Want{{Label: label("e"), Use: use}}); err != nil {
				t.Fatal(err)
			}
			if sum := b.Sum(); sum.Classes[engine.ClassPass] != 5 {
				t.Errorf("%+v %v", sum, b.log.finished())
			}
		}
		check := func(want map[string]int) {
			t.Helper()
			if !maps.Equal(ran, want) {
				t.Errorf("ran %v, want %v", ran, want)
			}
			clear(ran)
		}
		run("")
		check(map[string]int{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1})
		clear(store) // everything is lost, but only e is asked for
		run("")
		check(map[string]int{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1})
		delete(store, cas.Of([]byte("a")))
		delete(store, cas.Of([]byte("b")))
		run("edited") // c and d both miss b, which needs a
		check(map[string]int{"a": 1, "b": 1, "c": 1, "d": 1})
	})
}

func TestDrainFinishesWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuild(engine.Options{Jobs: 3, Window: 8},
			&engine.Target{Label: label("a"), Items: items(numbered(100)...), Plan: takes(10 * time.Second)},
			&engine.Target{Label: label("report"), Needs: stream("a"), Plan: func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
				n := 0
				for _, err := range v.Rows(ctx, label("a")) {
					if err != nil {
						break
					}
					n++
				}
				return &engine.Plan{Always: true, Action: &action{do: func(context.Context) (*engine.Result, error) {
					return &engine.Result{ExitCode: n}, nil
				}}}, nil
			}})
		start := time.Now()
		time.AfterFunc(15*time.Second, b.Drain)
		counts := b.run(t, "report")
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("ended after %v, want 20 s: what ran at 15 s is finished", took)
		}
		if counts.Classes[engine.ClassPass] != 6+1 {
			t.Errorf("counts: %+v", counts)
		}
	})
}

func TestCancelEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuild(engine.Options{Jobs: 3, Window: 8},
			&engine.Target{Label: label("a"), Items: items(numbered(100)...), Plan: takes(time.Hour)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := b.Run(ctx, []engine.Want{{Label: label("a")}})
		counts := b.Sum()
		if err != nil || time.Since(start) != time.Minute {
			t.Errorf("ended after %v with %v", time.Since(start), err)
		}
		if counts.Classes[engine.ClassPass] != 0 || counts.Classes[engine.ClassError] != 0 || len(b.cache.records) != 0 {
			t.Errorf("counts: %+v, %d records", counts, len(b.cache.records))
		}
	})
}

func TestPanicIsABug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuild(engine.Options{Jobs: 1}, &engine.Target{Label: label("a"), Items: items("x", "y"), Plan: func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
			if i.Key == "x" {
				panic("oh")
			}
			return takes(0)(nil, nil, i)
		}})
		err := b.Run(t.Context(), []engine.Want{{Label: label("a")}})
		var bug *engine.PanicError
		if !errors.As(err, &bug) || len(b.log.finished()) != 2 {
			t.Errorf("%v, finished %v", err, b.log.finished())
		}
	})
}

// TestRandomGraphsFinish builds random acyclic graphs with every way to need another target, under the tightest bounds, and
// compares what comes out with an unbounded build. A deadlock fails in virtual time.
func TestRandomGraphsFinish(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				results := map[int][]string{}
				for _, window := range []int{1, 100} {
					b := newBuild(engine.Options{Jobs: 1 + window/50, Window: window, DiskAhead: 1}, randomGraph(seed)...)
					b.run(t, "t7")
					results[window] = b.log.finished()
				}
				// What is read determines what runs when nothing looks ahead; with look-ahead at least that runs.
				for _, line := range results[1] {
					if strings.HasPrefix(line, "t7") && !slices.Contains(results[100], line) {
						t.Errorf("only with window 1: %s", line)
					}
				}
				for _, line := range results[1] {
					if !strings.HasSuffix(line, " pass no") {
						t.Errorf("not a pass: %s", line)
					}
				}
			})
		})
	}
}

// spool is scratch space in memory.
type spool struct {
	mu   sync.Mutex
	data []byte
}

func (s *spool) Append(p []byte) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := int64(len(s.data))
	s.data = append(s.data, p...)
	return at, nil
}

func (s *spool) ReadAt(p []byte, offset int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copy(p, s.data[offset:]), nil
}

// TestSealedRowsAreReadBack has a reader that starts when the first rows are long out of memory.
func TestSealedRowsAreReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scratch := &spool{}
		keys := numbered(5000)
		fails := func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
			if i.Key == "k0007" {
				return nil, &engine.SkippedError{Cause: "no reason"}
			}
			r := engine.Result{Status: engine.Fail, ExitCode: 3, Facts: map[string]string{"key": i.Key}}
			return &engine.Plan{Shape: engine.OutSpec{Path: "o"}, Action: &action{key: i.Key, do: func(context.Context) (*engine.Result, error) { return &r, nil }}}, nil
		}
		b := newBuild(engine.Options{Jobs: 4, Window: 64, Spool: func() (engine.Spool, error) { return scratch, nil }},
			&engine.Target{Label: label("a"), Items: items(keys...), Plan: fails},
			&engine.Target{Label: label("b"), Over: over("a"), Needs: stream("a"), Plan: takes(0)},
			&engine.Target{Label: label("late"), Needs: []engine.Need{{Label: label("b"), Mode: engine.WholeMode}}, Plan: func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
				n := 0
				for r, err := range v.Whole(ctx, label("b")) {
					if err != nil {
						return nil, err
					}
					a := r.Value.(*engine.Row)
					if r.Key != keys[n] || a.Key != keys[n] || !r.Cells[0].OK() || a.Value != keys[n] {
						return nil, fmt.Errorf("row %d is %+v", n, r)
					}
					want := engine.Class("fail")
					if r.Key == "k0007" {
						want = engine.ClassSkipped
					}
					if c := a.Cells[0]; c.Class() != want || want == "fail" && (c.Result.Facts["key"] != keys[n] || c.Shape != engine.OutSpec{Path: "o"}) {
						return nil, fmt.Errorf("element %d is %+v", n, c)
					}
					n++
				}
				if n != len(keys) {
					return nil, fmt.Errorf("%d rows", n)
				}
				r, err := v.Row(ctx, label("b"), "k0123")
				if err != nil || r.Key != "k0123" {
					return nil, fmt.Errorf("%v, %w", r, err)
				}
				return takes(0)(ctx, v, i)
			}})
		b.run(t, "late")
		for r := range b.Whole(t.Context(), label("late")) {
			if !r.Cells[0].OK() {
				t.Error(r.Cells[0].Err)
			}
		}
		if len(scratch.data) == 0 {
			t.Error("nothing was sealed")
		}
	})
}

func randomGraph(seed uint64) []*engine.Target {
	rng := rand.New(rand.NewPCG(seed, 1))
	var targets []*engine.Target
	keys := numbered(12)
	for n := range 8 {
		t := &engine.Target{Label: label(fmt.Sprintf("t%d", n))}
		took := time.Duration(rng.IntN(3)) * time.Second
		var reads []func(ctx context.Context, v engine.View, i engine.Instance) error
		for _, other := range targets {
			l := other.Label
			mode := rng.IntN(8)
			if n == 7 {
				mode %= 4
			}
			switch mode {
			case 0:
				t.Needs = append(t.Needs, engine.Need{Label: l, Mode: engine.WholeMode})
				reads = append(reads, func(ctx context.Context, v engine.View, _ engine.Instance) error {
					for _, err := range v.Whole(ctx, l) {
						if err != nil {
							return err
						}
					}
					return nil
				})
			case 1:
				t.Needs = append(t.Needs, engine.Need{Label: l, Mode: engine.InstanceMode})
				key := ""
				if other.Repeated {
					key = keys[rng.IntN(len(keys))]
				}
				reads = append(reads, func(ctx context.Context, v engine.View, _ engine.Instance) error {
					_, err := v.Row(ctx, l, key)
					return err
				})
			case 2:
				t.Needs = append(t.Needs, engine.Need{Label: l, Mode: engine.StreamMode})
				reads = append(reads, func(ctx context.Context, v engine.View, _ engine.Instance) error {
					for _, err := range v.Rows(ctx, l) {
						if err != nil {
							return err
						}
					}
					return nil
				})
			case 3, 4:
				if other.Repeated {
					t.Over = &l
				}
			}
		}
		if t.Over != nil {
			t.Needs = append(t.Needs, engine.Need{Label: *t.Over, Mode: engine.StreamMode})
		} else if rng.IntN(3) > 0 {
			shuffled := slices.Clone(keys)
			rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			t.Items = items(shuffled...)
		}
		t.Repeated = t.Items != nil || t.Over != nil
		t.Plan = func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
			for _, read := range reads {
				if err := read(ctx, v, i); err != nil {
					return nil, err
				}
			}
			p, err := takes(took)(ctx, v, i)
			p.Ahead = func(*engine.Result) int64 { return 1000 }
			return p, err
		}
		targets = append(targets, t)
	}
	return targets
}

// TestSuggestionsDoNotDependOnProgress asks for a key that does not exist at many moments of a build: what resembles it stands in
// reports.
func TestSuggestionsDoNotDependOnProgress(t *testing.T) {
	for pause := range 12 {
		synctest.Test(t, func(t *testing.T) {
			var near []string
			b := newBuild(engine.Options{Jobs: 1, Window: 1},
				&engine.Target{
					Label: label("a"), Items: items("c", "d", "b"), Plan: takes(2 * time.Second),
					Where: func(_ context.Context, _ engine.View, i engine.Instance) (bool, error) {
						time.Sleep(time.Second)
						return i.Key != "b", nil
					},
				},
				&engine.Target{
					Label: label("reader"), Needs: []engine.Need{{Label: label("a"), Mode: engine.InstanceMode}},
					Plan: func(ctx context.Context, v engine.View, _ engine.Instance) (*engine.Plan, error) {
						time.Sleep(time.Duration(pause) * time.Second)
						_, err := v.Row(ctx, label("a"), "e")
						if no, ok := errors.AsType[*engine.NoRowError](err); ok {
							near = no.Nearest
						}
						return nil, err
					},
				})
			b.run(t, "reader", "a")
			if !slices.Equal(near, []string{"b", "c", "d"}) {
				t.Errorf("after %d s: nearest are %v", pause, near)
			}
		})
	}
}
