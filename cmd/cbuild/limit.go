package main

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"cbuild/cas"
	"cbuild/engine"
)

// limitQueries makes every query end after --limit items, or take --sample of them.
func (s *session) limitQueries() {
	n, sample := s.cli.flags.limit, false
	note := fmt.Sprintf("the first %d items of each query", n)
	if s.cli.flags.sample > 0 {
		n, sample = s.cli.flags.sample, true
		note = fmt.Sprintf("a sample of %d items of each query", n)
	}
	if n <= 0 {
		return
	}
	s.runtime.Note, s.runtime.InOrder = note, !sample
	if !slices.ContainsFunc(s.workspace.Targets, func(t *engine.Target) bool { return t.Query != nil }) {
		s.notes.add("--limit and --sample take items of queries, and no target is a query: all is built. sample() takes some of any collection.")
	}
	for _, t := range s.workspace.Targets {
		if all := t.Query; all != nil && sample {
			t.Query = func(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] { return sampled(all(ctx, v), n) }
		} else if all != nil {
			t.Query = func(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] { return limited(all(ctx, v), n) }
		}
	}
}

func limited(all iter.Seq2[engine.Item, error], n int) iter.Seq2[engine.Item, error] {
	return func(yield func(engine.Item, error) bool) {
		left := n
		for item, err := range all {
			if left--; !yield(item, err) || left <= 0 {
				return
			}
		}
	}
}

// sampled yields the n items whose keys hash lowest: the same ones whatever the order, and nearly the same ones when some are added.
func sampled(all iter.Seq2[engine.Item, error], n int) iter.Seq2[engine.Item, error] {
	type hashed struct {
		item engine.Item
		hash [32]byte
	}
	return func(yield func(engine.Item, error) bool) {
		var kept []hashed
		for item, err := range all {
			if err != nil {
				yield(item, err)
				return
			}
			kept = append(kept, hashed{item, cas.Of([]byte(item.Key)).Hash})
		}
		slices.SortFunc(kept, func(x, y hashed) int { return bytes.Compare(x.hash[:], y.hash[:]) })
		for _, h := range kept[:min(n, len(kept))] {
			if !yield(h.item, nil) {
				return
			}
		}
	}
}
