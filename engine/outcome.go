package engine

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"cbuild/cas"
)

// A Status is how an action that ran ended: knowledge about it, good or bad.
type Status uint8

// The statuses of a Result.
const (
	Pass Status = iota
	Fail
	Crash
	Timeout
	OOM
)

var statusNames = [...]string{"pass", "fail", "crash", "timeout", "oom"}

func (s Status) String() string { return statusNames[s] }

// A Result is what an action that ran produced, failure included. It is knowledge, so it can be stored and used again. Trouble,
// which leaves nobody knowing, is an error and can't become a Result.
type Result struct {
	Status   Status
	ExitCode int
	// Outs are the outputs that exist, sorted by path; collected whatever the status. Where there are two at a path, see Read and Shown.
	Outs []Output
	// Stdout and Log name what the action printed: standard output alone, and both streams as they came. Zero if it printed
	// nothing.
	Stdout, Log cas.Digest
	// Facts are further readable attributes that the action found out, such as a download's sha256, by name.
	Facts map[string]string
	// Took is how long the action ran. Like everything that differs between equal runs it enters no key and no report row.
	Took time.Duration
	// Used is how it ran; like Took it differs between equal runs.
	Used Usage
}

// Usage is what an action and everything that it started took of the machine, and how well it was shielded. What is not known is zero.
type Usage struct {
	// User and System are processor time.
	User, System time.Duration
	// Memory is the greatest resident size, in bytes: of all processes together where the kernel counts that, else of the largest, if that had more than
	// the process that started it.
	Memory int64
	// Sandbox is the class in which it ran, as the conditions of its record say.
	Sandbox SandboxClass
}

// An Output is one thing that an action left behind.
type Output struct {
	// Path is the promised path, relative to the run's directory.
	Path string
	Artifact
}

// Read returns the outputs that others read: of two at a path, the first. It enters their keys, and stays what it was when the action is done
// again because of Plan.Refresh.
func (r *Result) Read() (outs []Output) {
	for i, o := range r.Outs {
		if !slices.ContainsFunc(r.Outs[:i], o.samePath) {
			outs = append(outs, o)
		}
	}
	return outs
}

// Shown returns the outputs that are for people: of two at a path, the last. It tells of the build in which anything was done last.
func (r *Result) Shown() (outs []Output) {
	for i, o := range r.Outs {
		if !slices.ContainsFunc(r.Outs[i+1:], o.samePath) {
			outs = append(outs, o)
		}
	}
	return outs
}

func (o Output) samePath(other Output) bool { return o.Path == other.Path }

// Out returns the output at path that others read.
func (r *Result) Out(path string) (Artifact, bool) {
	for _, o := range r.Outs {
		if o.Path == path {
			return o.Artifact, true
		}
	}
	return Artifact{}, false
}

// An Outcome is what became of one instance: one row of a report. Exactly one of Result and Err is set.
type Outcome struct {
	// Axes are the instance's keys on the axes of the target's matrix, in order.
	Axes []string
	// Result is set if it ran, now or earlier.
	Result *Result
	// Err says why there is no result: *UnavailableError, *InvalidError, *SkippedError, ErrCancelled, or trouble of any other kind.
	Err error
	// Shape is the target's `out` as written for this instance.
	Shape Shape
	// Key is the key of the action; zero if it has none.
	Key Key
	// Cached says whether and from where the result was taken.
	Cached Cached
	// Notes are those of the Plan. Rows that were read back have none.
	Notes map[string]string
}

// Cached says where a result came from.
type Cached uint8

// Where a result came from: NotCached means that a command ran, a download or request was made, or a report changed.
const (
	NotCached Cached = iota
	CachedLocal
	CachedRemote
)

func (c Cached) String() string { return [...]string{"no", "local", "remote"}[c] }

// Class is the word for an outcome in events, references and reports.
type Class string

// The classes of an Outcome beside those of Status.
const (
	ClassPass        Class = "pass"
	ClassUnavailable Class = "unavailable"
	ClassError       Class = "error"
	ClassInvalid     Class = "invalid"
	ClassSkipped     Class = "skipped"
	ClassCancelled   Class = "cancelled"
)

// Class returns the word for o.
func (o *Outcome) Class() Class {
	if o.Result != nil {
		return Class(o.Result.Status.String())
	}
	return ClassOf(o.Err)
}

// OK reports whether o passed.
func (o *Outcome) OK() bool { return o.Result != nil && o.Result.Status == Pass }

// ClassOf returns the class of an outcome without a result.
func ClassOf(err error) Class {
	var recorded *recordedError
	switch {
	case errors.As(err, &recorded):
		return recorded.class
	case errors.As(err, new(*UnavailableError)):
		return ClassUnavailable
	case errors.As(err, new(*InvalidError)):
		return ClassInvalid
	case errors.As(err, new(*SkippedError)):
		return ClassSkipped
	case errors.Is(err, ErrCancelled), errors.Is(err, context.Canceled):
		return ClassCancelled
	}
	return ClassError
}

// ErrCancelled is the outcome of what a stopped build did not get to.
var ErrCancelled = errors.New("cancelled")

// An UnavailableError says that the outside world does not have, or does not give, what was asked for: asking again in this build
// is pointless.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return e.Err.Error() }
func (e *UnavailableError) Unwrap() error { return e.Err }

// An InvalidError says that an expression failed for this instance. Err holds the diagnostic.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }
func (e *InvalidError) Unwrap() error { return e.Err }

// A SkippedError says that an input has no usable result.
type SkippedError struct {
	// Cause names the instance and its outcome, as in `fetch.source["a@v1"] is unavailable`.
	Cause string
	// Trouble is set if the cause is trouble: the next build may know more.
	Trouble bool
}

func (e *SkippedError) Error() string { return "skipped: " + e.Cause }

// A TroubleError is infrastructure trouble: nobody knows how the action would have ended. Only those that may pass are retried.
type TroubleError struct {
	Err error
	// Retry is set if the same step may succeed later.
	Retry bool
	// After is how long to wait at least; zero leaves it to the backoff.
	After time.Duration
	// Wait is set, with Retry, if nothing was tried at all: this was no attempt. The action waits for After with neither a slot nor a
	// place in the window.
	Wait bool
}

func (e *TroubleError) Error() string { return e.Err.Error() }
func (e *TroubleError) Unwrap() error { return e.Err }

// Transient marks err as trouble that may pass.
func Transient(err error) error { return &TroubleError{Err: err, Retry: true} }

// A LostError says that something which a result promises is not in the store any more: lost or damaged. What made it is done again.
type LostError struct {
	// Digest is that of a whole output, also where only a part of a tree is lost.
	Digest cas.Digest
	Err    error
}

func (e *LostError) Error() string { return e.Err.Error() }
func (e *LostError) Unwrap() error { return e.Err }

// Troubled reports whether err, the Err of an outcome, leaves open how it would have ended: trouble, a mistake, the end of the build, or
// having been skipped because of one of those.
func Troubled(err error) bool {
	var skipped *SkippedError
	var recorded *recordedError
	switch {
	case err == nil:
		return false
	case errors.As(err, &recorded):
		return recorded.trouble
	case errors.As(err, &skipped):
		return skipped.Trouble
	}
	return ClassOf(err) != ClassUnavailable
}

// PublicText returns what a report may say of err: an error in its chain with a method Public() string says it without what belongs to this
// machine, such as the host of a mirror.
func PublicText(err error) string {
	var p interface {
		error
		Public() string
	}
	if errors.As(err, &p) {
		return p.Public()
	}
	return err.Error()
}

// A recordedError is the error of a row that was read back from its sealed chunk: what was to be known of it is all that is left.
type recordedError struct {
	class   Class
	text    string
	trouble bool
}

func (e *recordedError) Error() string { return e.text }

// A Row is one element of a repeated target's collection: its key, what it is repeated for, and an outcome for each cell of the
// matrix. A target without for_each and matrix has one row with the key "" and one cell. The rows of a query have no cells.
type Row struct {
	Target *Target
	Key    string
	// Index is the element's place in the order in which elements came, from 0.
	Index int
	// Value is the element: plain data, or the *Row of another target.
	Value Value
	// Err, if set, says why the element can't be used: that of its Item.
	Err error
	// Cells are in the order of the product of the axes; those that `where` dropped are absent.
	Cells []*Outcome
	// Peeled is how many leading axes of the cells a reader has indexed already: such a row is a part of another.
	Peeled int
	// ahead is how many bytes the row adds to what lies unconsumed on the disk.
	ahead int64
}

// Cell returns the outcome with the given keys on the axes.
func (r *Row) Cell(axes ...string) (*Outcome, bool) {
next:
	for _, c := range r.Cells {
		if len(c.Axes) != len(axes) {
			continue
		}
		for i := range axes {
			if c.Axes[i] != axes[i] {
				continue next
			}
		}
		return c, true
	}
	return nil, false
}

// InstanceName writes the address of an instance of t as a user would in an expression, as in run.check["a@v1"]["after"].
func (t *Target) InstanceName(key string, axes []string) string {
	name := make([]byte, 0, 128) // it is written for every instance of a build
	name = append(append(append(name, t.Rule...), '.'), t.Label.Name...)
	if t.Repeated && key != "" {
		name = quoted(name, key)
	}
	for _, a := range axes {
		name = quoted(name, a)
	}
	return string(name)
}

// quoted appends a key in brackets.
func quoted(name []byte, key string) []byte {
	return append(strconv.AppendQuote(append(name, '['), key), ']')
}
