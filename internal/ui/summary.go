package ui

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cbuild/engine"
)

// classOrder is the order in which classes are listed: what needs a look first. What a comparison finds to be the same is not: it is
// all the other rows.
var classOrder = []string{
	"regressed", "fixed", "changed", "inconclusive", "new", "gone", "item", "pass", "fail", "crash", "timeout", "oom",
	"unavailable", "error", "invalid", "skipped", "cancelled",
}

// always are the classes of a comparison that a summary shows even if there are none.
var always = []string{"regressed", "inconclusive"}

// Report writes the summary line of a report: its name, rows and classes.
func Report(name string, facts, notes map[string]string, took time.Duration) string {
	var summary map[string]int
	json.Unmarshal([]byte(facts["summary"]), &summary)
	count, _ := strconv.Atoi(facts["count"])
	line := fmt.Sprintf("%s  %s %s: %s", name, Thousands(count), plural(count, "row"), classes(summary, facts["compared"] != ""))
	if cached, _ := strconv.Atoi(notes["cached"]); cached > 0 {
		line += fmt.Sprintf(" (%s cached)", Thousands(cached))
	}
	if facts["incomplete"] != "" {
		line += ", incomplete"
	}
	return line + " " + Elapsed(took)
}

// Instances writes the summary line of a build of anything else. Incomplete names the reports that do not hold all.
func Instances(c engine.Counts, incomplete []string, took time.Duration) string {
	byClass := make(map[string]int)
	for class, n := range c.Classes {
		byClass[string(class)] = n
	}
	line := fmt.Sprintf("%s %s: %s", Thousands(c.Total), plural(c.Total, "instance"), classes(byClass, false))
	if n := c.Cached[engine.CachedLocal] + c.Cached[engine.CachedRemote]; n > 0 {
		line += fmt.Sprintf(" (%s cached)", Thousands(n))
	}
	if len(incomplete) > 0 {
		line += ", incomplete: " + strings.Join(incomplete, ", ") + ","
	}
	return line + " " + Elapsed(took)
}

func classes(counts map[string]int, compared bool) string {
	var parts []string
	for _, c := range classOrder {
		if n := counts[c]; n > 0 || compared && slices.Contains(always, c) {
			parts = append(parts, Thousands(n)+" "+c)
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// Thousands writes n with commas.
func Thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
