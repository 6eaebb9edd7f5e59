package ui

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"cbuild/engine"
)

// paintEvery is how often the lines in place are painted.
const paintEvery = 100 * time.Millisecond

// Watch shows how build goes on until ctx ends. Then nothing is left in place.
func (c *Console) Watch(ctx context.Context, build *engine.Build) {
	if c.opts.Quiet {
		return
	}
	every, show := plainEvery, c.summarize
	if c.opts.Live {
		every, show = paintEvery, c.paint
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			show(build)
		case <-ctx.Done():
			c.mu.Lock()
			c.place(nil, c.columns())
			c.mu.Unlock()
			return
		}
	}
}

// paint redraws the lines in place.
func (c *Console) paint(build *engine.Build) {
	progress, hosts := build.Progress(), c.hosts()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.picture(progress, hosts, c.opts.Clock.Elapsed())
	p.columns, p.rows = c.opts.Size()
	c.place(c.layout.lines(p), p.columns)
}

// place writes lines where those in place are. c.mu is held.
func (c *Console) place(lines []string, columns int) {
	var b bytes.Buffer
	if c.area.paint(&b, lines, columns); b.Len() > 0 {
		c.opts.Out.Write(b.Bytes())
	}
}

// picture takes stock. c.mu is held.
func (c *Console) picture(progress []engine.Progress, hosts []string, now time.Duration) picture {
	running := c.activity.longest(now)
	return picture{
		took: now - c.start, left: left(progress, c.worked, running),
		targets: progress, running: running, waiting: append(hosts, c.activity.awaited(now)...),
	}
}

func (c *Console) hosts() []string {
	if c.opts.Hosts == nil {
		return nil
	}
	return c.opts.Hosts()
}

// Resumed tells the console that the process had been stopped: others have written to the terminal since.
func (c *Console) Resumed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.area.abandon()
}

// rough writes an estimate, which has no tenths of seconds.
func rough(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%ds", int(d.Seconds()+0.5))
	}
	return Elapsed(d)
}

// minutes writes a duration as a clock does: 00:41, 75:03.
func minutes(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
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
