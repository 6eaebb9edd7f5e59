package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/buildfile"
)

func (c *cli) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain TARGET[INSTANCE]…", Short: "Say why something ran or will run: what differs from its earlier key",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return c.explain(args) },
	}
}

// explain evaluates without doing anything, and compares keys.
func (c *cli) explain(args []string) error {
	return c.inspect(args, func(s *session, sel buildfile.Selection) error {
		e := &explainer{session: s, missing: make(map[string][]byte)}
		b := engine.New(engine.Options{
			Targets: s.workspace.Targets, Cache: s.store, Jobs: 1, Connections: 1, Window: 64, Spool: s.spool, Dry: true, Explain: e.note,
		})
		return s.instances(b, sel, func(name string, o *engine.Outcome) error { return e.print(sel.Target, name, o) })
	})
}

// explainer keeps the pre-images of what is not stored.
type explainer struct {
	*session
	mu      sync.Mutex
	missing map[string][]byte // guarded by mu; by name of the instance
}

func (e *explainer) note(_ *engine.Target, name string, a engine.Action) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.missing[name] = a.Preimage()
	return ""
}

func (e *explainer) print(t *engine.Target, name string, o *engine.Outcome) error {
	out := e.cli.stdout
	if o.Key.IsZero() {
		fmt.Fprintf(out, "%s: %v\n", name, o.Err)
		return nil
	}
	preimage, stored := e.missing[name], o.Result != nil
	if preimage == nil {
		r, err := e.store.Stored(context.Background(), o.Key)
		if err != nil {
			return &statusError{exitTrouble, err}
		}
		if r != nil {
			preimage = r.Preimage
		}
	}
	state := "will run"
	if stored {
		state = "is stored (" + string(o.Class()) + ")"
	}
	changes, earlier := e.differences(t, name, o.Key, preimage)
	switch {
	case earlier.IsZero():
		fmt.Fprintf(out, "%s %s; this machine knows no earlier key of it\n", name, state)
	case len(changes) == 0:
		fmt.Fprintf(out, "%s %s; the record of its earlier key %v is gone\n", name, state, earlier)
	default:
		fmt.Fprintf(out, "%s %s; since its earlier key %v:\n", name, state, earlier)
		for _, c := range changes {
			fmt.Fprintf(out, "  %v\n", c)
		}
	}
	if !stored && o.Err != nil && preimage != nil && earlier.IsZero() {
		fmt.Fprintf(out, "  %v\n", o.Err)
	}
	return nil
}

// differences compares what a key digests with what the instance's earlier key did.
func (s *session) differences(t *engine.Target, name string, key engine.Key, preimage []byte) (changes []engine.Change, earlier engine.Key) {
	before, ok := s.keys.Earlier(t.Label.String(), name, key)
	if !ok {
		return nil, engine.Key{}
	}
	r, err := s.store.Stored(context.Background(), before)
	if err != nil || r == nil {
		return nil, before
	}
	return engine.Differences(r.Preimage, preimage), before
}

// reason says in a few words why an instance has no stored result; "" if nothing is known.
func (s *session) reason(t *engine.Target, name string, a engine.Action) string {
	changes, earlier := s.differences(t, name, a.Key(), a.Preimage())
	switch {
	case len(changes) == 1:
		return changes[0].Reason()
	case len(changes) > 1:
		return fmt.Sprintf("%s, and %d more", changes[0].Reason(), len(changes)-1)
	case earlier.IsZero():
		return "new"
	}
	return ""
}

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
