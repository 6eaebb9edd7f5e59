package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cbuild/engine"
	"cbuild/rules/report"
)

// A failRule says which rows of a report make the build fail: any of a class, or more than a part of all rows.
type failRule struct {
	class   string
	percent float64 // more than this many of the rows
}

// parseFailOn reads regressed,inconclusive:1%.
func parseFailOn(s string) ([]failRule, error) {
	var all []failRule
	for part := range strings.SplitSeq(s, ",") {
		if part == "" {
			continue
		}
		class, percent, limited := strings.Cut(part, ":")
		r := failRule{class: class}
		if !slices.Contains(knownClasses(), class) {
			return nil, usagef("--fail-on=%s: there is no class %q. %s", s, class, didYouMean(class, knownClasses(), "The classes are "+strings.Join(knownClasses(), ", ")+"."))
		}
		if limited {
			var err error
			if r.percent, err = strconv.ParseFloat(strings.TrimSuffix(percent, "%"), 64); err != nil || !strings.HasSuffix(percent, "%") || r.percent < 0 {
				return nil, usagef("--fail-on=%s: want a part of the rows such as 1%%, not %q", s, percent)
			}
		}
		all = append(all, r)
	}
	return all, nil
}

func knownClasses() []string {
	names := []string{"pass", "fail", "crash", "timeout", "oom", "unavailable", "error", "invalid", "cancelled"}
	for _, c := range report.Classes(true) {
		names = append(names, string(c))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// failing says which rule of --fail-on holds for a requested report; "" if none does.
func (r *run) failing() string {
	for _, f := range r.reports {
		for _, rule := range r.failOn {
			if text := rule.holds(f.outcome.Result); text != "" {
				return f.name + " " + text
			}
		}
	}
	return ""
}

func (f failRule) holds(r *engine.Result) string {
	var summary map[string]int
	if err := json.Unmarshal([]byte(r.Facts["summary"]), &summary); err != nil {
		return ""
	}
	count, _ := strconv.Atoi(r.Facts["count"])
	n := summary[f.class]
	if float64(n)*100 <= f.percent*float64(count) {
		return ""
	}
	return fmt.Sprintf("has %d %s of %d rows (--fail-on)", n, f.class, count)
}
