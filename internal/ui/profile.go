package ui

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// A Profile is what a build did, in the form of traces that ui.perfetto.dev and chrome://tracing show: a row for each lane, one for the
// critical path, and how much ran at a time. The format is that of "Trace Event Format", its JSON object form.
type Profile struct {
	// Name is what the trace is called, and Version that of the program.
	Name, Version string
	Began         time.Time
	Spans         []Span
	Path          []Step
}

// traceEvent is one object of a trace. Times are in microseconds.
type traceEvent struct {
	Name     string         `json:"name"`
	Category string         `json:"cat,omitempty"`
	Phase    string         `json:"ph"`
	Start    *float64       `json:"ts,omitempty"`
	Took     *float64       `json:"dur,omitempty"`
	Process  int            `json:"pid"`
	Thread   int            `json:"tid"`
	Args     map[string]any `json:"args,omitempty"`
}

// The threads of a trace; lanes come behind the critical path.
const (
	tracedProcess = 1
	pathThread    = 1
	firstLane     = 2
)

// Write writes the trace to w, compressed if that is wanted.
func (p *Profile) Write(w io.Writer, compressed bool) error {
	b := bufio.NewWriter(w)
	if !compressed {
		if err := p.write(b); err != nil {
			return err
		}
		return b.Flush()
	}
	z := gzip.NewWriter(b)
	if err := p.write(z); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return b.Flush()
}

func (p *Profile) write(w io.Writer) error {
	other, err := json.Marshal(map[string]string{"version": p.Version, "began": p.Began.UTC().Format(time.RFC3339Nano)})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, `{"displayTimeUnit":"ms","otherData":%s,"traceEvents":[`, other); err != nil {
		return err
	}
	separator := "\n"
	for e := range p.events() {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, separator+string(line)); err != nil {
			return err
		}
		separator = ",\n"
	}
	_, err = io.WriteString(w, "\n]}\n")
	return err
}

// events yields what a trace consists of.
func (p *Profile) events() func(yield func(traceEvent) bool) {
	return func(yield func(traceEvent) bool) {
		for _, e := range p.rows() {
			if !yield(e) {
				return
			}
		}
		for _, s := range p.Spans {
			if !yield(complete(s, firstLane+s.Lane)) {
				return
			}
		}
		for _, s := range p.Path {
			wait := traceEvent{Name: s.Why, Category: "wait", Phase: "X", Start: micros(s.Start - s.Wait), Took: micros(s.Wait), Process: tracedProcess, Thread: pathThread}
			if s.Wait > 0 && !yield(wait) || !yield(complete(s.Span, pathThread)) {
				return
			}
		}
		p.running(yield)
	}
}

// rows names the process and its threads.
func (p *Profile) rows() []traceEvent {
	meta := func(name string, thread int, args map[string]any) traceEvent {
		return traceEvent{Name: name, Phase: "M", Process: tracedProcess, Thread: thread, Args: args}
	}
	all := []traceEvent{meta("process_name", 0, map[string]any{"name": p.Name})}
	lanes := 0
	for _, s := range p.Spans {
		lanes = max(lanes, s.Lane+1)
	}
	for thread := pathThread; thread < firstLane+lanes; thread++ {
		name := fmt.Sprintf("lane %d", thread-pathThread)
		if thread == pathThread {
			name = "critical path"
		}
		all = append(all, meta("thread_name", thread, map[string]any{"name": name}), meta("thread_sort_index", thread, map[string]any{"sort_index": thread}))
	}
	return all
}

// complete is an execution in a row.
func complete(s Span, thread int) traceEvent {
	args := map[string]any{"target": s.Target.Label.String()}
	if s.Class != "" {
		args["outcome"] = s.Class
	}
	if s.Attempt > 1 {
		args["attempt"] = s.Attempt
	}
	return traceEvent{Name: s.Name, Category: s.Target.Rule, Phase: "X", Start: micros(s.Start), Took: micros(s.Took), Process: tracedProcess, Thread: thread, Args: args}
}

// running yields how many executions there are, by rule, whenever that changes.
func (p *Profile) running(yield func(traceEvent) bool) {
	type change struct {
		at   time.Duration
		rule string
		by   int
	}
	var changes []change
	now := make(map[string]int)
	for _, s := range p.Spans {
		changes = append(changes, change{s.Start, s.Target.Rule, 1}, change{s.End(), s.Target.Rule, -1})
		now[s.Target.Rule] = 0
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	for i, c := range changes {
		now[c.rule] += c.by
		if i+1 < len(changes) && changes[i+1].at == c.at {
			continue
		}
		args := make(map[string]any, len(now))
		for rule, n := range now {
			args[rule] = n
		}
		if !yield(traceEvent{Name: "running", Phase: "C", Start: micros(c.at), Process: tracedProcess, Args: args}) {
			return
		}
	}
}

func micros(d time.Duration) *float64 {
	us := float64(d) / float64(time.Microsecond)
	return &us
}
