package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/buildfile"
)

func (c *cli) updateCommand() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "update [TARGET…]", Short: "Ask the outside world again, and print what changed in the lock file",
		RunE: func(_ *cobra.Command, args []string) error { return c.update(args, dry) },
	}
	cmd.Flags().BoolVarP(&dry, "dry-run", "n", false, "only print what would change")
	return cmd
}

// update drops the pins of the targets and evaluates those whose answers are pinned, so that they are asked again.
func (c *cli) update(args []string, dry bool) error {
	patterns, vars := splitVars(args)
	w, err := c.load(vars)
	if err != nil {
		return err
	}
	if len(patterns) == 0 {
		patterns = []string{"//..."}
	}
	targets, diags := w.Resolve(patterns)
	if err := c.report(diags); err != nil {
		return err
	}
	s, err := c.open(w)
	if err != nil {
		return err
	}
	defer s.close()
	var asked []buildfile.Selection
	var labels, all []engine.Label
	for _, t := range targets {
		if t.Rule == "query" || t.Rule == "fetch" || t.Rule == "toolchain" {
			asked, labels = append(asked, buildfile.Selection{Target: t}), append(labels, t.Label)
		}
	}
	for _, t := range w.Targets {
		all = append(all, t.Label)
	}
	s.lock.Drop(labels)
	s.lock.Keep(all)
	r := &run{session: s, selected: asked}
	if err := r.ask(dry); err != nil {
		return err
	}
	return r.status()
}

// ask evaluates the targets, and prints and writes the difference that it made.
func (r *run) ask(dry bool) error {
	closeEvents, err := r.observe()
	if err != nil {
		return err
	}
	defer closeEvents()
	r.prepare()
	ctx, stop := r.signals()
	var wants []engine.Want
	for _, sel := range r.selected {
		wants = append(wants, sel.Want())
	}
	err = r.build.Run(ctx, wants)
	r.signal = stop()
	if err != nil {
		return err
	}
	for _, change := range r.lock.Diff() {
		switch {
		case change.Before == "":
			fmt.Fprintf(r.cli.stdout, "+ %s %s\n", change.Target, change.Request)
		case change.After == "":
			fmt.Fprintf(r.cli.stdout, "- %s %s\n", change.Target, change.Request)
		default:
			fmt.Fprintf(r.cli.stdout, "~ %s %s\n    %s\n    %s\n", change.Target, change.Request, change.Before, change.After)
		}
	}
	if dry || r.signal != nil {
		return r.journal.Clear()
	}
	if r.build.Sum().Classes[engine.ClassError] > 0 {
		return nil // an answer that could not be had must not be forgotten
	}
	return r.saveLock()
}
