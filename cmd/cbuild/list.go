package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/graph"
)

func (c *cli) listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list [PATTERN|EXPRESSION…] [NAME=VALUE…]", Short: "List targets, with how many instances they have",
		Long: `list prints the targets of the workspace, or those that match a pattern. It never touches the network: how many instances a target has
is counted from the files, from answers that are pinned and from results that are stored, and is left open (?) where those do not say.

An expression selects targets by what they refer to and what they are:

  X + Y, X - Y, X ^ Y     union, difference and intersection, from left to
                          right, with spaces around; also by these names:
                          X union Y, X except Y, X intersect Y
  deps(X), deps(X, N)     X and what it refers to, N steps far or any number
  rdeps(X), rdeps(X, N)   X and what refers to it
  path(X, Y)              all targets on the ways by which X needs Y
  kind(REGEXP, X)         those of a rule, such as run or 'run|fetch'
  attr(NAME, REGEXP, X)   those with an attribute that matches as written`,
		Example: "  cbuild list\n  cbuild list //sub/... tag:slow\n  cbuild list 'kind(run, deps(report)) - tag:slow'\n  cbuild list 'attr(network, true, //...)'\n  cbuild list --json | jq -r .label", ValidArgsFunction: c.completeTargets,
		RunE: func(_ *cobra.Command, args []string) error { return c.list(args, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	c.loadFlags(cmd)
	return cmd
}

// listed is a target as list prints it.
type listed struct {
	Label       string   `json:"label"`
	Rule        string   `json:"rule"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
	File        string   `json:"file"`
	Line        int      `json:"line"`
	// Count is how many instances or items there are; nil if that is not known, or if the target is not repeated.
	Count *int `json:"count,omitempty"`
}

func (c *cli) list(args []string, asJSON bool) error {
	patterns, vars := splitVars(args)
	c.flags.offline = true
	w, err := c.load(vars)
	if err != nil {
		return err
	}
	if len(patterns) == 0 {
		patterns = []string{"//..."}
	}
	targets, err := c.selectTargets(w, patterns)
	if err != nil {
		return err
	}
	counts := c.counts(w, targets)
	for _, t := range targets {
		info := w.Info(t)
		one := listed{
			Label: t.Label.String(), Rule: info.Rule, Description: info.Description, Tags: append([]string{}, info.Tags...), File: info.File, Line: info.Line,
		}
		if n, ok := counts[t.Label]; ok {
			one.Count = &n
		}
		if asJSON {
			line, err := json.Marshal(one)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.stdout, "%s\n", line)
			continue
		}
		fmt.Fprintln(c.stdout, strings.TrimRight(fmt.Sprintf("%-28s %-10s %-8s %s", one.Label, one.Rule, one.number(t), one.Description), " "))
	}
	return nil
}

// selectTargets returns what patterns and expressions select, in their order.
func (c *cli) selectTargets(w *buildfile.Workspace, args []string) (all []*engine.Target, err error) {
	match := func(pattern string) ([]*engine.Target, error) {
		targets, diags := w.Resolve([]string{pattern})
		return targets, c.report(diags)
	}
	for _, arg := range args {
		var targets []*engine.Target
		var err error
		if graph.IsExpression(arg) {
			targets, err = graph.Select(arg, graph.World{Targets: w.Targets, Match: match, Written: w.Written})
		} else {
			targets, err = match(arg)
		}
		switch {
		case errors.As(err, new(*statusError)):
			return nil, err // it is printed
		case err != nil:
			return nil, usagef("%w", err)
		}
		for _, t := range targets {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	return all, nil
}

// number is the column with the count.
func (l *listed) number(t *engine.Target) string {
	switch {
	case l.Count != nil:
		return fmt.Sprintf("[%d]", *l.Count)
	case several(t):
		return "[?]"
	}
	return ""
}

// several reports whether t may have more than one instance.
func several(t *engine.Target) bool { return t.Repeated || len(t.Axes) > 0 }

// counts says how many instances those of targets have that have several. What is not known without doing anything is left out.
func (c *cli) counts(w *buildfile.Workspace, targets []*engine.Target) map[engine.Label]int {
	var wants []engine.Want
	for _, t := range targets {
		if several(t) {
			wants = append(wants, engine.Want{Label: t.Label})
		}
	}
	if len(wants) == 0 {
		return nil
	}
	s, err := c.open(w)
	if err != nil { // without a store the files can be listed all the same
		fmt.Fprintf(c.stderr, "Note: instances are not counted: %v\n", err)
		return nil
	}
	defer s.close()
	b := engine.New(engine.Options{
		Targets: countable(w.Targets), Cache: s.store, Jobs: 1, Connections: 1, Window: 1024, Spool: s.spool, Dry: true,
	})
	if b.Run(context.Background(), wants) != nil {
		return nil
	}
	counts := make(map[engine.Label]int)
	for _, want := range wants {
		if n, ok := rowsOf(b, want.Label); ok {
			counts[want.Label] = n
		}
	}
	return counts
}

// rowsOf counts the instances of a target after a build, and the items of a query.
func rowsOf(b *engine.Build, l engine.Label) (n int, ok bool) {
	for row, err := range b.Whole(context.Background(), l) {
		if err != nil {
			return 0, false
		}
		n += max(1, len(row.Cells))
	}
	return n, true
}

// countable returns the targets in a form in which their instances can be counted quickly: evaluated is only what decides how many there
// are.
func countable(targets []*engine.Target) []*engine.Target {
	byLabel := make(map[engine.Label]*engine.Target)
	for _, t := range targets {
		byLabel[t.Label] = t
	}
	decides := make(map[engine.Label]bool)
	var mark func(l engine.Label)
	mark = func(l engine.Label) {
		if decides[l] {
			return
		}
		decides[l] = true
		for _, n := range byLabel[l].Needs {
			mark(n.Label)
		}
	}
	for _, t := range targets {
		for _, n := range t.Needs {
			shapes := n.Attribute == "for_each" || n.Attribute == "where" || strings.HasPrefix(n.Attribute, "matrix")
			if t.Query != nil || shapes && n.Mode != engine.StreamMode {
				mark(n.Label)
			}
		}
	}
	all := make([]*engine.Target, len(targets))
	for i, t := range targets {
		all[i] = t
		if t.Plan != nil && !decides[t.Label] {
			counted := *t
			counted.Plan = func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
				return nil, engine.ErrNotStored
			}
			all[i] = &counted
		}
	}
	return all
}
