package ui

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

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
	// Advice says what may be done about a failure of a target with this log, "" if nothing; it may be nil.
	Advice func(t *engine.Target, log []byte) string
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

	mu      sync.Mutex
	running map[string]time.Duration // guarded by mu; name → when it started
	worked  map[engine.Label]work    // guarded by mu; what was not cached, by target
	painted int                      // guarded by mu; lines in place now
	build   *engine.Build            // guarded by mu
	start   time.Duration
	shown   map[string]bool // guarded by mu; diagnostics
	last    string          // guarded by mu; the last plain summary
	lost    []Unreachable   // guarded by mu; in the order in which they were met
}

// An Unreachable is a host that could not be reached, and how many downloads wait for it.
type Unreachable struct {
	Host, Why string
	Waiting   int
}

// Unreachable returns the hosts because of which instances ended in trouble.
func (c *Console) Unreachable() []Unreachable {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lost)
}

// unreachable notes the host if it is that because of which an instance has no result. Thousands wait for one host: it is told once, at
// the end.
func (c *Console) unreachable(err error) bool {
	var u interface {
		error
		Unreachable() (host, why string)
	}
	if err == nil || engine.ClassOf(err) != engine.ClassError || !errors.As(err, &u) {
		return false
	}
	host, why := u.Unreachable()
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.lost, func(l Unreachable) bool { return l.Host == host })
	if at < 0 {
		at = len(c.lost)
		c.lost = append(c.lost, Unreachable{Host: host, Why: why})
	}
	c.lost[at].Waiting++
	return true
}

// NewConsole returns a console that has shown nothing yet.
func NewConsole(o ConsoleOptions) *Console {
	return &Console{opts: o, running: make(map[string]time.Duration), worked: make(map[engine.Label]work), shown: make(map[string]bool), start: o.Clock.Elapsed()}
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
		c.forget(e.Text)
		c.running[e.Text] = c.opts.Clock.Elapsed()
		c.mu.Unlock()
		if c.opts.Verbose > 0 && e.Target.Rule != "run" { // a run is shown with its command
			c.print("start " + clean(e.Text))
		}
	case engine.EventFinished:
		c.finished(e)
	case engine.EventProgress:
		if e.Waiting != "" {
			c.waits(e)
			return
		}
		c.stopped(e)
		switch {
		case c.opts.Quiet:
			return
		case e.Attempt == 0:
			if e.Target == nil && !c.opts.Live { // else it stands among the lines in place
				c.print(clean(e.Text))
			}
			return
		}
		c.print(fmt.Sprintf("retry %s (attempt %d, in %s)", clean(e.Text), e.Attempt+1, e.After.Round(100*time.Millisecond)))
	case engine.EventDiagnostic:
		c.Note(e.Severity, e.Text)
	}
}

// waits notes that somebody else does what an instance needs.
func (c *Console) waits(e engine.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[e.Text+waitingFor+e.Waiting] = c.opts.Clock.Elapsed() - e.Took
}

// waitingFor stands between an instance and who else does the same.
const waitingFor = ", done by "

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

// forget takes an instance from what runs, also if somebody else did it. c.mu is held.
func (c *Console) forget(name string) {
	delete(c.running, name)
	for other := range c.running {
		if strings.HasPrefix(other, name+waitingFor) {
			delete(c.running, other)
		}
	}
}

func (c *Console) finished(e engine.Event) {
	name := Address(e)
	c.mu.Lock()
	c.forget(name)
	if e.Took > 0 {
		w := c.worked[e.Target.Label]
		c.worked[e.Target.Label] = work{w.instances + 1, w.took + e.Took}
	}
	c.mu.Unlock()
	if key := e.Outcome.Key; c.opts.Verbose > 1 && !key.IsZero() {
		c.print(fmt.Sprintf("%s %s %v (cached: %v)", e.Outcome.Class(), clean(name), key, e.Outcome.Cached))
	}
	word, rest, failure := c.describe(e, name)
	if !failure || c.unreachable(e.Outcome.Err) {
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
		c.print(text + c.tail(e))
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
// cancelled follows from something that was shown, but of what was asked for it is told why it was skipped; failures that are results
// are in the report.
func (c *Console) describe(e engine.Event, name string) (word, rest string, failure bool) {
	o := e.Outcome
	switch class := o.Class(); class {
	case engine.ClassPass, engine.ClassCancelled:
		return "", "", false
	case engine.ClassSkipped:
		asked := c.opts.Asked != nil && c.opts.Asked(e)
		return "skipped", fmt.Sprintf(" %s: %s", clean(name), clean(strings.TrimPrefix(e.Why, "skipped: "))), asked
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

// tail returns the last lines of the log of what failed, indented, how to see the others, and what to do about it.
func (c *Console) tail(e engine.Event) string {
	o := e.Outcome
	if c.opts.Log == nil || o.Result == nil || o.Result.Log.IsZero() {
		return ""
	}
	data := c.opts.Log(o)
	if len(data) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	var b strings.Builder
	if more := len(lines) - failureLines; more > 0 {
		fmt.Fprintf(&b, "\n  │ … %d lines before: cbuild log %s", more, clean(ShellWords(label(e))))
		lines = lines[more:]
	}
	for _, l := range lines {
		b.WriteString("\n  │ " + clean(l))
	}
	if c.opts.Advice != nil {
		if advice := c.opts.Advice(e.Target, data); advice != "" {
			b.WriteString("\n" + clean(advice))
		}
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

// Text makes hostile text harmless and keeps it in one line.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		return r
	}, clean(s))
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
