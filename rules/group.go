package rules

import (
	"context"

	"cbuild/engine"
)

// Group are the attributes of a group: targets under one name.
type Group struct {
	Common
	Targets engine.Value `hcl:"targets,required" type:"list of references" key:"no" doc:"References to targets."`
}

// Plan makes an action that does nothing: by the time it is planned, the targets are there.
func (g *Group) Plan(context.Context, *Runtime, Self) (*engine.Plan, error) {
	return &engine.Plan{Action: groupAction{}, Trivial: true}, nil
}

// Outputs plans what publishes outs, which others made.
func Outputs(outs []engine.Output) *engine.Plan {
	return &engine.Plan{Action: groupAction{outs}, Trivial: true}
}

type groupAction struct{ outs []engine.Output }

func (groupAction) Key() engine.Key  { return engine.Key{} }
func (groupAction) Preimage() []byte { return nil }

func (a groupAction) Do(context.Context, func(engine.Event)) (*engine.Result, error) {
	return &engine.Result{Outs: a.outs}, nil
}
