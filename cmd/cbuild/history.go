package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/clock"
	"cbuild/internal/history"
	"cbuild/internal/ui"
	"cbuild/rules/report"
)

// historyDir is where the builds of the workspace with a root are kept.
func (c *cli) historyDir(root string) (string, error) {
	state, err := c.stateDir()
	return filepath.Join(state, workspaceName(root), "builds"), err
}

// workspaceRoot is the root of the current workspace, whatever is in its files: what was built can be looked at while they have mistakes.
func (c *cli) workspaceRoot() (string, error) {
	if err := c.configure(); err != nil {
		return "", err
	}
	root, ok := buildfile.FindRoot(".", c.flags.file)
	if !ok {
		return "", usagef("there is no %s here or above", buildfile.FileName)
	}
	return root, nil
}

// recordHistory begins the record of this build. The caller calls end when the last event is out. A build goes on without a record.
func (r *run) recordHistory() (end func()) {
	failed := func(err error) {
		if err != nil {
			r.console.Note("warning", "this build is not in the history: "+err.Error())
		}
	}
	dir, err := r.cli.historyDir(r.workspace.Root)
	if err != nil {
		failed(err)
		return func() {}
	}
	rec, err := history.Record(dir, r.cli.args, clock.System)
	if err != nil {
		failed(err)
		return func() {}
	}
	r.observer = append(r.observer, rec)
	r.id = rec.ID()
	return func() { failed(rec.Close()) }
}

// openHistory opens the history of the current workspace, whose root it returns.
func (c *cli) openHistory() (h *history.History, root string, err error) {
	root, err = c.workspaceRoot()
	if err != nil {
		return nil, "", err
	}
	dir, err := c.historyDir(root)
	if err != nil {
		return nil, "", err
	}
	h, err = history.Open(dir)
	if err != nil {
		return nil, "", &statusError{exitTrouble, err}
	}
	return h, root, nil
}

func (c *cli) historyCommand() *cobra.Command {
	var asJSON bool
	var n int
	cmd := &cobra.Command{
		Use: "history [TARGET[INSTANCE]]", Short: "List past builds, or the executions of an instance", Args: cobra.MaximumNArgs(1),
		Example: "  cbuild history -n 5\n  cbuild history 'test[linux]'", ValidArgsFunction: c.completeLabels,
		RunE: func(_ *cobra.Command, args []string) error {
			h, root, err := c.openHistory()
			if err != nil {
				return err
			}
			defer h.Close()
			if len(args) > 0 {
				return c.listAttempts(h, fullName(root, args[0]), n, asJSON)
			}
			return c.listBuilds(h, n, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.Flags().IntVarP(&n, "number", "n", 20, "list the last `N`, 20 by default")
	return cmd
}

// fullName writes the name of an instance as the history does. Its target need not exist any more.
func fullName(root, name string) string {
	target, _, _ := strings.Cut(name, "[")
	switch {
	case strings.HasPrefix(name, "//"):
		return name
	case strings.HasPrefix(name, ":"):
		return "//" + here(root) + name
	case strings.Contains(target, ":"):
		return "//" + name
	}
	return "//" + here(root) + ":" + name
}

// here is the directory of the current package, relative to the root.
func here(root string) string {
	dir, err := filepath.Abs(".")
	if err == nil {
		dir, err = filepath.Rel(root, dir)
	}
	if err != nil || dir == "." {
		return ""
	}
	return filepath.ToSlash(dir)
}

func (c *cli) listBuilds(h *history.History, n int, asJSON bool) error {
	builds, err := h.Builds(n)
	if err != nil {
		return &statusError{exitTrouble, err}
	}
	if asJSON {
		for _, b := range builds {
			line, err := json.Marshal(map[string]any{
				"id": b.ID, "began": b.Began.UTC(), "ms": b.Took.Milliseconds(), "args": b.Args, "outcome": b.Outcome,
				"exit_code": b.ExitCode, "counts": b.Counts, "ran": b.Ran,
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(c.stdout, "%s\n", line)
		}
		return nil
	}
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	for i, b := range builds {
		fmt.Fprintf(t, "@%d\t%s\t%s\t%s\t%s\t%s\n", i+1, b.ID, ui.Elapsed(b.Took), b.Outcome, ui.Counts(b.Counts), "cbuild "+ui.Text(ui.ShellWords(b.Args...)))
	}
	return t.Flush()
}

func (c *cli) listAttempts(h *history.History, name string, n int, asJSON bool) error {
	attempts, err := h.Attempts(name)
	if err != nil {
		return &statusError{exitTrouble, err}
	}
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	for _, a := range attempts[:min(n, len(attempts))] {
		if asJSON {
			line, err := json.Marshal(struct {
				Build string `json:"build"`
				history.Result
			}{a.Build, a.Result})
			if err != nil {
				return err
			}
			fmt.Fprintf(c.stdout, "%s\n", line)
			continue
		}
		took := time.Duration(a.Ms) * time.Millisecond
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", a.Build, a.Outcome, ui.Elapsed(took), a.Key, ui.Text(a.Why))
	}
	return t.Flush()
}

func (c *cli) diffCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "diff [BUILD [BUILD]]", Short: "Compare the results of two builds, by default of the last two", Args: cobra.MaximumNArgs(2),
		Long: "Compare the results of two builds. A build is named by @1, the last one, @2, the one before, or the beginning of its\n" +
			"identifier in `cbuild history`. One build is compared with the last.",
		Example: "  cbuild diff\n  cbuild diff @5\n  cbuild diff 20261124 @1", ValidArgsFunction: c.completeBuilds,
		RunE: func(_ *cobra.Command, args []string) error {
			h, _, err := c.openHistory()
			if err != nil {
				return err
			}
			defer h.Close()
			return c.diffBuilds(h, args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// difference is an instance that is not the same in two builds.
type difference struct {
	Class  report.Class `json:"class"`
	Name   string       `json:"name"`
	Before string       `json:"before,omitempty"`
	After  string       `json:"after,omitempty"`
}

func (c *cli) diffBuilds(h *history.History, refs []string, asJSON bool) error {
	refs = append(refs, []string{"@2", "@1"}[len(refs):]...)
	var builds [2]history.Build
	for i, ref := range refs {
		var err error
		if builds[i], err = h.Find(ref); err != nil {
			return usagef("%w (cbuild history lists them)", err)
		}
	}
	all, counts, err := compareBuilds(h, builds[0].ID, builds[1].ID)
	if err != nil {
		return &statusError{exitTrouble, err}
	}
	for _, d := range all {
		if asJSON {
			line, err := json.Marshal(d)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.stdout, "%s\n", line)
			continue
		}
		fmt.Fprintf(c.stdout, "%-12s %s  %s → %s\n", d.Class, ui.Text(d.Name), cmp.Or(d.Before, "none"), cmp.Or(d.After, "none"))
	}
	fmt.Fprintf(c.stderr, "%s → %s  %s\n", builds[0].ID, builds[1].ID, ui.Compared(counts))
	return nil
}

// compareBuilds lists what is not the same in two builds, what needs a look first, and counts everything by class.
func compareBuilds(h *history.History, before, after string) (all []difference, counts map[string]int, err error) {
	old, counts := map[string]history.Result{}, map[string]int{}
	err = h.Results(before, func(r history.Result) error {
		old[r.Name()] = r
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	add := func(d difference, same func() bool) {
		d.Class = report.Compare(report.Standing{Outcome: engine.Class(d.Before)}, report.Standing{Outcome: engine.Class(d.After)}, same)
		counts[string(d.Class)]++
		if d.Class != report.SamePass && d.Class != report.SameFail && d.Before+d.After != "skippedskipped" {
			all = append(all, d)
		}
	}
	err = h.Results(after, func(r history.Result) error {
		was, ok := old[r.Name()]
		delete(old, r.Name())
		d := difference{Name: r.Name(), After: r.Outcome}
		if ok {
			d.Before = was.Outcome
		}
		add(d, func() bool { return was.Made == r.Made })
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for name, r := range old {
		add(difference{Name: name, Before: r.Outcome}, nil)
	}
	order := report.Classes(true)
	slices.SortFunc(all, func(x, y difference) int {
		return cmp.Or(cmp.Compare(slices.Index(order, x.Class), slices.Index(order, y.Class)), cmp.Compare(x.Name, y.Name))
	})
	return all, counts, nil
}
