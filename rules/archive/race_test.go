//go:build race

package archive_test

// raceEnabled is set where the race detector multiplies all memory.
const raceEnabled = true
