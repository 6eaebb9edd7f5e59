package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"cbuild/internal/retry"
)

// answer is what a flight carries to all who wait for it.
type answer struct {
	result *Result
	// conditions are those under which the result came about, if it did in this flight.
	conditions Conditions
	cached     Cached
	reason     string
	took       time.Duration
	release    func() // ends the lease under which it was done
}

// performed is what became of a plan: its outcome, the first reason why a stored result was not used, and how long the action took in
// this build.
type performed struct {
	outcome *Outcome
	why     string
	took    time.Duration
}

// perform is the single place where work starts: flight on the key, look-up inside the flight, slot, action, publication, record.
func (b *Build) perform(ctx context.Context, v *view, name string, p *Plan) performed {
	key := p.Action.Key()
	o := &Outcome{Shape: p.Shape, Key: key, Notes: p.Notes}
	a, err := b.fly(ctx, v, name, p, key)
	if err != nil {
		if ctx.Err() != nil {
			err = ErrCancelled
		}
		o.Err = err
		return performed{outcome: o}
	}
	o.Result, o.Cached = a.result, a.cached
	if p.Trivial {
		o.Cached = CachedLocal
	}
	return performed{o, a.reason, a.took}
}

// fly joins or starts the flight for key. An answer that came about for another waiter must meet this plan's own conditions; if it
// does not, the next flight is this plan's.
func (b *Build) fly(ctx context.Context, v *view, name string, p *Plan, key Key) (*answer, error) {
	if key.IsZero() {
		return b.attempt(ctx, v, name, p, "not stored")
	}
	for {
		mine := false
		got, err := b.flights.do(ctx, string(key[:]), func(ctx context.Context) (any, error) {
			mine = true
			return b.lookupOrDo(ctx, v, name, p, key)
		})
		if err != nil {
			return nil, err
		}
		a := got.(*answer)
		if ok, _ := a.conditions.Serve(a.result.Status, p.Want); mine || ok && (a.cached == NotCached || b.usable(p, a.result) && p.mode == LookupNormal) {
			return a, nil
		}
	}
}

// usable reports whether p may take the stored result r.
func (b *Build) usable(p *Plan, r *Result) bool {
	return r.Status == Pass || b.opts.Stored || p.Reuse != nil && p.Reuse(r)
}

// lookupOrDo runs inside the flight for key.
func (b *Build) lookupOrDo(ctx context.Context, v *view, name string, p *Plan, key Key) (*answer, error) {
	// What is downloaded under a key is named by its content: another download could bring nothing new.
	if p.Fresh || b.opts.Again && p.Pool != NetPool {
		if _, done := b.fresh.LoadOrStore(key, true); !done {
			p.mode, p.replaces = LookupBypass, true
		}
	}
	for {
		a, reason, err := b.lookup(ctx, v, name, p)
		if a != nil && err == nil {
			err = b.check(ctx, v, name, p, a.result)
		}
		if a != nil && err == nil && p.Refresh {
			b.refresh(ctx, v, name, p, a)
		}
		if a != nil || err != nil {
			return a, err
		}
		a, err = b.attempt(ctx, v, name, p, reason)
		switch {
		case errors.Is(err, errHeld):
			if err := b.await(ctx, v, name, p); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, err
		}
		if a.cached == NotCached {
			b.record(ctx, v, p, a)
		}
		return a, nil
	}
}

// refresh does again what is stored as a, and puts the result in its place. What is stored stays what others read, so that nothing is done again
// because of what changed: the new outputs come behind those at the same paths, to be shown instead of them.
func (b *Build) refresh(ctx context.Context, v *view, name string, p *Plan, a *answer) {
	if b.opts.Stored || b.opts.Dry {
		return
	}
	again := *p
	again.mode = LookupBypass // else it would be found as soon as it is leased
	fresh, err := b.attempt(ctx, v, name, &again, a.reason)
	if err != nil {
		return // what is stored is right, too
	}
	if fresh.cached == NotCached {
		fresh.result.Outs = append(a.result.Read(), fresh.result.Outs...)
		p.replaces = true
		b.record(ctx, v, p, fresh)
	}
	a.result = fresh.result
}

// lookup returns the stored result of p as an answer, or the reason why there is none that p may use.
func (b *Build) lookup(ctx context.Context, v *view, name string, p *Plan) (a *answer, reason string, err error) {
	r, reason, err := b.opts.Cache.Lookup(ctx, p.Action.Key(), p.Want, p.mode)
	if err == nil && r == nil {
		r, err = b.narrowed(ctx, p)
	}
	switch {
	case err != nil:
		return nil, "", &TroubleError{Err: err}
	case r != nil && b.usable(p, r):
		return &answer{result: r, conditions: p.Want, cached: CachedLocal}, "", nil
	case r != nil:
		reason = "the stored result is no pass (" + r.Status.String() + ")"
	case b.opts.Explain != nil && p.mode == LookupNormal:
		reason = cmp.Or(b.opts.Explain(v.node.target, name, p.Action), reason)
	}
	return nil, reason, nil
}

// narrowed returns what is stored under one of the further keys of p, or nil, and stores it under p's own key, too: whoever knows that one shall find
// it.
func (b *Build) narrowed(ctx context.Context, p *Plan) (*Result, error) {
	if p.Narrow == nil || p.mode == LookupBypass {
		return nil, nil
	}
	keys, err := p.Narrow.Keys(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		r, _, err := b.opts.Cache.Lookup(ctx, k, p.Want, p.mode)
		if err != nil {
			return nil, err
		}
		if r == nil || r.Status != Pass {
			continue
		}
		if !b.opts.Dry && !b.opts.Stored {
			conditions := p.Want
			conditions.Sandbox = r.Used.Sandbox
			own := Record{Key: p.Action.Key(), Conditions: conditions, Result: r, Preimage: p.Action.Preimage()}
			_ = b.opts.Cache.Record(context.WithoutCancel(ctx), own) // without it, it is found here again
		}
		return r, nil
	}
	return nil, nil
}

// record stores what was done, even if the build is ended just now, and ends its lease.
func (b *Build) record(ctx context.Context, v *view, p *Plan, a *answer) {
	defer a.release()
	b.durations.learn(v.node.target.Label, a.took)
	ctx = context.WithoutCancel(ctx)
	err := b.recordAs(ctx, p, Record{Key: p.Action.Key(), Conditions: a.conditions, Result: a.result, Preimage: p.Action.Preimage()})
	if err == nil && p.Narrow != nil && a.result.Status == Pass {
		k, preimage, lerr := p.Narrow.Learn(ctx, a.result)
		if err = lerr; err == nil && !k.IsZero() {
			err = b.recordAs(ctx, p, Record{Key: k, Conditions: a.conditions, Result: a.result, Preimage: preimage})
		}
	}
	if err != nil && b.unstored.Add(1) == 1 {
		// What was found out holds for this build; only later ones have to find it out again. How many there are is told at the end.
		b.warn(v.node.target, "a result could not be stored, and will have to be found out again: "+err.Error())
	}
}

func (b *Build) recordAs(ctx context.Context, p *Plan, r Record) error {
	if p.replaces {
		_ = b.opts.Cache.Withdraw(ctx, r.Key) // if that fails, so does Record
	}
	return b.opts.Cache.Record(ctx, r)
}

func (b *Build) warn(t *Target, text string) {
	b.emit(Event{Type: EventDiagnostic, Severity: "warning", Target: t, Text: text})
}

// leastWait keeps an action that was not tried from asking for its turn without a pause.
const leastWait = 10 * time.Millisecond

// attempt does the action, again while trouble may pass. What waits for its turn elsewhere, such as a host that wants to be left alone,
// uses up no attempt, however long it waits.
func (b *Build) attempt(ctx context.Context, v *view, name string, p *Plan, reason string) (*answer, error) {
	if (b.opts.Stored || b.opts.Dry) && !p.Trivial {
		return nil, fmt.Errorf("%w: %s", ErrNotStored, reason)
	}
	for n := 0; ; n++ {
		since := b.remakes.now()
		a, err := b.once(ctx, v, name, p)
		if err == nil {
			a.reason = reason
			return a, nil
		}
		if b.restore(ctx, v.node, err, since) {
			n--
			continue
		}
		var trouble *TroubleError
		if !errors.As(err, &trouble) || !trouble.Retry || !trouble.Wait && (n >= p.Retries || b.draining()) || ctx.Err() != nil {
			return nil, err
		}
		if v.park != nil {
			v.park()
		}
		if trouble.Wait {
			n--
			wait := max(trouble.After, leastWait)
			b.emit(Event{Type: EventProgress, Target: v.node.target, Text: name, After: wait})
			if err := b.sleep(ctx, wait); err != nil {
				return nil, err
			}
			continue
		}
		wait := max(retry.Delay(n), trouble.After)
		b.emit(Event{Type: EventProgress, Target: v.node.target, Text: name + ": " + err.Error(), Attempt: n + 1, After: wait})
		if err := b.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func (b *Build) sleep(ctx context.Context, d time.Duration) error {
	if b.draining() {
		return ErrCancelled
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-b.drained:
		return ErrCancelled
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once does the action one time, in a slot of its pool.
func (b *Build) once(ctx context.Context, v *view, name string, p *Plan) (a *answer, err error) {
	defer recovered(&err)
	release, err := b.slot(ctx, v, p)
	if err != nil {
		return nil, err
	}
	defer release()
	if b.draining() && !p.Always {
		return nil, ErrCancelled
	}
	unlease, a, err := b.lease(ctx, v, name, p)
	if a != nil || err != nil {
		return a, err
	}
	defer func() {
		if a == nil {
			unlease()
		}
	}()
	if !p.Trivial {
		b.emit(Event{Type: EventStarted, Target: v.node.target, Text: name})
	}
	start := time.Now()
	r, err := p.Action.Do(ctx, v.Emit)
	if err != nil {
		return nil, err
	}
	if b.opts.FailFast && r.Status != Pass && p.Reuse == nil {
		b.Drain() // before the slot is free for another
	}
	conditions := p.Want
	if p.Ran != nil {
		g := p.Ran()
		conditions.Sandbox, conditions.Soft = g.Sandbox, g.Soft
		r.Used.Sandbox = g.Sandbox
	}
	return &answer{result: r, conditions: conditions, took: time.Since(start), release: unlease}, nil
}
