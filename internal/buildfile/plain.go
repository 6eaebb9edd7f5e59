package buildfile

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"

	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

// plain converts what an expression evaluated to into plain data; strings that are one artifact become it.
func (s *scope) plain(v cty.Value) (engine.Value, error) {
	if v.IsNull() {
		return nil, nil
	}
	if !v.IsKnown() {
		return nil, errors.New("the value is unknown")
	}
	switch t := v.Type(); {
	case t == cty.String:
		return s.plainString(v.AsString())
	case t == cty.Bool:
		return v.True(), nil
	case t == cty.Number:
		return plainNumber(v.AsBigFloat()), nil
	case t == cellType:
		return v.EncapsulatedValue().(*cell).asRow(), nil
	case t == poolType:
		return v.EncapsulatedValue().(*pool).name(), nil
	case t.IsCapsuleType():
		return nil, errors.New("optional() is for out only")
	case t.IsMapType() || t.IsObjectType():
		return s.plainObject(v)
	}
	list := []engine.Value{}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		p, err := s.plain(e)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func (s *scope) plainObject(v cty.Value) (engine.Value, error) {
	o := make(engine.Object, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		p, err := s.plain(e)
		if err != nil {
			return nil, err
		}
		o[k.AsString()] = p
	}
	return o, nil
}

func (s *scope) plainString(str string) (engine.Value, error) {
	if !hasMarks(str) {
		return str, nil
	}
	t := s.text(str)
	if lit, ok := t.IsLiteral(); ok {
		return lit, nil
	}
	if a, ok := t.Single(); ok {
		return a, nil
	}
	return t, nil
}

func plainNumber(f *big.Float) engine.Value {
	if i, acc := f.Int64(); acc == big.Exact {
		return i
	}
	x, _ := f.Float64()
	return x
}

// asRow returns c as a row of its own.
func (c *cell) asRow() *engine.Row {
	if len(c.row.Cells) == 1 && c.row.Peeled == len(c.o.Axes) {
		return c.row
	}
	return &engine.Row{Target: c.row.Target, Key: c.row.Key, Index: c.row.Index, Value: c.row.Value, Cells: []*engine.Outcome{c.o}, Peeled: len(c.o.Axes)}
}

// keyText returns the text of an instance key or a list element of for_each.
func keyText(v cty.Value) (string, error) {
	if v.IsNull() || !v.IsKnown() {
		return "", errors.New("a key is null")
	}
	switch v.Type() {
	case cty.String:
		if hasMarks(v.AsString()) {
			return "", errors.New("an artifact cannot be a key")
		}
		return v.AsString(), nil
	case cty.Bool:
		return strconv.FormatBool(v.True()), nil
	case cty.Number:
		f := v.AsBigFloat()
		if !f.IsInt() {
			return "", fmt.Errorf("%s is not an integer: write a string, as in \"1.20\", because the number 1.20 is 1.2", f.Text('g', -1))
		}
		return f.Text('f', 0), nil
	}
	return "", fmt.Errorf("a key is a string, an integer or a bool, not %s", v.Type().FriendlyName())
}
