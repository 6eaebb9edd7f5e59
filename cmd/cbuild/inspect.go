package main

import (
	"context"
	"fmt"

	"cbuild/engine"
	"cbuild/internal/buildfile"
)

// inspect calls f for each target of which args select something. Nothing is run and nobody is asked.
func (c *cli) inspect(args []string, f func(s *session, sel buildfile.Selection) error) error {
	patterns, vars := splitVars(args)
	c.flags.offline = true
	w, err := c.load(vars)
	if err != nil {
		return err
	}
	selected, diags := w.Select(patterns, nil)
	if err := c.report(diags); err != nil {
		return err
	}
	s, err := c.open(w)
	if err != nil {
		return err
	}
	defer s.close()
	for _, sel := range selected {
		if err := f(s, sel); err != nil {
			return err
		}
	}
	return nil
}

// instances runs b for what is selected, and calls f with each instance.
func (s *session) instances(b *engine.Build, sel buildfile.Selection, f func(name string, o *engine.Outcome) error) error {
	ctx := context.Background()
	if err := b.Run(ctx, []engine.Want{sel.Want()}); err != nil {
		return err
	}
	found := false
	for row, err := range b.Whole(ctx, sel.Target.Label) {
		if err != nil {
			break
		}
		for _, o := range row.Cells {
			if !sel.Includes(row.Key, o.Axes) {
				continue
			}
			found = true
			if err := f(sel.Target.InstanceName(row.Key, o.Axes), o); err != nil {
				return err
			}
		}
	}
	if !found {
		return &statusError{exitFailed, fmt.Errorf("%s has no such instance yet: build it first", sel.Target.InstanceName("", nil))}
	}
	return nil
}
