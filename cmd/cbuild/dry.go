package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"cbuild/engine"
)

// dryRun says, for each target that would be evaluated, what is cached and what would run. Nothing is run and nobody is asked, so
// what depends on an answer that is not pinned, or on what would run, stays open.
type dryRun struct {
	*session
	mu     sync.Mutex
	counts map[*engine.Target]*dryCount // guarded by mu
}

type dryCount struct {
	cached, run, open int
	reason            string // the first
}

// dry evaluates what args name. With -q it prints nothing, and the status says whether something would run.
func (c *cli) dry(args []string) error {
	if _, err := parseFailOn(c.flags.failOn); err != nil {
		return err
	}
	c.flags.offline = true
	s, selected, err := c.choose(args)
	if err != nil {
		return err
	}
	defer s.close()
	if len(selected) == 0 {
		c.nothingLeft(args)
		return nil
	}
	r := &run{session: s, selected: selected}
	closeEvents, err := r.observe()
	if err != nil {
		return err
	}
	defer closeEvents()
	r.observer.Observe(engine.Event{Type: engine.EventBuildStarted, Text: version})
	err = r.foresee()
	r.observer.Observe(engine.Event{Type: engine.EventBuildFinished, Text: outcomeOf(statusOf(err)), ExitCode: statusOf(err)})
	return r.eventsErr(err)
}

// foresee says of each target that would be evaluated what is cached and what would run.
func (r *run) foresee() error {
	flags := r.cli.flags
	d := &dryRun{session: r.session, counts: make(map[*engine.Target]*dryCount)}
	b := engine.New(engine.Options{
		Targets: r.workspace.Targets, Cache: r.store, Observer: d, Jobs: flags.jobs, Connections: 1, Window: 64,
		Spool: r.spool, Dry: true, Explain: r.reason, FailFast: flags.question, Again: flags.again,
	})
	var wants []engine.Want
	for _, sel := range r.selected {
		wants = append(wants, sel.Want())
	}
	if err := b.Run(context.Background(), wants); err != nil {
		return &statusError{exitBug, fmt.Errorf("this is a bug in cbuild, please report it: %w", err)}
	}
	stale := false
	for _, t := range r.workspace.Targets {
		c := d.counts[t]
		if c == nil {
			continue // nobody needs it
		}
		stale = stale || c.run > 0 || c.open > 0
		for _, e := range r.events {
			e.Observe(engine.Event{Type: engine.EventTarget, Target: t, Done: c.cached, Total: c.cached + c.run + c.open, Open: c.open > 0, Why: c.reason})
		}
		if !flags.question && !r.cli.eventsOnStdout() {
			fmt.Fprintf(r.cli.stdout, "%-24s %-10s %s\n", t.Label, t.Rule, c)
		}
	}
	if flags.question && stale {
		return &statusError{status: exitFailed}
	}
	return nil
}

// Observe is engine.Observer's.
func (d *dryRun) Observe(e engine.Event) {
	if e.Type != engine.EventFinished {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.counts[e.Target]
	if c == nil {
		c = &dryCount{}
		d.counts[e.Target] = c
	}
	c.add(e.Target, e.Outcome)
}

func (c *dryCount) add(t *engine.Target, o *engine.Outcome) {
	switch {
	case o.Result != nil:
		c.cached++
	case errors.Is(o.Err, engine.ErrNotStored) && t.Rule == "collate" && o.Key.IsZero():
		c.open++ // a report has no key before all of its rows are known
		c.because("not all of its rows are known")
	case errors.Is(o.Err, engine.ErrNotStored):
		c.run++
		c.because(whyNotStored(o.Err))
	default:
		c.open++
		c.because(strings.TrimPrefix(o.Err.Error(), "skipped: "))
	}
}

// because notes a reason; the first one counts.
func (c *dryCount) because(reason string) { c.reason = cmp.Or(c.reason, reason) }

func (c *dryCount) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		text string
	}{{c.cached, "cached"}, {c.run, "will run"}, {c.open, "open"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.text))
		}
	}
	line := strings.Join(parts, ", ")
	if c.reason != "" {
		line += ": " + c.reason
	}
	return line
}
