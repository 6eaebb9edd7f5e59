package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cbuild/engine"
)

func (c *cli) logCommand() *cobra.Command {
	var failed bool
	cmd := &cobra.Command{
		Use: "log TARGET[INSTANCE]…", Short: "Print the stored output of a run, standard output and standard error",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return c.log(args, failed) },
	}
	cmd.Flags().BoolVar(&failed, "failed", false, "only of what is not a pass")
	return cmd
}

// log prints logs. Nothing is run and nobody is asked: the targets are evaluated with what is stored.
func (c *cli) log(args []string, failed bool) error {
	patterns, vars := splitVars(args)
	c.flags.offline = true
	w, err := c.load(vars)
	if err != nil {
		return err
	}
	s, err := c.open(w)
	if err != nil {
		return err
	}
	defer s.close()
	for _, p := range patterns {
		name, keys, err := splitInstance(p)
		if err != nil {
			return usagef("%s: %w", p, err)
		}
		targets, diags := w.Resolve([]string{name})
		if err := c.report(diags); err != nil {
			return err
		}
		for _, t := range targets {
			if err := s.printLogs(t, keys, failed); err != nil {
				return err
			}
		}
	}
	return nil
}

// splitInstance splits check[key][axis] into the target and the keys.
func splitInstance(p string) (target string, keys []string, err error) {
	target, rest, ok := strings.Cut(p, "[")
	for ok {
		key, after, closed := strings.Cut(rest, "]")
		if !closed || after != "" && after[0] != '[' {
			return "", nil, errors.New("want TARGET[KEY] or TARGET[KEY][AXIS]")
		}
		keys = append(keys, key)
		_, rest, ok = strings.Cut(after, "[")
	}
	return target, keys, nil
}

// printLogs prints the logs of the instances of t whose keys begin with the given ones.
func (s *session) printLogs(t *engine.Target, keys []string, failed bool) error {
	b := engine.New(engine.Options{Targets: s.workspace.Targets, Cache: s.store, Jobs: 1, Connections: 1, Window: 64, Spool: s.spool, Stored: true})
	want := engine.Want{Label: t.Label}
	axes := keys
	if t.Repeated && len(keys) > 0 {
		want.Keys, axes = keys[:1], keys[1:]
	}
	ctx := context.Background()
	if err := b.Run(ctx, []engine.Want{want}); err != nil {
		return err
	}
	found := 0
	for row, err := range b.Whole(ctx, t.Label) {
		if err != nil {
			break
		}
		for _, o := range row.Cells {
			if !prefixed(o.Axes, axes) || failed && o.OK() {
				continue
			}
			found++
			if err := s.printLog(t.InstanceName(row.Key, o.Axes), o, len(keys) == 0 && t.Repeated || len(axes) < len(t.Axes)); err != nil {
				return err
			}
		}
	}
	if found == 0 && !failed {
		return &statusError{exitFailed, fmt.Errorf("no stored result for %s: build it first", t.InstanceName(strings.Join(keys, "]["), nil))}
	}
	return nil
}

func prefixed(axes, want []string) bool {
	if len(want) > len(axes) {
		return false
	}
	for i := range want {
		if axes[i] != want[i] {
			return false
		}
	}
	return true
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
