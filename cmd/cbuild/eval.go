package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/ui"
)

func (c *cli) evalCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "eval EXPR [NAME=VALUE…]", Short: "Evaluate an expression in the current package",
		Long: `eval prints the value of an expression: a string as it is, anything else as JSON, an artifact as its digest. What it mentions of
targets is taken from the store; nothing is run and nobody is asked.`,
		Example: `  cbuild eval 'glob("*.c")'
  cbuild eval 'length(query.modules)'
  cbuild eval 'run.check["a"].outcome'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return c.eval(args[0], args[1:]) },
	}
	c.loadFlags(cmd)
	return cmd
}

func (c *cli) eval(text string, args []string) error {
	rest, vars := splitVars(args)
	if len(rest) > 0 {
		return usagef("eval takes one expression: put it in quotes, as in cbuild eval '%s'", strings.Join(append([]string{text}, rest...), " "))
	}
	c.flags.offline = true
	w, err := c.load(vars)
	if err != nil {
		return err
	}
	s, err := c.open(w) // the expression may read files
	if err != nil {
		return err
	}
	defer s.close()
	e, diags := w.Eval(text)
	if err := c.report(diags); err != nil {
		return err
	}
	if e.Target != nil {
		if err := s.find(e); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(c.stdout, e.Text())
	return err
}

// find evaluates e with what is stored. What it mentions and nobody has built yet leaves it without a value.
func (s *session) find(e *buildfile.Evaluation) error {
	var missing unbuilt
	b := engine.New(engine.Options{
		Targets: append(s.workspace.Targets, e.Target), Cache: s.store, Observer: &missing,
		Jobs: 1, Connections: 1, Window: 64, Spool: s.spool, Stored: true,
	})
	if err := b.Run(context.Background(), []engine.Want{{Label: e.Target.Label}}); err != nil {
		return &statusError{exitBug, err}
	}
	if missing.name != "" {
		return &statusError{exitFailed, fmt.Errorf("the expression has no value yet: %s has no stored result. Build it first", missing.name)}
	}
	for row, err := range b.Whole(context.Background(), e.Target.Label) {
		if err != nil {
			return &statusError{exitFailed, err}
		}
		for _, o := range row.Cells {
			if o.Err != nil {
				return &statusError{exitFailed, fmt.Errorf("the expression has no value: %w", o.Err)}
			}
		}
	}
	return nil
}

// unbuilt remembers an instance that has no stored result: that with the first name.
type unbuilt struct {
	mu   sync.Mutex
	name string // guarded by mu
}

// Observe is engine.Observer's.
func (u *unbuilt) Observe(e engine.Event) {
	if e.Type != engine.EventFinished || !errors.Is(e.Outcome.Err, engine.ErrNotStored) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if name := ui.Address(e); u.name == "" || name < u.name {
		u.name = name
	}
}
