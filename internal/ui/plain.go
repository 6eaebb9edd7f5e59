package ui

import (
	"fmt"
	"strings"
	"time"

	"cbuild/engine"
)

// How often a summary is written where no lines can be painted in place, and how often at least if nothing has changed but the time.
const (
	plainEvery = 10 * time.Second
	plainLeast = time.Minute
	// plainTargets is how many targets a summary names.
	plainTargets = 8
)

// plain is the last summary that was written, and when.
type plain struct {
	line string
	at   time.Duration
}

// summarize writes a line with the state of the targets that are not done.
func (c *Console) summarize(build *engine.Build) {
	progress, hosts := build.Progress(), c.hosts()
	c.mu.Lock()
	now := c.opts.Clock.Elapsed()
	p := c.picture(progress, hosts, now)
	line := plainLine(p)
	show := line != c.plain.line || now-c.plain.at >= plainLeast
	if show {
		c.plain = plain{line, now}
	}
	c.mu.Unlock()
	if !show {
		return
	}
	for _, r := range p.running[:min(len(p.running), 1)] {
		line += fmt.Sprintf(": %s for %s", r.text, Elapsed(r.took))
	}
	if p.left >= time.Second {
		line += ", about " + rough(p.left) + " left"
	}
	c.print(Elapsed(p.took) + "  " + clean(line))
}

// plainLine says what changes only if something happens.
func plainLine(p picture) string {
	var parts []string
	done := 0
	for _, t := range p.targets {
		switch {
		case !t.Open && t.Done == t.Total:
			done++
		case len(parts) < plainTargets:
			parts = append(parts, t.Target.Label.Name+" "+fraction(t)+plainCounts(t.Counts))
		}
	}
	if named := len(parts); len(p.targets) > done+named {
		parts = append(parts, fmt.Sprintf("%s more targets", Thousands(len(p.targets)-done-named)))
	}
	if done > 0 {
		parts = append(parts, fmt.Sprintf("%s %s done", Thousands(done), plural(done, "target")))
	}
	parts = append(parts, p.waiting...)
	return strings.Join(append(parts, Thousands(len(p.running))+" running"), ", ")
}

// plainCounts lists the classes that need a look.
func plainCounts(c engine.Counts) string {
	var parts []string
	for _, class := range bad(c) {
		parts = append(parts, Thousands(c.Classes[class])+" "+string(class))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
