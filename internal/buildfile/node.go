package buildfile

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

// A step is one element of a reference after its root: an attribute name, or an index that is a literal or an expression.
type step struct {
	name  string
	key   cty.Value
	expr  hclsyntax.Expression
	index bool
	rng   hcl.Range
}

// A need says which attributes of an instance or item an expression mentions; nil means all.
type need struct {
	all   bool
	names map[string]bool
}

func (n *need) wants(name string) bool { return n == nil || n.all || n.names[name] }

func (n *need) add(name string) {
	if n.names == nil {
		n.names = make(map[string]bool)
	}
	n.names[name] = true
}

// The nodes below stand in the syntax tree in place of the references that the compiler recognized. Each embeds what it replaces,
// for ranges, and is evaluated in the scope that its EvalContext leads to.

// A constNode is a value known when the files are loaded: a variable, the host, the package.
type constNode struct {
	hclsyntax.Expression
	value cty.Value
	steps []step
}

func (n *constNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	return follow(n.value, n.steps, ctx)
}

// A localNode is a reference to a local, or to a parameter or an output of a rule, which is evaluated in the scope of its user.
type localNode struct {
	hclsyntax.Expression
	local *local
	steps []step
}

func (n *localNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	v, diags := n.local.value(scopeOf(ctx))
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	return follow(v, n.steps, ctx)
}

// An eachNode is each.key, each.value, matrix.AXIS or axis.AXIS.
type eachNode struct {
	hclsyntax.Expression
	kind  eachKind
	axis  int
	steps []step
	raw   bool
}

type eachKind uint8

const (
	eachKey eachKind = iota
	eachValue
	eachWhole
	matrixValue
	matrixKey
)

func (n *eachNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	s := scopeOf(ctx)
	switch n.kind {
	case eachKey:
		return s.leaf(s.key, n.steps, ctx, n.Range(), n.raw, nil)
	case eachValue:
		return s.leaf(s.value, n.steps, ctx, n.Range(), n.raw, nil)
	case matrixValue, matrixKey:
		if n.axis >= len(s.axes) {
			return cty.DynamicVal, failed(n.Range(), "No matrix here", "This expression is evaluated before the matrix is known.")
		}
		if n.kind == matrixKey {
			return s.leaf(s.axes[n.axis], n.steps, ctx, n.Range(), n.raw, nil)
		}
		return s.leaf(s.values[n.axis], n.steps, ctx, n.Range(), n.raw, nil)
	}
	return s.leaf(engine.Object{"key": s.key, "value": s.value}, n.steps, ctx, n.Range(), n.raw, nil)
}

// A targetNode is a reference to a target: all of it, or with key, one row.
type targetNode struct {
	hclsyntax.Expression
	target *target
	// full is how it is written, at rng.
	full  string
	rng   hcl.Range
	key   *step
	steps []step
	need  *need
	raw   bool
	// list is set where a splat wants the elements without their keys.
	list bool
}

func (n *targetNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	s := scopeOf(ctx)
	switch {
	case s.view == nil:
		return cty.DynamicVal, failed(n.Range(), "No targets here", "This expression is evaluated before any target is.")
	case s.typing > 0:
		return n.unread(), nil
	}
	if n.target.repeated && n.key == nil {
		return n.whole(s)
	}
	key := ""
	if n.key != nil {
		v, diags := n.key.value(ctx)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		var err error
		if key, err = keyText(v); err != nil {
			return cty.DynamicVal, failed(n.key.rng, "Invalid instance key", sentence(err))
		}
	}
	row, err := s.view.Row(s.ctx, n.target.label, key)
	if err != nil {
		return cty.DynamicVal, n.missing(s, err)
	}
	if row.Err != nil {
		return cty.DynamicVal, n.unusable(s, row)
	}
	return s.leaf(row, n.steps, ctx, n.Range(), n.raw, n.need)
}

// missing turns an error of the view into a diagnostic.
func (n *targetNode) missing(s *scope, err error) hcl.Diagnostics {
	var no *engine.NoRowError
	switch {
	case s.ctx.Err() != nil:
		return failed(n.Range(), "Cancelled", sentence(s.fail(s.ctx.Err())))
	case engine.ClassOf(err) == engine.ClassCancelled:
		return failed(n.Range(), "Cancelled", sentence(s.fail(err)))
	case errors.As(err, &no) && no.Dropped:
		return failed(n.Range(), "No such instance", sentence(s.skip(err.Error(), nil)))
	case errors.As(err, &no):
		detail := cmpOr(oneOf("The keys are", firstOf(sortedKeys(n.target.keys), 12)), "No instance has this key.")
		if len(no.Nearest) > 0 {
			detail = fmt.Sprintf("Did you mean %q?", no.Nearest[0])
		}
		return failed(n.Range(), fmt.Sprintf("Unknown instance %s[%q]", n.full, no.Key), detail)
	}
	return failed(n.Range(), "No usable result", sentence(s.skip(n.full+" "+became(engine.ClassOf(err), err), err)))
}

// unusable says that the element of row can't be used.
func (n *targetNode) unusable(s *scope, row *engine.Row) hcl.Diagnostics {
	name := row.Target.InstanceName(row.Key, nil)
	return failed(n.Range(), "No usable result", sentence(s.skip(name+" "+became(engine.ClassOf(row.Err), row.Err), row.Err)))
}

// endedBy returns what becomes of a reader of t, which as a whole ended with err.
func endedBy(t *target, err error) error {
	var no *engine.NoRowError
	switch {
	case engine.ClassOf(err) == engine.ClassCancelled:
		return err
	case errors.As(err, &no):
		return &engine.SkippedError{Cause: no.Error()}
	}
	return &engine.SkippedError{Cause: t.ref() + " " + isWord(engine.ClassOf(err)), Trouble: engine.Troubled(err)}
}

// whole waits for all of a collection.
func (n *targetNode) whole(s *scope) (cty.Value, hcl.Diagnostics) {
	members := make(map[string]cty.Value)
	var list []cty.Value
	for row, err := range s.view.Whole(s.ctx, n.target.label) {
		if err != nil {
			return cty.DynamicVal, n.missing(s, err)
		}
		if row.Err != nil {
			return cty.DynamicVal, n.unusable(s, row)
		}
		for _, o := range row.Cells {
			if class := o.Class(); !usable(class) || !s.perRow && sticks(o.Err) {
				return cty.DynamicVal, failed(n.Range(), "No usable result", sentence(s.skip((&cell{row, o}).name()+" "+became(class, o.Err), o.Err)))
			}
		}
		v, err := s.cty(row, n.need, n.raw)
		if err != nil {
			return cty.DynamicVal, failed(n.Range(), "Unreadable "+row.Target.InstanceName(row.Key, nil), sentence(err))
		}
		if n.list {
			list = append(list, v)
		} else {
			members[row.Key] = v
		}
	}
	if n.list {
		return cty.TupleVal(list), nil
	}
	return cty.ObjectVal(members), nil
}

// value evaluates the index of st.
func (st *step) value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	switch {
	case st.expr != nil:
		return st.expr.Value(ctx)
	case st.index:
		return st.key, nil
	}
	return cty.StringVal(st.name), nil
}

// leaf follows steps from v without converting what lies beside the way, and converts what it arrives at.
func (s *scope) leaf(v engine.Value, steps []step, ctx *hcl.EvalContext, rng hcl.Range, raw bool, need *need) (cty.Value, hcl.Diagnostics) {
	v = enter(v)
	for len(steps) > 0 {
		if name, ok := steps[0].word(); ok && s.typing > 0 && isCell(v) {
			return follow(unread(name), steps[1:], ctx)
		}
		next, ok, diags := s.advance(v, &steps[0], ctx)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		if !ok {
			break
		}
		v, steps = enter(next), steps[1:]
	}
	c, err := s.cty(v, need, raw && len(steps) == 0)
	if err != nil {
		return cty.DynamicVal, failed(rng, "Unusable value", sentence(err))
	}
	return follow(c, steps, ctx)
}

func isCell(v engine.Value) bool {
	_, ok := v.(*cell)
	return ok
}

// advance takes one step from v; ok is false where only the converted value knows how.
func (s *scope) advance(v engine.Value, st *step, ctx *hcl.EvalContext) (next engine.Value, ok bool, diags hcl.Diagnostics) {
	switch v.(type) {
	case engine.Object, []engine.Value, *cell, branch:
	default:
		return nil, false, nil
	}
	kv, diags := st.value(ctx)
	if diags.HasErrors() {
		return nil, false, diags
	}
	key, err := keyText(kv)
	if err != nil {
		return nil, false, failed(st.rng, "Invalid index", sentence(err))
	}
	switch v := v.(type) {
	case engine.Object:
		next, ok = v[key]
		if !ok {
			return nil, false, noAttribute(st.rng, key, sortedKeys(v))
		}
		return next, true, nil
	case []engine.Value:
		i, nerr := strconv.Atoi(key)
		if nerr != nil || i < 0 || i >= len(v) {
			return nil, false, failed(st.rng, fmt.Sprintf("No element %s", key), fmt.Sprintf("The list has %d elements, counted from 0.", len(v)))
		}
		return v[i], true, nil
	case branch:
		next, err = s.choose(v, key)
	case *cell:
		next, err = s.read(v, key)
	}
	if err != nil {
		return nil, false, failed(st.rng, fmt.Sprintf("Cannot read %q", key), sentence(err))
	}
	return next, true, nil
}

// follow takes steps from a converted value, as HCL does.
func follow(v cty.Value, steps []step, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	for i := range steps {
		st := &steps[i]
		var diags hcl.Diagnostics
		if st.expr == nil && !st.index {
			if diags = lacks(v, st.name, st.rng); !diags.HasErrors() {
				v, diags = hcl.GetAttr(v, st.name, &st.rng)
			}
		} else {
			var k cty.Value
			if k, diags = st.value(ctx); !diags.HasErrors() {
				if key, err := keyText(k); err == nil {
					diags = lacks(v, key, st.rng)
				}
				if !diags.HasErrors() {
					v, diags = hcl.Index(v, k, &st.rng)
				}
			}
		}
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
	}
	return v, nil
}

// lacks says so if v is an object or map without key: HCL names neither the key nor those that there are.
func lacks(v cty.Value, key string, rng hcl.Range) hcl.Diagnostics {
	ty := v.Type()
	switch {
	case v.IsMarked() || v.IsNull() || !v.IsKnown():
		return nil
	case ty.IsObjectType() && !ty.HasAttribute(key), ty.IsMapType() && v.HasIndex(cty.StringVal(key)).False():
		return noAttribute(rng, key, sortedKeys(v.AsValueMap()))
	}
	return nil
}

func noAttribute(rng hcl.Range, key string, has []string) hcl.Diagnostics {
	otherwise := "The object is empty."
	if n := len(has); n > mostNamed {
		otherwise = fmt.Sprintf("It has %d others.", n)
	} else if n > 0 {
		otherwise = oneOf("There are", has)
	}
	return failed(rng, fmt.Sprintf("No attribute %q", key), didYouMean(key, slices.Values(has), otherwise))
}

// mostNamed is how many members a message names.
const mostNamed = 20

func failed(rng hcl.Range, summary, detail string) hcl.Diagnostics {
	return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &rng}}
}

// sentence writes an error as one: with a capital and a full stop.
func sentence(err error) string {
	s := err.Error()
	if s == "" {
		return s
	}
	if c := s[0]; c >= 'a' && c <= 'z' && !looksLikeName(s) {
		s = string(c-'a'+'A') + s[1:]
	}
	if last := s[len(s)-1]; last != '.' && last != '?' && last != '!' {
		s += "."
	}
	return s
}

// looksLikeName reports whether the first word of s is the name of something, which keeps its case.
func looksLikeName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c == ':' && strings.HasPrefix(s[i:], "://"):
			return true
		case c == ' ' || c == ':':
			return false
		case c == '.' || c == '[' || c == '(' || c == '/' || c == '_':
			return true
		}
	}
	return false
}

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }
