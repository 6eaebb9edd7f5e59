package engine

import (
	"context"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// A PoolSpec bounds what is done by those who share a pool.
type PoolSpec struct {
	// Limit is how many may be done at a time; 0 is any number.
	Limit int
	// Rate is how many may begin in a second on average, and Burst how many at once; 0 is any number.
	Rate  float64
	Burst int
}

// A pool is a PoolSpec at work. Those who wait go by priority, also for their turn at the rate.
type pool struct {
	slots *slots // nil without a limit
	// gate is held by the one whose turn is next, until it may begin.
	gate  *slots
	turns *rate.Limiter // nil without a rate
}

func newPool(s PoolSpec, closed <-chan struct{}) *pool {
	p := &pool{gate: newSlots(1, closed)}
	if s.Limit > 0 {
		p.slots = newSlots(s.Limit, closed)
	}
	if s.Rate > 0 {
		p.turns = rate.NewLimiter(rate.Limit(s.Rate), max(s.Burst, 1))
	}
	return p
}

// acquire waits for n slots of p and for a turn. The caller calls release, if there is no error.
func (p *pool) acquire(ctx context.Context, b *Build, n int, at priority) (release func(), err error) {
	release = func() {}
	if p.slots != nil {
		taken, err := p.slots.acquire(ctx, n, at)
		if err != nil {
			return nil, err
		}
		release = func() { p.slots.release(taken) }
	}
	if p.turns == nil {
		return release, nil
	}
	_, err = p.gate.acquire(ctx, 1, at)
	if err == nil {
		err = b.sleep(ctx, p.turns.ReserveN(time.Now(), 1).Delay())
		p.gate.release(1)
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// slot waits for everything that the plan needs a slot of: first the named pools in the order of their names, then memory, so that nobody
// waits in a circle, then the processors or connections, so that none lies idle meanwhile. Waiting ends when the build drains.
func (b *Build) slot(ctx context.Context, v *view, p *Plan) (release func(), err error) {
	type wanted struct {
		pool *pool
		n    int
	}
	var all []wanted
	for _, name := range slices.Compact(slices.Sorted(slices.Values(p.Pools))) {
		if named := b.pools[name]; named != nil {
			all = append(all, wanted{named, 1})
		}
	}
	if p.Want.Memory > 0 && b.memory != nil {
		all = append(all, wanted{b.memory, mebibytes(p.Want.Memory)})
	}
	switch p.Pool {
	case CPUPool:
		all = append(all, wanted{b.cpu, p.Slots})
	case NetPool:
		all = append(all, wanted{b.net, p.Slots})
	}
	var releases []func()
	release = func() {
		for _, f := range slices.Backward(releases) {
			f()
		}
	}
	for _, w := range all {
		one, err := w.pool.acquire(ctx, b, w.n, v.rank)
		if err != nil {
			release()
			return nil, err
		}
		releases = append(releases, one)
	}
	if len(all) == 0 {
		err = ctx.Err()
	}
	return release, err
}

func mebibytes(n int64) int { return int((n + 1<<20 - 1) >> 20) }
