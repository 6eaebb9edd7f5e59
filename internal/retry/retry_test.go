package retry

import (
	"testing"
	"time"
)

func TestDelayStaysUnderItsCeiling(t *testing.T) {
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute}
	for n, c := range want {
		if got := Ceiling(n); got != c {
			t.Errorf("Ceiling(%d) = %v, want %v", n, got, c)
		}
		low, high := false, false
		for range 200 {
			d := Delay(n)
			if d < 0 || d > c {
				t.Fatalf("Delay(%d) = %v, beyond 0…%v", n, d, c)
			}
			low, high = low || d < c/2, high || d > c/2
		}
		if !low || !high {
			t.Errorf("Delay(%d) does not spread over 0…%v", n, c)
		}
	}
	if Ceiling(1<<30) != Cap || Ceiling(-1) != Base {
		t.Error("the ceiling of absurd attempts is out of bounds")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                                  0,
		"0":                                 0,
		"7":                                 7 * time.Second,
		" 7 ":                               7 * time.Second,
		"600":                               AfterCap,
		"601":                               AfterCap,
		"99999999999999999999999":           AfterCap,
		"-1":                                0,
		"+1":                                0,
		"1.5":                               0,
		"soon":                              0,
		"Wed, 04 Mar 2026 05:06:37 GMT":     30 * time.Second,
		"Wednesday, 04-Mar-26 05:06:37 GMT": 30 * time.Second,
		"Wed Mar  4 05:06:37 2026":          30 * time.Second,
		"Wed, 04 Mar 2026 05:06:00 GMT":     0,
		"Wed, 04 Mar 2099 05:06:00 GMT":     AfterCap,
	} {
		if got := RetryAfter(value, now); got != want {
			t.Errorf("RetryAfter(%q) = %v, want %v", value, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "7", "-1", "99999999999999999999", "Wed, 04 Mar 2026 05:06:37 GMT", "Wed Mar  4 05:06:37 2026", "\x00"} {
		f.Add(s)
	}
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		if d := RetryAfter(value, now); d < 0 || d > AfterCap {
			t.Errorf("RetryAfter(%q) = %v, beyond 0…%v", value, d, AfterCap)
		}
	})
}
