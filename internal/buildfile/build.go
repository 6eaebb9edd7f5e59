package buildfile

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"strings"

	"cbuild/engine"
	"cbuild/rules"
)

// finish makes the engine.Targets, unless there are mistakes.
func (w *Workspace) finish(diags *Diagnostics) {
	for _, dir := range sortedKeys(w.packages) {
		for _, t := range w.packages[dir].order {
			for _, u := range t.needs {
				if u.target.label.Dir == t.label.Dir {
					u.target.referred = true
				}
			}
		}
	}
	if diags.HasErrors() {
		return
	}
	for _, dir := range sortedKeys(w.packages) {
		for _, t := range w.packages[dir].order {
			t.engine = t.build()
			w.Targets = append(w.Targets, t.engine)
		}
	}
}

// build makes the engine.Target of t.
func (t *target) build() *engine.Target {
	e := &engine.Target{Label: t.label, Rule: t.rule, Repeated: t.repeated, Axes: t.axes, Needs: t.engineNeeds()}
	if t.call != nil {
		e.Plan = t.planCall
		return e
	}
	if t.rule == "query" {
		e.Query = t.query
		return e
	}
	switch {
	case t.over != nil:
		e.Over = &t.over.label
	case t.forEach != nil:
		st := &stream{expr: t.forEach, name: "for_each"}
		e.Items = func(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] {
			return st.items(ctx, t.pkg, t, v)
		}
	}
	if len(t.axes) > 0 {
		e.Matrix = t.matrix
	}
	if t.where != nil {
		e.Where = t.wanted
	}
	e.Plan = t.plan
	return e
}

// engineNeeds returns the edges of t, each once.
func (t *target) engineNeeds() []engine.Need {
	var needs []engine.Need
	seen := make(map[engine.Need]bool)
	for _, u := range t.needs {
		n := engine.Need{Label: u.target.label, Mode: u.mode, Where: where(u.rng), Attribute: u.attr}
		if !seen[n] {
			seen[n] = true
			needs = append(needs, n)
		}
	}
	return needs
}

func (t *target) wanted(ctx context.Context, v engine.View, i engine.Instance) (bool, error) {
	s := instanceScope(ctx, t.pkg, t, v, i)
	s.filter = true
	ok, err := s.evalBool(t.where, "where")
	return ok, err.outcome()
}

func (t *target) self(v engine.View, i engine.Instance) rules.Self {
	return rules.Self{Instance: i, View: v, Where: where(t.rng), Dir: t.pkg.dir, Name: t.name}
}

// plan evaluates one instance and has its rule plan it.
func (t *target) plan(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
	spec, err := t.spec(ctx, v, i)
	if err != nil {
		return nil, err
	}
	plan, err := spec.Plan(ctx, t.pkg.ws.runtime(), t.self(v, i))
	return plan, t.located(err)
}

// located adds the place of the mistake that a rule found in its attributes: that of the attribute which the message begins with,
// else that of the target.
func (t *target) located(err error) error {
	var invalid *engine.InvalidError
	if !errors.As(err, &invalid) || errors.As(invalid.Err, new(*evalError)) {
		return err
	}
	d := &Diagnostic{Summary: "Invalid " + t.rule, Detail: sentence(invalid.Err), src: t.pkg.src, rng: t.rng}
	name, detail, _ := strings.Cut(invalid.Err.Error(), ": ")
	if t.kind.byName[name] != nil { // even if it is not written
		d.Summary, d.Detail = "Invalid "+name, sentence(errors.New(detail))
	}
	for _, at := range t.attrs {
		if rest, ok := strings.CutPrefix(name, at.name); ok && (rest == "" || rest[0] == '[') {
			d.Summary, d.Detail, d.rng = "Invalid "+name, sentence(errors.New(detail)), at.rng
		}
	}
	return &engine.InvalidError{Err: &evalError{d: d}}
}

// spec evaluates the attributes of one instance.
func (t *target) spec(ctx context.Context, v engine.View, i engine.Instance) (rules.Spec, error) {
	spec := t.kind.New()
	dst := reflect.ValueOf(spec).Elem()
	s := instanceScope(ctx, t.pkg, t, v, i)
	for _, at := range t.attrs {
		if err := s.set(dst.FieldByIndex(at.field.index), at); err != nil {
			return nil, err.outcome()
		}
	}
	return spec, nil
}

// set puts the value of at into dst.
func (s *scope) set(dst reflect.Value, at *attribute) *evalError {
	switch {
	case at.fold != nil:
		v, err := at.fold.value()
		if err == nil {
			dst.Set(v)
		}
		return err
	case at.stream != nil:
		view, p, t := s.view, s.pkg, s.t
		dst.Set(reflect.ValueOf(rules.Rows(func(ctx context.Context) iter.Seq2[engine.Item, error] {
			return at.stream.items(ctx, p, t, view)
		})))
		return nil
	case at.field.typ == typePageExpr:
		dst.Set(reflect.ValueOf(s.pageExpr(at)))
		return nil
	case at.field.typ == typeExpr:
		dst.Set(reflect.ValueOf(s.closure(at.list[0])))
		return nil
	case at.field.typ == typeExprs:
		var list []rules.Expr
		for _, e := range at.list {
			list = append(list, s.closure(e))
		}
		dst.Set(reflect.ValueOf(list))
		return nil
	case at.field.typ == typeNamedExprs:
		var list []engine.Named[rules.Expr]
		for _, n := range at.named {
			list = append(list, engine.Named[rules.Expr]{Name: n.Name, Value: s.closure(n.Value)})
		}
		dst.Set(reflect.ValueOf(list))
		return nil
	}
	return s.decodeAttr(at, dst)
}

// closure returns e as a function of `each`.
func (s *scope) closure(e *expr) rules.Expr {
	view, p, t := s.view, s.pkg, s.t
	return func(ctx context.Context, each engine.Item) (engine.Value, error) {
		s := eachScope(ctx, p, t, view, each)
		s.perRow = true
		v, err := s.evalPlain(e)
		return v, err.outcome()
	}
}

var errNotQuery = errors.New("the rule has no items")

// query asks for the items of t and filters them.
func (t *target) query(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] {
	return func(yield func(engine.Item, error) bool) {
		inst := engine.Instance{Target: t.engine}
		spec, err := t.querySpec(ctx, v, inst)
		if err != nil {
			yield(engine.Item{}, err)
			return
		}
		for item, err := range spec.Query(ctx, t.pkg.ws.runtime(), t.self(v, inst)) {
			if err == nil && t.where != nil {
				keep, werr := eachScope(ctx, t.pkg, t, v, item).evalBool(t.where, "where")
				if werr == nil && !keep {
					continue
				}
				item.Err, err = itemError(werr)
			}
			if !yield(item, t.located(err)) || err != nil {
				return
			}
		}
	}
}

// itemError sorts out whether the failure of a filter concerns only its item, or the query.
func itemError(e *evalError) (item, query error) {
	err := e.outcome()
	switch engine.ClassOf(err) {
	case engine.ClassInvalid, engine.ClassSkipped:
		return err, nil
	}
	return nil, err
}

func (t *target) querySpec(ctx context.Context, v engine.View, i engine.Instance) (rules.Querier, error) {
	spec, err := t.spec(ctx, v, i)
	if err != nil {
		return nil, err
	}
	q, ok := spec.(rules.Querier)
	if !ok {
		return nil, &engine.InvalidError{Err: errNotQuery}
	}
	return q, nil
}
