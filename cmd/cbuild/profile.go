package main

import (
	"cmp"
	"fmt"
	"strings"

	"cbuild/internal/clock"
	"cbuild/internal/ui"
)

// tellTimeline tells what decided how long the build took, with -v, and writes the profile that was asked for. It holds however the build ended.
func (r *run) tellTimeline() {
	if r.profile == nil && r.cli.flags.verbose == 0 {
		return
	}
	spans := r.timeline.Spans()
	path := ui.CriticalPath(spans, r.workspace.Targets)
	if line := ui.Critical(path); line != "" && r.cli.flags.verbose > 0 {
		r.console.Note("", line)
	}
	if r.profile == nil {
		return
	}
	p := ui.Profile{
		Name: strings.TrimSpace("cbuild " + ui.ShellWords(r.cli.args...)), Version: version,
		Began: clock.System.Now().Add(r.began - clock.System.Elapsed()), Spans: spans, Path: path,
	}
	err := p.Write(r.profile, strings.HasSuffix(r.cli.flags.profile, ".gz"))
	if err = cmp.Or(err, r.profile.Close()); err != nil {
		r.problem(exitTrouble, fmt.Errorf("the profile could not be written: %w", err))
	}
}
