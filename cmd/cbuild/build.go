package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/clock"
	"cbuild/internal/ui"
)

// build is the default verb.
func (c *cli) build(args []string) error {
	patterns, vars := splitVars(args)
	failOn, err := parseFailOn(c.flags.failOn)
	if err != nil {
		return err
	}
	if c.flags.dryRun || c.flags.question {
		c.flags.offline = true
	}
	w, err := c.load(vars)
	if err != nil {
		return err
	}
	selected, diags := w.Select(patterns, c.flags.exclude)
	if err := c.report(diags); err != nil {
		return err
	}
	s, err := c.open(w)
	if err != nil {
		return err
	}
	defer s.close()
	s.limitQueries()
	if c.flags.dryRun || c.flags.question {
		return s.dry(selected, c.flags.question)
	}
	r := &run{session: s, selected: expand(w, selected), failOn: failOn, began: clock.System.Elapsed()}
	return r.run()
}

// run is one build from its first event to its last.
type run struct {
	*session
	selected  []buildfile.Selection
	began     time.Duration
	build     *engine.Build
	console   *ui.Console
	events    *ui.Events
	observer  ui.Observers
	signal    os.Signal // the first one, once Run has returned
	failOn    []failRule
	published []*publication
	failed    int // guarded by mu; instances that were asked for and are not a pass
	reports   map[engine.Label]*engine.Outcome
	mu        sync.Mutex
}

// grace is how long running actions may take to finish after the first signal.
const grace = 10 * time.Second

func (r *run) run() error {
	closeEvents, err := r.observe()
	if err != nil {
		return err
	}
	defer closeEvents()
	r.prepare()
	r.observer.Observe(engine.Event{Type: engine.EventBuildStarted, Text: version})
	ctx, stop := r.signals()
	err = r.evaluate(ctx)
	r.signal = stop()
	if err == nil {
		err = r.finish()
	}
	status := statusOf(err)
	r.observer.Observe(r.finishedEvent(status))
	if r.events != nil && r.events.Err() != nil && status == exitDone {
		return &statusError{exitTrouble, fmt.Errorf("the events could not be written: %w", r.events.Err())}
	}
	return err
}

func statusOf(err error) int {
	var s *statusError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &s):
		return s.status
	}
	return exitBug
}

// observe makes the observers that the flags ask for.
func (r *run) observe() (closeEvents func(), err error) {
	c := r.cli
	closeEvents = func() {}
	if c.flags.progress == "json" && c.flags.events == "" {
		c.flags.events = "-"
	}
	quiet := c.flags.silent || c.flags.progress == "none" || c.flags.progress == "json"
	out := c.stderr
	if quiet {
		out = io.Discard
	}
	ci, _ := c.env("CI")
	r.console = ui.NewConsole(ui.ConsoleOptions{
		Out: out, Clock: clock.System, Color: c.color(), Size: c.size, Verbose: c.flags.verbose > 0,
		Live: !quiet && (c.flags.progress == "tty" || c.flags.progress == "auto" && c.terminal() && ci == ""),
		Log:  r.log,
	})
	r.observer = ui.Observers{r.console, r}
	if c.flags.events == "" {
		return closeEvents, nil
	}
	var w io.Writer = c.stdout
	if c.flags.events != "-" {
		f, err := os.Create(c.flags.events)
		if err != nil {
			return closeEvents, usagef("--events: %w", err)
		}
		w, closeEvents = f, func() { f.Close() }
	}
	r.events = ui.NewEvents(w, clock.System, c.flags.eventsLevel == "run")
	r.observer = append(r.observer, r.events)
	return closeEvents, nil
}

// log reads the log of a failure for the console.
func (r *run) log(o *engine.Outcome) []byte {
	data, err := cas.ReadAll(context.Background(), r.store, o.Result.Log, 16<<20)
	if err != nil {
		return nil
	}
	return data
}

// Observe keeps the outcomes of reports, for the summary, and tells once what a run can see.
func (r *run) Observe(e engine.Event) {
	if e.Type == engine.EventStarted && e.Target.Rule == "run" {
		r.console.Note("note", "sandbox class none: what a run did not declare is not hidden from it")
	}
	if e.Type != engine.EventFinished {
		return
	}
	if o := e.Outcome; o.Result != nil && !o.Key.IsZero() {
		r.keys.Add(e.Target.Label.String(), ui.Address(e), o.Key)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !e.Outcome.OK() && r.asked(e) {
		r.failed++
	}
	if e.Target.Rule != "collate" {
		return
	}
	if r.reports == nil {
		r.reports = make(map[engine.Label]*engine.Outcome)
	}
	r.reports[e.Target.Label] = e.Outcome
}

// asked reports whether the instance of an event is among those that the command line names.
func (r *run) asked(e engine.Event) bool {
	for _, s := range r.selected {
		if s.Target != e.Target {
			continue
		}
		if e.Target.Repeated && len(e.Instance) > 0 {
			return s.Includes(e.Instance[0], e.Instance[1:])
		}
		return s.Includes("", e.Instance)
	}
	return false
}

// prepare makes the build.
func (r *run) prepare() {
	f := r.cli.flags
	window := f.window
	if window < 1 {
		window = max(64, 4*f.jobs)
	}
	r.build = engine.New(engine.Options{
		Targets: r.workspace.Targets, Cache: r.store, Observer: r.observer,
		Jobs: f.jobs, Connections: f.connections, Window: window, DiskAhead: f.diskAhead,
		Spool: r.spool, FailFast: f.stopFirst, Again: f.again, Explain: r.reason,
	})
}

// signals returns a context for the build. The first SIGINT or SIGTERM lets running actions finish for the grace, the second ends
// them. Stop ends the watch and returns the first signal.
func (r *run) signals() (ctx context.Context, stop func() os.Signal) {
	ctx, cancel := context.WithCancel(context.Background())
	caught := make(chan os.Signal, 2)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM)
	var first os.Signal
	var watching sync.WaitGroup
	watching.Go(func() {
		var expired <-chan time.Time
		for {
			select {
			case s := <-caught:
				if first != nil {
					r.console.Note("", "Ending what runs.")
					cancel()
					continue
				}
				first = s
				r.console.Note("", fmt.Sprintf("Stopping: running actions may finish for %v; press Ctrl-C again to end them now.", grace))
				r.build.Drain()
				expired = time.After(grace)
			case <-expired:
				r.console.Note("", fmt.Sprintf("Ending what still runs after %v.", grace))
				cancel()
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, func() os.Signal {
		signal.Stop(caught)
		cancel()
		watching.Wait()
		return first
	}
}

// evaluate runs the build with the console beside it, and writes what was found out about the outside world to the lock.
func (r *run) evaluate(ctx context.Context) error {
	root, err := r.publishRoot()
	if err != nil {
		return &statusError{exitTrouble, err}
	}
	watched, done := context.WithCancel(ctx)
	var painting sync.WaitGroup
	painting.Go(func() { r.console.Watch(watched, r.build) })
	var wants []engine.Want
	for _, sel := range r.selected {
		p := &publication{selection: sel, store: r.store, root: root}
		r.published = append(r.published, p)
		want := sel.Want()
		want.Use = p.use
		wants = append(wants, want)
	}
	err = r.build.Run(ctx, wants)
	done()
	painting.Wait()
	r.withdraw()
	if kerr := r.keys.Close(r.complete()); kerr != nil {
		r.console.Note("warning", "what is known for explanations could not be saved: "+kerr.Error())
	}
	if serr := r.table.Save(); serr != nil {
		r.console.Note("warning", "what is known of the sources could not be saved: "+serr.Error())
	}
	if lerr := r.saveLock(); lerr != nil && err == nil {
		return &statusError{exitUsage, lerr}
	}
	return err
}

// complete returns a function that reports whether all instances of a target were evaluated.
func (r *run) complete() func(target string) bool {
	all := make(map[string]bool)
	for _, p := range r.build.Progress() {
		all[p.Target.Label.String()] = !p.Open && p.Done == p.Total
	}
	return func(target string) bool { return all[target] }
}

// saveLock writes the pins of this build to the lock file.
func (s *session) saveLock() error {
	if err := s.lock.Save(); err != nil {
		return fmt.Errorf("the lock file could not be written: %w", err)
	}
	return s.journal.Clear()
}

// withdraw takes back the results of actions that used a toolchain which somebody changed.
func (r *run) withdraw() {
	for _, root := range r.trees.Changed() {
		keys := r.uses.Keys(root)
		for _, k := range keys {
			r.store.Withdraw(context.Background(), k)
		}
		r.console.Note("warning", fmt.Sprintf("something changed the shared copy of a toolchain (%v): it is removed, and %d results of this build that used it are taken back", root, len(keys)))
	}
}

// finish publishes what was asked for, says how it went, and returns the status as an error.
func (r *run) finish() error {
	classes := r.build.Sum().Classes
	settled := r.signal == nil && classes[engine.ClassError]+classes[engine.ClassCancelled] == 0
	for _, p := range r.published {
		path, err := p.finish(settled)
		if err != nil {
			return &statusError{exitTrouble, fmt.Errorf("cannot publish %v: %w", p.selection.Target.Label, err)}
		}
		if path != "" {
			fmt.Fprintln(r.cli.stdout, relative(path))
		}
	}
	err := r.status()
	if hint := r.hint(statusOf(err)); hint != "" {
		r.console.Note("", hint)
	}
	// The summary is the last line, whatever else there is to say.
	var s *statusError
	if errors.As(err, &s) && s.err != nil {
		r.console.Note("error", s.Error())
		err = &statusError{status: s.status}
	}
	if !r.cli.flags.silent && r.cli.flags.progress != "none" && r.cli.flags.progress != "json" {
		fmt.Fprintln(r.cli.stderr, r.summary())
	}
	return err
}

// hint says how to go on after a build that did not come to its end.
func (r *run) hint(status int) string {
	switch {
	case status == exitInterrupt, status == exitTerminate:
		return "Stopped. Everything that finished is kept: run the same command to resume."
	case status != exitTrouble:
		return ""
	case r.cli.flags.offline || r.cli.flags.frozen:
		return "Everything that finished is kept: run the same command with a network to resume."
	}
	return "Everything that finished is kept: run the same command to resume, or with --offline to build what is already here."
}

// status is the exit status by precedence: signal, usage (a change that --locked forbids), trouble, failure.
func (r *run) status() error {
	all := r.build.Sum()
	switch {
	case r.signal == syscall.SIGTERM:
		return &statusError{status: exitTerminate}
	case r.signal != nil:
		return &statusError{status: exitInterrupt}
	case r.lock.refusal() != nil:
		return &statusError{exitUsage, r.lock.refusal()}
	case all.Classes[engine.ClassError] > 0:
		return &statusError{status: exitTrouble}
	case r.failing() != "":
		return &statusError{exitFailed, errors.New(r.failing())}
	case r.failed > 0, all.Classes[engine.ClassInvalid] > 0:
		return &statusError{status: exitFailed}
	}
	return nil
}

// expand puts the targets of a group beside it, so that they are published and count like what was asked for by name.
func expand(w *buildfile.Workspace, selected []buildfile.Selection) []buildfile.Selection {
	g := newGraph(w)
	known := make(map[engine.Label]bool)
	var all []buildfile.Selection
	var add func(s buildfile.Selection)
	add = func(s buildfile.Selection) {
		if known[s.Target.Label] {
			return
		}
		known[s.Target.Label] = true
		all = append(all, s)
		if s.Target.Rule == "group" {
			for _, n := range s.Target.Needs {
				add(buildfile.Selection{Target: g.targets[n.Label]})
			}
		}
	}
	for _, s := range selected {
		add(s)
	}
	return all
}

// summary is the last line: that of the report, if exactly one was asked for.
func (r *run) summary() string {
	took := clock.System.Elapsed() - r.began
	if len(r.selected) == 1 && r.selected[0].Target.Rule == "collate" {
		t := r.selected[0].Target
		if o := r.reports[t.Label]; o != nil && o.Result != nil {
			return ui.Report(t.Label.Name, o.Result.Facts, o.Notes, took)
		}
	}
	return ui.Instances(r.build.Sum(), took)
}

func (r *run) finishedEvent(status int) engine.Event {
	sum := r.build.Sum()
	counts := make(map[string]int)
	for class, n := range sum.Classes {
		counts[string(class)] = n
	}
	for cached, n := range sum.Cached {
		counts["cached_"+cached.String()] = n
	}
	outcome := map[int]string{exitDone: "pass", exitFailed: "fail", exitInterrupt: "cancelled", exitTerminate: "cancelled"}[status]
	if outcome == "" {
		outcome = "error"
	}
	return engine.Event{Type: engine.EventBuildFinished, Text: outcome, ExitCode: status, Counts: counts}
}

// relative returns path as seen from the current directory.
func relative(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil {
			return rel
		}
	}
	return path
}
