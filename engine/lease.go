package engine

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Leaser keeps builds that share an action cache from doing equal work at the same time. Leases save work and decide nothing: a
// lease that can't be had, or is lost, costs at most work that is done twice.
type Leaser interface {
	// Try takes the lease of k and reports whether the caller may go on: not while somebody who is alive holds it. Release, which is
	// never nil, ends the lease once others can find what was recorded meanwhile. Trouble with leases is no reason to wait.
	Try(ctx context.Context, k Key) (release func(), ok bool)
	// Await waits while somebody who is alive holds the lease of k, for at most the duration most unless that is zero. It tells waiting
	// about once a second who that is and for how long it has waited. When it reports true, nobody holds the lease, and a Lookup
	// finds what was recorded under it. The error is that of ctx.
	Await(ctx context.Context, k Key, most time.Duration, waiting func(holder string, waited time.Duration)) (free bool, err error)
}

// Actions that take less than leaseFrom are done without a lease; for those below leaseShort, nobody waits longer than leasePatience times
// what they take.
const (
	leaseFrom     = 100 * time.Millisecond
	leaseShort    = 10 * time.Second
	leasePatience = 3
)

// durations learns how long the instances of each target take.
type durations struct {
	mu   sync.Mutex
	mean map[Label]mean // guarded by mu
}

type mean struct {
	n   int
	sum time.Duration
}

func (d *durations) learn(l Label, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mean == nil {
		d.mean = make(map[Label]mean)
	}
	m := d.mean[l]
	d.mean[l] = mean{m.n + 1, m.sum + took}
}

// expect returns how long an instance of l takes, as far as this build knows.
func (d *durations) expect(l Label) (took time.Duration, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m, known := d.mean[l]
	if !known {
		return 0, false
	}
	return m.sum / time.Duration(m.n), true
}

// errHeld says that somebody else is doing the same.
var errHeld = errors.New("somebody else is doing the same")

// lease takes the lease of the plan's key, if the action is worth one. It is called with a slot: a lease is never held while waiting for
// one, so that several builds share what there is to do. What somebody else did while this plan waited for its slot is the answer.
func (b *Build) lease(ctx context.Context, v *view, name string, p *Plan) (release func(), a *answer, err error) {
	took, known := b.durations.expect(v.node.target.Label)
	if b.opts.Leases == nil || p.Trivial || p.unleased || p.Action.Key().IsZero() || known && took < leaseFrom {
		return func() {}, nil, nil
	}
	release, ok := b.opts.Leases.Try(ctx, p.Action.Key())
	if !ok {
		return nil, nil, errHeld
	}
	if a, _, err = b.lookup(ctx, v, name, p); a != nil || err != nil {
		release()
		return nil, a, err
	}
	return release, nil, nil
}

// await waits, without a slot, until nobody else does p, or not longer than is reasonable for short work: then p goes without a
// lease.
func (b *Build) await(ctx context.Context, v *view, name string, p *Plan) error {
	var most time.Duration
	if took, known := b.durations.expect(v.node.target.Label); known && took < leaseShort {
		most = leasePatience * took
	}
	if v.park != nil {
		v.park()
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-b.drained:
			cancel()
		case <-ctx.Done():
		}
	})
	defer watching.Wait()
	defer cancel()
	free, err := b.opts.Leases.Await(ctx, p.Action.Key(), most, func(holder string, waited time.Duration) {
		b.emit(Event{Type: EventProgress, Target: v.node.target, Text: name, Waiting: holder, Took: waited})
	})
	if err != nil {
		return ErrCancelled
	}
	p.unleased = !free
	return nil
}
