package report

import (
	"cmp"
	"slices"
	"time"

	"cbuild/engine"
)

// A Build is what a page says of the build that made it. It differs between equal reports.
type Build struct {
	Began time.Time
	Took  time.Duration
	// Jobs is how many commands may run at once.
	Jobs int
	// Targets are those that the report is about, in the order of the pipeline.
	Targets []Target
	// Spans are what was executed, in any order, on the given number of lanes.
	Spans []Span
	Lanes int
}

// A Target is how far a target is.
type Target struct {
	Label, Name, Rule string
	// Done and Total count rows; more may come if it is Open.
	Done, Total int
	Open        bool
	// Counts are the numbers of its instances by outcome, of which Cached were not executed.
	Counts map[engine.Class]int
	Cached int
	// Took is how long the executions of all its results took, those of earlier builds too.
	Took time.Duration
}

// Failed counts the instances that have no result of use.
func (t *Target) Failed() (n int) {
	for class, count := range t.Counts {
		if class != engine.ClassPass && class != engine.ClassSkipped && class != engine.ClassCancelled {
			n += count
		}
	}
	return n
}

// A Span is an execution, or several that are too short and too close to be told apart.
type Span struct {
	Lane int
	// Start is since the build began.
	Start, Took time.Duration
	// Target is an index into Build.Targets.
	Target  int
	Outcome engine.Class
	// Runs is how many executions it stands for; 0 is one.
	Runs int
}

// maxSpans is from how many spans on they are joined, and spanPixels how many can be told apart side by side on a lane.
const (
	maxSpans   = 20_000
	spanPixels = 4000
)

// spans returns the spans by lane and start, joined if there are many: then there are at most spanPixels on a lane.
func (b *Build) spans() []Span {
	all := slices.Clone(b.Spans)
	slices.SortFunc(all, func(x, y Span) int { return cmp.Or(cmp.Compare(x.Lane, y.Lane), cmp.Compare(x.Start, y.Start)) })
	if len(all) <= maxSpans {
		return all
	}
	var end time.Duration
	for _, s := range all {
		end = max(end, s.Start+s.Took)
	}
	pixel := end / spanPixels
	joined := all[:1]
	for _, s := range all[1:] {
		last := &joined[len(joined)-1]
		if near := s.Start - (last.Start + last.Took); last.Lane != s.Lane || last.Target != s.Target || last.Outcome != s.Outcome && last.Took+near >= pixel || near >= pixel {
			joined = append(joined, s)
			continue
		}
		if bad(s.Outcome) { // what went wrong is not hidden by what did not
			last.Outcome = s.Outcome
		}
		last.Took = max(last.Took, s.Start+s.Took-last.Start)
		last.Runs = max(last.Runs, 1) + max(s.Runs, 1)
	}
	return joined
}

func bad(c engine.Class) bool { return c != engine.ClassPass && c != "" }

// JSON returns b as in the header of a page, without the spans.
func (b *Build) JSON() []byte { return b.append(nil) }

func (b *Build) append(buf []byte) []byte {
	o := object{buf: buf}
	if !b.Began.IsZero() {
		o.int("began", int(b.Began.UnixMilli()))
	}
	o.int("took", int(b.Took.Milliseconds()))
	o.int("jobs", b.Jobs)
	o.int("lanes", b.Lanes)
	o.list("targets", len(b.Targets), func(i int, m *object) {
		t := &b.Targets[i]
		m.string("label", Name(t.Label))
		m.string("name", Name(t.Name))
		m.string("rule", t.Rule)
		m.int("done", t.Done)
		m.int("total", t.Total)
		m.member("open")
		m.buf = appendBool(m.buf, t.Open)
		m.int("cached", t.Cached)
		m.int("failed", t.Failed())
		m.member("counts")
		counts := object{buf: m.buf}
		for _, c := range outcomes {
			if n := t.Counts[c]; n > 0 {
				counts.int(string(c), n)
			}
		}
		m.buf = counts.end()
		m.int("took", int(t.Took.Milliseconds()))
	})
	return o.end()
}
