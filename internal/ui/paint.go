package ui

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"cbuild/engine"
)

// Watch shows how build goes on until ctx ends.
func (c *Console) Watch(ctx context.Context, build *engine.Build) {
	c.mu.Lock()
	c.build = build
	c.mu.Unlock()
	if c.opts.Quiet {
		return
	}
	every := 10 * time.Second
	if c.opts.Live {
		every = 100 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.opts.Live {
				c.paint()
			} else {
				c.plain()
			}
		case <-ctx.Done():
			c.mu.Lock()
			var b bytes.Buffer
			c.erase(&b)
			c.opts.Out.Write(b.Bytes())
			c.mu.Unlock()
			return
		}
	}
}

// plain writes a line with the state of every target, if it changed.
func (c *Console) plain() {
	var parts []string
	for _, p := range c.build.Progress() {
		parts = append(parts, p.Target.Label.Name+" "+fraction(p))
	}
	line := strings.Join(append(parts, c.hosts()...), ", ")
	if line != c.last {
		c.last = line
		c.print(fmt.Sprintf("%s  %s", Elapsed(c.opts.Clock.Elapsed()-c.start), line))
	}
}

func (c *Console) hosts() []string {
	if c.opts.Hosts == nil {
		return nil
	}
	return c.opts.Hosts()
}

// fraction writes done/total, with ≥ while more may come.
func fraction(p engine.Progress) string {
	open := ""
	if p.Open {
		open = "≥"
	}
	return fmt.Sprintf("%d/%s%d", p.Done, open, p.Total)
}

// paint redraws the lines in place: a line for each target that is not done or had failures, and what runs.
func (c *Console) paint() {
	columns, lines := c.opts.Size()
	progress, hosts := c.build.Progress(), c.hosts()
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, p := range progress {
		out = append(out, targetLine(p))
	}
	for _, h := range hosts {
		out = append(out, " "+Text(h))
	}
	if n := max(lines-3, 0); len(out) > n {
		out = out[len(out)-n:]
	}
	if out = append(out, c.runningLine(progress)); lines < 2 {
		out = nil // there is no line to go back to
	}
	var b bytes.Buffer
	c.erase(&b)
	for _, l := range out {
		b.WriteString(ansi.Truncate(l, max(columns-1, 1), "…"))
		b.WriteByte('\n')
	}
	c.painted = len(out)
	c.opts.Out.Write(b.Bytes())
}

func targetLine(p engine.Progress) string {
	line := fmt.Sprintf(" %-12s %-9s %12s", Text(p.Target.Label.Name), p.Target.Rule, fraction(p))
	if n := p.Counts.Cached[engine.CachedLocal]; n > 0 {
		line += fmt.Sprintf("  %d cached", n)
	}
	for _, class := range []engine.Class{"fail", "crash", "timeout", "oom", engine.ClassUnavailable, engine.ClassError, engine.ClassInvalid, engine.ClassSkipped} {
		if n := p.Counts.Classes[class]; n > 0 {
			line += fmt.Sprintf("  %d %s", n, class)
		}
	}
	return line
}

// runningLine says how long it took and may take, and lists what runs, the longest first. c.mu is held.
func (c *Console) runningLine(progress []engine.Progress) string {
	now := c.opts.Clock.Elapsed()
	type one struct {
		name string
		took time.Duration
	}
	var all []one
	for name, start := range c.running {
		all = append(all, one{name, now - start})
	}
	slices.SortFunc(all, func(x, y one) int { return cmp.Or(cmp.Compare(y.took, x.took), cmp.Compare(x.name, y.name)) })
	line := " " + Elapsed(now-c.start)
	if left := c.left(progress); left >= time.Second {
		line += ", about " + rough(left) + " left"
	}
	line += fmt.Sprintf("  %d running", len(all))
	for _, o := range all[:min(len(all), 4)] {
		line += fmt.Sprintf(" · %s %s", Text(o.name), Elapsed(o.took))
	}
	return line
}

// work is how many instances of a target were done in this build, and how long they took, one after the other.
type work struct {
	instances int
	took      time.Duration
}

// left estimates how long what is not done will take: as if all of it had to be done anew, at the pace of what was, as much side by side as
// now. What was cached took no time and says nothing about the rest. It is 0 while nothing can be said: before there is a pace, and
// while a target may get more rows. c.mu is held.
func (c *Console) left(progress []engine.Progress) time.Duration {
	var left time.Duration
	for _, p := range progress {
		if p.Open {
			return 0
		}
		w := c.worked[p.Target.Label]
		if w.instances == 0 || p.Done == 0 {
			continue
		}
		instances := p.Counts.Total*p.Total/p.Done - p.Counts.Total // a row may be several
		left += w.took / time.Duration(w.instances) * time.Duration(instances)
	}
	return left / time.Duration(max(1, len(c.running)))
}

// rough writes an estimate, which has no tenths of seconds.
func rough(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%ds", int(d.Seconds()+0.5))
	}
	return Elapsed(d)
}

// Elapsed writes a duration as people do: 0.3s, 1m05s, 2h10m.
func Elapsed(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
