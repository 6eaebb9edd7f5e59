package buildfile

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"cbuild/internal/typo"
)

// nearest returns the candidate that given was probably meant to be, or "".
func nearest(given string, candidates iter.Seq[string]) string {
	limit := max(2, len(given)/3)
	if len(given) <= 3 {
		limit = 1
	}
	// Of two that are equally near, the one that begins alike.
	best, score := "", 2*limit+2
	for _, c := range slices.Sorted(candidates) {
		d := typo.Distance(given, c)
		s := 2*d + 1
		if given != "" && c != "" && given[0] == c[0] {
			s--
		}
		if d <= limit && s < score {
			best, score = c, s
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
