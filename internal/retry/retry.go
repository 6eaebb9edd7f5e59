// Package retry says how long to wait before trouble is tried again.
package retry

import (
	"math/rand/v2"
	"time"
)

// Delay returns how long to wait before the retry with the given number, from 0: full jitter, that is a random time between zero
// and a bound that starts at half a second and doubles up to a minute.
func Delay(attempt int) time.Duration {
	bound := time.Minute
	if attempt < 7 {
		bound = min(bound, 500*time.Millisecond<<attempt)
	}
	return rand.N(bound + 1)
}
