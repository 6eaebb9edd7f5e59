package ui_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/clock"
	"cbuild/internal/ui"
)

// drawing writes spans as a table of when, where and what.
func drawing(spans []ui.Span) string {
	var b strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&b, "%v+%v lane %d %s %s", s.Start, s.Took, s.Lane, s.Class, s.Name)
		if s.Attempt > 1 {
			fmt.Fprintf(&b, " attempt %d", s.Attempt)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// simple is a target whose instances do what do says.
func simple(name string, keys []string, retries int, do func(ctx context.Context, key string) (*engine.Result, error)) *engine.Target {
	return &engine.Target{
		Label: engine.Label{Name: name}, Rule: "run", Repeated: true, Items: items(keys...),
		Plan: func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
			return &engine.Plan{Pool: engine.CPUPool, Retries: retries, Action: &step{i.Name(), func(ctx context.Context) (*engine.Result, error) {
				return do(ctx, i.Key)
			}}}, nil
		},
	}
}

// lasting is a result that takes a time, in virtual time.
func lasting(took time.Duration) func(context.Context, string) (*engine.Result, error) {
	return func(context.Context, string) (*engine.Result, error) {
		time.Sleep(took)
		return &engine.Result{}, nil
	}
}

// timelineOf builds targets in virtual time with two jobs and returns what the timeline holds.
func timelineOf(t *testing.T, cache engine.ActionCache, targets ...*engine.Target) *ui.Timeline {
	t.Helper()
	line := ui.NewTimeline(clock.System, true)
	b := engine.New(engine.Options{Targets: targets, Cache: cache, Observer: line, Jobs: 2, Window: 16})
	var wants []engine.Want
	for _, target := range targets {
		wants = append(wants, engine.Want{Label: target.Label})
	}
	if err := b.Run(t.Context(), wants); err != nil {
		t.Fatal(err)
	}
	return line
}

// What is executed is drawn in as many lanes as there are slots; what is cached is not drawn.
func TestTimelineDrawsWhatIsExecuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := castest.NewMemoryActionCache()
		target := func() *engine.Target { return simple("work", []string{"a", "b", "c"}, 0, lasting(time.Second)) }
		line := timelineOf(t, cache, target())
		got := drawing(line.Spans())
		for _, want := range []string{"0s+1s lane 0 pass run.work[", "0s+1s lane 1 pass run.work[", "1s+1s lane 0 pass run.work["} {
			if strings.Count(got, want) != 1 {
				t.Errorf("want one %q:\n%s", want, got)
			}
		}
		if strings.Count(got, "\n") != 3 {
			t.Errorf("more is drawn:\n%s", got)
		}
		if again := timelineOf(t, cache, target()); len(again.Spans()) != 0 {
			t.Errorf("what is cached is drawn:\n%s", drawing(again.Spans()))
		}
	})
}

// While an instance backs off, its lane is free for others; its attempts are counted. What waits for its turn was not tried.
func TestTimelineOfRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts, waits atomic.Int64
		retried := simple("retried", []string{"a"}, 5, func(context.Context, string) (*engine.Result, error) {
			time.Sleep(time.Second)
			if attempts.Add(1) < 3 {
				return nil, &engine.TroubleError{Err: errors.New("503: again: later"), Retry: true, After: 10 * time.Second}
			}
			return &engine.Result{Status: engine.Fail}, nil
		})
		waiting := simple("waiting", []string{"a"}, 0, func(context.Context, string) (*engine.Result, error) {
			if waits.Add(1) < 3 {
				return nil, &engine.TroubleError{Err: errors.New("rests"), Retry: true, Wait: true, After: 5 * time.Second}
			}
			time.Sleep(time.Second)
			return &engine.Result{}, nil
		})
		line := timelineOf(t, castest.NewMemoryActionCache(), retried, waiting)
		want := `0s+1s lane 0 error run.retried["a"]
10s+1s lane 0 pass run.waiting["a"]
11s+1s lane 0 error run.retried["a"] attempt 2
22s+1s lane 0 fail run.retried["a"] attempt 3
`
		if got := drawing(line.Spans()); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

// A page of a query has no end of its own, but an event that it runs no more.
func TestTimelineOfWhatIsDoneOnBehalfOfATarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pages := onBehalf("q", "page 1", "page 2")
		line := timelineOf(t, castest.NewMemoryActionCache(), pages)
		if got, want := drawing(line.Spans()), "0s+1s lane 0  page 1\n1s+1s lane 0  page 2\n"; got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if s := line.Spans()[0]; s.Target != pages {
			t.Errorf("a page is one of %v", s.Target)
		}
	})
}

// A build that is stopped tells how what ran has ended.
func TestTimelineOfAStoppedBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := ui.NewTimeline(clock.System, true)
		target := simple("work", []string{"a", "b", "c"}, 0, func(ctx context.Context, key string) (*engine.Result, error) {
			select {
			case <-time.After(time.Minute):
				return &engine.Result{}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		b := engine.New(engine.Options{Targets: []*engine.Target{target}, Cache: castest.NewMemoryActionCache(), Observer: line, Jobs: 2, Window: 16})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Run(ctx, []engine.Want{{Label: target.Label}}); err != nil {
			t.Fatal(err)
		}
		spans := line.Spans()
		if len(spans) != 2 || slices.ContainsFunc(spans, func(s ui.Span) bool { return s.Class != engine.ClassCancelled || s.Took != time.Second }) {
			t.Errorf("got\n%s", drawing(spans))
		}
	})
}

// onBehalf is a query that asks for pages, each in a second.
func onBehalf(name string, pages ...string) *engine.Target {
	return &engine.Target{Label: engine.Label{Name: name}, Rule: "query", Repeated: true, Query: func(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			for _, page := range pages {
				o := v.Perform(ctx, page, &engine.Plan{Pool: engine.NetPool, Action: &step{page, func(ctx context.Context) (*engine.Result, error) {
					return lasting(time.Second)(ctx, page)
				}}})
				if o.Err != nil || !yield(engine.Item{Key: page}, nil) {
					return
				}
			}
		}
	}}
}

// A million executions, of which no names are kept, take 64 MB at most, also while the list grows.
func TestTimelineIsSmall(t *testing.T) {
	const n = 1_000_000
	line := ui.NewTimeline(fixed{}, false)
	target := repeated("run", "r")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		line.Observe(engine.Event{Type: engine.EventStarted, Target: target, Text: `run.r["k"]`})
		line.Observe(engine.Event{Type: engine.EventFinished, Target: target, Instance: []string{"k"}, Outcome: &engine.Outcome{Result: &engine.Result{}}})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / n; each > 64 {
		t.Errorf("%.1f bytes for each execution", each)
	}
	if spans := line.Spans(); len(spans) != n || spans[0].Name != "" {
		t.Errorf("%d spans, the first: %+v", len(spans), spans[0])
	}
}
