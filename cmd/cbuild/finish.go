package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"cbuild/engine"
	"cbuild/internal/clock"
	"cbuild/internal/ui"
)

// finish publishes what was asked for, says how it went, and returns the status as an error.
func (r *run) finish() error {
	r.publish()
	r.tellTimeline()
	if err := r.breakage.get(); err != nil {
		r.problem(exitTrouble, errors.New(r.storeTrouble(err)))
	}
	if c := r.checker; c != nil {
		r.console.Note("", c.summary())
		r.problem(exitFailed, c.err())
	}
	err := r.status()
	lost := r.unreachable()
	if hint := r.hint(statusOf(err)); hint != "" && !lost {
		r.console.Note("", hint)
	}
	for _, problem := range r.problems {
		r.console.Note("error", problem.Error())
	}
	last := r.summary()
	r.tellGitHub(last)
	if !r.cli.quiet() { // the last line, whatever else there is to say
		r.console.Print(last)
	}
	return err
}

// publish puts what was asked for in its place and prints where that is.
func (r *run) publish() {
	classes := r.build.Sum().Classes
	settled := r.signal == nil && classes[engine.ClassError]+classes[engine.ClassCancelled] == 0
	for _, p := range r.published {
		path, err := p.finish(settled)
		if err != nil {
			r.problem(exitTrouble, fmt.Errorf("cannot publish %v: %w", p.selection.Target.Label, err))
		}
		if err != nil || path == "" {
			continue
		}
		r.paths = append(r.paths, relative(path))
		if !r.cli.eventsOnStdout() {
			fmt.Fprintln(r.cli.stdout, relative(path))
		}
	}
}

// problem notes what went wrong beside the outcomes of instances, and the status that it stands for.
func (r *run) problem(status int, err error) {
	if err != nil {
		r.problems = append(r.problems, &statusError{status, err})
	}
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

// unreachable says, once for each, which hosts could not be reached, and reports whether there were any.
func (r *run) unreachable() bool {
	all := r.console.Unreachable()
	for _, u := range all {
		tried := ""
		if h := r.client.Host(u.Host); h.Failures > 0 {
			tried = fmt.Sprintf("%s in %s; ", counted(h.Failures, "attempt"), ui.Elapsed(h.Took.Round(time.Second)))
		}
		r.console.Note("error", fmt.Sprintf("Cannot reach %s (%s)\n  %s%s, nothing is lost. Run the same command to\n  resume, or cbuild --offline to build what is already here.",
			u.Host, u.Why, tried, waiting(u.Waiting)))
	}
	return len(all) > 0
}

func waiting(downloads int) string {
	if downloads == 1 {
		return "1 download is waiting"
	}
	return counted(downloads, "download") + " are waiting"
}

// counted writes a number of things, as in 1,204 downloads.
func counted(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return ui.Thousands(n) + " " + word + "s"
}

// precedence orders the exit statuses, the gravest first.
var precedence = []int{exitInterrupt, exitTerminate, exitBug, exitUsage, exitTrouble, exitFailed, exitDone}

// status returns the gravest of what there is to say about the build, without its text, which is shown already.
func (r *run) status() error {
	all := r.build.Sum()
	status := exitDone
	atLeast := func(s int) {
		if slices.Index(precedence, s) < slices.Index(precedence, status) {
			status = s
		}
	}
	switch {
	case r.signal == syscall.SIGTERM:
		atLeast(exitTerminate)
	case r.signal != nil:
		atLeast(exitInterrupt)
	}
	if all.Classes[engine.ClassError] > 0 {
		atLeast(exitTrouble)
	}
	if r.failed > 0 || all.Classes[engine.ClassInvalid] > 0 || len(r.incomplete()) > 0 {
		atLeast(exitFailed)
	}
	for _, p := range r.problems {
		atLeast(statusOf(p))
	}
	if status == exitDone {
		return nil
	}
	return &statusError{status: status}
}

// statusOf returns the exit status that err stands for.
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

// summary is the last line: that of the report, if exactly one was asked for.
func (r *run) summary() string {
	took := clock.System.Elapsed() - r.began
	if len(r.selected) == 1 && r.selected[0].Target.Rule == "collate" && !repeated(r.selected[0].Target) && len(r.reports) == 1 {
		f := r.reports[0]
		return ui.Report(f.target.Label.Name, f.outcome.Result.Facts, f.outcome.Notes, took)
	}
	return ui.Instances(r.build.Sum(), r.incomplete(), took)
}

// incomplete names the reports that were asked for and do not hold all.
func (r *run) incomplete() (names []string) {
	for _, f := range r.reports {
		if f.outcome.Result.Facts["incomplete"] != "" && !slices.Contains(names, f.target.Label.Name) {
			names = append(names, f.target.Label.Name)
		}
	}
	return names
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
	return engine.Event{Type: engine.EventBuildFinished, Text: outcomeOf(status), ExitCode: status, Counts: counts}
}

// outcomeOf is the outcome of a build that ends with a status.
func outcomeOf(status int) string {
	switch status {
	case exitDone:
		return "pass"
	case exitFailed:
		return "fail"
	case exitInterrupt, exitTerminate:
		return "cancelled"
	}
	return "error"
}
