//go:build !race

package archive_test

import "cbuild/rules/archive"

const raceEnabled = false

// mostBytes and mostEntries are where the archives of the tests run into a limit: those of any small archive.
const (
	mostBytes   = 64 << 20
	mostEntries = 50_000
)

var bounds archive.Limits
