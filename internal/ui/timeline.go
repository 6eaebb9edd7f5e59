package ui

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"cbuild/engine"
	"cbuild/internal/clock"
)

// A Timeline records what was executed in a build, and when. What was cached is not on it. It is an engine.Observer; its methods may be
// called concurrently.
//
// It keeps 40 bytes for each execution, and with names 16 more and the name.
type Timeline struct {
	clock clock.Clock
	start time.Duration // on the clock
	names bool

	mu      sync.Mutex
	open    map[opened]execution      // guarded by mu; what runs
	places  map[*engine.Target]uint32 // guarded by mu; in targets
	targets []*engine.Target          // guarded by mu
	ended   []execution               // guarded by mu; in the order in which they ended
	named   []string                  // guarded by mu; beside ended, if names are kept
}

// opened is by what the end of an execution is told from that of others.
type opened struct {
	target *engine.Target
	name   string
}

// execution is a Span as it is kept.
type execution struct {
	start, took time.Duration
	class       engine.Class
	target      uint32
	attempt     uint32
}

// runs reports whether x is an attempt that has not ended.
func (x execution) runs() bool { return x.attempt > 0 && x.took == 0 }

// A Span is one execution: an attempt at an instance, or at something that was done on behalf of a target, such as the page of a query.
type Span struct {
	// Name is the address of the instance, as in run.check["a"]["before"], or what the target calls it; empty if the timeline keeps no names.
	Name   string
	Target *engine.Target
	// Class is that of the outcome. An attempt that is followed by another is an error; of what was done on behalf of a target it is not
	// known, and empty.
	Class engine.Class
	// Start is counted from when the timeline was made.
	Start, Took time.Duration
	// Lane is the first of the rows, from 0, in which nothing else is drawn at the time.
	Lane int
	// Attempt is which attempt it was, from 1.
	Attempt int
}

// End is when s ended, counted like Start.
func (s Span) End() time.Duration { return s.Start + s.Took }

// NewTimeline returns an empty timeline that begins now. With names, it keeps the name of everything.
func NewTimeline(c clock.Clock, names bool) *Timeline {
	return &Timeline{clock: c, start: c.Elapsed(), names: names, open: make(map[opened]execution), places: make(map[*engine.Target]uint32)}
}

// Observe is engine.Observer's.
func (t *Timeline) Observe(e engine.Event) {
	switch {
	case e.Type == engine.EventStarted:
		t.begin(opened{e.Target, e.Text})
	case e.Type == engine.EventFinished:
		if t.runs() {
			t.end(opened{e.Target, Address(e)}, e.Outcome.Class(), e.Took)
		}
	case e.Type != engine.EventProgress || e.Target == nil || e.Waiting != "":
	case e.Attempt > 0:
		t.backsOff(e)
	case e.After > 0:
		t.waits(opened{e.Target, e.Text})
	default:
		t.end(opened{e.Target, e.Text}, "", 0)
	}
}

// runs reports whether anything does: in a build in which everything is cached, no name has to be written for each instance.
func (t *Timeline) runs() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open) > 0
}

// begin notes that an attempt starts. Attempts are counted while they follow each other.
func (t *Timeline) begin(o opened) {
	now := t.clock.Elapsed() - t.start
	t.mu.Lock()
	defer t.mu.Unlock()
	at, known := t.places[o.target]
	if !known {
		at = uint32(len(t.targets))
		t.places[o.target] = at
		t.targets = append(t.targets, o.target)
	}
	x := t.open[o]
	if x.runs() { // done again because its output was lost before it could be used
		t.keep(o, x, "", now-x.start)
	}
	t.open[o] = execution{start: now, target: at, attempt: x.attempt + 1}
}

// end notes that what runs under a name has ended. It took that long, if the observer was told, else until now: what follows upon the
// action itself, such as storing its result, takes no slot.
func (t *Timeline) end(o opened, class engine.Class, took time.Duration) {
	now := t.clock.Elapsed() - t.start
	t.mu.Lock()
	defer t.mu.Unlock()
	x, ok := t.open[o]
	if !ok {
		return
	}
	delete(t.open, o)
	if x.took > 0 { // it ended while it backed off: its last attempt is on the timeline
		return
	}
	if took <= 0 || took > now-x.start {
		took = now - x.start
	}
	t.keep(o, x, class, took)
}

// backsOff notes that an attempt was in vain: the text of the event begins with its name. It leaves its lane, but stays among what is open,
// where the next attempt finds its number.
func (t *Timeline) backsOff(e engine.Event) {
	now := t.clock.Elapsed() - t.start
	t.mu.Lock()
	defer t.mu.Unlock()
	o := opened{target: e.Target}
	o.name = nameIn(e.Text, func(name string) bool { return t.open[opened{e.Target, name}].runs() })
	if x := t.open[o]; x.runs() {
		x.took = max(now-x.start, 1)
		t.keep(o, x, engine.ClassError, x.took)
		t.open[o] = x
	}
}

// waits notes that what was started waits for its turn: nothing was tried, so this was no attempt.
func (t *Timeline) waits(o opened) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x, ok := t.open[o]; ok {
		x.took, x.attempt = 1, x.attempt-1
		t.open[o] = x
	}
}

// keep puts an execution on the timeline. t.mu is held.
func (t *Timeline) keep(o opened, x execution, class engine.Class, took time.Duration) {
	x.class, x.took = class, took
	t.ended = append(t.ended, x)
	if t.names {
		t.named = append(t.named, o.name)
	}
}

// Running returns what runs now, the longest first: spans that have not ended, up to now.
func (t *Timeline) Running() []Span {
	now := t.clock.Elapsed() - t.start
	t.mu.Lock()
	defer t.mu.Unlock()
	var spans []Span
	for o, x := range t.open {
		if x.took == 0 {
			spans = append(spans, Span{Name: o.name, Target: o.target, Start: x.start, Took: now - x.start, Attempt: int(x.attempt)})
		}
	}
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Name, b.Name)) })
	return spans
}

// Spans returns what has ended so far, sorted by when it started.
func (t *Timeline) Spans() []Span {
	t.mu.Lock()
	spans := make([]Span, len(t.ended))
	for i, x := range t.ended {
		spans[i] = Span{Target: t.targets[x.target], Class: x.class, Start: x.start, Took: x.took, Attempt: int(x.attempt)}
		if t.names {
			spans[i].Name = t.named[i]
		}
	}
	t.mu.Unlock()
	slices.SortStableFunc(spans, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	drawn(spans)
	return spans
}

// drawn gives each span, sorted by start, the first lane that is free. There are as many lanes as slots were used at a time.
func drawn(spans []Span) {
	var free []time.Duration // by lane, from when on
	for i := range spans {
		s := &spans[i]
		s.Lane = slices.IndexFunc(free, func(from time.Duration) bool { return from <= s.Start })
		if s.Lane < 0 {
			s.Lane = len(free)
			free = append(free, 0)
		}
		free[s.Lane] = s.End()
	}
}
