package buildfile

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
	"cbuild/rules"
)

var (
	typeConfidential = reflect.TypeFor[map[string]engine.Confidential]()

	typeToolchains = reflect.TypeFor[[]engine.Toolchain]()
	typeRows       = reflect.TypeFor[rules.Rows]()
	typeExpr       = reflect.TypeFor[rules.Expr]()
	typeExprs      = reflect.TypeFor[[]rules.Expr]()
	typePageExpr   = reflect.TypeFor[rules.PageExpr]()
	typeNamedExprs = reflect.TypeFor[[]engine.Named[rules.Expr]]()
)

var (
	errNullRequired = errors.New("the value is null, but the attribute is needed")
	errMarked       = errors.New("an artifact cannot be used here: it has no path before the run's directory is laid out")
)

// optionalOut is what optional("p") returns.
type optionalOut struct{ path string }

var optionalType = cty.Capsule("optional out", reflect.TypeFor[optionalOut]())

// decode puts v, which is not null, into dst, according to dst's type.
func (s *scope) decode(dst reflect.Value, v cty.Value) error {
	switch p := dst.Addr().Interface().(type) {
	case *string:
		return decodeString(p, v)
	case *bool:
		return decodeBool(p, v)
	case *int:
		return decodeInt(p, v)
	case *float64:
		return decodeFloat(p, v)
	case *time.Duration:
		return decodeDuration(p, v)
	case *rules.Size:
		return decodeSize(p, v)
	case *[]string:
		return decodeStrings(p, v)
	case *map[string]string:
		return decodeMap(p, v, func(e cty.Value) (str string, err error) { return str, decodeString(&str, e) })
	case *engine.Text:
		return s.decodeText(p, v)
	case *[]engine.Text:
		return s.decodeTexts(p, v)
	case *map[string]engine.Text:
		return decodeMap(p, v, func(e cty.Value) (t engine.Text, err error) { return t, s.decodeText(&t, e) })
	case *map[string]engine.Confidential:
		return decodeMap(p, v, s.confidential)
	case *rules.Pools:
		return decodePools(p, v)
	case *[]engine.Input:
		return s.decodeInputs(p, v)
	case *rules.Templates:
		if !isList(v) && !isObject(v) {
			v = cty.TupleVal([]cty.Value{v})
		}
		return s.decodeInputs((*[]engine.Input)(p), v)
	case *[]engine.Toolchain:
		return s.decodeToolchains(p, v)
	case *engine.Object:
		plain, err := s.plain(v)
		if o, ok := plain.(engine.Object); ok || err != nil {
			*p = o
			return err
		}
		return wantType("an object", v)
	case *engine.Value:
		plain, err := s.plain(v)
		*p = plain
		return err
	}
	return s.decodeOther(dst, v)
}

// decodeOther decodes pointers, slices of structs, and structs.
func (s *scope) decodeOther(dst reflect.Value, v cty.Value) error {
	switch dst.Kind() {
	case reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		return s.decode(dst.Elem(), v)
	case reflect.Slice:
		return eachElement(v, func(e cty.Value) error {
			elem := reflect.New(dst.Type().Elem()).Elem()
			if err := s.decode(elem, e); err != nil {
				return err
			}
			dst.Set(reflect.Append(dst, elem))
			return nil
		})
	case reflect.Struct:
		return s.decodeStruct(dst, v)
	}
	return fmt.Errorf("attributes of type %s are not supported", dst.Type())
}

func (s *scope) decodeStruct(dst reflect.Value, v cty.Value) error {
	if !isObject(v) {
		return wantType("an object", v)
	}
	known := make(map[string]*field)
	for _, f := range structFields(dst.Type(), nil) {
		known[f.name] = f
	}
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		f := known[k.AsString()]
		if f == nil {
			return fmt.Errorf("unknown member %q. %s", k.AsString(), didYouMean(k.AsString(), mapKeys(known), oneOf("There are", sortedKeys(known))))
		}
		delete(known, f.name)
		if e.IsNull() {
			continue
		}
		if err := s.decode(dst.FieldByIndex(f.index), e); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	for name, f := range known {
		if f.required {
			return fmt.Errorf("the member %q is missing", name)
		}
	}
	return nil
}

func isObject(v cty.Value) bool { return v.Type().IsObjectType() || v.Type().IsMapType() }

func isList(v cty.Value) bool {
	t := v.Type()
	return t.IsTupleType() || t.IsListType() || t.IsSetType()
}

func wantType(want string, v cty.Value) error {
	return fmt.Errorf("it wants %s, not %s", want, describe(v))
}

func describe(v cty.Value) string {
	switch t := v.Type(); {
	case v.IsNull():
		return "null"
	case t == cellType:
		return "an instance"
	case t == optionalType:
		return "optional()"
	case t == poolType:
		return "a pool"
	case isObject(v):
		return "an object"
	case isList(v):
		return "a list"
	case t == cty.String && hasSecret(v.AsString()):
		return "a secret"
	case t == cty.String && hasMarks(v.AsString()):
		return "an artifact"
	case t == cty.String:
		return "the string " + strconv.Quote(v.AsString())
	case t == cty.Number:
		return "the number " + v.AsBigFloat().Text('g', -1)
	case t == cty.Bool:
		return strconv.FormatBool(v.True())
	default:
		return "a " + t.FriendlyName()
	}
}

// eachElement calls f for the elements of a list, nulls left out.
func eachElement(v cty.Value, f func(cty.Value) error) error {
	if !isList(v) {
		return wantType("a list", v)
	}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if e.IsNull() {
			continue
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// flat calls f for the elements of a list and of the lists in it, nulls left out.
func flat(v cty.Value, f func(cty.Value) error) error {
	if !isList(v) {
		return f(v)
	}
	return eachElement(v, func(e cty.Value) error { return flat(e, f) })
}

// stringOf returns v as a string that may hold markers.
func stringOf(v cty.Value) (string, error) {
	if v.IsNull() {
		return "", errors.New("it is null")
	}
	switch v.Type() {
	case cty.String:
		return v.AsString(), nil
	case cty.Number, cty.Bool:
		return keyText(v)
	}
	return "", wantType("a string", v)
}

func decodeString(dst *string, v cty.Value) error {
	str, err := stringOf(v)
	if err != nil {
		return err
	}
	if hasMarks(str) {
		return errMarked
	}
	*dst = str
	return nil
}

// decodeStrings takes a list of strings; an empty one is not nil, which stands for an absent one.
func decodeStrings(dst *[]string, v cty.Value) error {
	*dst = []string{}
	return eachElement(v, func(e cty.Value) error {
		var str string
		err := decodeString(&str, e)
		*dst = append(*dst, str)
		return err
	})
}

func decodeBool(dst *bool, v cty.Value) error {
	if v.IsNull() || v.Type() != cty.Bool {
		return wantType("true or false", v)
	}
	*dst = v.True()
	return nil
}

func decodeInt(dst *int, v cty.Value) error {
	if v.Type() != cty.Number {
		return wantType("an integer", v)
	}
	i, exact := plainNumber(v.AsBigFloat()).(int64)
	if !exact || i < 0 || int64(int(i)) != i {
		return wantType("an integer from 0 up", v)
	}
	*dst = int(i)
	return nil
}

func decodeFloat(dst *float64, v cty.Value) error {
	if v.Type() != cty.Number {
		return wantType("a number", v)
	}
	*dst, _ = v.AsBigFloat().Float64()
	return nil
}

func decodeDuration(dst *time.Duration, v cty.Value) error {
	if v.Type() != cty.String {
		return wantType(`a duration such as "90s" or "10m"`, v)
	}
	d, err := time.ParseDuration(v.AsString())
	if err != nil || d <= 0 {
		return wantType(`a duration such as "90s" or "10m"`, v)
	}
	*dst = d
	return nil
}

var sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([kKMGT]?)(i?)B?$`)

func decodeSize(dst *rules.Size, v cty.Value) error {
	if v.Type() == cty.Number {
		var n int
		err := decodeInt(&n, v)
		*dst = rules.Size(n)
		return err
	}
	const want = `a size such as "512MB" or "4GiB"`
	if v.Type() != cty.String {
		return wantType(want, v)
	}
	m := sizePattern.FindStringSubmatch(v.AsString())
	if m == nil {
		return wantType(want, v)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return wantType(want, v)
	}
	base := 1000.0
	if m[3] != "" {
		base = 1024
	}
	for range strings.Index(" KMGT", strings.ToUpper(m[2] + " ")[:1]) {
		n *= base
	}
	if n >= 1<<62 {
		return wantType(want, v)
	}
	*dst = rules.Size(n)
	return nil
}

func decodeMap[T any](dst *map[string]T, v cty.Value, one func(cty.Value) (T, error)) error {
	if !isObject(v) {
		return wantType("an object", v)
	}
	*dst = make(map[string]T, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		if e.IsNull() {
			continue
		}
		t, err := one(e)
		if err != nil {
			return fmt.Errorf("%s: %w", k.AsString(), err)
		}
		(*dst)[k.AsString()] = t
	}
	return nil
}

func (s *scope) decodeText(dst *engine.Text, v cty.Value) error {
	str, err := stringOf(v)
	if err != nil {
		return err
	}
	*dst = s.text(str)
	return nil
}

func (s *scope) decodeTexts(dst *[]engine.Text, v cty.Value) error {
	if !isList(v) {
		return wantType("a list", v)
	}
	return flat(v, func(e cty.Value) error {
		var t engine.Text
		err := s.decodeText(&t, e)
		*dst = append(*dst, t)
		return err
	})
}
