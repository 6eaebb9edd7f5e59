//go:build !cbuild_faults

package main

import "cbuild/engine"

// withFaults returns e: there are none.
func withFaults(e engine.Executor) engine.Executor { return e }
