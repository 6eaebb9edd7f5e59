package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/buildfile"
)

func (c *cli) logCommand() *cobra.Command {
	var failed bool
	cmd := &cobra.Command{
		Use: "log TARGET[INSTANCE]… [NAME=VALUE…]", Short: "Print the stored output of a run, standard output and standard error",
		Long: `log prints what a run printed when it ran, which may have been in an earlier build. Of several instances, each is named on standard
error.`,
		Example: "  cbuild log 'check[serde-1.0.210]'\n  cbuild log --failed check",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: c.completeTargets,
		RunE: func(_ *cobra.Command, args []string) error { return c.log(args, failed) },
	}
	cmd.Flags().BoolVar(&failed, "failed", false, "only of what is not a pass")
	c.loadFlags(cmd)
	return cmd
}

// log prints logs. Nothing is run and nobody is asked: the targets are evaluated with what is stored.
func (c *cli) log(args []string, failed bool) error {
	return c.inspect(args, func(s *session, sel buildfile.Selection) error {
		b := engine.New(engine.Options{Targets: s.workspace.Targets, Cache: s.store, Jobs: 1, Connections: 1, Window: 64, Spool: s.spool, Stored: true})
		titled := sel.Match == nil && (sel.Target.Repeated || len(sel.Target.Axes) > 0)
		return s.instances(b, sel, func(name string, o *engine.Outcome) error {
			if failed && o.OK() {
				return nil
			}
			return s.printLog(name, o, titled)
		})
	})
}

func (s *session) printLog(name string, o *engine.Outcome, titled bool) error {
	if titled {
		fmt.Fprintf(s.cli.stderr, "%s: %s\n", name, o.Class())
	}
	if o.Result == nil {
		return &statusError{exitFailed, fmt.Errorf("%s has no stored result: %w", name, o.Err)}
	}
	if o.Result.Log.IsZero() {
		return nil
	}
	r, err := s.store.Open(context.Background(), o.Result.Log)
	if err != nil {
		return &statusError{exitTrouble, fmt.Errorf("the log of %s is lost: %w", name, err)}
	}
	defer r.Close()
	_, err = io.Copy(s.cli.stdout, r)
	return err
}
