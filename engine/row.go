package engine

import (
	"context"
	"errors"
	"sync"
)

// run evaluates the cells of r and hands r to the feed.
func (n *node) run(ctx context.Context, r *row) {
	cells := n.cells(&r.Row)
	outcomes := make([]*Outcome, len(cells))
	var wg sync.WaitGroup
	for i, cell := range cells {
		if i == len(cells)-1 {
			outcomes[i] = n.evaluate(ctx, r, cell) // most rows have one cell: no goroutine of its own
			break
		}
		wg.Go(func() { outcomes[i] = n.evaluate(ctx, r, cell) })
	}
	wg.Wait()
	for _, o := range outcomes {
		if o != nil {
			r.Cells = append(r.Cells, o)
		}
	}
	n.done(r)
}

// cells returns the instances of r: one for each element of the product of the axes.
func (n *node) cells(r *Row) []Instance {
	cells := []Instance{{Target: n.target, Key: r.Key, Value: r.Value}}
	for _, axis := range n.axes {
		var product []Instance
		for _, c := range cells {
			for _, key := range axis.Keys {
				c := c
				c.Axes = append(c.Axes[:len(c.Axes):len(c.Axes)], key)
				product = append(product, c)
			}
		}
		cells = product
	}
	return cells
}

// evaluate turns an instance into its outcome and tells everybody; nil if where dropped it.
func (n *node) evaluate(ctx context.Context, r *row, i Instance) *Outcome {
	done := n.outcome(ctx, r, i)
	if done.outcome == nil {
		return nil
	}
	done.outcome.Axes = i.Axes
	n.build.finish(n.target, &r.Row, done)
	return done.outcome
}

// outcome plans and performs an instance; its outcome is nil if where dropped it.
func (n *node) outcome(ctx context.Context, r *row, i Instance) performed {
	if r.Err != nil {
		return performed{outcome: &Outcome{Err: r.Err}}
	}
	v := &view{node: n, rank: priority{n.level, r.Index}, park: func() { n.park(r) }}
	since := n.build.remakes.now()
	p, wanted, err := n.plan(ctx, v, &i)
	for err != nil && n.build.restore(ctx, n, err, since) {
		since = n.build.remakes.now()
		i.Values = nil
		p, wanted, err = n.plan(ctx, v, &i)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return performed{outcome: &Outcome{Err: ErrCancelled}}
	case err != nil:
		return performed{outcome: &Outcome{Err: err}}
	case !wanted:
		return performed{}
	}
	perform := func() performed {
		done := n.build.perform(ctx, v, i.Name(), p)
		done.outcome.Axes = i.Axes
		return done
	}
	done := perform()
	if n.use != nil && done.outcome.Result != nil {
		done = n.used(ctx, r, done, func() performed {
			p.mode = LookupBypass
			return perform()
		})
	}
	if done.outcome.Result != nil && p.Ahead != nil {
		n.mu.Lock()
		r.ahead += p.Ahead(done.outcome.Result)
		n.mu.Unlock()
	}
	return done
}

// used hands an outcome to who asked for it. If an output turns out to be lost, the instance is done again, once.
func (n *node) used(ctx context.Context, r *row, done performed, again func() performed) performed {
	err := n.use(ctx, &r.Row, done.outcome)
	if errors.As(err, new(*LostError)) {
		done = again()
		done.why, err = err.Error(), nil
		if done.outcome.Result != nil {
			err = n.use(ctx, &r.Row, done.outcome)
		}
	}
	if err != nil {
		return performed{outcome: &Outcome{Err: err}, took: done.took}
	}
	return done
}

// plan evaluates i, and reports whether it is wanted at all.
func (n *node) plan(ctx context.Context, v *view, i *Instance) (p *Plan, wanted bool, err error) {
	defer recovered(&err)
	for a, axis := range n.axes {
		value, err := axis.Value(ctx, i.Axes[a])
		if err != nil {
			return nil, false, err
		}
		i.Values = append(i.Values, value)
	}
	if n.target.Where != nil {
		if wanted, err := n.target.Where(ctx, v, *i); err != nil || !wanted {
			return nil, false, err
		}
	}
	p, err = n.target.Plan(ctx, v, *i)
	return p, true, err
}

// maxParked is how many rows of a target may back off outside of its window. While a host rests, everything behind it comes here: each
// row is a goroutine, so that without a bound a million of them would fill the memory.
const maxParked = 4096

// park takes r out of the window while it backs off, so that it holds up nobody.
func (n *node) park(r *row) {
	n.mu.Lock()
	if !r.parked && n.parked < maxParked {
		r.parked = true
		n.parked++
		n.inflight--
	}
	n.mu.Unlock()
	n.poke()
}

// done hands r to the feed.
func (n *node) done(r *row) {
	n.mu.Lock()
	if r.parked {
		n.parked--
	} else {
		n.inflight--
	}
	delete(n.rows, r.Key)
	if len(r.Cells) > 0 {
		n.keep(r)
	} else {
		n.places[hashKey(r.Key)] = dropped
		if len(n.dropped) < nearestScan {
			n.dropped = append(n.dropped, r.Key)
		}
	}
	n.admitSome()
	n.mu.Unlock()
	close(r.done)
	n.poke()
}

// Elements returns the elements that a target gets which is repeated over the collection of r: r itself, the item of a query, or,
// for a target that has only a matrix, one element for each key of its first axis.
func (r *Row) Elements() []Item {
	switch t := r.Target; {
	case t.Query != nil:
		return []Item{{Key: r.Key, Value: r.Value, Err: r.Err}}
	case t.Repeated:
		return []Item{{Key: r.Key, Value: r}}
	}
	var items []Item
	place := make(map[string]int)
	for _, c := range r.Cells {
		key := c.Axes[r.Peeled]
		at, ok := place[key]
		if !ok {
			at = len(items)
			place[key] = at
			items = append(items, Item{Key: key, Value: &Row{Target: r.Target, Key: r.Key, Index: at, Value: r.Value, Peeled: r.Peeled + 1}})
		}
		sub := items[at].Value.(*Row)
		sub.Cells = append(sub.Cells, c)
	}
	return items
}
