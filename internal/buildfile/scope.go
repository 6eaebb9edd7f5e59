package buildfile

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
	"cbuild/rules"
)

// A scope is one evaluation: what `each` is, what may be asked of the build, and the artifacts that were mentioned so far. It is
// used by one goroutine.
type scope struct {
	ctx  context.Context
	pkg  *pkg
	t    *target
	view engine.View

	hasEach bool
	key     string
	value   engine.Value
	axes    []string
	values  []engine.Value

	page *rules.Page

	// filter is set while `where` is evaluated: an outcome without a result has nothing to look at, so that no instance is dropped
	// because of trouble.
	filter bool
	// perRow is set in expressions that a report evaluates for each of its rows: only there trouble is data.
	perRow bool
	// typing is more than 0 while what is not selected is evaluated for its type: nothing is read then.
	typing int

	// spent is what the evaluation put together so far.
	spent weight
	over  hcl.Diagnostics
	// calls are how many calls of functions are being evaluated, each inside the one before.
	calls int

	artifacts []engine.Artifact
	// locals are the values of those that were mentioned, and in a second map those that were for their type only.
	locals [2]map[*local]*localValue
	// missed is what had no usable result: it decides what a failed evaluation is. One that succeeds all the same is none the worse.
	missed missed
	// stuck is the first reference that met trouble, and trouble the first error that is not about the expression, such as the end
	// of ctx. Either ends the evaluation, whatever try() or a conditional makes of it: nobody knows what the value should be.
	stuck   *engine.SkippedError
	trouble error

	ectx *hcl.EvalContext
}

var scopeType = cty.Capsule("scope", reflect.TypeFor[scope]())

// scopeVar is the variable that leads from an EvalContext to its scope; no expression can name it.
const scopeVar = "\x00scope"

func newScope(ctx context.Context, p *pkg, t *target, view engine.View) *scope {
	s := &scope{ctx: ctx, pkg: p, t: t, view: view}
	s.ectx = &hcl.EvalContext{
		Variables: map[string]cty.Value{scopeVar: cty.CapsuleVal(scopeType, s)},
		Functions: p.ws.functions(p),
	}
	return s
}

// instance returns a scope in which `each`, `matrix` and `axis` are those of i.
func instanceScope(ctx context.Context, p *pkg, t *target, view engine.View, i engine.Instance) *scope {
	s := newScope(ctx, p, t, view)
	s.hasEach, s.key, s.value, s.axes, s.values = t.repeated, i.Key, i.Value, i.Axes, i.Values
	return s
}

// eachScope returns a scope in which `each` is item.
func eachScope(ctx context.Context, p *pkg, t *target, view engine.View, item engine.Item) *scope {
	s := newScope(ctx, p, t, view)
	s.hasEach, s.key, s.value = true, item.Key, item.Value
	return s
}

// scopeOf finds the scope that an expression is evaluated in.
func scopeOf(ctx *hcl.EvalContext) *scope {
	for ; ctx != nil; ctx = ctx.Parent() {
		if v, ok := ctx.Variables[scopeVar]; ok {
			return v.EncapsulatedValue().(*scope)
		}
	}
	return nil
}

// skip notes that a reference has no usable result, because of an error if that is not nil, and returns the error for it.
func (s *scope) skip(cause string, because error) error {
	err := &engine.SkippedError{Cause: cause, Trouble: engine.Troubled(because)}
	switch {
	case s.typing > 0:
		return err
	case s.stuck == nil && !s.perRow && sticks(because):
		s.stuck = err
	}
	if s.missed.first == nil {
		s.missed.first = err
	}
	return err
}

// sticks reports whether err, the Err of an outcome, is trouble that no expression may turn into data. A mistake is none: the same
// files make it again.
func sticks(err error) bool {
	return engine.Troubled(err) && engine.ClassOf(err) != engine.ClassInvalid
}

// fail notes an error that is not about the expression.
func (s *scope) fail(err error) error {
	if s.trouble == nil {
		s.trouble = err
	}
	return err
}

// A cell is one outcome of a row: an instance of another target.
type cell struct {
	row *engine.Row
	o   *engine.Outcome
}

func (c *cell) name() string { return c.row.Target.InstanceName(c.row.Key, c.o.Axes) }

// A branch is a row of a matrix of which only the first axes are chosen.
type branch struct {
	row  *engine.Row
	axes []string
}

var cellType = cty.Capsule("instance", reflect.TypeFor[cell]())

// enter returns what v is on the way along a reference: rows become cells or branches, rows of a query their items.
func enter(v engine.Value) engine.Value {
	row, ok := v.(*engine.Row)
	switch {
	case !ok:
		return v
	case row == nil:
		return nil
	case isQuery(row.Target):
		return row.Value
	case row.Peeled >= len(row.Target.Axes) && len(row.Cells) == 1:
		return &cell{row, row.Cells[0]}
	case row.Peeled > 0 && len(row.Cells) > 0:
		return branch{row, row.Cells[0].Axes[:row.Peeled]}
	}
	return branch{row: row}
}

func isQuery(t *engine.Target) bool { return t.Query != nil || t.Rule == "query" }

// choose follows b along one more axis key.
func (s *scope) choose(b branch, key string) (engine.Value, error) {
	axes := append(b.axes[:len(b.axes):len(b.axes)], key)
	if len(axes) < len(b.row.Target.Axes) {
		return branch{b.row, axes}, nil
	}
	if o, ok := b.row.Cell(axes...); ok {
		return &cell{b.row, o}, nil
	}
	if keys := s.axisKeys(b); !keys[key] {
		if known := s.knownAxis(b); !slices.Contains(known, key) {
			return nil, fmt.Errorf("%s has no %q. %s", b.row.Target.InstanceName(b.row.Key, b.axes), key,
				didYouMean(key, slices.Values(known), oneOf("It has", known)))
		}
	}
	return nil, s.skip(b.row.Target.InstanceName(b.row.Key, axes)+" was dropped by where", nil)
}

// knownAxis returns all keys on the next axis of b, those that where drops included.
func (s *scope) knownAxis(b branch) []string {
	if t := s.pkg.ws.byLabel[b.row.Target.Label]; t != nil {
		if keys := t.allAxes.Load(); keys != nil && len(b.axes) < len(*keys) {
			return (*keys)[len(b.axes)]
		}
	}
	return sortedKeys(s.axisKeys(b))
}

// axisKeys returns the keys on the next axis of b that b has.
func (s *scope) axisKeys(b branch) map[string]bool {
	keys := make(map[string]bool)
next:
	for _, c := range b.row.Cells {
		for i, a := range b.axes {
			if i >= len(c.Axes) || c.Axes[i] != a {
				continue next
			}
		}
		if len(b.axes) < len(c.Axes) {
			keys[c.Axes[len(b.axes)]] = true
		}
	}
	return keys
}

// read returns the readable attribute name of c.
func (s *scope) read(c *cell, name string) (engine.Value, error) {
	// What an instance is made for is known, whatever became of it.
	told := name != "value" && name != "matrix"
	if told && (s.filter && c.o.Result == nil && name != "key" || !s.perRow && sticks(c.o.Err)) {
		return nil, s.skip(c.name()+" "+became(c.o.Class(), c.o.Err), c.o.Err)
	}
	v, err := s.pkg.ws.read(s.ctx, s.pkg.ws.runtime(), c.row, c.o, name)
	invalid := (*engine.InvalidError)(nil)
	switch {
	case err == nil:
		if told && v == nil && c.o.Result == nil {
			// It may be compared with null; whatever fails because it is null fails for want of a result.
			_ = s.skip(c.name()+" "+became(c.o.Class(), c.o.Err), c.o.Err)
		}
		return v, nil
	case s.ctx.Err() != nil:
		return nil, s.fail(s.ctx.Err())
	case errors.As(err, new(*engine.SkippedError)):
		return nil, s.skip(c.name()+" "+became(c.o.Class(), c.o.Err), c.o.Err)
	case errors.As(err, &invalid):
		return nil, errors.New(strings.TrimPrefix(invalid.Err.Error(), name+": "))
	}
	return nil, s.fail(err)
}

// isWord writes a class as a predicate.
func isWord(c engine.Class) string {
	switch c {
	case "fail":
		return "failed"
	case "crash":
		return "crashed"
	case "timeout":
		return "timed out"
	case "oom":
		return "ran out of memory"
	case engine.ClassError:
		return "ended in an error"
	}
	return "is " + string(c)
}

// became says what became of an instance of class c, whose error is err, as a predicate.
func became(c engine.Class, err error) string {
	if errors.Is(err, engine.ErrNotStored) {
		return "has no stored result"
	}
	return isWord(c)
}

// usable reports whether c can stand in a collection that is read as a whole.
func usable(c engine.Class) bool {
	return c != engine.ClassError && c != engine.ClassInvalid && c != engine.ClassCancelled
}

// cty converts v for an expression. Of instances, only the attributes in need are converted, or all that can be read if need is
// nil; with raw, an instance stays one value that only attributes for instances understand.
func (s *scope) cty(v engine.Value, need *need, raw bool) (cty.Value, error) {
	switch v := enter(v).(type) {
	case nil:
		return cty.NullVal(cty.DynamicPseudoType), nil
	case bool:
		return cty.BoolVal(v), nil
	case int:
		return cty.NumberIntVal(int64(v)), nil
	case int64:
		return cty.NumberIntVal(v), nil
	case float64:
		return cty.NumberFloatVal(v), nil
	case string:
		if err := foreign(v); err != nil {
			return cty.NilVal, err
		}
		return cty.StringVal(v), nil
	case engine.Artifact:
		return cty.StringVal(s.mark(v)), nil
	case engine.Text:
		return s.marked(v)
	case []engine.Value:
		return s.tuple(v, need, raw)
	case engine.Object:
		return s.object(v, need, raw)
	case map[string]string:
		return stringMap(v)
	case []string:
		return stringList(v)
	case *cell:
		if raw {
			return cty.CapsuleVal(cellType, v), nil
		}
		return s.instance(v, need)
	case branch:
		return s.branch(v, need, raw)
	}
	return cty.NilVal, fmt.Errorf("a %T cannot stand in an expression", v)
}

// marked writes t as a string with markers.
func (s *scope) marked(t engine.Text) (cty.Value, error) {
	var b strings.Builder
	for _, p := range t {
		if p.Artifact != nil {
			b.WriteString(s.mark(*p.Artifact))
			continue
		}
		if err := foreign(strings.ReplaceAll(p.Lit, engine.WorkDir, "")); err != nil {
			return cty.NilVal, err
		}
		b.WriteString(p.Lit)
	}
	return cty.StringVal(b.String()), nil
}

func stringMap(m map[string]string) (cty.Value, error) {
	out := make(map[string]cty.Value, len(m))
	for k, v := range m {
		if err := errors.Join(foreign(k), foreign(v)); err != nil {
			return cty.NilVal, err
		}
		out[k] = cty.StringVal(v)
	}
	return cty.ObjectVal(out), nil
}

func stringList(l []string) (cty.Value, error) {
	out := make([]cty.Value, len(l))
	for i, v := range l {
		if err := foreign(v); err != nil {
			return cty.NilVal, err
		}
		out[i] = cty.StringVal(v)
	}
	return cty.TupleVal(out), nil
}

func (s *scope) tuple(list []engine.Value, need *need, raw bool) (cty.Value, error) {
	out := make([]cty.Value, len(list))
	for i, e := range list {
		v, err := s.cty(e, need, raw)
		if err != nil {
			return cty.NilVal, err
		}
		out[i] = v
	}
	return cty.TupleVal(out), nil
}

func (s *scope) object(o engine.Object, need *need, raw bool) (cty.Value, error) {
	out := make(map[string]cty.Value, len(o))
	for _, k := range sortedKeys(o) {
		e := o[k]
		if !need.wants(k) {
			continue
		}
		if err := foreign(k); err != nil {
			return cty.NilVal, err
		}
		v, err := s.cty(e, nil, raw)
		if err != nil {
			return cty.NilVal, err
		}
		out[k] = v
	}
	return cty.ObjectVal(out), nil
}

// instance converts the readable attributes of c. One that cannot be read is absent, so that only what reads it fails.
func (s *scope) instance(c *cell, need *need) (cty.Value, error) {
	if s.typing > 0 {
		return cty.DynamicVal, nil
	}
	out := make(map[string]cty.Value)
	for _, name := range s.pkg.ws.reads[c.row.Target.Rule] {
		if !need.wants(name) {
			continue
		}
		before := s.missed.first
		v, err := s.read(c, name)
		if why := s.missed.first; why != before { // nobody asked for it yet
			s.missed.first = before
			s.missed.lacks(c, name, why)
		}
		if s.trouble != nil {
			return cty.NilVal, s.trouble
		}
		if err != nil {
			continue
		}
		if out[name], err = s.cty(v, nil, false); err != nil {
			return cty.NilVal, err
		}
	}
	return cty.ObjectVal(out), nil
}

func (s *scope) branch(b branch, need *need, raw bool) (cty.Value, error) {
	out := make(map[string]cty.Value)
	for _, key := range sortedKeys(s.axisKeys(b)) {
		next, err := s.choose(b, key)
		if err != nil {
			return cty.NilVal, err
		}
		if out[key], err = s.cty(next, need, raw); err != nil {
			return cty.NilVal, err
		}
	}
	return cty.ObjectVal(out), nil
}
