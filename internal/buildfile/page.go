package buildfile

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
	"cbuild/rules"
)

// A pageNode is page.ATTRIBUTE in a query.
type pageNode struct {
	hclsyntax.Expression
	name  string
	steps []step
}

func (n *pageNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	s := scopeOf(ctx)
	if s.page == nil {
		return cty.DynamicVal, failed(n.Range(), "No page here", "This expression is evaluated before a page is there.")
	}
	v, err := s.page.Read(n.name)
	if err != nil {
		return cty.DynamicVal, failed(n.Range(), "Unusable page", sentence(err))
	}
	return s.leaf(v, n.steps, ctx, n.Range(), false, nil)
}

// page replaces a reference to the page of a query.
func (c *compiler) page(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step) hclsyntax.Expression {
	rng := e.Range()
	if c.out.each == nil {
		c.out.each = &rng
	}
	if !c.allow.page {
		c.mistake(root.SrcRange, "No page here", "page is an answer of a query: only its items and next can mention it.")
		return e
	}
	name, ok := firstWord(steps)
	if !ok {
		c.mistake(root.SrcRange, "Incomplete reference", oneOf("page has", rules.PageAttributes))
		return e
	}
	if !slices.Contains(rules.PageAttributes, name) {
		c.mistake(rng, "Unknown attribute page."+name, didYouMean(name, slices.Values(rules.PageAttributes), oneOf("page has", rules.PageAttributes)))
		return e
	}
	c.out.status = c.out.status || name == "status"
	return &pageNode{e, name, steps[1:]}
}

// pageExpr returns at as functions of a page.
func (s *scope) pageExpr(at *attribute) rules.PageExpr {
	view, p, t := s.view, s.pkg, s.t
	return rules.PageExpr{
		Status: at.expr.status,
		Value: func(ctx context.Context, page *rules.Page) (engine.Value, error) {
			s := newScope(ctx, p, t, view)
			s.page = page
			v, err := s.evalPlain(at.expr)
			return v, err.outcome()
		},
		Items: func(ctx context.Context, page *rules.Page) iter.Seq2[engine.Item, error] {
			return (&stream{expr: at.expr, name: at.name, page: page}).items(ctx, p, t, view)
		},
	}
}

// followPage yields the elements of a part of a page one by one, without converting it as a whole. It reports whether it could: a
// list is left to be converted unless it feeds a `for`, since its elements have no keys of their own.
func (st *stream) followPage(ctx context.Context, p *pkg, t *target, view engine.View, holder *expr, n *pageNode, yield func(engine.Item, error) bool) bool {
	s := st.scope(ctx, p, t, view)
	v, err := s.page.Read(n.name)
	var diags hcl.Diagnostics
	if err == nil {
		for i := 0; i < len(n.steps) && !diags.HasErrors(); i++ {
			ok := false
			if v, ok, diags = s.advance(v, &n.steps[i], s.ectx); !ok && !diags.HasErrors() {
				return false
			}
		}
	}
	switch {
	case err != nil:
		yield(engine.Item{}, s.wrong(holder.src, n.Range(), "Unusable page", err).outcome())
		return true
	case diags.HasErrors():
		yield(engine.Item{}, s.blame(fromHCL(holder.src, firstError(diags))).outcome())
		return true
	}
	switch v := v.(type) {
	case nil:
		yield(engine.Item{}, s.wrong(holder.src, n.Range(), "Unusable page", errors.New("it is null where the elements should be: write try(…, {}) if that means nothing")).outcome())
	case engine.Object:
		for _, key := range sortedKeys(v) {
			if !yield(engine.Item{Key: key, Value: v[key]}, nil) {
				break
			}
		}
	case []engine.Value:
		if unparen(holder.Expression) == hclsyntax.Expression(n) {
			return false
		}
		for i, e := range v {
			if !yield(engine.Item{Key: strconv.Itoa(i), Value: listed{e}}, nil) {
				break
			}
		}
	default:
		return false
	}
	return true
}

// listed marks the elements of a list, whose keys are numbers.
type listed struct{ value engine.Value }

// unlisted returns what item is without that mark.
func unlisted(item engine.Item) engine.Item {
	if l, ok := item.Value.(listed); ok {
		item.Value = l.value
	}
	return item
}

// loopKey returns what the key variable of a `for` is for item.
func (s *scope) loopKey(item engine.Item) cty.Value {
	if _, ok := item.Value.(listed); ok {
		n, _ := strconv.Atoi(item.Key)
		return cty.NumberIntVal(int64(n))
	}
	return cty.StringVal(item.Key)
}
