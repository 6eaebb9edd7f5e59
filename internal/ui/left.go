package ui

import (
	"time"

	"cbuild/engine"
)

// work is how many instances of a target were done in this build, and how long they took, one after the other.
type work struct {
	instances int
	took      time.Duration
}

func (w work) each() time.Duration { return w.took / time.Duration(max(w.instances, 1)) }

// left estimates how long what is not done will take: as if all of it had to be done anew, at the pace of what was, as much side by side as
// now. What was cached took no time and says nothing about the rest. It is 0 while nothing can be said: while a target may get more rows,
// or has some that are not done and none that was. What rules do themselves, such as a report, is not counted.
func left(progress []engine.Progress, worked map[engine.Label]work, running []lasting) time.Duration {
	var left, most time.Duration
	for _, p := range progress {
		switch {
		case p.Open:
			return 0
		case p.Done == p.Total || ownWork[p.Target.Rule]:
			continue
		}
		w := worked[p.Target.Label]
		if w.instances == 0 || p.Done == 0 {
			return 0
		}
		instances := p.Counts.Total*p.Total/p.Done - p.Counts.Total // a row may be several
		left += w.each() * time.Duration(instances)
		most = max(most, w.each())
	}
	for _, r := range running {
		left -= min(r.took, most) // a part of it is done
	}
	return left / time.Duration(max(1, len(running)))
}

// ownWork are the rules that execute nothing: what they do takes no time worth an estimate.
var ownWork = map[string]bool{"collate": true, "write": true, "group": true}
