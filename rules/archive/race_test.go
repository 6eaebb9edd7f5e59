//go:build race

package archive_test

import "cbuild/rules/archive"

// raceEnabled is set where the race detector multiplies all memory and time.
const raceEnabled = true

// mostBytes and mostEntries are smaller with the race detector, which makes bytes slow: where races are looked for, the way to a limit counts, not how
// far away it is.
const (
	mostBytes   = 4 << 20
	mostEntries = 5000
)

var bounds = archive.Limits{Bytes: mostBytes, Entries: mostEntries}
