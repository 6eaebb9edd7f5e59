//go:build mutant

package local

import "os"

// mutant names the guard that is missing.
var mutant = os.Getenv("CBUILD_MUTANT")
