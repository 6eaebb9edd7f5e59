package buildfile

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
	"cbuild/rules"
)

// A stream is an expression that yields elements one by one: a collection that is followed as it grows, a `for` over one, or
// anything else, which is evaluated as a whole.
type stream struct {
	expr *expr
	of   *shape
	// name is the attribute, for messages.
	name string
	// page is what `page` is, if the elements are made of one.
	page *rules.Page
}

func (st *stream) scope(ctx context.Context, p *pkg, t *target, view engine.View) *scope {
	s := newScope(ctx, p, t, view)
	s.page = st.page
	return s
}

// items yields the elements of st. Errors end it.
func (st *stream) items(ctx context.Context, p *pkg, t *target, view engine.View) iter.Seq2[engine.Item, error] {
	return func(yield func(engine.Item, error) bool) {
		st.follow(ctx, p, t, view, st.expr, st.expr.Expression, yield)
	}
}

// follow yields the elements of e, a part of the spine of holder.
func (st *stream) follow(ctx context.Context, p *pkg, t *target, view engine.View, holder *expr, e hclsyntax.Expression, yield func(engine.Item, error) bool) {
	switch e := unparen(e).(type) {
	case *targetNode:
		if of := collection(e); of != nil || st.name == "rows" && e.key == nil && len(e.steps) == 0 {
			followRows(ctx, view, e.target, yield)
			return
		}
	case *localNode:
		if len(e.steps) == 0 {
			st.follow(ctx, p, t, view, e.local.compiled, e.local.compiled.Expression, yield)
			return
		}
	case *pageNode:
		if st.followPage(ctx, p, t, view, holder, e, yield) {
			return
		}
	case *hclsyntax.ForExpr:
		if !e.Group && streams(e.CollExpr) {
			st.followFor(ctx, p, t, view, holder, e, yield)
			return
		}
	}
	s := st.scope(ctx, p, t, view)
	items, err := s.elementsOf(holder, e)
	if err != nil {
		yield(engine.Item{}, err.outcome())
		return
	}
	for _, item := range items {
		if !yield(item, nil) {
			return
		}
	}
}

// streams reports whether the elements of e can be followed.
func streams(e hclsyntax.Expression) bool {
	switch e := unparen(e).(type) {
	case *targetNode:
		return collection(e) != nil
	case *localNode:
		return len(e.steps) == 0 && e.local.compiled != nil && streams(e.local.compiled.Expression)
	case *hclsyntax.ForExpr:
		return !e.Group && streams(e.CollExpr)
	case *pageNode:
		return true
	}
	return false
}

func followRows(ctx context.Context, view engine.View, of *target, yield func(engine.Item, error) bool) {
	for row, err := range view.Rows(ctx, of.label) {
		if err != nil {
			yield(engine.Item{}, endedBy(of, err))
			return
		}
		if !yield(engine.Item{Key: row.Key, Value: enterItem(row), Err: row.Err}, nil) {
			return
		}
	}
}

// enterItem returns what a collection has as the element of row.
func enterItem(row *engine.Row) engine.Value {
	if isQuery(row.Target) {
		return row.Value
	}
	return row
}

// followFor evaluates a `for` element by element.
func (st *stream) followFor(ctx context.Context, p *pkg, t *target, view engine.View, holder *expr, f *hclsyntax.ForExpr, yield func(engine.Item, error) bool) {
	st.follow(ctx, p, t, view, holder, f.CollExpr, func(item engine.Item, err error) bool {
		if err != nil || item.Err != nil {
			return yield(item, err)
		}
		s := st.scope(ctx, p, t, view)
		out, keep, eerr := s.iteration(holder, f, item)
		if eerr != nil {
			yield(engine.Item{}, eerr.outcome())
			return false
		}
		return !keep || yield(out, nil)
	})
}

// iteration evaluates the body of f for one element.
func (s *scope) iteration(holder *expr, f *hclsyntax.ForExpr, item engine.Item) (out engine.Item, keep bool, eerr *evalError) {
	loopKey, item := s.loopKey(item), unlisted(item)
	v, err := s.cty(item.Value, holder.needs[f], false)
	if err != nil {
		return out, false, s.wrong(holder.src, f.CollExpr.Range(), "Unusable element "+item.Key, err)
	}
	ctx := s.ectx.NewChild()
	ctx.Variables = map[string]cty.Value{f.ValVar: v}
	if f.KeyVar != "" {
		ctx.Variables[f.KeyVar] = loopKey
	}
	part := func(e hclsyntax.Expression) (cty.Value, *evalError) {
		v, diags := e.Value(ctx)
		if diags.HasErrors() {
			return v, s.blame(fromHCL(holder.src, firstError(diags)))
		}
		return v, nil
	}
	if f.CondExpr != nil {
		c, eerr := part(f.CondExpr)
		if eerr != nil {
			return out, false, eerr
		}
		var want bool
		if err := decodeBool(&want, c); err != nil {
			return out, false, s.wrong(holder.src, f.CondExpr.Range(), "Invalid condition", err)
		}
		if !want {
			return out, false, nil
		}
	}
	return s.element(holder, f, item, part)
}

// element evaluates the key and the value of f for an element that the condition kept.
func (s *scope) element(holder *expr, f *hclsyntax.ForExpr, item engine.Item, part func(hclsyntax.Expression) (cty.Value, *evalError)) (out engine.Item, keep bool, eerr *evalError) {
	var key cty.Value
	if f.KeyExpr != nil {
		if key, eerr = part(f.KeyExpr); eerr != nil {
			return out, false, eerr
		}
	}
	if isName(f.ValExpr, f.ValVar) {
		out.Value = item.Value
	} else {
		v, eerr := part(f.ValExpr)
		if eerr != nil {
			return out, false, eerr
		}
		if f.KeyExpr == nil {
			key = v
		}
		var err error
		if out.Value, err = s.plain(v); err != nil {
			return out, false, s.wrong(holder.src, f.ValExpr.Range(), "Invalid element", err)
		}
	}
	if key == cty.NilVal {
		return out, false, s.wrong(holder.src, f.ValExpr.Range(), "Elements without keys", fmt.Errorf("write { for %s, … : KEY => %s }", cmpOr(f.KeyVar, "k"), f.ValVar))
	}
	text, err := keyText(key)
	if err != nil {
		return out, false, s.wrong(holder.src, f.Range(), "Invalid key", err)
	}
	out.Key = text
	return out, true, nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func firstError(diags hcl.Diagnostics) *hcl.Diagnostic {
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			return d
		}
	}
	return diags[0]
}

// elements evaluates e as a whole and returns its elements.
func (s *scope) elements(e *expr) ([]engine.Item, *evalError) { return s.elementsOf(e, e.Expression) }

func (s *scope) elementsOf(holder *expr, e hclsyntax.Expression) ([]engine.Item, *evalError) {
	whole := *holder
	whole.Expression = e
	v, eerr := s.eval(&whole)
	if eerr != nil {
		return nil, eerr
	}
	items, err := s.split(v)
	if err != nil {
		return nil, s.wrong(holder.src, e.Range(), "Cannot be repeated", err)
	}
	return items, nil
}

// split returns the elements of a list, set, map or object.
func (s *scope) split(v cty.Value) ([]engine.Item, error) {
	switch {
	case v.IsNull():
		return nil, errors.New("the value is null: write [] for nothing")
	case isObject(v):
		return s.splitObject(v)
	case isList(v):
		return s.splitList(v)
	}
	return nil, wantType("a list, a map, an object or a collection", v)
}

func (s *scope) splitObject(v cty.Value) ([]engine.Item, error) {
	items := make([]engine.Item, 0, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		text, err := keyText(k)
		if err != nil {
			return nil, err
		}
		p, err := s.plain(e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		items = append(items, engine.Item{Key: text, Value: p})
	}
	return items, nil
}

func (s *scope) splitList(v cty.Value) ([]engine.Item, error) {
	items := make([]engine.Item, 0, v.LengthInt())
	seen := make(map[string]int, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		text, err := keyText(e)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", len(items)+1, err)
		}
		if n, had := seen[text]; had {
			return nil, fmt.Errorf("the elements %d and %d are both %q, but every instance needs a key of its own", n, len(items)+1, text)
		}
		p, err := s.plain(e)
		if err != nil {
			return nil, err
		}
		items = append(items, engine.Item{Key: text, Value: p})
		seen[text] = len(items)
	}
	return items, nil
}

// compileRows compiles an attribute that is a stream.
func (p *pkg) compileRows(t *target, at *attribute, a *hclsyntax.Attribute) {
	e := p.compile(a.Expr, t, a.Name, allow{each: true, axes: true, of: t.eachOf, targets: true}, true)
	at.expr, at.stream = e, &stream{expr: e, name: a.Name}
	t.needs = append(t.needs, e.streamed()...)
	switch of := collection(e.Expression); {
	case of != nil:
		at.stream.of = of.elements()
	default:
		at.stream.of = passedOn(e.Expression)
		if n, ok := unparen(e.Expression).(*targetNode); ok && n.key == nil && len(n.steps) == 0 {
			at.stream.of = &shape{target: n.target}
			t.needs[len(t.needs)-1].mode = engine.StreamMode
		}
	}
	if e.each != nil {
		p.diags.add(p.src, *e.each, "No each here", a.Name+" are the same for every instance.")
		at.expr.bad = true
	}
}
