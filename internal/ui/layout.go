package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"cbuild/engine"
)

// A picture is what there is to see of a build at a time.
type picture struct {
	columns, rows int
	took, left    time.Duration // so far, and until the end; 0 if nobody knows
	targets       []engine.Progress
	running       []lasting
	waiting       []string // a line for each host that is waited for
}

// A layout makes lines of pictures. It remembers how wide its columns have been, so that nothing jumps to and fro.
type layout struct {
	color                bool
	name, rule, fraction int // columns
}

// The most lines of a picture, and the least that it may have where there are more of them: half of the terminal is for what went wrong.
const (
	mostLines  = 20
	leastLines = 4
	// ruleFrom is how wide a terminal is on which the rule of each target is shown, and classRoom what is kept free for classes.
	ruleFrom  = 90
	classRoom = 24
	// mostName is how wide the longest name may be, and leastName how wide it may be however little room there is.
	mostName, leastName = 32, 5
)

// lines returns the lines of a picture, each narrower than the terminal and all of them fewer than it has rows: the targets, whom they wait
// for, and what runs.
func (l *layout) lines(p picture) []string {
	budget := min(p.rows-1, max(leastLines, p.rows/2), mostLines)
	if budget < 1 || p.columns < 2 {
		return nil // there is no line to go back to
	}
	rest := budget - 1 // for the clock
	waiting := p.waiting[:min(len(p.waiting), (rest+1)/3)]
	rest -= len(waiting)
	running := p.running[:min(len(p.running), max(rest/3, rest-len(p.targets)))]
	rest -= len(running)
	out, hidden := l.targets(p, rest)
	for i, w := range waiting {
		if hidden := len(p.waiting) - len(waiting); hidden > 0 && i == len(waiting)-1 {
			w += fmt.Sprintf(" (and %s more)", Thousands(hidden))
		}
		out = append(out, " "+l.colored(yellow, Text(w)))
	}
	out = append(out, clockLine(p, hidden))
	for _, r := range running {
		out = append(out, fmt.Sprintf(" %6s  %s", Elapsed(r.took), Text(r.text)))
	}
	for i := range out {
		out[i] = fit(out[i], p.columns)
	}
	return out
}

// clockLine says how long it took, how long it may take, how much runs, and how many targets are not shown.
func clockLine(p picture, hidden int) string {
	line := " " + Elapsed(p.took)
	if p.left >= time.Second {
		line += ", about " + rough(p.left) + " left"
	}
	line += ", " + Thousands(len(p.running)) + " running"
	if hidden > 0 {
		line += ", " + Thousands(hidden) + " more " + plural(hidden, "target")
	}
	return line
}

// targets returns at most n lines for the targets, in the order in which they were declared, and how many have none. If there are more of
// them, those in which something happens come first, then those that have something to show.
func (l *layout) targets(p picture, n int) (lines []string, hidden int) {
	shown := foremost(p.targets, n)
	l.measure(shown)
	for _, t := range shown {
		lines = append(lines, l.target(t, p.columns))
	}
	return lines, len(p.targets) - len(shown)
}

// foremost returns the n most important targets in their order, or all if there are no more. There may be thousands.
func foremost(all []engine.Progress, n int) []engine.Progress {
	if len(all) <= n {
		return all
	}
	var of [mostImportant + 1][]int
	for i, p := range all {
		of[importance(p)] = append(of[importance(p)], i)
	}
	var chosen []int
	for _, some := range slices.Backward(of[:]) {
		chosen = append(chosen, some[:min(len(some), n-len(chosen))]...)
	}
	slices.Sort(chosen)
	shown := make([]engine.Progress, len(chosen))
	for i, at := range chosen {
		shown[i] = all[at]
	}
	return shown
}

// mostImportant is the importance of a target that is under way.
const mostImportant = 3

// importance orders targets: under way, failed, waiting, done. What a query finds is there at once.
func importance(p engine.Progress) int {
	done := !p.Open && p.Done == p.Total
	switch {
	case p.Done > 0 && p.Done < p.Total:
		return mostImportant
	case p.Counts.Total > p.Counts.Classes[engine.ClassPass]:
		return 2
	case !done:
		return 1
	}
	return 0
}

// measure widens the columns to what they have to hold.
func (l *layout) measure(all []engine.Progress) {
	for _, p := range all {
		l.name = max(l.name, min(ansi.StringWidth(Text(p.Target.Label.Name)), mostName))
		l.rule = max(l.rule, len(p.Target.Rule))
		l.fraction = max(l.fraction, ansi.StringWidth(fraction(p)))
	}
}

// target is the line of a target: its name, its rule if there is room, how far it is, and what came out.
func (l *layout) target(p engine.Progress, columns int) string {
	rule := ""
	if columns >= ruleFrom {
		rule = "  " + p.Target.Rule + blanks(l.rule-len(p.Target.Rule))
	}
	room := columns - 1 - len(rule) - l.fraction - 4 - min(classRoom, columns/4)
	width := min(l.name, max(room, leastName))
	name := fit(Text(p.Target.Label.Name), width+1)
	f := fraction(p)
	line := " " + name + blanks(width-ansi.StringWidth(name)) + rule + "  " + blanks(l.fraction-ansi.StringWidth(f)) + f
	var parts []string
	for _, class := range bad(p.Counts) {
		parts = append(parts, l.colored(classColor(class), Thousands(p.Counts.Classes[class])+" "+string(class)))
	}
	if n := p.Counts.Cached[engine.CachedLocal] + p.Counts.Cached[engine.CachedRemote]; n > 0 {
		parts = append(parts, Thousands(n)+" cached")
	}
	if len(parts) > 0 {
		line += "  " + strings.Join(parts, ", ")
	}
	return line
}

func blanks(n int) string { return strings.Repeat(" ", max(n, 0)) }

// bad returns the classes that need a look and that there are, in the order in which summaries list them.
func bad(c engine.Counts) (classes []engine.Class) {
	for _, class := range classOrder {
		if class := engine.Class(class); class != engine.ClassPass && c.Classes[class] > 0 {
			classes = append(classes, class)
		}
	}
	return classes
}

// classColor is red for what went wrong, and yellow for what could not be tried.
func classColor(class engine.Class) string {
	switch class {
	case engine.ClassUnavailable, engine.ClassSkipped, engine.ClassCancelled:
		return yellow
	}
	return red
}

func (l *layout) colored(color, text string) string { return colored(l.color, color, text) }

// fraction writes done/total, with ≥ while more may come. What a query finds is done when it is known.
func fraction(p engine.Progress) string {
	open := ""
	if p.Open {
		open = "≥"
	}
	switch {
	case p.Open && p.Total == 0:
		return "0/?"
	case p.Target.Query != nil && p.Done == p.Total:
		return open + Thousands(p.Total)
	}
	return Thousands(p.Done) + "/" + open + Thousands(p.Total)
}
