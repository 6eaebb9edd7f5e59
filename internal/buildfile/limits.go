package buildfile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// The largest value that an expression, a local or a function may have, and how much all values of one evaluation may come to. What is
// larger is no build but an attempt to fill the memory: twenty lines that double a string are enough for that.
var (
	maxBytes = 128 << 20 // variables for tests
	maxElems = 2 << 20
)

const maxSpent = 4

// A weight is how much a value holds, and whether something in it is an artifact, unknown, or a number with too many digits.
type weight struct {
	bytes, elems         int
	marks, unknown, huge bool
	infinite             bool
}

func weigh(v cty.Value) weight {
	var w weight
	w.add(v)
	return w
}

// large reports whether there is more than a value may hold.
func (w *weight) large() bool { return w.bytes > maxBytes || w.elems > maxElems }

// add adds v and all in it, until there is too much.
func (w *weight) add(v cty.Value) {
	w.elems++
	switch {
	case w.large() || v.IsNull():
		return
	case !v.IsKnown():
		w.unknown = true
		return
	}
	switch t := v.Type(); {
	case t == cty.String:
		s := v.AsString()
		w.bytes += len(s)
		w.marks = w.marks || hasMarks(s)
	case t == cty.Number:
		w.huge = w.huge || hugeNumber(v)
		w.infinite = w.infinite || v.AsBigFloat().IsInf()
	case t == cty.Bool, t.IsCapsuleType():
	case v.CanIterateElements():
		for it := v.ElementIterator(); it.Next() && !w.large(); {
			k, e := it.Element()
			if isObject(v) {
				w.bytes += len(k.AsString())
			}
			w.add(e)
		}
	}
}

// check returns what is wrong with a value of this weight.
func (w *weight) check() error {
	switch {
	case w.large():
		return fmt.Errorf("it is too large: more than %d MiB of text or %d elements", maxBytes>>20, maxElems)
	case w.infinite:
		return errors.New("a number is infinite: something is divided by zero, or has too many digits")
	case w.huge:
		return errHuge
	}
	return nil
}

// spend counts a value against what the evaluation may come to.
func (s *scope) spend(w weight) error {
	if err := w.check(); err != nil {
		return err
	}
	s.spent.bytes += w.bytes
	s.spent.elems += w.elems
	if s.spent.bytes > maxSpent*maxBytes || s.spent.elems > maxSpent*maxElems {
		return errSpent
	}
	return nil
}

var errSpent = errors.New("all that is put together in this evaluation comes to too much")

// broke returns what is wrong once an evaluation has spent too much. A loop goes on after an error, so what stands in it ends at once.
func (s *scope) broke(rng hcl.Range) hcl.Diagnostics {
	if s.spent.bytes <= maxSpent*maxBytes && s.spent.elems <= maxSpent*maxElems {
		return nil
	}
	if s.over == nil {
		s.over = tooLarge(rng, "The value", errSpent)
	}
	return s.over
}

// A templateNode is a text with interpolations. Its length is known before it is put together.
type templateNode struct{ *hclsyntax.TemplateExpr }

func (n templateNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if over := scopeOf(ctx).broke(n.Range()); over != nil {
		return cty.DynamicVal, over
	}
	texts := make([]string, len(n.Parts))
	var w weight
	for i, p := range n.Parts {
		v, diags := p.Value(ctx)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		plain := v.Type() == cty.String && v.IsKnown() && !v.IsNull()
		if w.add(v); w.large() || w.huge {
			return cty.DynamicVal, tooLarge(n.Range(), "The text", w.check())
		}
		if !plain {
			return n.anyway(ctx, texts[:i], &fixedNode{p, v, nil})
		}
		texts[i] = v.AsString()
	}
	if err := scopeOf(ctx).spend(weight{bytes: w.bytes}); err != nil {
		return cty.DynamicVal, tooLarge(n.Range(), "The text", err)
	}
	return cty.StringVal(strings.Join(texts, "")), nil
}

// anyway has HCL put the text together: done are the parts before odd, which is no text.
func (n templateNode) anyway(ctx *hcl.EvalContext, done []string, odd *fixedNode) (cty.Value, hcl.Diagnostics) {
	whole := *n.TemplateExpr
	whole.Parts = make([]hclsyntax.Expression, len(n.Parts))
	var w weight
	for i, p := range n.Parts {
		f := odd
		switch {
		case i < len(done):
			f = &fixedNode{p, cty.StringVal(done[i]), nil}
		case i > len(done):
			f = fixed(p, ctx)
		}
		whole.Parts[i] = f
		if w.add(f.value); w.large() || w.huge {
			return cty.DynamicVal, tooLarge(n.Range(), "The text", w.check())
		}
	}
	if err := scopeOf(ctx).spend(weight{bytes: w.bytes}); err != nil {
		return cty.DynamicVal, tooLarge(n.Range(), "The text", err)
	}
	return whole.Value(ctx)
}

// A joinNode is a %{ for } in a template.
type joinNode struct{ *hclsyntax.TemplateJoinExpr }

func (n joinNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	tuple := fixed(n.Tuple, ctx)
	w := weigh(tuple.value)
	if err := scopeOf(ctx).spend(w); err != nil {
		return cty.DynamicVal, tooLarge(n.Range(), "The text", err)
	}
	whole := *n.TemplateJoinExpr
	whole.Tuple = tuple
	return whole.Value(ctx)
}

// A funcNode is a call of a function that needs no more than its arguments.
type funcNode struct{ *hclsyntax.FunctionCallExpr }

func (n funcNode) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if over := scopeOf(ctx).broke(n.Range()); over != nil {
		return cty.DynamicVal, over
	}
	v, diags := n.FunctionCallExpr.Value(ctx)
	if diags.HasErrors() {
		return v, diags
	}
	if err := scopeOf(ctx).spend(weigh(v)); err != nil {
		return cty.DynamicVal, tooLarge(n.Range(), "What "+n.Name+"() makes", err)
	}
	return v, diags
}

func tooLarge(rng hcl.Range, what string, err error) hcl.Diagnostics {
	return failed(rng, what+" is too large", sentence(err))
}

// guard makes f refuse arguments that are too large, would make too much, or, unless it only puts them together, are artifacts: what it
// made of an opaque marker would be wrong.
func guard(name string, f function.Function) function.Function {
	return function.New(&function.Spec{
		Params:   f.Params(),
		VarParam: f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			for _, a := range args {
				if !a.IsKnown() {
					return f.ReturnTypeForValues(args)
				}
			}
			return cty.DynamicPseudoType, nil
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			var all weight
			for i, a := range args {
				had := all.marks
				if all.add(a); all.marks && !had && !transparent[name] {
					return cty.NilVal, function.NewArgErrorf(i, "%s() cannot look into an artifact, whose path is not known yet. Use it in a script, or read it with file()", name)
				}
			}
			if err := all.check(); err != nil {
				return cty.NilVal, err
			}
			if makes := amplifiers[name]; makes != nil && !all.unknown && makes(args) > maxBytes {
				return cty.NilVal, errors.New("what it would make is too large")
			}
			return f.Call(args)
		},
	})
}

// amplifiers estimate how many bytes a function makes, where that is more than it is given.
var amplifiers = map[string]func(args []cty.Value) int{
	"join":          func(a []cty.Value) int { w := weigh(cty.TupleVal(a[1:])); return w.bytes + w.elems*size(a[0]) },
	"replace":       replaceSize,
	"regex_replace": regexReplaceSize,
	"format":        formatSize,
	"formatlist":    formatSize,
	"indent":        func(a []cty.Value) int { return size(a[1]) + count(a[0])*(1+strings.Count(text0(a[1]), "\n")) },
	"parseint":      func(a []cty.Value) int { return size(a[0]) * size(a[0]) },
	"setproduct":    setproductSize,
	"jsondecode":    nestedSize,
	"tomldecode":    nestedSize,
	"yamldecode":    yamlSize,
}

func text0(v cty.Value) string {
	if v.IsNull() || v.Type() != cty.String {
		return ""
	}
	return v.AsString()
}

func size(v cty.Value) int { return len(text0(v)) }

// count returns a number, at most maxBytes.
func count(v cty.Value) int {
	if v.IsNull() || v.Type() != cty.Number {
		return 0
	}
	n, _ := v.AsBigFloat().Float64()
	return int(min(max(n, 0), float64(maxBytes)))
}

func replaceSize(a []cty.Value) int {
	return size(a[0]) + min(strings.Count(text0(a[0]), text0(a[1])), size(a[0])+1)*size(a[2])
}

func regexReplaceSize(a []cty.Value) int {
	re, err := regexp.Compile(text0(a[1]))
	if err != nil {
		return 0
	}
	matches := size(a[0]) + 1
	if matches < 1<<20 { // counting them in more text costs more than it tells
		matches = len(re.FindAllStringIndex(text0(a[0]), -1))
	}
	return size(a[0])*(1+strings.Count(text0(a[2]), "$")) + matches*size(a[2])
}

var longNumber = regexp.MustCompile(`[0-9]{6,}`)

// formatSize is for format() and formatlist(): each text as often as the longest list is long.
func formatSize(a []cty.Value) int {
	longest := 1
	for _, v := range a[1:] {
		if isList(v) && !v.IsNull() {
			longest = max(longest, v.LengthInt())
		}
	}
	if longNumber.MatchString(text0(a[0])) {
		return maxBytes + 1 // a width that no table has
	}
	w := weigh(cty.TupleVal(a))
	return w.bytes * longest
}

func setproductSize(a []cty.Value) int {
	n := 1
	for _, v := range a {
		if v.IsNull() || !v.CanIterateElements() {
			return 0
		}
		if n *= v.LengthInt(); n > maxElems {
			return maxBytes + 1
		}
	}
	return n
}
