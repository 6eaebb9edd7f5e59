package main

import (
	"context"

	"cbuild/engine"
	"cbuild/rules/report"
)

// pageBuild says what the page of a report shows of this build: how far everything is that the report needs, and what was executed.
func (r *run) pageBuild(of engine.Label) *report.Build {
	b, place := r.progress(upstream(r.workspace.Targets, of))
	for _, s := range r.timeline.Spans() {
		if at, ok := place[s.Target]; ok {
			b.Lanes = max(b.Lanes, s.Lane+1)
			b.Spans = append(b.Spans, report.Span{Lane: s.Lane, Start: s.Start, Took: s.Took, Target: at, Outcome: s.Class})
		}
	}
	return b
}

// upstream returns the targets with the given labels and all that they need, what is needed before what needs it.
func upstream(targets []*engine.Target, of ...engine.Label) (all []*engine.Target) {
	byLabel := make(map[engine.Label]*engine.Target)
	for _, t := range targets {
		byLabel[t.Label] = t
	}
	seen := make(map[engine.Label]bool)
	var visit func(engine.Label)
	visit = func(l engine.Label) {
		t := byLabel[l]
		if t == nil || seen[l] {
			return
		}
		seen[l] = true
		for _, n := range t.Needs {
			visit(n.Label)
		}
		all = append(all, t)
	}
	for _, l := range of {
		visit(l)
	}
	return all
}

// preimage returns what is in a key, as its record in the store says.
func (s *session) preimage(ctx context.Context, key engine.Key) []byte {
	r, err := s.store.Stored(ctx, key)
	if err != nil || r == nil {
		return nil
	}
	return r.Preimage
}
