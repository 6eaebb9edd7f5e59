package ui_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/ui"
)

// over is a target whose instances read the row of the same element of another, and of whole targets.
func over(name string, of *engine.Target, took time.Duration, whole ...*engine.Target) *engine.Target {
	t := simple(name, nil, 0, nil)
	t.Items, t.Over = nil, &of.Label
	t.Needs = []engine.Need{{Label: of.Label, Mode: engine.InstanceMode}}
	for _, w := range whole {
		t.Needs = append(t.Needs, engine.Need{Label: w.Label})
	}
	t.Plan = func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
		if of.Query == nil {
			if _, err := v.Row(ctx, of.Label, i.Key); err != nil {
				return nil, err
			}
		}
		for _, w := range whole {
			for _, err := range v.Whole(ctx, w.Label) {
				if err != nil {
					return nil, err
				}
			}
		}
		return &engine.Plan{Pool: engine.CPUPool, Action: &step{i.Name(), func(ctx context.Context) (*engine.Result, error) {
			return lasting(took)(ctx, i.Key)
		}}}, nil
	}
	return t
}

// told builds the targets with two jobs in virtual time and returns the line about what decided how long that took.
func told(t *testing.T, cache engine.ActionCache, targets ...*engine.Target) (line string) {
	synctest.Test(t, func(t *testing.T) {
		line = ui.Critical(ui.CriticalPath(timelineOf(t, cache, targets...).Spans(), targets))
	})
	return line
}

// keyed is a target whose instances take as many seconds as their keys say behind a colon.
func keyed(name string, keys ...string) *engine.Target {
	return simple(name, keys, 0, func(ctx context.Context, key string) (*engine.Result, error) {
		_, seconds, _ := strings.Cut(key, ":")
		took, err := time.ParseDuration(seconds + "s")
		if err != nil {
			return nil, err
		}
		return lasting(took)(ctx, key)
	})
}

// The path goes back from the last to end: to what was done for the same element, although another ended later.
func TestCriticalPathFollowsAnElement(t *testing.T) {
	source := keyed("source", "a:1", "b:2")
	check := over("check", source, 5*time.Second)
	if got, want := told(t, castest.NewMemoryActionCache(), source, check), `critical path 7.0s: run.check["b:2"] 5.0s ← run.source["b:2"] 2.0s`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// What is done for b does not wait for a, whose source is not stored.
	cache := castest.NewMemoryActionCache()
	told(t, cache, keyed("source", "b:2"))
	slow := over("check", source, time.Second)
	if got, want := told(t, cache, source, slow), `critical path 2.0s: run.check["a:1"] 1.0s ← run.source["a:1"] 1.0s`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A barrier waits for whatever ended last, and that for one of the two slots.
func TestCriticalPathThroughBarriersAndSlots(t *testing.T) {
	wide := keyed("wide", "a:2", "b:2", "c:2")
	x := keyed("x", "x:0.5")
	last := over("last", x, time.Second, wide)
	got := told(t, castest.NewMemoryActionCache(), wide, x, last)
	if want := regexp.MustCompile(`^critical path [0-9.]+s: run\.last\["x:0\.5"\] 1\.0s ← run\.wide\["[abc]:2"\] 2\.0s ← waiting for a slot [0-9.]+s$`); !want.MatchString(got) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What was cached led to what it needs in its turn.
func TestCriticalPathThroughWhatWasCached(t *testing.T) {
	cache := castest.NewMemoryActionCache()
	told(t, cache, simple("between", []string{"x:3", "y:1"}, 0, lasting(0)))
	base := keyed("base", "x:3", "y:1")
	between := over("between", base, time.Hour)
	last := over("last", between, time.Second)
	if got, want := told(t, cache, base, between, last), `critical path 4.0s: run.last["x:3"] 1.0s ← run.base["x:3"] 3.0s`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Pages stand in each other; an attempt follows the one before it.
func TestCriticalPathOfPagesAndAttempts(t *testing.T) {
	pages := onBehalf("q", "page 1", "page 2", "page 3")
	work := over("work", pages, time.Second)
	if got, want := told(t, castest.NewMemoryActionCache(), pages, work), `critical path 4.0s: run.work["page 3"] 1.0s ← page 3 1.0s ← page 2 1.0s ← page 1 1.0s`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	attempts := 0
	again := simple("again", []string{"a"}, 3, func(ctx context.Context, key string) (*engine.Result, error) {
		if attempts++; attempts == 1 {
			_, _ = lasting(time.Second)(ctx, key)
			return nil, &engine.TroubleError{Err: errors.New("503"), Retry: true, After: 10 * time.Second}
		}
		return lasting(time.Second)(ctx, key)
	})
	if got, want := told(t, castest.NewMemoryActionCache(), again), `critical path 12.0s: run.again["a"] 1.0s ← backing off 10.0s ← run.again["a"] 1.0s`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A long path is cut, a hostile name is text, and where nothing was executed there is nothing to say.
func TestCriticalPathIsALine(t *testing.T) {
	var all []string
	for i := range 30 {
		all = append(all, fmt.Sprintf("page %d\x1b[2J\n", i))
	}
	got := told(t, castest.NewMemoryActionCache(), onBehalf("q", all...))
	if strings.ContainsAny(got, "\x1b\n") || !strings.HasSuffix(got, " ← 24 more") || strings.Count(got, "page") != 6 {
		t.Errorf("got %q", got)
	}
	if got := told(t, castest.NewMemoryActionCache(), onBehalf("q")); got != "" {
		t.Errorf("nothing was executed: %q", got)
	}
}

// The profile of a small build with a retry, a failure and hostile names, as it comes out in virtual time.
func TestProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int64
		source := simple("source", []string{"a\"\x1b\u2028</script>"}, 1, func(context.Context, string) (*engine.Result, error) {
			time.Sleep(1500 * time.Microsecond)
			if attempts.Add(1) == 1 {
				return nil, &engine.TroubleError{Err: errors.New("503"), Retry: true, After: time.Second}
			}
			return &engine.Result{}, nil
		})
		check := simple("check", []string{"b"}, 0, func(context.Context, string) (*engine.Result, error) {
			time.Sleep(3 * time.Second)
			return &engine.Result{Status: engine.Fail}, nil
		})
		targets := []*engine.Target{source, check}
		line := timelineOf(t, castest.NewMemoryActionCache(), targets...)
		p := ui.Profile{Name: "cbuild report", Version: "1.2.3", Began: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Spans: line.Spans()}
		p.Path = ui.CriticalPath(p.Spans, targets)
		var plain, packed bytes.Buffer
		if err := p.Write(&plain, false); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(plain.Bytes()) {
			t.Errorf("this is no JSON: %s", plain.String())
		}
		ui.Golden(t, "profile.json", plain.String())
		if err := p.Write(&packed, true); err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(&packed)
		if err != nil {
			t.Fatal(err)
		}
		if unpacked, err := io.ReadAll(z); err != nil || !bytes.Equal(unpacked, plain.Bytes()) {
			t.Errorf("compressed, it is something else: %v %s", err, unpacked)
		}
		if err := p.Write(failing{}, false); err == nil {
			t.Error("a full disk is not noticed")
		}
		if err := p.Write(failing{}, true); err == nil {
			t.Error("a full disk is not noticed when the trace is compressed")
		}
	})
}

// failing is a full disk.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }
