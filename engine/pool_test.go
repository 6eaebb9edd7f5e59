package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/engine"
)

// pooled returns a Plan function for actions that take d of a cpu slot and of each of the pools, and keeps the most that were done at a time.
func pooled(d time.Duration, most *atomic.Int64, pools ...string) func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
	var now atomic.Int64
	return func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
		a := &action{key: i.Name(), do: func(context.Context) (*engine.Result, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(d)
			now.Add(-1)
			return &engine.Result{}, nil
		}}
		return &engine.Plan{Action: a, Pool: engine.CPUPool, Pools: pools}, nil
	}
}

func TestPools(t *testing.T) {
	for name, c := range map[string]struct {
		spec engine.PoolSpec
		most int64
		took time.Duration
	}{
		"a limit":            {engine.PoolSpec{Limit: 2}, 2, 10 * time.Second},
		"a rate":             {engine.PoolSpec{Rate: 0.25}, 1, 77 * time.Second},
		"a rate and a burst": {engine.PoolSpec{Rate: 0.5, Burst: 5}, 5, 31 * time.Second},
		"both":               {engine.PoolSpec{Limit: 1, Rate: 2}, 1, 20 * time.Second},
		"nothing":            {engine.PoolSpec{}, 20, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var most atomic.Int64
				b := newBuild(engine.Options{Jobs: 50, Window: 50, Pools: map[string]engine.PoolSpec{"p": c.spec}},
					&engine.Target{Label: label("a"), Items: items(numbered(20)...), Plan: pooled(time.Second, &most, "p")})
				start := time.Now()
				b.run(t, "a")
				if took := time.Since(start).Round(time.Second); took != c.took || most.Load() != c.most {
					t.Errorf("took %v with %d at a time, want %v with %d", took, most.Load(), c.took, c.most)
				}
			})
		})
	}
}

// Who waits for a named pool holds no processor meanwhile.
func TestWaitingForAPoolHoldsNoProcessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var most, ended atomic.Int64
		start := time.Now()
		b := newBuild(engine.Options{Jobs: 2, Window: 50, Pools: map[string]engine.PoolSpec{"p": {Limit: 1}}},
			&engine.Target{Label: label("long"), Items: items(numbered(2)...), Plan: pooled(100*time.Second, &most, "p")},
			&engine.Target{Label: label("short"), Items: items(numbered(20)...), Plan: func(_ context.Context, _ engine.View, i engine.Instance) (*engine.Plan, error) {
				return &engine.Plan{Pool: engine.CPUPool, Action: &action{key: i.Name(), took: time.Second, do: func(context.Context) (*engine.Result, error) {
					ended.Store(int64(time.Since(start)))
					return &engine.Result{}, nil
				}}}, nil
			}})
		b.run(t, "long", "short")
		if last := time.Duration(ended.Load()); last > 25*time.Second || most.Load() != 1 {
			t.Errorf("the short ones ended after %v, %d long ones ran at a time", last, most.Load())
		}
	})
}

// Pools that are written in different orders block nobody for ever.
func TestPoolsInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var most atomic.Int64
		b := newBuild(engine.Options{Jobs: 4, Window: 50, Pools: map[string]engine.PoolSpec{"p": {Limit: 1}, "q": {Limit: 1}}},
			&engine.Target{Label: label("a"), Items: items(numbered(10)...), Plan: pooled(time.Second, &most, "p", "q")},
			&engine.Target{Label: label("b"), Items: items(numbered(10)...), Plan: pooled(time.Second, &most, "q", "p", "p")})
		if counts := b.run(t, "a", "b"); counts.Classes[engine.ClassPass] != 20 {
			t.Errorf("%+v", counts)
		}
	})
}

func TestDrainEndsTheWaitForAPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var most atomic.Int64
		b := newBuild(engine.Options{Jobs: 2, Window: 50, Pools: map[string]engine.PoolSpec{"p": {Rate: 0.001}}},
			&engine.Target{Label: label("a"), Items: items(numbered(5)...), Plan: pooled(time.Second, &most, "p")})
		go func() {
			time.Sleep(time.Minute)
			b.Drain()
		}()
		start := time.Now()
		counts := b.run(t, "a")
		if took := time.Since(start); took > 2*time.Minute || counts.Classes[engine.ClassPass] != 1 || counts.Classes[engine.ClassCancelled] != 4 {
			t.Errorf("took %v: %+v", took, counts)
		}
	})
}

// What limits promise together is no more than there is; one that wants more than all gets all, alone.
func TestMemoryIsPromisedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var most atomic.Int64
		plan := pooled(time.Second, &most)
		b := newBuild(engine.Options{Jobs: 50, Window: 50, Memory: 1000 << 20},
			&engine.Target{Label: label("a"), Items: items(numbered(12)...), Plan: func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
				p, err := plan(ctx, v, i)
				p.Want.Memory = 300 << 20
				if i.Key == "k0011" {
					p.Want.Memory = 1 << 50
				}
				return p, err
			}})
		start := time.Now()
		b.run(t, "a")
		if took := time.Since(start); took != 5*time.Second || most.Load() != 3 {
			t.Errorf("took %v, %d at a time", took, most.Load())
		}
	})
}
