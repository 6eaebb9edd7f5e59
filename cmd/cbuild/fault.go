//go:build !cbuild_faults

package main

import "cbuild/engine"

// withFaults returns e: there are none.
func withFaults(e engine.Executor) engine.Executor { return e }

// withObserverFaults returns o: there are none.
func withObserverFaults(o engine.Observer) engine.Observer { return o }
