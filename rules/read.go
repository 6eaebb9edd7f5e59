package rules

import (
	"context"

	"cbuild/engine"
)

// Read returns the readable attribute name of the outcome o of an instance of row. Name is one of the Reads of the target's Kind.
// `out` of anything but a pass, and `json` of what is none, are errors; the others can be read of every outcome and may be nil.
func Read(ctx context.Context, rt *Runtime, row *engine.Row, o *engine.Outcome, name string) (engine.Value, error) {
	return nil, errNotYet
}
