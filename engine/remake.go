package engine

import (
	"context"
	"errors"
	"sync"

	"cbuild/cas"
)

// maxRemakes is how often one lost output is made again in a build.
const maxRemakes = 2

// remakes remembers which lost outputs were made again.
type remakes struct {
	mu    sync.Mutex
	total int                   // guarded by mu; of all
	last  map[cas.Digest]remade // guarded by mu
}

// remade says how often an output was made again, and when it was last, counted in remakes of all outputs.
type remade struct{ times, at int }

// now returns how many outputs were made again so far.
func (r *remakes) now() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

func (r *remakes) of(d cas.Digest) remade {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last[d]
}

func (r *remakes) add(d cas.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = make(map[cas.Digest]remade)
	}
	r.total++
	r.last[d] = remade{r.last[d].times + 1, r.total}
}

// restore makes the output that err says is lost again, by doing what made it again, and reports whether it is there now. Since is
// what remakes.now said before the attempt that missed it. Several who miss the same output wait for one of them.
func (b *Build) restore(ctx context.Context, n *node, err error, since int) bool {
	var lost *LostError
	if !errors.As(err, &lost) || b.draining() {
		return false
	}
	d := lost.Digest
	_, err = b.flights.do(ctx, "restore "+string(d.Hash[:]), func(ctx context.Context) (any, error) {
		last := b.remakes.of(d)
		if last.at > since {
			return nil, nil // somebody else did, meanwhile
		}
		if last.times >= maxRemakes {
			return nil, lost
		}
		err := n.remake(ctx, d, make(map[*node]bool))
		b.remakes.add(d)
		return nil, err
	})
	return err == nil
}

// errOtherwise says that an action, done again, made something else than before.
var errOtherwise = errors.New("made again, it came out differently: run the same command again")

// remake finds the instance that made d among all that n needs, directly or not, and does its action again.
func (n *node) remake(ctx context.Context, d cas.Digest, visited map[*node]bool) error {
	for _, need := range n.target.Needs {
		other := n.build.nodes[need.Label]
		if visited[other] {
			continue
		}
		visited[other] = true
		row, o, err := other.maker(d)
		if err != nil {
			return err
		}
		if row != nil {
			return other.again(ctx, row, o, d)
		}
		if err := other.remake(ctx, d, visited); err == nil || !errors.Is(err, cas.ErrNotFound) {
			return err
		}
	}
	return cas.ErrNotFound
}

// maker returns the finished instance of n that made d, if there is one.
func (n *node) maker(d cas.Digest) (*Row, *Outcome, error) {
	if n.target.Plan == nil {
		return nil, nil, nil
	}
	c := cursor{feed: &n.feed}
	for range n.feed.len() {
		row, _, err := c.poll()
		if row == nil || err != nil {
			return nil, nil, err
		}
		for _, o := range row.Cells {
			if o.Result.made(d) {
				return row, o, nil
			}
		}
	}
	return nil, nil, nil
}

// made reports whether d is an output of r.
func (r *Result) made(d cas.Digest) bool {
	if r == nil {
		return false
	}
	for _, o := range r.Outs {
		if o.Digest == d {
			return true
		}
	}
	return r.Stdout == d || r.Log == d
}

// again does the action of a finished instance again, whatever is stored.
func (n *node) again(ctx context.Context, row *Row, o *Outcome, d cas.Digest) error {
	v := &view{node: n, rank: priority{n.level, row.Index}}
	i := Instance{Target: n.target, Key: row.Key, Value: row.Value, Axes: o.Axes}
	p, _, err := n.plan(ctx, v, &i)
	if err != nil {
		return err
	}
	p.mode = LookupBypass
	now := n.build.perform(ctx, v, i.Name(), p).outcome
	n.build.ended(n.target, i.Name(), now)
	switch {
	case now.Err != nil:
		return now.Err
	case !now.Result.made(d):
		return errOtherwise
	}
	return nil
}
