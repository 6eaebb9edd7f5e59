package ui

import (
	"fmt"
	"strings"

	"cbuild/engine"
)

// failureLines is how many lines of a failure's log are shown, maxFailures how many failures, and maxRetries how many retries.
const (
	failureLines = 20
	maxFailures  = 50
	maxRetries   = 50
)

// failure shows an instance that went wrong, once, and not more of them than anybody reads.
func (c *Console) failure(e engine.Event) {
	word, rest, failure := c.describe(e)
	if !failure || c.unreachable(e.Outcome.Err) {
		return
	}
	text := c.colored(red, word) + rest
	c.mu.Lock()
	n, seen := len(c.shown), c.shown[text]
	if n <= maxFailures {
		c.shown[text] = true
	}
	c.mu.Unlock()
	switch {
	case seen || n > maxFailures:
	case n == maxFailures:
		c.print("… further failures are in the report and the log of each instance")
	default:
		c.print(text + c.tail(e))
	}
}

// describe returns the line for an instance, its first word apart, and whether it is worth showing. What failed earlier, was skipped or
// cancelled follows from something that was shown, but of what was asked for it is told why it was skipped; failures that are results
// are in the report.
func (c *Console) describe(e engine.Event) (word, rest string, failure bool) {
	o := e.Outcome
	switch class := o.Class(); class {
	case engine.ClassPass, engine.ClassCancelled:
		return "", "", false
	case engine.ClassSkipped:
		asked := c.opts.Asked != nil && c.opts.Asked(e)
		return "skipped", fmt.Sprintf(" %s: %s", clean(Address(e)), clean(strings.TrimPrefix(e.Why, "skipped: "))), asked
	case engine.ClassUnavailable, engine.ClassInvalid, engine.ClassError:
		return string(class), fmt.Sprintf(" %s: %s", clean(Address(e)), clean(e.Why)), true
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
		if bad := o.Result.Facts["depfile"]; bad != "" {
			rest += ": " + clean(bad)
		}
		return string(class), rest + " " + clean(Address(e)), true
	}
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
		if advice := c.opts.Advice(e.Target, e.Instance, data); advice != "" {
			b.WriteString("\n" + clean(advice))
		}
	}
	return b.String()
}
