package rules

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/report"
)

// Growing are the reports of a build while their rows come in: a live page asks for what is known so far. Its methods may be called
// concurrently.
type Growing struct {
	mu      sync.Mutex
	reports map[string]*collation // guarded by mu; by the label of the instance
}

// A GrowingReport is a report that has begun.
type GrowingReport struct {
	// Label addresses the instance of the target Of.
	Label string
	Of    engine.Label
	Rows  int
}

// maxGrowing is how many reports are kept: each holds a file open. A target that is repeated may make any number of them.
const maxGrowing = 64

// follow keeps a report, instead of an earlier one of the same instance, and reports whether it does: who is not followed closes its rows
// itself.
func (g *Growing) follow(c *collation) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reports == nil {
		g.reports = make(map[string]*collation)
	}
	label := c.label()
	old := g.reports[label]
	if old == nil && len(g.reports) == maxGrowing {
		return false
	}
	if old != nil {
		old.rows.close()
	}
	g.reports[label] = c
	return true
}

// label addresses the instance that c is.
func (c *collation) label() string {
	i := c.self.Instance
	keys := i.Axes
	if i.Target.Repeated {
		keys = append([]string{i.Key}, keys...)
	}
	return engine.InstanceLabel(i.Target.Label.String(), keys)
}

// Close forgets all reports.
func (g *Growing) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.reports {
		c.rows.close()
	}
	g.reports = nil
}

// Reports returns the reports that have begun, sorted by their labels.
func (g *Growing) Reports() (all []GrowingReport) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range slices.Sorted(maps.Keys(g.reports)) {
		c := g.reports[l]
		c.mu.Lock()
		all = append(all, GrowingReport{l, c.self.Instance.Target.Label, c.head.Count})
		c.mu.Unlock()
	}
	return all
}

// Snapshot returns the data of the page of the report with a label, with the rows so far; nil for one that has not begun.
func (g *Growing) Snapshot(ctx context.Context, of string) (*report.Snapshot, error) {
	g.mu.Lock()
	c := g.reports[of]
	g.mu.Unlock()
	if c == nil {
		return nil, nil
	}
	head, rows, err := c.view()
	if err != nil {
		return nil, err
	}
	rows.arrange(len(c.Compare) > 0, len(c.Sort) > 0)
	e, err := newEvidence(c.Collate, c.rt.Store)
	if err != nil {
		return nil, err
	}
	o := report.PageOptions{}
	if c.rt.Build != nil {
		o.Build = func() *report.Build { return c.rt.Build(c.self.Instance.Target.Label) }
	}
	s := report.NewSnapshot(o)
	return s, report.Render(head, newShowing(c.rt, e, head).explained(ctx, until(ctx, rows.all())), s)
}

// until yields rows as long as ctx has not ended: nobody waits for them any more.
func until(ctx context.Context, rows iter.Seq2[*report.Row, error]) iter.Seq2[*report.Row, error] {
	return func(yield func(*report.Row, error) bool) {
		for r, err := range rows {
			if err == nil {
				err = ctx.Err()
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// view returns the head and the rows as they are now.
func (c *collation) view() (*report.Head, *reportRows, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := c.head
	head.Summary, head.Incomplete = maps.Clone(head.Summary), maps.Clone(head.Incomplete)
	rows, err := c.rows.view()
	return &head, rows, err
}

// seal ends the rows.
func (c *collation) seal() (rows, order cas.Digest, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows, order = c.rows.seal(len(c.Compare) > 0, len(c.Sort) > 0)
	if err := c.rows.write(); err != nil {
		return rows, order, fmt.Errorf("rows of the report: %w", err)
	}
	return rows, order, nil
}
