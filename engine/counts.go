package engine

import (
	"maps"
	"time"
)

// Counts are numbers of instances.
type Counts struct {
	Total   int
	Classes map[Class]int
	// Cached counts results by where they were taken from.
	Cached map[Cached]int
	// Took is how long the executions of all results took together, those of earlier builds too.
	Took time.Duration
}

func newCounts() *Counts {
	return &Counts{Classes: make(map[Class]int), Cached: make(map[Cached]int)}
}

func (c *Counts) add(o *Outcome) {
	c.Total++
	c.Classes[o.Class()]++
	if o.Result != nil {
		c.Cached[o.Cached]++
		c.Took += o.Result.Took
	}
}

// Sum returns the counts of the given targets, or of all if there is none given.
func (b *Build) Sum(labels ...Label) Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	sum := newCounts()
	if labels == nil {
		for l := range b.counts {
			labels = append(labels, l)
		}
	}
	for _, l := range labels {
		c := b.counts[l]
		if c == nil {
			continue
		}
		sum.Total += c.Total
		sum.Took += c.Took
		for k, n := range maps.All(c.Classes) {
			sum.Classes[k] += n
		}
		for k, n := range maps.All(c.Cached) {
			sum.Cached[k] += n
		}
	}
	return *sum
}

// Progress is how far a target is.
type Progress struct {
	Target *Target
	// Done is how many rows are finished, Total how many are known, and Open whether more may come.
	Done, Total int
	Open        bool
	Counts      Counts
}

// Progress returns how far each target is that has been started, in the order in which the targets were declared.
func (b *Build) Progress() []Progress {
	var all []Progress
	for _, t := range b.opts.Targets {
		n := b.nodes[t.Label]
		n.mu.Lock()
		p := Progress{Target: t, Done: n.items - len(n.pending) - len(n.rows), Total: n.items, Open: !n.taken}
		started := n.started
		n.mu.Unlock()
		if started {
			p.Counts = b.Sum(t.Label)
			all = append(all, p)
		}
	}
	return all
}
