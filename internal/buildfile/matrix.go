package buildfile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

// An axis is one dimension of a matrix as written. Exactly one of over, members and expr is set.
type axis struct {
	name string
	// over is a collection: its keys are complete first, its rows awaited one by one.
	over *target
	// members are those of an object literal, whose values are evaluated when they are needed.
	members []engine.Named[*expr]
	expr    *expr
	rng     hcl.Range
}

// computedAxes evaluates a matrix that is no literal: its axes must be known before anything else is.
func (p *pkg) computedAxes(t *target, a *hclsyntax.Attribute) []string {
	t.matrixValue = make(map[string]cty.Value)
	p.constAttr(a, func(v cty.Value) error {
		if v.IsNull() {
			return nil
		}
		if !isObject(v) {
			return errors.New("write matrix = { AXIS = VALUES, … }; the values may be any expression")
		}
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			if !validName(k.AsString()) {
				return fmt.Errorf("%q is no name for an axis: it begins with a letter and holds letters, digits, _ and -", k.AsString())
			}
			if !e.IsNull() {
				t.matrixValue[k.AsString()] = e
			}
		}
		return nil
	})
	return sortedKeys(t.matrixValue)
}

// compileMatrix compiles the axes, in written order if they are literal, else sorted.
func (p *pkg) compileMatrix(t *target, a *hclsyntax.Attribute) {
	t.axisShape = make(map[string]*shape)
	obj, ok := unparen(a.Expr).(*hclsyntax.ObjectConsExpr)
	if !ok {
		for _, name := range t.axes {
			p.compileAxis(t, name, &hclsyntax.LiteralValueExpr{Val: t.matrixValue[name], SrcRange: a.Expr.Range()})
		}
		return
	}
	seen := make(map[string]bool)
	for _, item := range obj.Items {
		name, ok := literalKey(item.KeyExpr)
		switch {
		case !ok || !validName(name):
			p.diags.add(p.src, item.KeyExpr.Range(), "Invalid axis name", "A name begins with a letter and holds letters, digits, _ and -.")
			t.bad = true
			continue
		case seen[name]:
			p.diags.addf(p.src, item.KeyExpr.Range(), "Duplicate axis", "The axis %q is already there.", name)
			t.bad = true
			continue
		}
		seen[name] = true
		p.compileAxis(t, name, item.ValueExpr)
	}
}

func (p *pkg) compileAxis(t *target, name string, e hclsyntax.Expression) {
	ax := &axis{name: name, rng: e.Range()}
	t.axisExprs = append(t.axisExprs, ax)
	where := "matrix." + name
	var keys []string
	if obj, ok := unparen(e).(*hclsyntax.ObjectConsExpr); ok && literalKeys(obj) {
		for _, item := range obj.Items {
			key, _ := literalKey(item.KeyExpr)
			if slices.Contains(keys, key) {
				p.diags.addf(p.src, item.KeyExpr.Range(), "Duplicate key", "The axis %q has the key %q twice.", name, key)
				t.bad = true
				continue
			}
			keys = append(keys, key)
			c := p.compile(item.ValueExpr, t, where, allow{targets: true}, true)
			t.needs, t.bad = append(t.needs, c.uses...), t.bad || c.bad
			ax.members = append(ax.members, engine.Named[*expr]{Name: key, Value: c})
		}
		t.axisKeys = append(t.axisKeys, keys)
		if len(keys) == 0 {
			p.diags.addf(p.src, ax.rng, "Empty axis", "Without a value on the axis %q there is no instance.", name)
		}
		return
	}
	c := p.compile(e, t, where, allow{targets: true}, true)
	t.needs, t.bad = append(t.needs, c.streamed()...), t.bad || c.bad
	if of := collection(c.Expression); of != nil {
		ax.over, t.axisShape[name] = of, of.elements()
	} else {
		ax.expr = c
		keys = p.constantKeys(t, c)
	}
	t.axisKeys = append(t.axisKeys, keys)
}

func literalKeys(obj *hclsyntax.ObjectConsExpr) bool {
	return !slices.ContainsFunc(obj.Items, func(i hclsyntax.ObjectConsItem) bool {
		_, ok := literalKey(i.KeyExpr)
		return !ok
	})
}

// constantKeys returns the keys of an axis that is known before the build, and reports its mistakes.
func (p *pkg) constantKeys(t *target, c *expr) []string {
	if !c.constant() || c.bad || c.files || p.broken {
		return nil
	}
	items, err := newScope(noContext, p, t, nil).elements(c)
	if err != nil {
		p.diags.list = append(p.diags.list, err.diagnostic())
		t.bad = true
		return nil
	}
	var keys []string
	for _, item := range items {
		keys = append(keys, item.Key)
	}
	return keys
}

// matrix returns the axes of t with all their keys; values are awaited when an instance needs them.
func (t *target) matrix(ctx context.Context, view engine.View) ([]engine.Axis, error) {
	axes := make([]engine.Axis, 0, len(t.axisExprs))
	for _, ax := range t.axisExprs {
		a, err := t.axis(ctx, view, ax)
		if err != nil {
			return nil, err
		}
		axes = append(axes, a)
	}
	all := make([][]string, len(axes))
	for i, a := range axes {
		all[i] = a.Keys
	}
	t.allAxes.Store(&all)
	return axes, nil
}

func (t *target) axis(ctx context.Context, view engine.View, ax *axis) (engine.Axis, error) {
	a := engine.Axis{Name: ax.name}
	switch {
	case ax.over != nil:
		keys, err := view.Keys(ctx, ax.over.label)
		if err != nil {
			return a, endedBy(ax.over, err)
		}
		a.Keys = slices.Sorted(slices.Values(keys))
		a.Value = func(ctx context.Context, key string) (engine.Value, error) {
			row, err := view.Row(ctx, ax.over.label, key)
			if err != nil {
				return nil, endedBy(ax.over, err)
			}
			return enterItem(row), nil
		}
		return a, nil
	case ax.expr == nil:
		members := make(map[string]*expr)
		for _, m := range ax.members {
			a.Keys = append(a.Keys, m.Name)
			members[m.Name] = m.Value
		}
		a.Value = func(ctx context.Context, key string) (engine.Value, error) {
			v, err := newScope(ctx, t.pkg, t, view).evalPlain(members[key])
			return v, err.outcome()
		}
		return a, nil
	}
	items, err := newScope(ctx, t.pkg, t, view).elements(ax.expr)
	if err != nil {
		return a, err.outcome()
	}
	values := make(map[string]engine.Value, len(items))
	for _, item := range items {
		a.Keys = append(a.Keys, item.Key)
		values[item.Key] = item.Value
	}
	a.Value = func(_ context.Context, key string) (engine.Value, error) { return values[key], nil }
	return a, nil
}
