package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/clock"
	"cbuild/internal/ui"
	"cbuild/rules/download"
)

// observe makes the observers that the flags ask for. The caller calls closeFiles, also after an error.
func (r *run) observe() (closeFiles func(), err error) {
	c := r.cli
	var files []*os.File
	closeFiles = func() {
		for _, f := range files {
			f.Close()
		}
	}
	r.console = ui.NewConsole(ui.ConsoleOptions{
		Out: c.stderr, Clock: clock.System, Color: c.color(), Size: c.size, Rewraps: c.rewraps(), Verbose: c.flags.verbose,
		Quiet: c.quiet() || c.flags.progress == "json",
		Live:  c.live(),
		Log:   r.log, Asked: r.asked, Advice: r.workspace.Advice, Hosts: r.hosts,
	})
	r.notes.to(r.console.Note)
	r.note = r.console.Note
	r.timeline = ui.NewTimeline(clock.System, c.flags.profile != "" || c.flags.verbose > 0)
	r.observer = ui.Observers{r.console, r, r.timeline}
	r.tellHost = func(h download.HostState) {
		r.observer.Observe(engine.Event{Type: engine.EventProgress, Text: h.String(), After: max(h.Paused, h.Probe)})
	}
	add := func(w io.Writer) {
		e := ui.NewEvents(w, clock.System, c.flags.eventsLevel == "run")
		r.events, r.observer = append(r.events, e), append(r.observer, e)
	}
	if c.eventsOnStdout() {
		add(c.stdout)
	}
	if c.flags.events != "" && c.flags.events != "-" {
		mode := os.O_TRUNC
		if c.builds++; c.builds > 1 {
			mode = os.O_APPEND // of watch, whose readers have seen the others
		}
		f, err := os.OpenFile(c.flags.events, os.O_RDWR|os.O_CREATE|mode, 0o666)
		if err != nil {
			return closeFiles, usagef("--events: %w", err)
		}
		files = append(files, f)
		add(f)
	}
	if c.flags.profile != "" {
		if r.profile, err = os.Create(c.flags.profile); err != nil {
			return closeFiles, usagef("--profile: %w", err)
		}
		files = append(files, r.profile)
	}
	return closeFiles, nil
}

// live reports whether lines are redrawn in place.
func (c *cli) live() bool {
	ci, _ := c.env("CI")
	return c.flags.progress == "tty" || c.flags.progress == "auto" && c.terminal() && ci == ""
}

// hosts says how the hosts are doing that downloads wait for.
func (r *run) hosts() (lines []string) {
	for _, h := range r.client.Hosts() {
		if h.Waiting > 0 && !h.Down {
			lines = append(lines, h.String())
		}
	}
	slices.Sort(lines)
	return lines
}

// quiet reports whether only what went wrong is shown.
func (c *cli) quiet() bool { return c.flags.silent || c.flags.progress == "none" }

// eventsOnStdout reports whether standard output belongs to the events. Nothing else is written there then: the paths that were made
// stand in build_finished.
func (c *cli) eventsOnStdout() bool { return c.flags.events == "-" || c.flags.progress == "json" }

// log reads the log of a failure for the console.
func (r *run) log(o *engine.Outcome) []byte {
	data, err := cas.ReadAll(context.Background(), r.store, o.Result.Log, 16<<20)
	if err != nil {
		return nil
	}
	return data
}

// Observe keeps the outcomes of reports, for the summary.
func (r *run) Observe(e engine.Event) {
	if e.Type != engine.EventFinished {
		return
	}
	if o := e.Outcome; o.Result != nil && !o.Key.IsZero() {
		r.keys.Add(e.Target.Label.String(), ui.Address(e), o.Key)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !e.Outcome.OK() && r.asked(e) {
		if r.failed++; r.cli.github != nil && len(r.failures) < maxFailed {
			r.failures = append(r.failures, failure{e.Target, ui.Address(e), e.Outcome, e.Why})
		}
	}
	if e.Target.Rule == "collate" && e.Outcome.Result != nil && r.asked(e) {
		r.reports = append(r.reports, finishedReport{e.Target, ui.Address(e), e.Outcome})
	}
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

// grace is how long running actions may take to finish after the first signal.
const grace = 10 * time.Second

// catch returns a channel for the signals that end a command. Release is called when nobody waits for them any more.
func (c *cli) catch() (caught chan os.Signal, release func()) {
	if c.caught != nil {
		return c.caught, func() {}
	}
	caught = make(chan os.Signal, 2)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM)
	return caught, func() { signal.Stop(caught) }
}

// signals returns a context for the build. The first SIGINT or SIGTERM lets running actions finish for the grace, the second ends
// them. Stop ends the watch and returns the first signal.
func (r *run) signals() (ctx context.Context, stop func() os.Signal) {
	ctx, cancel := context.WithCancel(context.Background())
	caught, release := r.cli.catch()
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	var first os.Signal
	var watching sync.WaitGroup
	watching.Go(func() {
		defer r.cli.bug()
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
				r.console.Note("", fmt.Sprintf("Stopping: what runs may finish for %v; press Ctrl-C again to end it now.", grace))
				r.build.Drain()
				expired = time.After(grace)
			case <-resumed:
				r.console.Resumed()
			case <-expired:
				r.console.Note("", fmt.Sprintf("Ending what still runs after %v.", grace))
				cancel()
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, func() os.Signal {
		release()
		signal.Stop(resumed)
		cancel()
		watching.Wait()
		return first
	}
}
