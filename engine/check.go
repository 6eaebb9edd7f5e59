package engine

import (
	"context"
	"errors"
)

// A Checker has stored results made again, to see whether they come out the same. Its methods are called concurrently.
type Checker interface {
	// Wants reports whether the result that is stored for k is to be made again.
	Wants(k Key) bool
	// Checked is told what is stored for the instance called name of t, and what came out now.
	Checked(ctx context.Context, t *Target, name string, stored, now *Result) error
}

// check does an action again whose result was found, and tells the checker. What is stored stays what is used. Checks come in the opposite
// order of everything else.
func (b *Build) check(ctx context.Context, v *view, name string, p *Plan, stored *Result) error {
	key := p.Action.Key()
	if b.opts.Check == nil || b.opts.Stored || b.opts.Dry || p.Pool != CPUPool || !b.opts.Check.Wants(key) {
		return nil
	}
	if _, done := b.checked.LoadOrStore(key, true); done {
		return nil
	}
	again, last := *p, *v
	again.unleased = true // somebody else's result would prove nothing
	last.rank.index = -v.rank.index
	a, err := b.attempt(ctx, &last, name, &again, "checked")
	switch {
	case errors.Is(err, ErrCancelled):
		return nil
	case err != nil:
		return err
	}
	return b.opts.Check.Checked(ctx, v.node.target, name, stored, a.result)
}
