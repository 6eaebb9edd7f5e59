// Package clock is the seam through which everything but cmd reads time and sleeps. Take System in programs and Skewed in tests
// that prove results independent of the wall clock. Code tested with testing/synctest may use System: it reads the bubble's time.
package clock

import (
	"context"
	"time"
)

// A Clock tells time. All methods may be called concurrently.
type Clock interface {
	// Now returns the wall clock, which may be wrong and may jump: it is for showing and for max_age, never for deciding.
	Now() time.Time
	// Elapsed returns the time on the monotonic clock since an arbitrary fixed point: only differences mean something.
	Elapsed() time.Duration
	// Sleep waits for d, or less if ctx ends: then it returns ctx's error.
	Sleep(ctx context.Context, d time.Duration) error
}

// System is the clock of this machine.
var System Clock = system{}

// start anchors Elapsed.
var start = time.Now()

type system struct{}

func (system) Now() time.Time         { return time.Now() }
func (system) Elapsed() time.Duration { return time.Since(start) }

func (system) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Skewed returns a clock whose wall clock is wrong by offset. Elapsed and Sleep are right, as on a machine whose date is wrong.
func Skewed(offset time.Duration) Clock { return skewed{system{}, offset} }

type skewed struct {
	system
	offset time.Duration
}

func (s skewed) Now() time.Time { return time.Now().Add(s.offset) }
