package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"cbuild/engine"
	"cbuild/internal/typo"
	"cbuild/rules/report"
)

// A collation turns the elements of `rows` into the rows of a report, one by one as they come.
type collation struct {
	*Collate
	rt       *Runtime
	self     Self
	evidence *evidence

	// mu guards what a Growing reads while the rows come in.
	mu   sync.Mutex
	head report.Head // guarded by mu
	rows *reportRows // guarded by mu
	// cached counts the rows of which nothing was done in this build.
	cached int
	// ran is set if anything was done in this build.
	ran bool
	// axes remembers for each target which axis is compared.
	axes map[*engine.Target]int
	// of are the targets whose instances the rows hold.
	of map[*engine.Target]bool
}

func newCollation(r *Collate, rt *Runtime, self Self) (*collation, error) {
	if len(r.Compare) == 1 {
		return nil, invalidf("compare: one key has nothing to be compared with: name two or more keys of one axis")
	}
	for i, key := range r.Compare {
		if slices.Contains(r.Compare[:i], key) {
			return nil, invalidf("compare: %q is there twice", key)
		}
	}
	e, err := newEvidence(r, rt.Store)
	if err != nil {
		return nil, err
	}
	rows, err := newReportRows(rt.Temp)
	if err != nil {
		return nil, fmt.Errorf("rows of the report: %w", err)
	}
	c := &collation{Collate: r, rt: rt, self: self, evidence: e, rows: rows, axes: make(map[*engine.Target]int), of: make(map[*engine.Target]bool)}
	c.head = report.Head{
		Compare: r.Compare, Grouped: r.Group != nil,
		Summary: make(map[report.Class]int), Incomplete: make(map[string]int),
	}
	c.head.Title = cmpOr(r.Title, self.Instance.Target.Label.Name)
	if rt.Note != "" {
		c.head.Title += " (" + rt.Note + ")"
	}
	for _, n := range r.Columns {
		c.head.Columns = append(c.head.Columns, n.Name)
	}
	if r.Columns == nil {
		c.head.Columns, c.head.Outcomes = r.Compare, true
	}
	return c, nil
}

// collect reads the elements to their end. That they ended with an error makes the report incomplete; an error of its own means that
// there can be none.
func (c *collation) collect(ctx context.Context, items iter.Seq2[engine.Item, error]) error {
	for item, err := range items {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.lacks(report.EndedEarly)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.head.Trouble = engine.PublicText(err)
			return nil
		}
		if err := c.item(ctx, item); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// item adds the rows of one element: one for each instance, or, in a comparison, one for each combination of keys on the axes that
// are not compared.
func (c *collation) item(ctx context.Context, item engine.Item) error {
	if item.Err != nil && len(c.Compare) == 0 {
		class := engine.ClassOf(item.Err)
		if engine.Troubled(item.Err) {
			c.lacks(string(class))
		}
		return c.add(&report.Row{Key: item.Key, Class: report.Class(class)}, columns{values: make([]engine.Value, len(c.Columns))}, nil)
	}
	columns := c.columns(ctx, item)
	of, ok := item.Value.(*engine.Row)
	switch {
	case !ok && len(c.Compare) > 0:
		return invalidf("compare: %q is no instance of a target: only instances with a matrix can be compared", item.Key)
	case !ok:
		return c.add(&report.Row{Key: item.Key, Class: report.Item}, columns, nil)
	case len(c.Compare) > 0:
		return c.compared(ctx, item, of, columns)
	}
	if err := c.fields(of, -1); err != nil {
		return err
	}
	for _, o := range of.Cells {
		side, _ := c.side(of, o)
		axes := o.Axes[of.Peeled:]
		r := &report.Row{Key: joinKey(item.Key, axes), Axes: axes, Class: report.Class(side.Outcome), Sides: []report.Side{side}}
		if err := c.prove(ctx, r, []*engine.Outcome{o}, false); err != nil {
			return err
		}
		if err := c.add(r, columns, []*engine.Outcome{o}); err != nil {
			return err
		}
	}
	return nil
}

// compared adds the rows of an element of a comparison.
func (c *collation) compared(ctx context.Context, item engine.Item, of *engine.Row, columns columns) error {
	axis, err := c.axis(ctx, of)
	if err != nil {
		return err
	}
	if err := c.fields(of, axis); err != nil {
		return err
	}
	for _, g := range c.groups(of, axis) {
		r := &report.Row{Key: joinKey(item.Key, g.axes), Axes: g.axes, Sides: make([]report.Side, len(c.Compare))}
		if err := c.classify(ctx, of, r, g.sides); err != nil {
			return err
		}
		if err := c.add(r, columns, g.sides); err != nil {
			return err
		}
	}
	return nil
}

// A sideBySide is what is compared in one row: an outcome for each compared key, nil where there is none.
type sideBySide struct {
	axes  []string // keys on the other axes
	sides []*engine.Outcome
}

// groups sorts the cells of a row into what is compared with each other.
func (c *collation) groups(of *engine.Row, axis int) []sideBySide {
	var list []sideBySide
	for _, o := range of.Cells {
		at := slices.Index(c.Compare, o.Axes[axis])
		if at < 0 {
			continue
		}
		others := slices.Concat(o.Axes[of.Peeled:axis], o.Axes[axis+1:])
		i := slices.IndexFunc(list, func(g sideBySide) bool { return slices.Equal(g.axes, others) })
		if i < 0 {
			i = len(list)
			list = append(list, sideBySide{axes: others, sides: make([]*engine.Outcome, len(c.Compare))})
		}
		list[i].sides[at] = o
	}
	return list
}

// classify fills in the sides of r and its class.
func (c *collation) classify(ctx context.Context, of *engine.Row, r *report.Row, outcomes []*engine.Outcome) error {
	standings := make([]report.Standing, len(outcomes))
	for i, o := range outcomes {
		if o != nil {
			var network bool
			r.Sides[i], network = c.side(of, o)
			standings[i] = report.Standing{Outcome: r.Sides[i].Outcome, Network: network}
		}
	}
	lost := false
	classes := make([]report.Class, len(outcomes))
	for i := 1; i < len(outcomes); i++ {
		var err error
		classes[i] = report.Compare(standings[0], standings[i], func() (same bool) {
			same, err = c.evidence.same(ctx, outcomes[0].Result, outcomes[i].Result)
			return same
		})
		if err != nil {
			lost, classes[i] = true, report.Inconclusive
		}
		r.Sides[i].Class = classes[i]
	}
	r.Class = report.Worst(classes)
	return c.prove(ctx, r, outcomes, lost)
}

// side describes an outcome, and reports whether it could use the network.
func (c *collation) side(of *engine.Row, o *engine.Outcome) (s report.Side, network bool) {
	s.Outcome = o.Class()
	s.Extra.Label = joinLabel(of, o)
	c.of[of.Target] = true
	s.Extra.Cached, s.Extra.Key = o.Cached, o.Key
	if o.Result == nil {
		s.Extra.Trouble = engine.PublicText(o.Err)
		if s.Outcome == engine.ClassSkipped || s.Outcome == engine.ClassInvalid {
			s.Cause, s.Extra.Trouble = s.Extra.Trouble, ""
		}
		return s, false
	}
	s.Ran, s.ExitCode = true, o.Result.ExitCode
	s.Extra.Log, s.Extra.Took, s.Extra.Used = o.Result.Log, o.Result.Took, o.Result.Used
	s.Extra.Shielded = of.Target.Rule == "run"
	return s, o.Result.Facts["network"] != ""
}

// joinLabel writes the address of an instance as the command line takes it.
func joinLabel(of *engine.Row, o *engine.Outcome) string {
	keys := o.Axes
	if of.Target.Repeated {
		keys = append([]string{of.Key}, keys...)
	}
	return engine.InstanceLabel(of.Target.Label.String(), keys)
}

// prove adds the evidence to the sides of a row that needs a look: it is part of what the report says. That of quiet rows is not,
// so that logs which differ in nothing but their times are never read when the rows are. Lost evidence is trouble: the row proves
// nothing, and the report is incomplete. Lost says that some is known to be lost.
func (c *collation) prove(ctx context.Context, r *report.Row, outcomes []*engine.Outcome, lost bool) error {
	if r.Class.Quiet() {
		return nil
	}
	for i, o := range outcomes {
		if o == nil || o.Result == nil {
			continue
		}
		d, err := c.evidence.digest(ctx, o.Result)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		lost = lost || err != nil
		r.Sides[i].Evidence = d
		if c.evidence.outs {
			r.Sides[i].Extra.Outs = o.Result.Read()
		}
	}
	if lost {
		c.lacks(report.LostEvidence)
		if len(c.Compare) > 0 {
			r.Class = report.Inconclusive
		}
	}
	return nil
}

// columns are what the expressions over one element gave.
type columns struct {
	values   []engine.Value
	problems []string
	group    string
	sort     []byte
}

func (c *collation) columns(ctx context.Context, item engine.Item) columns {
	var cs columns
	for i, n := range c.Columns {
		v, problem := c.value(ctx, n.Value, item)
		cs.values = append(cs.values, v)
		if problem != "" {
			if cs.problems == nil {
				cs.problems = make([]string, len(c.Columns))
			}
			cs.problems[i] = problem
		}
	}
	if c.Group != nil {
		v, _ := c.value(ctx, c.Group, item)
		cs.group = report.Display(v)
	}
	for _, e := range c.Sort {
		v, _ := c.value(ctx, e, item)
		cs.sort = appendSortKey(cs.sort, v)
	}
	return cs
}

// value evaluates e. What has no usable result is nil; anything else that goes wrong makes the report incomplete besides.
func (c *collation) value(ctx context.Context, e Expr, item engine.Item) (v engine.Value, problem string) {
	v, err := e(ctx, item)
	if err == nil {
		return v, ""
	}
	if !errors.As(err, new(*engine.SkippedError)) {
		problem = engine.PublicText(err)
		if c.lacks(report.BadColumns) <= maxTold {
			c.self.View.Emit(engine.Event{
				Type: engine.EventDiagnostic, Severity: "warning",
				Text: fmt.Sprintf("%s has no value for a column of row %q: %v", c.self.Instance.Name(), item.Key, err),
			})
		}
	}
	return nil, problem
}

// lacks notes one more of what makes the report incomplete, and returns how many there are.
func (c *collation) lacks(word string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head.Incomplete[word]++
	return c.head.Incomplete[word]
}

// maxTold is how many columns without a value are told of while a report is made; all of them stand in it.
const maxTold = 5

// add counts r and writes it to scratch.
func (c *collation) add(r *report.Row, cs columns, outcomes []*engine.Outcome) error {
	r.Columns, r.Group, r.Problems = cs.values, cs.group, cs.problems
	if c.Columns == nil {
		for _, s := range r.Sides[:len(c.head.Columns)] {
			r.Columns = append(r.Columns, outcomeValue(s.Outcome))
		}
	}
	cached := true
	for _, o := range outcomes {
		if o == nil {
			continue
		}
		cached = cached && o.Cached != engine.NotCached
		c.ran = c.ran || o.Result != nil && o.Cached == engine.NotCached
		if engine.Troubled(o.Err) {
			c.lacks(string(o.Class()))
		}
	}
	if cached && len(outcomes) > 0 {
		c.cached++
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head.Count++
	c.head.Summary[r.Class]++
	if err := c.rows.add(r, cs.sort); err != nil {
		return fmt.Errorf("row %q of the report: %w", r.Key, err)
	}
	return nil
}

// outcomeValue is what a column shows of an outcome; nil for a side that does not exist.
func outcomeValue(o engine.Class) engine.Value {
	if o == "" {
		return nil
	}
	return string(o)
}

// fields sets the names of the axes that are part of the keys: all but the compared one. They are the same for all rows.
func (c *collation) fields(of *engine.Row, compared int) error {
	var names []string
	for i, n := range of.Target.Axes {
		if i >= of.Peeled && i != compared {
			names = append(names, n)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.head.Count == 0 && c.head.Axes == nil {
		c.head.Axes = names
	}
	if !slices.Equal(names, c.head.Axes) {
		return invalidf("rows: instances of %s have other axes than the rows before", of.Target.Label)
	}
	return nil
}

// axis returns which axis of the row's target is compared.
func (c *collation) axis(ctx context.Context, of *engine.Row) (int, error) {
	if axis, ok := c.axes[of.Target]; ok && axis >= of.Peeled {
		return axis, nil
	}
	if len(of.Target.Axes) <= of.Peeled {
		return 0, invalidf("compare: %s has no matrix: there are no axes to compare", of.Target.Label)
	}
	axes, err := of.Target.Matrix(ctx, c.self.View)
	if err != nil {
		return 0, err
	}
	var found []int
	for i, a := range axes {
		if i >= of.Peeled && !slices.ContainsFunc(c.Compare, func(k string) bool { return !slices.Contains(a.Keys, k) }) {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 0:
		return 0, c.noAxis(of, axes[of.Peeled:])
	case 1:
		c.axes[of.Target] = found[0]
		return found[0], nil
	}
	return 0, invalidf("compare: both axes %s and %s of %s have these keys: rename some", axes[found[0]].Name, axes[found[1]].Name, of.Target.Label)
}

// noAxis says which keys there are, and which one was probably meant.
func (c *collation) noAxis(of *engine.Row, axes []engine.Axis) error {
	var known []string
	text := fmt.Sprintf("compare: no axis of %s has the keys %s.", of.Target.Label, quoted(c.Compare))
	for _, a := range axes {
		text += fmt.Sprintf(" Axis %s has %s.", a.Name, quoted(a.Keys))
		known = append(known, a.Keys...)
	}
	for _, k := range c.Compare {
		if slices.Contains(known, k) || len(known) == 0 {
			continue
		}
		near := slices.MinFunc(known, func(a, b string) int { return cmp.Compare(typo.Distance(k, a), typo.Distance(k, b)) })
		if typo.Distance(k, near) <= max(len(k)/2, 2) {
			text += fmt.Sprintf(" Did you mean %q?", near)
		}
		break
	}
	return invalidf("%s", text)
}

// quoted lists at most eight of the keys.
func quoted(keys []string) string {
	var list []string
	for _, k := range keys[:min(len(keys), 8)] {
		list = append(list, fmt.Sprintf("%q", k))
	}
	if len(keys) > 8 {
		list = append(list, "…")
	}
	return strings.Join(list, ", ")
}

// labels returns the labels of the targets whose instances the rows hold, sorted.
func (c *collation) labels() (all []string) {
	for t := range c.of {
		all = append(all, t.Label.String())
	}
	slices.Sort(all)
	return slices.Compact(all)
}
