package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/clock"
	"cbuild/internal/graph"
	"cbuild/internal/ui"
)

func (c *cli) updateCommand() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "update [TARGET…] [NAME=VALUE…]", Short: "Ask the outside world again, and print what changed in the lock file",
		Long: `update asks registries and servers again, whose answers BUILD.lock.hcl pins, downloads what has no checksum again, and writes the lock. A
line of the difference begins with + for what is new, - for what is gone, ~ for what changed. That the outside world does not have something
is an answer: the status is 0. An answer that can't be had now is not forgotten.`,
		Example:           "  cbuild update -n\n  cbuild update modules",
		ValidArgsFunction: c.completeTargets,
		RunE:              func(_ *cobra.Command, args []string) error { return c.update(args, dry) },
	}
	cmd.Flags().BoolVarP(&dry, "dry-run", "n", false, "only print what would change")
	c.loadFlags(cmd)
	return cmd
}

// update drops the pins of the targets and evaluates those whose answers are pinned, so that they are asked again.
func (c *cli) update(args []string, dry bool) error {
	patterns, vars := splitVars(args)
	w, err := c.load(vars)
	if err != nil {
		return err
	}
	named := len(patterns) > 0
	if !named {
		patterns = []string{"//..."}
	}
	targets, diags := w.Resolve(patterns)
	if err := c.report(diags); err != nil {
		return err
	}
	if named && !slices.ContainsFunc(targets, asks) {
		return asksNobody(w, patterns, targets)
	}
	s, err := c.open(w)
	if err != nil {
		return err
	}
	defer s.close()
	var asked []buildfile.Selection
	var labels, all []engine.Label
	for _, t := range targets {
		if asks(t) {
			asked, labels = append(asked, buildfile.Selection{Target: t}), append(labels, t.Label)
		}
	}
	for _, t := range w.Targets {
		all = append(all, t.Label)
	}
	s.lock.Drop(labels)
	s.lock.Keep(all)
	r := &run{session: s, selected: asked, began: clock.System.Elapsed()}
	return r.update(dry)
}

// asks reports whether t is about what the outside world has.
func asks(t *engine.Target) bool {
	return t.Rule == "query" || t.Rule == "fetch" || t.Rule == "toolchain"
}

// asksNobody is the mistake of updating targets that only read what others asked for. It names these.
func asksNobody(w *buildfile.Workspace, patterns []string, targets []*engine.Target) error {
	g := graph.New(w.Targets)
	var needed []string
	for _, t := range w.Targets {
		if asks(t) && slices.ContainsFunc(targets, func(from *engine.Target) bool { return g.Path(from, t) != nil }) {
			needed = append(needed, t.Label.String())
		}
	}
	what := fmt.Sprintf("nothing to update: no fetch, query or toolchain is named by %s", ui.ShellWords(patterns...))
	if len(needed) > 0 {
		what += "; it needs some: cbuild update " + ui.ShellWords(needed...)
	}
	return usagef("%s", what)
}

// update asks, and prints and writes the difference that it made. What a registry or server does not have is an answer like any other.
func (r *run) update(dry bool) error {
	closeEvents, err := r.observe()
	if err != nil {
		return err
	}
	defer closeEvents()
	r.prepare()
	r.observer.Observe(engine.Event{Type: engine.EventBuildStarted, Text: version})
	var wants []engine.Want
	for _, sel := range r.selected {
		wants = append(wants, sel.Want())
	}
	r.perform(wants)
	r.printDifference(wants)
	r.problem(exitUsage, r.keepAnswers(dry))
	r.failed = r.notAnswered(wants)
	return r.tellFinished(r.finish())
}

// notAnswered counts the instances of which it is not known what the outside world has: neither an answer nor that there is none.
func (r *run) notAnswered(wants []engine.Want) (n int) {
	for _, w := range wants {
		sum := r.build.Sum(w.Label)
		n += sum.Total - sum.Classes[engine.ClassPass] - sum.Classes[engine.ClassUnavailable]
	}
	return n
}

// printDifference prints what changed. What was not asked to the end is not gone, as far as anybody knows.
func (r *run) printDifference(wants []engine.Want) {
	unknown := make(map[string]bool)
	for _, w := range wants {
		unknown[w.Label.String()] = r.notAnswered([]engine.Want{w}) > 0
	}
	for _, change := range r.lock.Diff() {
		switch {
		case change.After == "" && unknown[change.Target]:
		case change.Before == "":
			fmt.Fprintf(r.cli.stdout, "+ %s %s\n", change.Target, change.Request)
		case change.After == "":
			fmt.Fprintf(r.cli.stdout, "- %s %s\n", change.Target, change.Request)
		default:
			fmt.Fprintf(r.cli.stdout, "~ %s %s\n    %s\n    %s\n", change.Target, change.Request, change.Before, change.After)
		}
	}
}

// keepAnswers writes the lock. An answer that could not be had must not be forgotten.
func (r *run) keepAnswers(dry bool) error {
	switch {
	case dry, r.signal != nil:
		return r.journal.Clear()
	case r.build.Sum().Classes[engine.ClassError] > 0:
		return nil
	}
	return r.saveLock()
}
