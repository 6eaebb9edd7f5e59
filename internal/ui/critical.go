package ui

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"cbuild/engine"
)

// A Step is a part of the critical path: an execution, and what it had to wait for since the step before it ended.
type Step struct {
	Span
	// Wait lies between the end of the step before and the start of this one, and Why says what that was.
	Wait time.Duration
	Why  string
}

// CriticalPath returns the chain of executions that decided when the build ended, in the order in which they were done: of the last one to
// end, what it needed that ended last, and so on. Spans are those of a timeline with names. What was cached took no time and is left out.
func CriticalPath(spans []Span, targets []*engine.Target) []Step {
	if len(spans) == 0 {
		return nil
	}
	p := newPathfinder(spans, targets)
	at := 0
	for i, s := range spans {
		if s.End() > spans[at].End() {
			at = i
		}
	}
	var path []Step
	for at >= 0 {
		before, why := p.before(at)
		var free time.Duration // when what it waited for was there
		if before >= 0 {
			free = spans[before].End()
		}
		if why == "" {
			why = p.meanwhile(at, free)
		}
		path = append(path, Step{Span: spans[at], Wait: spans[at].Start - free, Why: why})
		at = before
	}
	slices.Reverse(path)
	return path
}

// executions are those of one target, as places among the spans.
type executions struct {
	all       []int            // by when they ended
	byElement map[string][]int // likewise
}

func (x *executions) sort(spans []Span) {
	byEnd := func(a, b int) int { return cmp.Compare(spans[a].End(), spans[b].End()) }
	slices.SortFunc(x.all, byEnd)
	for _, some := range x.byElement {
		slices.SortFunc(some, byEnd)
	}
}

type pathfinder struct {
	spans   []Span          // by when they started
	ended   []time.Duration // when all of the spans up to this one had ended
	targets map[engine.Label]*engine.Target
	of      map[*engine.Target]*executions
}

func newPathfinder(spans []Span, targets []*engine.Target) *pathfinder {
	p := &pathfinder{spans: spans, targets: make(map[engine.Label]*engine.Target), of: make(map[*engine.Target]*executions)}
	for _, t := range targets {
		p.targets[t.Label] = t
	}
	var end time.Duration
	for i, s := range spans {
		p.add(i)
		end = max(end, s.End())
		p.ended = append(p.ended, end)
	}
	for _, x := range p.of {
		x.sort(spans)
	}
	return p
}

func (p *pathfinder) add(at int) {
	s := p.spans[at]
	x := p.of[s.Target]
	if x == nil {
		x = &executions{byElement: make(map[string][]int)}
		p.of[s.Target] = x
	}
	x.all = append(x.all, at)
	if e := element(s); e != "" {
		x.byElement[e] = append(x.byElement[e], at)
	}
}

// element returns the key of the element that a span was for, quoted as in its name; "" if it was for none.
func element(s Span) string {
	rest, ok := strings.CutPrefix(s.Name, s.Target.Rule+"."+s.Target.Label.Name+"[")
	if !ok || !s.Target.Repeated {
		return ""
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return ""
	}
	return quoted
}

// Why a step did not start when the one before it had ended.
const (
	waitsForSlot = "waiting for a slot"
	backingOff   = "backing off"
	lookingUp    = "storing and looking up"
)

// before returns the place of what an execution had to wait for, -1 if that is nothing, and what happened between the two if it knows.
func (p *pathfinder) before(at int) (place int, why string) {
	s := p.spans[at]
	if s.Attempt > 1 {
		for _, i := range slices.Backward(p.of[s.Target].all) {
			if o := p.spans[i]; o.Name == s.Name && o.Attempt == s.Attempt-1 && o.End() <= s.Start {
				return i, backingOff
			}
		}
	}
	place = p.last(s.Target, element(s), s.Start, make(map[*engine.Target]bool))
	if s.Target.Query != nil { // a page stands in the one before it
		place = p.later(place, p.latest(p.of[s.Target].all, s.Start))
	}
	return place, ""
}

// meanwhile says why an execution that could have started at a time did not: others ran, or nothing did.
func (p *pathfinder) meanwhile(at int, since time.Duration) string {
	earlier := sort.Search(at, func(i int) bool { return p.spans[i].Start >= p.spans[at].Start })
	if earlier > 0 && p.ended[earlier-1] > since {
		return waitsForSlot
	}
	return lookingUp
}

// last returns what was last to end, until a time, of what the targets that t needs did for an element: what they did for that very one, if there is
// such a thing, else whatever they did. What did nothing, because it was cached, needed others in its turn.
func (p *pathfinder) last(t *engine.Target, element string, until time.Duration, seen map[*engine.Target]bool) int {
	best := -1
	for _, need := range t.Needs {
		other := p.targets[need.Label]
		if other == nil || seen[other] {
			continue
		}
		seen[other] = true
		found := -1
		if x := p.of[other]; x != nil {
			own, repeats := x.byElement[element], t.Over != nil && *t.Over == need.Label && other.Query == nil
			if found = p.latest(own, until); found < 0 && !repeats {
				found = p.latest(x.all, until)
			}
		}
		if found < 0 {
			found = p.last(other, element, until, seen)
		}
		best = p.later(best, found)
	}
	return best
}

// latest returns the last of some executions, sorted by end, that had ended at a time, -1 if none had.
func (p *pathfinder) latest(some []int, at time.Duration) int {
	n := sort.Search(len(some), func(i int) bool { return p.spans[some[i]].End() > at })
	if n == 0 {
		return -1
	}
	return some[n-1]
}

// later returns which of two executions ended later; -1 is none.
func (p *pathfinder) later(a, b int) int {
	if a < 0 || b >= 0 && p.spans[b].End() > p.spans[a].End() {
		return b
	}
	return a
}

// noticeable is from when on a wait is told, and shownSteps how many steps are, the last ones.
const (
	noticeable = 50 * time.Millisecond
	shownSteps = 6
)

// Critical writes a path in a line, its end first; "" if there is none.
func Critical(path []Step) string {
	if len(path) == 0 {
		return ""
	}
	var parts []string
	for i, s := range slices.Backward(path) {
		parts = append(parts, Text(s.Name)+" "+Elapsed(s.Took))
		if s.Wait >= noticeable {
			parts = append(parts, s.Why+" "+Elapsed(s.Wait))
		}
		if i > 0 && len(path)-i == shownSteps {
			parts = append(parts, fmt.Sprintf("%d more", i))
			break
		}
	}
	return fmt.Sprintf("critical path %s: %s", Elapsed(path[len(path)-1].End()), strings.Join(parts, " ← "))
}
