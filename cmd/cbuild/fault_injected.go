//go:build cbuild_faults

package main

import (
	"context"
	"slices"

	"cbuild/engine"
)

// withFaults returns an executor that has a bug: it panics when a command has ended whose environment says so. Only tests build it.
func withFaults(e engine.Executor) engine.Executor { return &buggy{e} }

type buggy struct{ engine.Executor }

// Execute is engine.Executor's.
func (b *buggy) Execute(ctx context.Context, c *engine.Command) (*engine.Result, error) {
	r, err := b.Executor.Execute(ctx, c)
	if slices.Contains(c.Env, "CBUILD_FAULT=panic") {
		panic("injected")
	}
	return r, err
}

// withObserverFaults returns an observer that has a bug: it panics when a target named crash has finished.
func withObserverFaults(o engine.Observer) engine.Observer { return &blind{o} }

type blind struct{ engine.Observer }

// Observe is engine.Observer's.
func (b *blind) Observe(e engine.Event) {
	b.Observer.Observe(e)
	if e.Type == engine.EventFinished && e.Target.Label.Name == "crash" {
		panic("injected")
	}
}
