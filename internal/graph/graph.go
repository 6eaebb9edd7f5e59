// Package graph is what the files say of the references between targets, before anything is built. Call New with the targets of a workspace; Select
// evaluates an expression over them.
package graph

import (
	"slices"

	"cbuild/engine"
)

// A Graph holds the references between the targets of a workspace.
type Graph struct {
	targets map[engine.Label]*engine.Target
	readers map[engine.Label][]engine.Label
}

// An Edge is a reference from one target to another.
type Edge struct {
	From, To *engine.Target
	engine.Need
}

// Barrier reports whether the first instance that refers to To waits for all of To's.
func (e Edge) Barrier() bool { return e.Mode == engine.WholeMode && e.To.Repeated }

// New returns the graph of targets, which must refer to one another only.
func New(targets []*engine.Target) *Graph {
	g := &Graph{targets: make(map[engine.Label]*engine.Target), readers: make(map[engine.Label][]engine.Label)}
	for _, t := range targets {
		g.targets[t.Label] = t
	}
	for _, t := range targets {
		for _, n := range t.Needs {
			g.readers[n.Label] = append(g.readers[n.Label], t.Label)
		}
	}
	return g
}

// Edges returns what t refers to, in the order in which it does.
func (g *Graph) Edges(t *engine.Target) []Edge {
	all := make([]Edge, len(t.Needs))
	for i, n := range t.Needs {
		all[i] = Edge{t, g.targets[n.Label], n}
	}
	return all
}

// Path returns a shortest chain of references by which from needs to; nil if there is none.
func (g *Graph) Path(from, to *engine.Target) []Edge {
	came := map[*engine.Target]Edge{from: {}}
	for queue := []*engine.Target{from}; len(queue) > 0; queue = queue[1:] {
		for _, e := range g.Edges(queue[0]) {
			if _, ok := came[e.To]; !ok {
				came[e.To] = e
				queue = append(queue, e.To)
			}
		}
	}
	if _, ok := came[to]; !ok {
		return nil
	}
	var chain []Edge
	for at := to; at != from; at = came[at].From {
		chain = append(chain, came[at])
	}
	slices.Reverse(chain)
	return chain
}

func (g *Graph) needs(l engine.Label) (all []engine.Label) {
	for _, n := range g.targets[l].Needs {
		all = append(all, n.Label)
	}
	return all
}

// reach returns what is reached from a set in at most steps, or in any number if that is negative. The set itself is.
func reach(from set, steps int, next func(engine.Label) []engine.Label) set {
	reached := make(set)
	border := from
	for ; len(border) > 0; steps-- {
		for l := range border {
			reached[l] = true
		}
		if steps == 0 {
			break
		}
		beyond := make(set)
		for l := range border {
			for _, to := range next(l) {
				if !reached[to] {
					beyond[to] = true
				}
			}
		}
		border = beyond
	}
	return reached
}
