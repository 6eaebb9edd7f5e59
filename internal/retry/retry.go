// Package retry says how long to wait before trouble that may pass is tried again: Delay draws a pause, RetryAfter reads what a
// server asked for. It waits for nothing itself.
package retry

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// The bounds of the waits.
const (
	// Base is the ceiling of the first pause.
	Base = 500 * time.Millisecond
	// Cap is the ceiling of every pause.
	Cap = time.Minute
	// AfterCap is the longest wait that a server can ask for.
	AfterCap = 10 * time.Minute
)

// Ceiling returns the longest pause after attempt n failed, counted from 0: Base doubled n times, at most Cap.
func Ceiling(n int) time.Duration {
	d := Base
	for range max(n, 0) {
		if d >= Cap/2 {
			return Cap
		}
		d *= 2
	}
	return d
}

// Delay draws the pause after attempt n failed, counted from 0: evenly between zero and Ceiling(n), so that many that failed
// together do not come back together ("full jitter").
func Delay(n int) time.Duration { return rand.N(Ceiling(n) + 1) }

// dateLayouts are the three forms of a date in HTTP, RFC 9110 §5.6.7.
var dateLayouts = []string{"Mon, 02 Jan 2006 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC}

// RetryAfter reads the value of a Retry-After header, seconds or a date, and returns how long to wait from now, at most AfterCap.
// It returns zero for a date that is past and for what is neither.
func RetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if digits(value) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n > int64(AfterCap/time.Second) {
			return AfterCap // more digits than fit is a long time, too
		}
		return time.Duration(n) * time.Second
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, value); err == nil {
			return min(max(t.Sub(now), 0), AfterCap)
		}
	}
	return 0
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
