package ui

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"cbuild/engine"
	"cbuild/internal/clock"
)

// ConsoleOptions say how a Console shows a build.
type ConsoleOptions struct {
	// Out is standard error.
	Out   io.Writer
	Clock clock.Clock
	// Live redraws a few lines in place; else there are only whole lines, and a summary each ten seconds.
	Live  bool
	Color bool
	// Size returns the columns and lines of the terminal; needed if Live.
	Size func() (columns, lines int)
	// Log returns the log of a failure; it may be nil.
	Log func(*engine.Outcome) []byte
	// Verbose shows each start of an action.
	Verbose bool
}

// Console shows a build to a person. Failures scroll by once, with the end of their logs.
type Console struct {
	opts ConsoleOptions

	mu      sync.Mutex
	running map[string]time.Duration // guarded by mu; name → when it started
	painted int                      // guarded by mu; lines in place now
	build   *engine.Build            // guarded by mu
	start   time.Duration
	shown   map[string]bool // guarded by mu; diagnostics
	last    string          // guarded by mu; the last plain summary
}

// NewConsole returns a console that has shown nothing yet.
func NewConsole(o ConsoleOptions) *Console {
	return &Console{opts: o, running: make(map[string]time.Duration), shown: make(map[string]bool), start: o.Clock.Elapsed()}
}

// failureLines is how many lines of a failure's log are shown, and maxFailures how many failures.
const (
	failureLines = 20
	maxFailures  = 50
)

// Observe is engine.Observer's.
func (c *Console) Observe(e engine.Event) {
	switch e.Type {
	case engine.EventStarted:
		c.mu.Lock()
		c.running[e.Text] = c.opts.Clock.Elapsed()
		c.mu.Unlock()
		if c.opts.Verbose {
			c.print("start " + clean(e.Text))
		}
	case engine.EventFinished:
		c.finished(e)
	case engine.EventProgress:
		c.stopped(e)
		if e.Attempt == 0 {
			return
		}
		c.print(fmt.Sprintf("retry %s (attempt %d, in %s)", clean(e.Text), e.Attempt+1, e.After.Round(100*time.Millisecond)))
	case engine.EventDiagnostic:
		c.Note(e.Severity, e.Text)
	}
}

// stopped forgets what runs no more: it backs off, or it ran on behalf of a target as a whole and is done.
func (c *Console) stopped(e engine.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.running {
		if e.Text == name || e.Attempt > 0 && strings.HasPrefix(e.Text, name+": ") {
			delete(c.running, name)
		}
	}
}

func (c *Console) finished(e engine.Event) {
	name := Address(e)
	c.mu.Lock()
	delete(c.running, name)
	c.mu.Unlock()
	word, rest, failure := describe(e, name)
	if !failure {
		return
	}
	text := c.colored(red, word) + rest
	c.mu.Lock()
	n := len(c.shown)
	seen := c.shown[text]
	c.shown[text] = true
	c.mu.Unlock()
	switch {
	case seen || n > maxFailures:
	case n == maxFailures:
		c.print("… further failures are in the report and the log of each instance")
	default:
		c.print(text + c.tail(e.Outcome))
	}
}

// Address writes the instance of an event as a user would in an expression.
func Address(e engine.Event) string {
	t := e.Target
	if t.Repeated && len(e.Instance) > 0 {
		return t.InstanceName(e.Instance[0], e.Instance[1:])
	}
	return t.InstanceName("", e.Instance)
}

// describe returns the line for an instance, its first word apart, and whether it is worth showing. What failed earlier, was skipped or
// cancelled follows from something that was shown; failures that are results are in the report.
func describe(e engine.Event, name string) (word, rest string, failure bool) {
	o := e.Outcome
	switch class := o.Class(); class {
	case engine.ClassPass, engine.ClassSkipped, engine.ClassCancelled:
		return "", "", false
	case engine.ClassUnavailable, engine.ClassInvalid, engine.ClassError:
		return string(class), fmt.Sprintf(" %s: %s", clean(name), clean(e.Why)), true
	default:
		if o.Cached != engine.NotCached || o.Notes["allowed"] != "" {
			return "", "", false
		}
		if class == "fail" {
			rest = fmt.Sprintf(" (exit %d)", o.Result.ExitCode)
		}
		if missing := o.Result.Facts["missing"]; missing != "" {
			rest += ": it did not make " + clean(missing)
		}
		return string(class), rest + " " + clean(name), true
	}
}

// The colours, as parameters of SGR.
const (
	red    = "1;31"
	yellow = "33"
)

func (c *Console) colored(color, text string) string {
	if !c.opts.Color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// tail returns the last lines of the log, indented.
func (c *Console) tail(o *engine.Outcome) string {
	if c.opts.Log == nil || o.Result == nil || o.Result.Log.IsZero() {
		return ""
	}
	data := c.opts.Log(o)
	if len(data) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	lines = lines[max(0, len(lines)-failureLines):]
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("\n  │ " + clean(l))
	}
	return b.String()
}

// clean makes hostile text harmless: no escape sequence, control, line separator, or invisible character that changes the direction or
// the place of others reaches the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return r
		}
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Noncharacter_Code_Point) {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// oneLine is clean for text that must stay in its line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		return r
	}, clean(s))
}

// Note shows a message once.
func (c *Console) Note(severity, text string) {
	line := clean(text)
	if severity != "" {
		word := strings.ToUpper(severity[:1]) + severity[1:] + ":"
		switch severity {
		case "error":
			word = c.colored(red, word)
		case "warning":
			word = c.colored(yellow, word)
		}
		line = word + " " + line
	}
	c.mu.Lock()
	seen := c.shown[line]
	c.shown[line] = true
	c.mu.Unlock()
	if !seen {
		c.print(line)
	}
}

// print writes text above the lines in place.
func (c *Console) print(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b bytes.Buffer
	c.erase(&b)
	b.WriteString(text)
	b.WriteByte('\n')
	c.opts.Out.Write(b.Bytes())
}

// erase takes the lines in place away. c.mu is held.
func (c *Console) erase(b *bytes.Buffer) {
	if c.painted > 0 {
		fmt.Fprintf(b, "\x1b[%dA\r\x1b[J", c.painted)
		c.painted = 0
	}
}

// Watch shows how build goes on until ctx ends.
func (c *Console) Watch(ctx context.Context, build *engine.Build) {
	c.mu.Lock()
	c.build = build
	c.mu.Unlock()
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
	line := strings.Join(parts, ", ")
	if line != c.last {
		c.last = line
		c.print(fmt.Sprintf("%s  %s", elapsed(c.opts.Clock.Elapsed()-c.start), line))
	}
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
	progress := c.build.Progress()
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, p := range progress {
		out = append(out, targetLine(p))
	}
	if n := max(lines-3, 0); len(out) > n {
		out = out[len(out)-n:]
	}
	if out = append(out, c.runningLine()); lines < 2 {
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
	line := fmt.Sprintf(" %-12s %-9s %12s", oneLine(p.Target.Label.Name), p.Target.Rule, fraction(p))
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

// runningLine lists what runs, the longest first. c.mu is held.
func (c *Console) runningLine() string {
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
	line := fmt.Sprintf(" %s  %d running", elapsed(now-c.start), len(all))
	for _, o := range all[:min(len(all), 4)] {
		line += fmt.Sprintf(" · %s %s", oneLine(o.name), elapsed(o.took))
	}
	return line
}

// elapsed writes a duration as people do.
func elapsed(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
