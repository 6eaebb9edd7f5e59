package buildfile

import (
	"slices"
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	for pair, want := range map[string]int{
		"out out": 0, "otu out": 1, "ou out": 1, "outt out": 1, "oat out": 1, "tuo out": 2, "inptus inputs": 1, " out": 3, "out ": 3,
		"comand command": 1, "matrxi matrix": 1, "kitten sitting": 3,
	} {
		a, b, _ := strings.Cut(pair, " ")
		if got := distance(a, b); got != want {
			t.Errorf("%s: %d, want %d", pair, got, want)
		}
		if got := distance(b, a); got != want {
			t.Errorf("%s the other way: %d, want %d", pair, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"command", "env", "for_each", "inputs", "ok", "out", "outcome", "stdout"}
	for given, want := range map[string]string{"otu": "out", "inptus": "inputs", "foreach": "for_each", "zzz": "", "": "", "stdot": "stdout", "o": "ok"} {
		if got := nearest(given, slices.Values(names)); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}
