package buildfile

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

// loadContext is the context of evaluations that wait for nothing: those of Load, and of what is the same for every instance.
type loadContext struct{}

func (loadContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (loadContext) Done() <-chan struct{}       { return nil }
func (loadContext) Err() error                  { return nil }
func (loadContext) Value(any) any               { return nil }

var noContext context.Context = loadContext{}

// An evalError says why an expression has no value.
type evalError struct {
	d *Diagnostic
	// page names the page of a query that the expression was evaluated for, if any. Of which instance it is, the outcome says.
	page string
	// cause is not nil where the expression itself is not to blame.
	cause error
}

func (e *evalError) diagnostic() *Diagnostic { return e.d }

func (e *evalError) Error() string {
	if e.page != "" {
		return e.page + ": " + e.d.text(0)
	}
	return e.d.text(0)
}

// outcome returns the error that an instance ends with.
func (e *evalError) outcome() error {
	if e == nil {
		return nil
	}
	if e.cause != nil {
		return e.cause
	}
	return &engine.InvalidError{Err: e}
}

// wrong says that the evaluation of something at rng failed.
func (s *scope) wrong(src *source, rng hcl.Range, summary string, err error) *evalError {
	return s.blame(&Diagnostic{Summary: summary, Detail: sentence(err), src: src.of(rng), rng: rng})
}

// blame decides what the failure d is: trouble, a reference without a usable result, or a mistake.
func (s *scope) blame(d *Diagnostic) *evalError {
	e := &evalError{d: d}
	switch {
	case s.trouble != nil:
		e.cause = s.trouble
	case s.stuck != nil:
		e.cause = s.stuck
	default:
		if why := s.missed.cause(s, d); why != nil {
			e.cause = why
		}
	}
	if s.page != nil {
		e.page = fmt.Sprintf("page %d, %s", s.page.Index, s.page.URL)
	}
	return e
}

// eval evaluates e.
func (s *scope) eval(e *expr) (cty.Value, *evalError) {
	s.missed = missed{}
	v, diags := e.Value(s.ectx)
	eerr := s.checked(e.src, e, diags)
	switch {
	case eerr != nil:
		return cty.NilVal, eerr
	}
	switch w := weigh(v); {
	case w.large() || w.huge:
		return cty.NilVal, s.wrong(e.src, e.Range(), "The value is too large", w.check())
	case w.unknown:
		return cty.NilVal, s.wrong(e.src, e.Range(), "Unknown value", errUnknown)
	}
	return v, nil
}

// checked returns why the evaluation of e, which ended with diags, has no value that may be used.
func (s *scope) checked(src *source, e hclsyntax.Expression, diags hcl.Diagnostics) *evalError {
	switch {
	case diags.HasErrors():
		return s.blame(fromHCL(src, firstError(diags)))
	case s.trouble != nil:
		return s.wrong(src, e.Range(), "No usable result", s.trouble)
	case s.stuck != nil:
		return s.wrong(src, e.Range(), "No usable result", s.stuck)
	}
	return nil
}

var errUnknown = errors.New("this expression has no definite value")

// evalPlain evaluates e to plain data.
func (s *scope) evalPlain(e *expr) (engine.Value, *evalError) {
	v, eerr := s.eval(e)
	if eerr != nil {
		return nil, eerr
	}
	p, err := s.plain(v)
	if err != nil {
		return nil, s.wrong(e.src, e.Range(), "Invalid value", err)
	}
	return p, nil
}

// evalBool evaluates the condition e.
func (s *scope) evalBool(e *expr, name string) (bool, *evalError) {
	v, eerr := s.eval(e)
	if eerr != nil {
		return false, eerr
	}
	var b bool
	if err := decodeBool(&b, v); err != nil {
		return false, s.wrong(e.src, e.Range(), "Invalid "+name, err)
	}
	return b, nil
}

// decodeAttr evaluates at into dst, a settable value of its type.
func (s *scope) decodeAttr(at *attribute, dst reflect.Value) *evalError {
	v, eerr := s.eval(at.expr)
	if eerr != nil {
		return eerr
	}
	if v.IsNull() {
		if at.field.required && at.field.typ.Kind() != reflect.Interface {
			return s.wrong(at.expr.src, at.rng, "Missing "+at.name, errNullRequired)
		}
		return nil
	}
	s.missed = missed{}
	var err error
	if at.field.shape {
		err = decodeShapeInto(s, dst, v)
	} else {
		err = s.decode(dst, v)
	}
	if err == nil {
		err = at.field.checkOne(dst)
	}
	if err != nil {
		return s.wrong(at.expr.src, at.rng, "Invalid "+at.name, err)
	}
	return nil
}

// checkOne checks that v is among the only values that f may have.
func (f *field) checkOne(v reflect.Value) error {
	if len(f.one) == 0 {
		return nil
	}
	given := []string{v.String()}
	if v.Kind() == reflect.Slice {
		given = v.Interface().([]string)
	}
	for _, g := range given {
		if slices.Contains(f.later, g) {
			return fmt.Errorf("%q is not yet supported. %s", g, oneOf("This version has", f.one))
		}
		if !slices.Contains(f.one, g) {
			return fmt.Errorf("%q is not known. %s", g, didYouMean(g, slices.Values(f.one), oneOf("It is one of", f.one)))
		}
	}
	return nil
}

// A folded value is computed once for all instances.
type folded struct {
	eval func() (reflect.Value, *evalError)
	once sync.Once
	v    reflect.Value
	err  *evalError
}

func (f *folded) value() (reflect.Value, *evalError) {
	f.once.Do(func() { f.v, f.err = f.eval() })
	return f.v, f.err
}
