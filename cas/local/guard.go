//go:build !mutant

package local

// mutant names the guard that is missing: none, in all programs. Tests build this package with the tag mutant to see that each harness
// notices when its guard is gone.
const mutant = ""
