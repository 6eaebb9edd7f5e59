package ui

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

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
	// Rewraps is set if the terminal wraps lines anew when it becomes narrower, as most do; others cut them.
	Rewraps bool
	// Log returns the log of a failure; it may be nil.
	Log func(*engine.Outcome) []byte
	// Advice says what may be done about a failure of an instance with this log, "" if nothing; it may be nil.
	Advice func(t *engine.Target, instance []string, log []byte) string
	// Asked reports whether an instance is among those that were asked for; nil means no. Of those it is told why they were skipped.
	Asked func(engine.Event) bool
	// Hosts says which hosts others wait for, and how long they will, a line for each; it may be nil.
	Hosts func() []string
	// Quiet shows only what went wrong.
	Quiet bool
	// Verbose shows what is started and every command from 1 on, and the key of every instance from 2 on.
	Verbose int
}

// Console shows a build to a person. Failures scroll by once, with the end of their logs.
type Console struct {
	opts ConsoleOptions

	start time.Duration

	mu       sync.Mutex
	activity activity              // guarded by mu
	worked   map[engine.Label]work // guarded by mu; what was not cached, by target
	area     area                  // guarded by mu
	layout   layout                // guarded by mu
	plain    plain                 // guarded by mu
	shown    map[string]bool       // guarded by mu; failures and diagnostics
	retries  int                   // guarded by mu; that were shown
	lost     []Unreachable         // guarded by mu; in the order in which they were met
}

// NewConsole returns a console that has shown nothing yet.
func NewConsole(o ConsoleOptions) *Console {
	return &Console{
		opts: o, start: o.Clock.Elapsed(), activity: newActivity(), worked: make(map[engine.Label]work), shown: make(map[string]bool),
		area: area{rewraps: o.Rewraps}, layout: layout{color: o.Color},
	}
}

// Observe is engine.Observer's.
func (c *Console) Observe(e engine.Event) {
	switch e.Type {
	case engine.EventStarted:
		c.mu.Lock()
		c.activity.started(e.Text, c.opts.Clock.Elapsed())
		c.mu.Unlock()
		if c.opts.Verbose > 0 && e.Target.Rule != "run" { // a run is shown with its command
			c.print("start " + clean(e.Text))
		}
	case engine.EventFinished:
		c.finished(e)
	case engine.EventProgress:
		c.progress(e)
	case engine.EventDiagnostic:
		c.Note(e.Severity, e.Text)
	}
}

// progress notes what runs no more, what somebody else does, and what is done again.
func (c *Console) progress(e engine.Event) {
	c.mu.Lock()
	switch {
	case e.Target == nil:
	case e.Waiting != "":
		c.activity.waits(e.Text, e.Waiting, c.opts.Clock.Elapsed()-e.Took)
	default:
		c.activity.stopped(e.Text, e.Attempt > 0)
	}
	retry := e.Attempt > 0 && !c.opts.Quiet
	if retry {
		c.retries++
	}
	retries := c.retries
	c.mu.Unlock()
	switch {
	case e.Target == nil && !c.opts.Live && !c.opts.Quiet: // else it stands among the lines in place
		c.print(clean(e.Text))
	case retry && retries == maxRetries+1 && c.opts.Verbose == 0:
		c.print("… further retries are shown with -v")
	case retry && (retries <= maxRetries || c.opts.Verbose > 0):
		c.print(fmt.Sprintf("retry %s (attempt %d, in %s)", clean(e.Text), e.Attempt+1, e.After.Round(100*time.Millisecond)))
	}
}

// finished counts an instance and shows it, if there is something to show.
func (c *Console) finished(e engine.Event) {
	c.mu.Lock()
	if !c.activity.idle() {
		c.activity.stopped(Address(e), false)
	}
	if e.Took > 0 {
		w := c.worked[e.Target.Label]
		c.worked[e.Target.Label] = work{w.instances + 1, w.took + e.Took}
	}
	c.mu.Unlock()
	if key := e.Outcome.Key; c.opts.Verbose > 1 && !key.IsZero() {
		c.print(fmt.Sprintf("%s %s %v (cached: %v)", e.Outcome.Class(), clean(Address(e)), key, e.Outcome.Cached))
	}
	c.failure(e)
}

// Address writes the instance of an event as a user would in an expression.
func Address(e engine.Event) string {
	t := e.Target
	if t.Repeated && len(e.Instance) > 0 {
		return t.InstanceName(e.Instance[0], e.Instance[1:])
	}
	return t.InstanceName("", e.Instance)
}

// The colours, as parameters of SGR.
const (
	red    = "1;31"
	yellow = "33"
)

func (c *Console) colored(color, text string) string { return colored(c.opts.Color, color, text) }

func colored(wanted bool, color, text string) string {
	if !wanted {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// Note shows a message once.
func (c *Console) Note(severity, text string) {
	if severity == "note" && c.opts.Quiet {
		return
	}
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

// Print writes a line above those in place. It is for what is shown however often it is said, such as the summary.
func (c *Console) Print(text string) { c.print(clean(text)) }

// print writes text above the lines in place.
func (c *Console) print(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b bytes.Buffer
	c.area.above(&b, text, c.columns())
	c.opts.Out.Write(b.Bytes())
}

// columns is how wide the terminal is now; 0 if there is none to paint on.
func (c *Console) columns() int {
	if !c.opts.Live {
		return 0
	}
	columns, _ := c.opts.Size()
	return columns
}
