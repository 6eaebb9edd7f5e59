//go:build race

package sandbox

// Where the race detector is in, a process waits for a second at its end, lest a race be missed that is about to happen. A helper has none at its end,
// and a build has many helpers.
func init() { helperEnv = append(helperEnv, "GORACE=atexit_sleep_ms=0") }
