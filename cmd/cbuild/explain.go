package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/buildfile"
)

func (c *cli) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain TARGET[INSTANCE]… [NAME=VALUE…]", Short: "Say why something ran or will run: what differs from its earlier key",
		Long: `explain compares the key of each instance with the nearest earlier one that this machine knows of it, component by component: an input,
a variable of the environment, a word of the command, a package of the system. Nothing is run and nobody is asked.`,
		Example: "  cbuild explain link\n  cbuild explain 'check[serde-1.0.210]'",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: c.completeTargets,
		RunE: func(_ *cobra.Command, args []string) error { return c.explain(args) },
	}
	c.loadFlags(cmd)
	return cmd
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
	switch r, err := e.store.Stored(context.Background(), o.Key); {
	case err == nil && !stored:
		fmt.Fprintf(out, "%s will run: %s\n", name, whyNotStored(o.Err)) // nothing differs from what is stored, which is of no use
		return nil
	case err == nil:
		preimage = r.Preimage
	case preimage == nil:
		return &statusError{exitTrouble, err}
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

// whyNotStored returns the reason that stands in an error that wraps engine.ErrNotStored.
func whyNotStored(err error) string {
	return strings.TrimPrefix(err.Error(), engine.ErrNotStored.Error()+": ")
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

// reason says in a few words why an instance has no stored result; "" if nothing is known, or if there is one that is of no use: why that is
// so, the store knows.
func (s *session) reason(t *engine.Target, name string, a engine.Action) string {
	if _, err := s.store.Stored(context.Background(), a.Key()); err == nil {
		return ""
	}
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
