package engine

import "time"

// EventType says what an Event tells.
type EventType string

// The types of events. Every instance gets one EventFinished, cached or not.
const (
	EventBuildStarted  EventType = "build_started"
	EventTarget        EventType = "target"
	EventQueryPage     EventType = "query_page"
	EventStarted       EventType = "started"
	EventProgress      EventType = "progress"
	EventFinished      EventType = "finished"
	EventDiagnostic    EventType = "diagnostic"
	EventBuildFinished EventType = "build_finished"
)

// An Event is something that an Observer is told. Which fields hold depends on the type.
type Event struct {
	Type   EventType
	Time   time.Time
	Target *Target
	// Instance is the key, then the keys on the axes; empty for what is not repeated.
	Instance []string
	// Outcome is what became of an instance; for EventFinished.
	Outcome *Outcome
	// Why is the first reason why a result could not be reused, or the cause of an outcome without a result.
	Why string
	// Took is how long the instance ran in this build.
	Took time.Duration
	// Attempt counts retries, from 1; After is how long the next one waits; for EventProgress of one instance. Without an Attempt,
	// such an event tells that what was started under the name Text runs no more: it waits for its turn, After, or has ended and has no
	// EventFinished of its own. One without a Target says in Text how a host is doing that others wait for.
	Attempt int
	After   time.Duration
	// Waiting names who else, elsewhere, is doing what this build waits for; for EventProgress of one instance. Took is then for how
	// long it has waited.
	Waiting string
	// Done, Total and Open are for EventTarget and EventProgress: rows finished, rows known, and whether more may come.
	Done, Total int
	Open        bool
	// Text is a message for EventDiagnostic, the address of a page for EventQueryPage, the outcome of the build for
	// EventBuildFinished. Severity is "error", "warning" or "note".
	Text, Severity string
	// Counts are the numbers of instances by class and by Cached, and ExitCode the exit code; for EventBuildFinished.
	Counts   map[string]int
	ExitCode int
}

// An Observer is told what happens. Observe must not block; calls come from many goroutines.
type Observer interface {
	Observe(Event)
}
