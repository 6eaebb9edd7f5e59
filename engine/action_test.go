package engine

import (
	"testing"
	"time"
)

// What a limit ended serves only requests that could not have got further: the same limit or a smaller one, on the same machine.
func TestServe(t *testing.T) {
	c := func(timeout time.Duration, memory, disk int64, machine string, soft bool) Conditions {
		return Conditions{Timeout: timeout, Memory: memory, Disk: disk, Machine: machine, Soft: soft}
	}
	for _, test := range []struct {
		name   string
		status Status
		had    Conditions
		want   Conditions
		serves bool
	}{
		{"a pass serves any limit", Pass, c(1, 1, 1, "a", true), c(9, 9, 9, "b", false), true},
		{"a failure does if limits are kept apart from it", Fail, c(1, 1, 0, "a", false), c(9, 9, 9, "b", false), true},
		{"a timeout serves the same limit", Timeout, c(5, 0, 0, "a", false), c(5, 0, 0, "a", false), true},
		{"… a smaller one", Timeout, c(5, 0, 0, "a", false), c(4, 0, 0, "a", false), true},
		{"… no greater one", Timeout, c(5, 0, 0, "a", false), c(6, 0, 0, "a", false), false},
		{"… and no other machine", Timeout, c(5, 0, 0, "a", false), c(5, 0, 0, "b", false), false},
		{"oom serves a smaller limit", OOM, c(0, 5, 0, "a", false), c(0, 4, 0, "a", false), true},
		{"… not none", OOM, c(0, 5, 0, "a", false), c(0, 0, 0, "a", false), false},
		{"a failure under a soft limit on memory may be its doing", Crash, c(0, 5, 0, "a", true), c(0, 6, 0, "a", true), false},
		{"… and serves the same one", Crash, c(0, 5, 0, "a", true), c(0, 5, 0, "a", true), true},
		{"a failure under a limit on the disk may be its doing", Fail, c(0, 0, 5, "a", false), c(0, 0, 6, "a", false), false},
		{"… and serves the same one", Fail, c(0, 0, 5, "a", false), c(0, 0, 5, "a", false), true},
		{"a soft machine without limits changes nothing", Fail, c(0, 0, 0, "a", true), c(0, 5, 5, "b", true), true},
	} {
		if ok, reason := test.had.Serve(test.status, test.want); ok != test.serves || ok != (reason == "") {
			t.Errorf("%s: %v %q", test.name, ok, reason)
		}
	}
}
