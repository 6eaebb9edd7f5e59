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
	return c.inspect(args, func(s *session, t *engine.Target, keys []string) error {
		b := engine.New(engine.Options{Targets: s.workspace.Targets, Cache: s.store, Jobs: 1, Connections: 1, Window: 64, Spool: s.spool, Stored: true})
		titled := len(keys) < len(t.Axes) || len(keys) == 0 && t.Repeated
		return s.instances(b, t, keys, func(name string, o *engine.Outcome) error {
			if failed && o.OK() {
				return nil
			}
			return s.printLog(name, o, titled)
		})
	})
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
