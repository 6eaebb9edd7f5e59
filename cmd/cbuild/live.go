package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/clock"
	"cbuild/internal/history"
	"cbuild/internal/live"
	"cbuild/rules/report"
)

// liveState is what a page is told of a build, over and over while it runs.
type liveState struct {
	ID      string   `json:"id"`
	Args    []string `json:"args"`
	Outcome string   `json:"outcome"`
	// Build is a report.Build.
	Build json.RawMessage `json:"build,omitempty"`
	// Running is what runs, the longest first, and Waiting says in lines what is waited for.
	Running []liveRun `json:"running"`
	Waiting []string  `json:"waiting"`
	// Reports are those that have begun.
	Reports []liveReport `json:"reports,omitempty"`
}

type liveRun struct {
	Name string `json:"name"`
	Ms   int64  `json:"took"`
}

type liveReport struct {
	Label string `json:"label"`
	Rows  int    `json:"rows"`
}

// maxRunning is how much of what runs a page is told.
const maxRunning = 64

// liveDir is where the builds that run in the workspace with a root can be looked at.
func (c *cli) liveDir(root string) (string, error) {
	state, err := c.stateDir()
	return filepath.Join(state, workspaceName(root), "live"), err
}

// listen makes this build one that cbuild serve can look at. The caller calls end when the build is over. A build that can't be looked at is
// one all the same.
func (r *run) listen() (end func()) {
	nobody := func(err error) func() {
		if err != nil && r.cli.flags.verbose > 0 {
			r.console.Note("note", "cbuild serve can't look at this build: "+err.Error())
		}
		return func() {}
	}
	dir, err := r.cli.liveDir(r.workspace.Root)
	if err != nil || r.id == "" {
		return nobody(err)
	}
	l, err := live.Listen(dir, r.id, &liveBuild{r})
	if err != nil {
		return nobody(err)
	}
	return func() { _ = l.Close() }
}

// liveBuild answers who looks at a run.
type liveBuild struct{ *run }

// State is live.Build's.
func (b *liveBuild) State() any {
	s := &liveState{ID: b.id, Args: b.cli.args, Outcome: history.Running, Waiting: b.hosts(), Reports: b.reportsSoFar()}
	build, _ := b.progress(upstream(b.workspace.Targets, b.wanted()...))
	s.Build = build.JSON()
	for _, span := range b.timeline.Running() {
		if len(s.Running) == maxRunning {
			break
		}
		s.Running = append(s.Running, liveRun{report.Name(span.Name), span.Took.Milliseconds()})
	}
	return s
}

// reportsSoFar are those that have begun, first what was asked for.
func (b *liveBuild) reportsSoFar() (all []liveReport) {
	var others []liveReport
	growing := b.growing.Reports()
	for _, r := range growing {
		if !slices.ContainsFunc(b.selected, func(sel buildfile.Selection) bool { return sel.Target.Label == r.Of }) {
			others = append(others, liveReport{r.Label, r.Rows})
		}
	}
	for _, sel := range b.selected {
		for _, r := range growing {
			if r.Of == sel.Target.Label {
				all = append(all, liveReport{r.Label, r.Rows})
			}
		}
	}
	return append(all, others...)
}

// wanted are the labels of what was asked for.
func (r *run) wanted() (all []engine.Label) {
	for _, sel := range r.selected {
		all = append(all, sel.Target.Label)
	}
	return all
}

// Snapshot is live.Build's.
func (b *liveBuild) Snapshot(ctx context.Context, of string) (*live.Snapshot, error) {
	s, err := b.growing.Snapshot(ctx, of)
	if s == nil || err != nil {
		return nil, err
	}
	return &live.Snapshot{Pack: s.Pack, Chunks: s.Chunks}, nil
}

// progress says how far targets are, those that have begun, and at which place each of them stands.
func (r *run) progress(targets []*engine.Target) (b *report.Build, place map[*engine.Target]int) {
	took := clock.System.Elapsed() - r.began
	b, place = &report.Build{Began: clock.System.Now().Add(-took), Took: took, Jobs: r.cli.flags.jobs}, make(map[*engine.Target]int)
	progress := make(map[engine.Label]engine.Progress)
	for _, p := range r.build.Progress() {
		progress[p.Target.Label] = p
	}
	for _, t := range targets {
		p, ok := progress[t.Label]
		if !ok {
			continue
		}
		place[t] = len(b.Targets)
		b.Targets = append(b.Targets, report.Target{
			Label: t.Label.String(), Name: t.Label.Name, Rule: t.Rule, Done: p.Done, Total: p.Total, Open: p.Open,
			Counts: p.Counts.Classes, Cached: p.Counts.Cached[engine.CachedLocal] + p.Counts.Cached[engine.CachedRemote], Took: p.Counts.Took,
		})
	}
	return b, place
}
