// Package ui shows what a build does: Console for people, Events for programs. Both are observers of the same events and never
// block the build.
package ui

import (
	"bufio"
	"encoding/json"
	"io"
	"sync"
	"time"

	"cbuild/engine"
	"cbuild/internal/clock"
)

// Observers passes events on to each of them.
type Observers []engine.Observer

// Observe is engine.Observer's.
func (os Observers) Observe(e engine.Event) {
	for _, o := range os {
		o.Observe(e)
	}
}

// Events writes events as NDJSON, one object a line; fields are only ever added. A line is written whole, as soon as its event
// happens, so a killed build leaves a true file.
type Events struct {
	clock   clock.Clock
	runOnly bool

	mu    sync.Mutex
	w     *bufio.Writer // guarded by mu
	err   error         // guarded by mu; the first
	paths []string      // guarded by mu
}

// NewEvents writes to w. With runOnly, what was taken from a cache is left out.
func NewEvents(w io.Writer, c clock.Clock, runOnly bool) *Events {
	return &Events{w: bufio.NewWriter(w), clock: c, runOnly: runOnly}
}

// record is the form of an event on the wire.
type record struct {
	V        int             `json:"v"`
	T        string          `json:"t"`
	Type     string          `json:"type"`
	Target   string          `json:"target,omitempty"`
	Rule     string          `json:"rule,omitempty"`
	Instance *[]string       `json:"instance,omitempty"`
	Outcome  string          `json:"outcome,omitempty"`
	ExitCode *int            `json:"exit_code,omitempty"`
	Cached   string          `json:"cached,omitempty"`
	Key      string          `json:"key,omitempty"`
	Log      string          `json:"log,omitempty"`
	Rows     string          `json:"rows,omitempty"`
	Count    json.RawMessage `json:"count,omitempty"`
	Ms       *int64          `json:"ms,omitempty"`
	Why      string          `json:"why,omitempty"`
	Text     string          `json:"text,omitempty"`
	Severity string          `json:"severity,omitempty"`
	Attempt  int             `json:"attempt,omitempty"`
	AfterMs  int64           `json:"after_ms,omitempty"`
	Waiting  string          `json:"waiting,omitempty"`
	Done     *int            `json:"done,omitempty"`
	Total    *int            `json:"total,omitempty"`
	Open     bool            `json:"open,omitempty"`
	Counts   map[string]int  `json:"counts,omitempty"`
	Paths    []string        `json:"paths,omitempty"`
}

// SetPaths says where what was asked for was published: build_finished tells it.
func (ev *Events) SetPaths(paths []string) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	ev.paths = paths
}

// Observe is engine.Observer's.
func (ev *Events) Observe(e engine.Event) {
	if ev.runOnly && e.Type == engine.EventFinished && e.Outcome.Cached != engine.NotCached {
		return
	}
	r := ev.record(e)
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if e.Type == engine.EventBuildFinished {
		r.Paths = ev.paths
	}
	line, err := json.Marshal(r)
	if err == nil {
		ev.w.Write(line)
		ev.w.WriteByte('\n')
		err = ev.w.Flush()
	}
	if ev.err == nil {
		ev.err = err
	}
}

// Err returns the first error of writing.
func (ev *Events) Err() error {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	return ev.err
}

func (ev *Events) record(e engine.Event) record {
	r := record{
		V: 1, T: ev.clock.Now().UTC().Format(time.RFC3339Nano), Type: string(e.Type),
		Why: e.Why, Text: e.Text, Severity: e.Severity, Waiting: e.Waiting, Attempt: e.Attempt, AfterMs: e.After.Milliseconds(), Counts: e.Counts,
	}
	if e.Target != nil {
		r.Target, r.Rule = e.Target.Label.String(), e.Target.Rule
	}
	switch e.Type {
	case engine.EventFinished:
		r.finished(e)
	case engine.EventBuildFinished:
		r.Outcome, r.Text, r.ExitCode = e.Text, "", &e.ExitCode
	case engine.EventTarget, engine.EventProgress:
		if e.Waiting != "" {
			waited := e.Took.Milliseconds()
			r.Ms = &waited
		} else if e.Attempt == 0 && e.After == 0 {
			r.Done, r.Total, r.Open = &e.Done, &e.Total, e.Open
		}
	}
	return r
}

func (r *record) finished(e engine.Event) {
	o := e.Outcome
	instance := append([]string{}, e.Instance...)
	r.Instance = &instance
	r.Outcome, r.Key = string(o.Class()), o.Key.String()
	ms := e.Took.Milliseconds()
	r.Ms = &ms
	if o.Result == nil {
		return // there is nothing that could have been cached or not
	}
	r.Cached = o.Cached.String()
	r.ExitCode = &o.Result.ExitCode
	r.Log = o.Result.Log.String()
	if e.Target.Rule == "collate" {
		r.Rows, r.Count = o.Result.Facts["rows"], json.RawMessage(o.Result.Facts["count"])
	}
}
