package engine_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/engine"
)

// checkAll is a Checker for everything that notes what it is told.
type checkAll struct {
	mu    sync.Mutex
	names []string
	fail  error
}

func (*checkAll) Wants(engine.Key) bool { return true }

func (c *checkAll) Checked(_ context.Context, _ *engine.Target, name string, stored, now *engine.Result) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = append(c.names, name+" "+stored.Facts["n"]+" "+now.Facts["n"])
	return c.fail
}

// What is stored is done once more, in the opposite order, and stays what is used.
func TestStoredResultsAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		round := "1"
		target := &engine.Target{Label: label("a"), Items: items("k1", "k2", "k3"), Plan: func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
			n := round
			return &engine.Plan{Pool: engine.CPUPool, Action: &action{key: i.Key, took: time.Second, do: func(context.Context) (*engine.Result, error) {
				return &engine.Result{Facts: map[string]string{"n": n}}, nil
			}}}, nil
		}}
		first := newBuild(engine.Options{Jobs: 1, Window: 9}, target)
		first.run(t, "a")
		round = "2"
		check := &checkAll{}
		second := newBuild(engine.Options{Jobs: 1, Window: 9, Cache: first.cache, Check: check}, target)
		counts := second.run(t, "a")
		want := []string{`run.a["k1"] 1 2`, `run.a["k2"] 1 2`, `run.a["k3"] 1 2`}
		if sorted := slices.Sorted(slices.Values(check.names)); !slices.Equal(sorted, want) {
			t.Errorf("checked %q", check.names)
		}
		if last := check.names[len(check.names)-1]; last == want[2] {
			t.Errorf("in the same order: %q", check.names)
		}
		if counts.Classes[engine.ClassPass] != 3 || counts.Cached[engine.CachedLocal] != 3 {
			t.Errorf("%+v", counts)
		}
		for _, r := range first.cache.records {
			if r.Result.Facts["n"] != "1" {
				t.Error("a check replaced what is stored")
			}
		}
		check.fail = errors.New("no disk")
		third := newBuild(engine.Options{Jobs: 1, Window: 9, Cache: first.cache, Check: check}, target)
		if counts := third.run(t, "a"); counts.Classes[engine.ClassError] != 3 {
			t.Errorf("with trouble: %+v", counts)
		}
	})
}
