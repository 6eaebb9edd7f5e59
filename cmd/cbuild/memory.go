package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// smallHeap is how many bytes the heap may grow to before collecting costs less than it saves.
const smallHeap = 48 << 20

// tuneMemory sets how far the heap may grow until the next collection, after each one: to smallHeap, or by half of what is live, whichever is
// more. By default it may double, which collects too often while the heap is small and takes too much once it is large.
func tuneMemory() {
	type sentinel struct{ _ [16]byte }
	var after func(*sentinel)
	after = func(*sentinel) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		percent := 800
		if n := int64(live[0].Value.Uint64()); n > 0 {
			percent = int(min(800, max(50, (smallHeap-n)*100/n)))
		}
		debug.SetGCPercent(percent)
		runtime.SetFinalizer(&sentinel{}, after) // runs after the next collection
	}
	after(nil)
}
