package rules

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/report"
)

// Growing are the reports of a build while their rows come in: a live page asks for what is known so far. Its methods may be called
// concurrently.
type Growing struct {
	mu      sync.Mutex
	reports map[engine.Label]*collation // guarded by mu
}

// follow adds a report, instead of what was there under its label.
func (g *Growing) follow(of engine.Label, c *collation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reports == nil {
		g.reports = make(map[engine.Label]*collation)
	}
	if old := g.reports[of]; old != nil {
		old.rows.close()
	}
	g.reports[of] = c
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

// Rows returns how many rows each report has so far.
func (g *Growing) Rows() map[engine.Label]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	rows := make(map[engine.Label]int)
	for l, c := range g.reports {
		c.mu.Lock()
		rows[l] = c.head.Count
		c.mu.Unlock()
	}
	return rows
}

// Snapshot returns the data of the page of a report with the rows so far; nil for one that has not begun.
func (g *Growing) Snapshot(ctx context.Context, of engine.Label) (*report.Snapshot, error) {
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
		o.Build = func() *report.Build { return c.rt.Build(of) }
	}
	s := report.NewSnapshot(o)
	return s, report.Render(head, newShowing(c.rt, e, head).explained(ctx, rows.all()), s)
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
