package engine

import (
	"context"
	"iter"
)

// A Label is the name of a target in the workspace.
type Label struct {
	// Dir is the package: slash-separated, relative to the workspace root, "" for the root.
	Dir  string
	Name string
}

// String writes l as //dir:name.
func (l Label) String() string { return "//" + l.Dir + ":" + l.Name }

// Mode is how one target needs another.
type Mode uint8

// The modes of a Need.
const (
	// WholeMode waits for all of a target: a barrier, if it is repeated.
	WholeMode Mode = iota
	// InstanceMode waits for single instances.
	InstanceMode
	// StreamMode follows a collection while it grows.
	StreamMode
)

func (m Mode) String() string { return [...]string{"whole", "instance", "stream"}[m] }

// A Need is a static edge between targets.
type Need struct {
	Label Label
	Mode  Mode
	// Where is file:line of the reference, and Attribute the name of the attribute that holds it.
	Where, Attribute string
}

// A Target is a declared node. Its functions are called concurrently; they may wait for other targets through the View.
type Target struct {
	Label Label
	Rule  string
	// Needs are the static edges; they form no cycle. A target's needs start when it does.
	Needs []Need
	// Repeated is set if the target has for_each or is a query, Axes holds the names of its matrix in order.
	Repeated bool
	Axes     []string

	// Over is the target that for_each names directly, if any: instances are then demanded from it by key. Items is not used then.
	Over *Label
	// Items yields what the target is repeated for; nil without for_each. Its stream reads from the View follow collections as
	// they grow.
	Items func(ctx context.Context, v View) iter.Seq2[Item, error]
	// Matrix returns the axes, in the order of Axes; nil without matrix.
	Matrix func(ctx context.Context, v View) ([]Axis, error)
	// Where reports whether the instance is wanted; nil keeps all.
	Where func(ctx context.Context, v View, i Instance) (bool, error)
	// Plan evaluates one instance.
	Plan func(ctx context.Context, v View, i Instance) (*Plan, error)
	// Query, for a target whose rows are items that it asks for, yields them instead: Plan, Items and Matrix are nil then.
	Query func(ctx context.Context, v View) iter.Seq2[Item, error]
}

// An Axis is one dimension of a matrix. Its keys are known before the first instance; a value is awaited when an instance needs it.
type Axis struct {
	Name  string
	Keys  []string
	Value func(ctx context.Context, key string) (Value, error)
}

// An Instance is one repetition of a target.
type Instance struct {
	Target *Target
	Key    string
	// Value is the element of for_each.
	Value Value
	// Axes and Values are the keys and elements on the axes of the matrix, in order.
	Axes   []string
	Values []Value
}

// Name writes the instance as a user would in an expression.
func (i Instance) Name() string { return i.Target.InstanceName(i.Key, i.Axes) }

// A View is what an evaluation may ask of the rest of the build. The methods wait, holding no slot. They are for targets that are
// among the Needs.
type View interface {
	// Row waits for one row of target l, demanding it at once, beyond every bound on look-ahead. A target that is not repeated
	// has the key "". The error is a *NoRowError if there is no such row, or what became of the target as a whole.
	Row(ctx context.Context, l Label, key string) (*Row, error)
	// Rows follows the collection of l while it grows, in the order in which rows finish.
	Rows(ctx context.Context, l Label) iter.Seq2[*Row, error]
	// Whole waits for all of l and yields its rows in the order of their keys.
	Whole(ctx context.Context, l Label) iter.Seq2[*Row, error]
	// Keys waits until all keys of l are known and returns them in the order in which they came. It waits for no result, unless l
	// has a Where.
	Keys(ctx context.Context, l Label) ([]string, error)
	// Perform does p on behalf of the target as a whole, like the plan of an instance: looked up, done once, retried, recorded.
	// Queries ask their pages through it.
	Perform(ctx context.Context, name string, p *Plan) *Outcome
	// Emit passes e on to the observer.
	Emit(e Event)
}

// A NoRowError says that a target has no row with a key.
type NoRowError struct {
	Target *Target
	Key    string
	// Dropped is set if `where` dropped it.
	Dropped bool
	// Nearest are existing keys that resemble it, the nearest first.
	Nearest []string
}

func (e *NoRowError) Error() string {
	if e.Dropped {
		return e.Target.InstanceName(e.Key, nil) + " was dropped by where"
	}
	return "no instance " + e.Target.InstanceName(e.Key, nil)
}
