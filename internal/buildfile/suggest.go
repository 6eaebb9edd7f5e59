package buildfile

import (
	"fmt"
	"iter"
	"maps"
	"slices"
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
		d := distance(given, c)
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

// distance returns in how many typing mistakes a and b differ: bytes left out, added, replaced, or swapped with their neighbour
// (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			if a[i-1] == b[j-1] {
				row[j] = last[j-1]
			} else {
				row[j] = 1 + min(last[j-1], last[j], row[j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
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
