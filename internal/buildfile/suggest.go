package buildfile

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/agext/levenshtein"
)

// nearest returns the candidate that given was probably meant to be, or "".
func nearest(given string, candidates iter.Seq[string]) string {
	best, distance := "", max(1, len(given)/3)+1
	for _, c := range slices.Sorted(candidates) {
		if d := levenshtein.Distance(given, c, nil); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// didYouMean returns the sentence of suggestion, or otherwise if nothing is near.
func didYouMean(given string, candidates iter.Seq[string], otherwise string) string {
	if s := nearest(given, candidates); s != "" {
		return fmt.Sprintf("Did you mean %q?", s)
	}
	return otherwise
}

// oneOf writes names as a sentence: "It is one of a, b, c.".
func oneOf(what string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	s := what
	for i, n := range names {
		if i > 0 {
			s += ","
		}
		s += " " + n
	}
	return s + "."
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
