package buildfile

import (
	"fmt"
	"slices"
	"strings"
)

// findCycles reports every circle of targets that wait for one another, once.
func (w *Workspace) findCycles(diags *Diagnostics) {
	f := &cycleFinder{state: make(map[*target]int), diags: diags}
	for _, dir := range sortedKeys(w.packages) {
		for _, t := range w.packages[dir].order {
			f.visit(t)
		}
	}
}

// A cycleFinder walks the targets depth first. State is 0 for a target that was not seen, 1 on the way down to the current one,
// and 2 when all that it needs was seen.
type cycleFinder struct {
	state map[*target]int
	path  []use
	from  []*target
	diags *Diagnostics
}

func (f *cycleFinder) visit(t *target) {
	if f.state[t] != 0 {
		return
	}
	f.state[t] = 1
	f.from = append(f.from, t)
	for _, u := range t.needs {
		f.path = append(f.path, u)
		if f.state[u.target] == 1 {
			f.report(u.target)
		} else {
			f.visit(u.target)
		}
		f.path = f.path[:len(f.path)-1]
	}
	f.from = f.from[:len(f.from)-1]
	f.state[t] = 2
}

// Of a long circle the first cycleHead and the last cycleTail targets are shown.
const (
	cycleHead = 8
	cycleTail = 2
)

// report describes the circle that begins at first and that the last edge of the path closes.
func (f *cycleFinder) report(first *target) {
	i := len(f.from) - 1
	for f.from[i] != first {
		i--
	}
	members, edges := f.from[i:], f.path[i:]
	var b strings.Builder
	fmt.Fprintf(&b, "%d targets wait for one another:\n", len(members))
	name := (*target).ref
	if slices.ContainsFunc(members, func(t *target) bool { return t.label.Dir != first.label.Dir }) {
		name = func(t *target) string { return t.label.String() }
	}
	for j, t := range members {
		if left := len(members) - cycleTail - j; j >= cycleHead && left > 0 {
			if j == cycleHead {
				fmt.Fprintf(&b, "  … %d more …\n", left)
			}
			continue
		}
		fmt.Fprintf(&b, "  %-14s needs %-14s (%s, in %q)\n", name(t), name(edges[j].target), where(edges[j].rng), edges[j].attr)
	}
	b.WriteString("Remove one of these references.")
	last := edges[len(edges)-1]
	t := members[len(members)-1]
	t.bad = true
	f.diags.add(t.pkg.src, last.rng, "Dependency cycle", b.String())
}
