package ui

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// activity is what a build does at the moment. Times are on the clock.
type activity struct {
	running map[string]time.Duration // name → since when
	waiting map[string]elsewhere     // name → who does it
}

// elsewhere is who else does what this build waits for.
type elsewhere struct {
	holder string
	since  time.Duration
}

func newActivity() activity {
	return activity{make(map[string]time.Duration), make(map[string]elsewhere)}
}

// idle reports whether nothing is done.
func (a *activity) idle() bool { return len(a.running)+len(a.waiting) == 0 }

// started notes that name runs.
func (a *activity) started(name string, now time.Duration) {
	delete(a.waiting, name)
	a.running[name] = now
}

// waits notes that somebody else does what name needs.
func (a *activity) waits(name, holder string, since time.Duration) {
	a.waiting[name] = elsewhere{holder, since}
}

// stopped forgets what runs no more: it is done, or it backs off, and text says why behind its name.
func (a *activity) stopped(text string, backsOff bool) {
	if backsOff {
		text = nameIn(text, func(name string) bool { _, ok := a.running[name]; return ok })
	}
	delete(a.running, text)
	delete(a.waiting, text)
}

// nameIn returns the name with which text begins, before a colon, as it does when something backs off; "" if it is none that is known.
func nameIn(text string, known func(name string) bool) string {
	for at := 0; ; at++ {
		next := strings.Index(text[at:], ": ")
		if next < 0 {
			return ""
		}
		if at += next; known(text[:at]) {
			return text[:at]
		}
	}
}

// A lasting is something that has been going on for a time.
type lasting struct {
	text string
	took time.Duration
}

func longestFirst(all []lasting) []lasting {
	slices.SortFunc(all, func(x, y lasting) int { return cmp.Or(cmp.Compare(y.took, x.took), cmp.Compare(x.text, y.text)) })
	return all
}

// longest lists what runs, the longest first.
func (a *activity) longest(now time.Duration) []lasting {
	all := make([]lasting, 0, len(a.running))
	for name, since := range a.running {
		all = append(all, lasting{name, now - since})
	}
	return longestFirst(all)
}

// awaited says for whom this build waits, and for how long it has, a line for each of them.
func (a *activity) awaited(now time.Duration) (lines []string) {
	of := make(map[string][]lasting)
	for name, e := range a.waiting {
		of[e.holder] = append(of[e.holder], lasting{name, now - e.since})
	}
	var holders []lasting
	for holder, all := range of {
		holders = append(holders, lasting{holder, longestFirst(all)[0].took})
	}
	for _, h := range longestFirst(holders) {
		what := of[h.text][0].text
		if n := len(of[h.text]); n > 1 {
			what = Thousands(n) + " instances"
		}
		lines = append(lines, "waiting for "+h.text+", "+minutes(h.took)+": "+what)
	}
	return lines
}
