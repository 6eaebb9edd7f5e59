package buildfile

import (
	"slices"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"command", "env", "for_each", "inputs", "ok", "out", "outcome", "stdout"}
	for given, want := range map[string]string{"otu": "out", "inptus": "inputs", "foreach": "for_each", "zzz": "", "": "", "stdot": "stdout", "o": "ok"} {
		if got := nearest(given, slices.Values(names)); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}
