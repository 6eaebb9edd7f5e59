package buildfile

import (
	"cmp"
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
		if matrixOnly(e) != nil {
			followAxis(ctx, view, e.target, yield)
			return
		}
	case *localNode:
		if e.streams() {
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
		return collection(e) != nil || matrixOnly(e) != nil
	case *localNode:
		return e.streams() && streams(e.local.compiled.Expression)
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

// followAxis yields what a target with only a matrix is made of: an element for each key of its first axis.
func followAxis(ctx context.Context, view engine.View, of *target, yield func(engine.Item, error) bool) {
	followRows(ctx, view, of, func(row engine.Item, err error) bool {
		if r, ok := row.Value.(*engine.Row); ok && err == nil && row.Err == nil {
			for _, item := range r.Elements() {
				if !yield(item, nil) {
					return false
				}
			}
			return true
		}
		return yield(row, err)
	})
}

// enterItem returns what a collection has as the element of row.
func enterItem(row *engine.Row) engine.Value {
	if isQuery(row.Target) {
		return row.Value
	}
	return row
}

// followFor evaluates a `for` element by element. An element of which something has no usable result can't be used, and says so under
// its key: it is neither dropped, nor does it end the others.
func (st *stream) followFor(ctx context.Context, p *pkg, t *target, view engine.View, holder *expr, f *hclsyntax.ForExpr, yield func(engine.Item, error) bool) {
	made := st.newMadeKeys(f)
	each := func(item engine.Item, err error) bool {
		if err != nil || item.Err != nil {
			return yield(item, err)
		}
		l := newLoop(st.scope(ctx, p, t, view), holder, f, item)
		out, keep, eerr := l.element()
		if itemErr, failed := itemError(eerr); itemErr != nil && engine.ClassOf(itemErr) == engine.ClassSkipped {
			l = newLoop(st.scope(ctx, p, t, view), holder, f, item)
			return yield(engine.Item{Key: l.keyOr(item.Key), Err: itemErr}, nil)
		} else if eerr != nil {
			yield(engine.Item{}, cmp.Or(failed, itemErr))
			return false
		}
		if !keep {
			return true
		}
		if err := made.add(out.Key); err != nil {
			yield(engine.Item{}, l.s.wrong(holder.src, f.Range(), "Cannot be repeated", err).outcome())
			return false
		}
		return yield(out, nil)
	}
	if of := matrixOnly(f.CollExpr); of != nil {
		followAxis(ctx, view, of, each)
		return
	}
	st.follow(ctx, p, t, view, holder, f.CollExpr, each)
}

// A loop is the body of a `for` for one element.
type loop struct {
	s      *scope
	holder *expr
	f      *hclsyntax.ForExpr
	item   engine.Item
	ctx    *hcl.EvalContext
}

func newLoop(s *scope, holder *expr, f *hclsyntax.ForExpr, item engine.Item) *loop {
	l := &loop{s: s, holder: holder, f: f, item: unlisted(item), ctx: s.ectx.NewChild()}
	l.ctx.Variables = map[string]cty.Value{f.ValVar: cty.CapsuleVal(elementType, &element{l.item.Value})}
	if f.KeyVar != "" {
		l.ctx.Variables[f.KeyVar] = s.loopKey(item)
	}
	return l
}

// part evaluates a part of the body.
func (l *loop) part(e hclsyntax.Expression) (cty.Value, *evalError) {
	v, diags := e.Value(l.ctx)
	return v, l.s.checked(l.holder.src, e, diags)
}

// element evaluates the body; keep is false if its condition drops the element.
func (l *loop) element() (out engine.Item, keep bool, eerr *evalError) {
	if l.f.CondExpr != nil {
		c, eerr := l.part(l.f.CondExpr)
		if eerr != nil {
			return out, false, eerr
		}
		var want bool
		if err := decodeBool(&want, c); err != nil {
			return out, false, l.s.wrong(l.holder.src, l.f.CondExpr.Range(), "Invalid condition", err)
		}
		if !want {
			return out, false, nil
		}
	}
	if l.f.KeyExpr != nil {
		if out.Key, eerr = l.key(l.f.KeyExpr); eerr != nil {
			return out, false, eerr
		}
	}
	if isName(l.f.ValExpr, l.f.ValVar) {
		out.Value = l.item.Value
		if l.f.KeyExpr == nil {
			switch v := out.Value.(type) { // as in a list
			case string:
				out.Key = v
				return out, true, nil
			case int64, bool:
				out.Key = fmt.Sprint(v)
				return out, true, nil
			}
			return out, false, l.s.wrong(l.holder.src, l.f.ValExpr.Range(), "Elements without keys",
				fmt.Errorf("write { for %s, … : KEY => %s }", cmpOr(l.f.KeyVar, "k"), l.f.ValVar))
		}
		return out, true, nil
	}
	return l.value(out)
}

// value completes out with the value of the body, which is the key, too, if the body has none.
func (l *loop) value(out engine.Item) (_ engine.Item, keep bool, eerr *evalError) {
	v, eerr := l.part(l.f.ValExpr)
	if eerr != nil {
		return out, false, eerr
	}
	var err error
	if l.f.KeyExpr == nil {
		if out.Key, err = keyText(v); err != nil {
			return out, false, l.s.wrong(l.holder.src, l.f.Range(), "Invalid key", err)
		}
	}
	if out.Value, err = l.s.plain(v); err != nil {
		return out, false, l.s.wrong(l.holder.src, l.f.ValExpr.Range(), "Invalid element", err)
	}
	return out, true, nil
}

func (l *loop) key(e hclsyntax.Expression) (string, *evalError) {
	v, eerr := l.part(e)
	if eerr != nil {
		return "", eerr
	}
	key, err := keyText(v)
	if err != nil {
		return "", l.s.wrong(l.holder.src, e.Range(), "Invalid key", err)
	}
	return key, nil
}

// keyOr returns the key of the element if that can be told, else otherwise.
func (l *loop) keyOr(otherwise string) string {
	if l.f.KeyExpr == nil {
		return otherwise
	}
	if key, eerr := l.key(l.f.KeyExpr); eerr == nil {
		return key
	}
	return otherwise
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
		text, err := s.elementKey(e)
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

// elementKey returns the key of an element of a list: its text, or where it is an artifact, the path by which a run knows that.
func (s *scope) elementKey(v cty.Value) (string, error) {
	if v.Type() == cty.String && v.IsKnown() && !v.IsNull() && hasMarks(v.AsString()) {
		if a, ok := s.text(v.AsString()).Single(); ok {
			return a.Name, nil
		}
	}
	return keyText(v)
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
		}
	}
	if e.each != nil {
		p.diags.add(p.src, *e.each, "No each here", a.Name+" are the same for every instance.")
		at.expr.bad = true
	}
}
