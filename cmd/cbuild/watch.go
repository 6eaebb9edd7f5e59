package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"cbuild/internal/buildfile"
	"cbuild/internal/ui"
	"cbuild/internal/watch"
)

func (c *cli) watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "watch [TARGET…] [NAME=VALUE…]", Short: "Build, and build again whenever a file changes",
		Long: `watch builds, and builds again whenever files of the workspace change: BUILD.hcl files, sources, files with variables or labels,
configuration. Mistakes are shown, and watched on. What changes while a build runs is built when it has ended. cbuild-out, .git, the store, and
what editors write beside a file are not watched. Each build is one of its own in the history. Ctrl-C ends it, with status 130.`,
		Example: `  cbuild watch
  cbuild watch report edition=2024
  cbuild -C sub watch test -s`,
		ValidArgsFunction: c.completeTargets,
		RunE:              func(_ *cobra.Command, args []string) error { return c.watch(args) },
	}
	c.buildFlags(cmd)
	for _, refused := range []string{"dry-run", "question", "always-make", "check"} {
		_ = cmd.Flags().MarkHidden(refused)
	}
	return cmd
}

// watch builds what args name, again and again.
func (c *cli) watch(args []string) error {
	if err := c.watchable(); err != nil {
		return err
	}
	caught, release := c.catch()
	defer release()
	c.caught = caught
	w := &watching{cli: c, args: args, parsed: c.flags, outputs: c.outputs()}
	defer w.close()
	for {
		for _, step := range []func() error{w.open, w.build, w.wait} {
			if err := step(); err != nil {
				return err
			}
		}
	}
}

// watchable says which flags make no sense.
func (c *cli) watchable() error {
	switch f := c.flags; {
	case f.dryRun, f.question:
		return usagef("watch builds: it takes neither --dry-run nor --question")
	case f.again, f.check > 0:
		return usagef("watch takes neither --always-make nor --check: everything would run at each change")
	}
	_, err := parseFailOn(c.flags.failOn)
	return err
}

// A watching is one call of watch.
type watching struct {
	cli     *cli
	args    []string
	parsed  flags    // as they were given; a build changes them by what configuration says
	root    string   // of the workspace that is watched
	written []string // absolute paths of what builds write
	outputs []os.FileInfo
	lock    string // tells the content of the lock files, as the last build saw or left them
	files   *watch.Watcher
}

func (w *watching) close() {
	if w.files != nil {
		_ = w.files.Close() // it was only read
	}
}

// open watches the workspace, before it is read for the first time, or if another directory has become its root.
func (w *watching) open() error {
	c := w.cli
	root, ok := buildfile.FindRoot(".", w.parsed.file)
	if !ok && w.files == nil {
		_, err := c.load(nil) // it says what is missing
		return cmp.Or(err, usagef("there is no workspace"))
	}
	if !ok || root == w.root {
		return nil
	}
	w.close()
	w.root = root
	if err := w.learn(); err != nil {
		return err
	}
	var err error
	w.files, err = watch.Open(watch.Options{Root: root, Files: w.single(), Ignore: w.ignore})
	return w.trouble(err)
}

// build builds once. Only a signal and what makes every further build useless are errors.
func (w *watching) build() error {
	c := w.cli
	c.flags, c.configured = w.parsed, false
	w.lock = w.lockContent()
	r, err := c.buildRun(w.args)
	status := c.say(err)
	if r != nil && r.lock.Saved() {
		w.lock = w.lockContent()
	}
	if slices.Contains([]int{exitInterrupt, exitTerminate, exitBug}, status) || c.stdout.failed() != nil {
		return &statusError{status: status}
	}
	return w.learn()
}

// wait waits until something has changed.
func (w *watching) wait() error {
	c := w.cli
	say := func(text string) {
		if !c.quiet() {
			fmt.Fprint(c.stderr, text)
		}
	}
	standing, end := "watching "+counted(w.files.Files(), "file"), "\n"
	if c.live() {
		say(standing) // without an end: it goes on when something changes
		end = "; "
	} else {
		say(standing + end)
		end = ""
	}
	changed, err := w.next()
	switch {
	case err == nil:
		say(end + "changed: " + w.names(changed) + "\n")
	case c.live():
		say("\n")
	}
	return err
}

// names lists the first of the files that changed.
func (w *watching) names(changed []string) string {
	const shown = 3
	var names []string
	for _, path := range changed[:min(shown, len(changed))] {
		if path == w.root {
			return "more files than could be followed"
		}
		names = append(names, ui.Text(relative(path)))
	}
	text := strings.Join(names, ", ")
	if more := len(changed) - shown; more > 0 {
		text += fmt.Sprintf(" and %s more", ui.Thousands(more))
	}
	return text
}

// next returns what has changed, or that a signal came.
func (w *watching) next() (changed []string, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var caught os.Signal
	var waiting sync.WaitGroup
	waiting.Go(func() {
		defer w.cli.bug()
		select {
		case caught = <-w.cli.caught:
			cancel()
		case <-ctx.Done():
		}
	})
	for len(changed) == 0 && err == nil {
		changed, err = w.files.Next(ctx)
		if w.lockContent() == w.lock {
			changed = slices.DeleteFunc(changed, w.isLock)
		}
	}
	cancel()
	waiting.Wait()
	switch {
	case caught == syscall.SIGTERM:
		return nil, &statusError{status: exitTerminate}
	case caught != nil:
		return nil, &statusError{status: exitInterrupt}
	}
	return changed, w.trouble(err)
}

// trouble says what can be done about err.
func (w *watching) trouble(err error) error {
	var limit *watch.LimitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &limit):
		return &statusError{exitTrouble, fmt.Errorf("%s can't be watched: this machine allows a user no more (%s) than the %d directories that are watched already, here and by other programs.\n"+
			"Raise it, as with: sudo sysctl %[2]s=524288", relative(w.root), limit.Setting, limit.Dirs)}
	case errors.Is(err, watch.ErrGone):
		return usagef("%w", err)
	}
	return &statusError{exitTrouble, fmt.Errorf("files can't be watched: %w", err)}
}
