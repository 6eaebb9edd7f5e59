package main

import (
	"context"

	"cbuild/engine"
	"cbuild/internal/clock"
	"cbuild/rules/report"
)

// pageBuild says what the page of a report shows of this build: how far everything is that the report needs, and what was executed.
func (r *run) pageBuild(of engine.Label) *report.Build {
	took := clock.System.Elapsed() - r.began
	b := &report.Build{Began: clock.System.Now().Add(-took), Took: took, Jobs: r.cli.flags.jobs, Lanes: r.timeline.Lanes()}
	progress := make(map[engine.Label]engine.Progress)
	for _, p := range r.build.Progress() {
		progress[p.Target.Label] = p
	}
	places := make(map[engine.Label]int)
	for _, t := range upstream(r.workspace.Targets, of) {
		p, ok := progress[t.Label]
		if !ok {
			continue
		}
		places[t.Label] = len(b.Targets)
		b.Targets = append(b.Targets, report.Target{
			Label: t.Label.String(), Name: t.Label.Name, Rule: t.Rule, Done: p.Done, Total: p.Total, Open: p.Open,
			Counts: p.Counts.Classes, Cached: p.Counts.Cached[engine.CachedLocal] + p.Counts.Cached[engine.CachedRemote], Took: p.Counts.Took,
		})
	}
	for _, s := range r.timeline.Spans() {
		if place, ok := places[s.Target.Label]; ok {
			b.Spans = append(b.Spans, report.Span{Lane: s.Lane, Start: s.Start, Took: s.Took, Target: place, Outcome: s.Class})
		}
	}
	return b
}

// upstream returns the target with a label and all that it needs, what is needed before what needs it.
func upstream(targets []*engine.Target, of engine.Label) (all []*engine.Target) {
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
	visit(of)
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
