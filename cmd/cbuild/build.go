package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/clock"
	"cbuild/internal/graph"
	"cbuild/internal/sandbox"
	"cbuild/internal/ui"
	"cbuild/rules"
)

// build is the default verb.
func (c *cli) build(args []string) error {
	if c.flags.dryRun || c.flags.question {
		return c.dry(args)
	}
	_, err := c.buildRun(args)
	return err
}

// buildRun builds what args name, and returns what became of it: nil if they name a set such as @failed, and nothing is in it.
func (c *cli) buildRun(args []string) (*run, error) {
	failOn, err := parseFailOn(c.flags.failOn)
	if err != nil {
		return nil, err
	}
	s, selected, err := c.choose(args)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if len(selected) == 0 {
		c.nothingLeft(args)
		return nil, nil
	}
	r := &run{session: s, selected: expand(s.workspace, selected), failOn: failOn, began: clock.System.Elapsed()}
	return r, r.run()
}

// choose opens a session in which args select something to build. The caller closes it.
func (c *cli) choose(args []string) (*session, []buildfile.Selection, error) {
	patterns, vars := splitVars(args)
	w, err := c.load(vars)
	if err != nil {
		return nil, nil, err
	}
	selected, diags := w.Select(patterns, c.flags.exclude)
	if err := c.report(diags); err != nil {
		_ = w.Close() // it was only read
		return nil, nil, err
	}
	s, err := c.open(w)
	if err != nil {
		return nil, nil, err
	}
	s.limitQueries()
	return s, selected, nil
}

// run is one build from its first event to its last.
type run struct {
	*session
	selected  []buildfile.Selection
	failOn    []failRule
	id        string // in the history; empty if it is not there
	began     time.Duration
	build     *engine.Build
	console   *ui.Console
	events    []*ui.Events
	timeline  *ui.Timeline
	profile   *os.File // nil without --profile
	observer  ui.Observers
	growing   rules.Growing
	published []*publication
	paths     []string  // of what was published, as printed
	signal    os.Signal // the first one, once Run has returned
	problems  []error   // beside the outcomes of instances
	checker   *checker  // nil without --check

	mu       sync.Mutex
	failed   int              // guarded by mu; instances that were asked for and are not a pass
	failures []failure        // guarded by mu; the first of them, on GitHub
	reports  []finishedReport // guarded by mu; those that were asked for
}

// A finishedReport is an instance of a collate that has a result.
type finishedReport struct {
	target  *engine.Target
	name    string
	outcome *engine.Outcome
}

func (r *run) run() error {
	closeFiles, err := r.observe()
	defer closeFiles()
	if err != nil {
		return err
	}
	defer r.growing.Close()
	defer r.recordHistory()()
	r.prepare()
	defer r.listen()()
	r.observer.Observe(engine.Event{Type: engine.EventBuildStarted, Text: version})
	r.evaluate()
	err = r.tellFinished(r.finish())
	r.collect()
	return err
}

// tellFinished emits the last event.
func (r *run) tellFinished(err error) error {
	for _, e := range r.events {
		e.SetPaths(r.paths)
	}
	err = r.cli.written(err)
	r.observer.Observe(r.finishedEvent(statusOf(err)))
	return r.eventsErr(err)
}

// eventsErr returns err, or that events could not be written if there is nothing graver.
func (r *run) eventsErr(err error) error {
	for _, e := range r.events {
		if e.Err() != nil && err == nil {
			return &statusError{exitTrouble, fmt.Errorf("the events could not be written: %w", e.Err())}
		}
	}
	return err
}

// prepare makes the build.
func (r *run) prepare() {
	f := r.cli.flags
	r.runtime.Build = r.pageBuild
	r.runtime.Growing = &r.growing
	if f.verbose > 0 {
		r.runtime.Executor = &tellingExecutor{r.runtime.Executor, r.console}
	}
	window := f.window
	if window < 1 {
		window = max(64, 4*f.jobs)
	}
	var check engine.Checker
	if f.check > 0 {
		r.checker = newChecker(r.store, r.console, f.check)
		check = r.checker
	}
	r.build = engine.New(engine.Options{
		Targets: r.workspace.Targets, Cache: r.store, Leases: r.store,
		Observer: &guarded{withObserverFaults(r.observer), r.cli},
		Jobs:     f.jobs, Connections: f.connections, Pools: r.workspace.Pools(), Memory: sandbox.MachineMemory(), Window: window, DiskAhead: f.diskAhead,
		Spool: r.spool, FailFast: f.stopFirst, Again: f.again, Check: check, Explain: r.reason,
	})
	r.breakage.then(r.build.Drain)
}

// A tellingExecutor shows each command before it executes it.
type tellingExecutor struct {
	engine.Executor
	console *ui.Console
}

// Execute is engine.Executor's.
func (t *tellingExecutor) Execute(ctx context.Context, c *engine.Command) (*engine.Result, error) {
	t.console.Command(c)
	return t.Executor.Execute(ctx, c)
}

// evaluate runs the build with the console beside it, and publishes what was asked for.
func (r *run) evaluate() {
	root, err := r.publishRoot()
	if err != nil {
		r.problem(exitTrouble, err)
		return
	}
	var wants []engine.Want
	for _, sel := range r.selected {
		p := &publication{selection: sel, store: r.store, root: root}
		r.published = append(r.published, p)
		want := sel.Want()
		want.Use = p.use
		wants = append(wants, want)
	}
	r.perform(wants)
	r.keep()
}

// keep keeps what was found out for later builds.
func (r *run) keep() {
	r.withdraw()
	if err := r.keys.Close(r.complete()); err != nil {
		r.console.Note("warning", "what is known for explanations could not be saved: "+err.Error())
	}
	if err := r.parts.Clean(clock.System.Now(), keepParts, maxParts); err != nil {
		r.console.Note("warning", "downloads that were broken off could not be cleaned up: "+err.Error())
	}
	if err := r.table.Save(); err != nil {
		r.console.Note("warning", "what is known of the sources could not be saved: "+err.Error())
	}
	r.problem(exitUsage, r.lock.refusal())
	r.problem(exitUsage, r.saveLock())
}

// A download that was broken off is kept for a week, and all of them may have 4 GiB.
const (
	keepParts = 7 * 24 * time.Hour
	maxParts  = 4 << 30
)

// perform runs the build until it ends or a signal ends it.
func (r *run) perform(wants []engine.Want) {
	ctx, stop := r.signals()
	watched, done := context.WithCancel(ctx)
	var painting sync.WaitGroup
	painting.Go(func() {
		defer r.cli.bug()
		r.console.Watch(watched, r.build)
	})
	if err := r.build.Run(ctx, wants); err != nil {
		r.problem(exitBug, fmt.Errorf("this is a bug in cbuild, please report it: %w", err))
	}
	done()
	painting.Wait()
	r.signal = stop()
	if rule := r.failing(); rule != "" {
		r.problem(exitFailed, errors.New(rule))
	}
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

// withdraw takes back the results of actions that used a toolchain or a large input whose copy somebody changed.
func (r *run) withdraw() {
	for _, root := range r.trees.Changed() {
		keys := r.uses.Keys(root)
		for _, k := range keys {
			r.store.Withdraw(context.Background(), k)
		}
		r.console.Note("warning", fmt.Sprintf("something changed the shared copy of a toolchain or input (%v): it is removed, and %d results of this build that used it are taken back", root, len(keys)))
	}
}

// expand puts the targets of a group beside it, so that they are published and count like what was asked for by name.
func expand(w *buildfile.Workspace, selected []buildfile.Selection) []buildfile.Selection {
	g := graph.New(w.Targets)
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
			for _, e := range g.Edges(s.Target) {
				add(buildfile.Selection{Target: e.To})
			}
		}
	}
	for _, s := range selected {
		add(s)
	}
	return all
}
