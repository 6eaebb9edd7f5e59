package main

import (
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
	order  []*engine.Target             // guarded by mu
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
	quiet := c.flags.question
	d := &dryRun{session: s, counts: make(map[*engine.Target]*dryCount)}
	b := engine.New(engine.Options{
		Targets: s.workspace.Targets, Cache: s.store, Observer: d, Jobs: s.cli.flags.jobs, Connections: 1, Window: 64,
		Spool: s.spool, Dry: true, Explain: s.reason, FailFast: quiet,
	})
	var wants []engine.Want
	for _, sel := range selected {
		wants = append(wants, sel.Want())
	}
	if err := b.Run(context.Background(), wants); err != nil {
		return err
	}
	stale := false
	for _, t := range d.order {
		c := d.counts[t]
		stale = stale || c.run > 0 || c.open > 0
		if !quiet {
			fmt.Fprintf(s.cli.stdout, "%-24s %-10s %s\n", t.Label, t.Rule, c)
		}
	}
	if quiet && stale {
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
		d.order = append(d.order, e.Target)
	}
	c.add(e.Outcome)
}

func (c *dryCount) add(o *engine.Outcome) {
	switch {
	case o.Result != nil:
		c.cached++
	case errors.Is(o.Err, engine.ErrNotStored):
		c.run++
		if c.reason == "" {
			c.reason = strings.TrimPrefix(o.Err.Error(), engine.ErrNotStored.Error()+": ")
		}
	default:
		c.open++
		if c.reason == "" && o.Err != nil {
			c.reason = strings.TrimPrefix(o.Err.Error(), "skipped: ")
		}
	}
}

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
