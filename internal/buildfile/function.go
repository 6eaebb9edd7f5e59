package buildfile

import (
	"fmt"
	"slices"

	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// standard are cty's functions under HCL's usual names.
var standard = map[string]function.Function{
	"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "chomp": stdlib.ChompFunc, "chunklist": stdlib.ChunklistFunc,
	"compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc, "csvdecode": stdlib.CSVDecodeFunc,
	"distinct": stdlib.DistinctFunc, "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc, "floor": stdlib.FloorFunc,
	"format": stdlib.FormatFunc, "formatdate": stdlib.FormatDateFunc, "formatlist": stdlib.FormatListFunc, "indent": stdlib.IndentFunc, "int": stdlib.IntFunc,
	"join": stdlib.JoinFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc, "keys": stdlib.KeysFunc,
	"log": stdlib.LogFunc, "lookup": stdlib.LookupFunc, "lower": stdlib.LowerFunc, "max": stdlib.MaxFunc, "merge": stdlib.MergeFunc,
	"min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc, "pow": stdlib.PowFunc, "range": stdlib.RangeFunc, "regex": stdlib.RegexFunc,
	"regexall": stdlib.RegexAllFunc, "regex_replace": stdlib.RegexReplaceFunc, "replace": stdlib.ReplaceFunc, "reverse": stdlib.ReverseListFunc,
	"sethaselement": stdlib.SetHasElementFunc, "setintersection": stdlib.SetIntersectionFunc, "setproduct": stdlib.SetProductFunc, "setsubtract": stdlib.SetSubtractFunc,
	"setsymmetricdifference": stdlib.SetSymmetricDifferenceFunc, "setunion": stdlib.SetUnionFunc, "signum": stdlib.SignumFunc,
	"slice": stdlib.SliceFunc, "sort": stdlib.SortFunc, "split": stdlib.SplitFunc, "strlen": stdlib.StrlenFunc, "strrev": stdlib.ReverseFunc,
	"substr": stdlib.SubstrFunc, "timeadd": stdlib.TimeAddFunc, "title": stdlib.TitleFunc, "trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
	"trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc, "values": stdlib.ValuesFunc,
	"yamldecode": ctyyaml.YAMLDecodeFunc, "zipmap": stdlib.ZipmapFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc,
	"tostring": stdlib.MakeToFunc(cty.String), "tonumber": stdlib.MakeToFunc(cty.Number), "tobool": stdlib.MakeToFunc(cty.Bool),
	"toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), "tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
	"tomap": stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
}

// transparent are the functions that may be given artifacts: those that put text together, and those that only arrange elements.
var transparent = map[string]bool{
	"join": true, "concat": true, "format": true, "coalesce": true, "jsonencode": true, "shellquote": true,
	"length": true, "hasindex": true, "index": true, "keys": true, "values": true, "flatten": true, "merge": true, "lookup": true, "element": true, "compact": true,
	"slice": true, "reverse": true, "zipmap": true, "coalescelist": true, "chunklist": true, "sample": true, "tolist": true, "tomap": true,
	"regression": true, "setproduct": true,
}

// allFunctions are the functions that need no more than their arguments.
var allFunctions = guarded(standard, ownFunctions())

// functions returns the functions of expressions in p.
func (w *Workspace) functions(*pkg) map[string]function.Function { return allFunctions }

// guarded collects functions, each guarded.
func guarded(sets ...map[string]function.Function) map[string]function.Function {
	all := make(map[string]function.Function)
	for _, set := range sets {
		for name, f := range set {
			all[name] = guard(name, f)
		}
	}
	return all
}

// fn makes a function of n required arguments of any type, and any number of further ones if variadic.
func fn(params []string, variadic string, impl func(args []cty.Value) (cty.Value, error)) function.Function {
	spec := &function.Spec{
		Type: function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if slices.ContainsFunc(args, func(a cty.Value) bool { return !a.IsWhollyKnown() }) {
				return cty.DynamicVal, nil // only the type was asked for
			}
			return impl(args)
		},
	}
	for _, p := range params {
		spec.Params = append(spec.Params, function.Parameter{Name: p, Type: cty.DynamicPseudoType, AllowNull: true})
	}
	if variadic != "" {
		spec.VarParam = &function.Parameter{Name: variadic, Type: cty.DynamicPseudoType, AllowNull: true}
	}
	return function.New(spec)
}

// stringFn makes a function from strings to a value of type ret.
func stringFn(ret cty.Type, params []string, impl func(args []string) (cty.Value, error)) function.Function {
	spec := &function.Spec{
		Type: function.StaticReturnType(ret),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			in := make([]string, len(args))
			for i, a := range args {
				in[i] = a.AsString()
			}
			return impl(in)
		},
	}
	for _, p := range params {
		spec.Params = append(spec.Params, function.Parameter{Name: p, Type: cty.String})
	}
	return function.New(spec)
}

// asStrings converts a list argument.
func asStrings(v cty.Value) ([]string, error) {
	l, err := convert.Convert(v, cty.List(cty.String))
	if err != nil || l.IsNull() {
		return nil, fmt.Errorf("it wants a list of strings")
	}
	var out []string
	err = decodeStrings(&out, l)
	return out, err
}
