package ui

import (
	"fmt"
	"slices"
)

// Lines makes hostile text harmless: what would steer a terminal is shown as something unknown. Lines and tabs stay.
func Lines(s string) string { return clean(s) }

// Counts writes the numbers of instances by outcome, and how many were cached, as they stand in the event build_finished.
func Counts(counts map[string]int) string {
	total := 0
	for class, n := range counts {
		if slices.Contains(classOrder, class) {
			total += n
		}
	}
	line := fmt.Sprintf("%s %s: %s", Thousands(total), plural(total, "instance"), classes(counts, false))
	if n := counts["cached_local"] + counts["cached_remote"]; n > 0 {
		line += fmt.Sprintf(" (%s cached)", Thousands(n))
	}
	return line
}

// Compared writes the numbers of instances by the classes of a comparison.
func Compared(counts map[string]int) string {
	same := counts["same-pass"] + counts["same-fail"]
	return fmt.Sprintf("%s, %s the same", classes(counts, true), Thousands(same))
}
