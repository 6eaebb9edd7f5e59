package buildfile

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/Masterminds/semver/v3"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"golang.org/x/mod/module"

	"cbuild/cas"
)

// ownFunctions are the functions of BUILD.hcl that cty does not have.
func ownFunctions() map[string]function.Function {
	one := []string{"string"}
	str := func(f func(string) (string, error)) function.Function {
		return stringFn(cty.String, one, func(a []string) (cty.Value, error) {
			s, err := f(a[0])
			return cty.StringVal(s), err
		})
	}
	test := func(f func(s, part string) bool) function.Function {
		return stringFn(cty.Bool, []string{"string", "part"}, func(a []string) (cty.Value, error) { return cty.BoolVal(f(a[0], a[1])), nil })
	}
	return map[string]function.Function{
		"gomod_escape":   str(module.EscapePath),
		"urlencode":      str(func(s string) (string, error) { return url.QueryEscape(s), nil }),
		"shellquote":     fn([]string{"value"}, "", shellquoteFunc),
		"semver_key":     str(semverKey),
		"semver_match":   stringFn(cty.Bool, []string{"version", "range"}, semverMatch),
		"semver_compare": stringFn(cty.Number, []string{"a", "b"}, semverCompare),
		"semver_max":     fn([]string{"versions"}, "", semverMax),
		"startswith":     test(strings.HasPrefix),
		"endswith":       test(strings.HasSuffix),
		"strcontains":    test(strings.Contains),
		"tomldecode":     fn(one, "", tomlDecode),
		"hasindex":       fn([]string{"collection", "key"}, "", hasIndexFunc),
		"index":          fn([]string{"collection", "key"}, "", indexFunc),
		"hash":           fn([]string{"value"}, "", hashFunc),
		"lines":          stringFn(cty.List(cty.String), one, linesFunc),
		"length":         fn([]string{"value"}, "", lengthFunc),
		"sample":         fn([]string{"collection", "n", "seed"}, "", sampleFunc),
		"regression":     fn([]string{"before", "after"}, "", regressionFunc),
		"optional": stringFn(optionalType, []string{"path"}, func(a []string) (cty.Value, error) {
			return cty.CapsuleVal(optionalType, &optionalOut{a[0]}), nil
		}),
	}
}

// linesFunc splits text into its lines, without the blank ones and without spaces around them.
func linesFunc(a []string) (cty.Value, error) {
	var out []cty.Value
	for line := range strings.SplitSeq(a[0], "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, cty.StringVal(line))
		}
	}
	if out == nil {
		return cty.ListValEmpty(cty.String), nil
	}
	return cty.ListVal(out), nil
}

func lengthFunc(a []cty.Value) (cty.Value, error) {
	v := a[0]
	switch {
	case v.IsNull():
		return cty.NilVal, errors.New("null has no length")
	case isList(v) || isObject(v):
		return cty.NumberIntVal(int64(v.LengthInt())), nil
	case v.Type() == cty.String:
		return cty.NilVal, errors.New("a string has no length here: use strlen()")
	}
	return cty.NilVal, wantType("a list, map or object", v)
}

// shellquoteFunc quotes a string, or a list of strings separated by blanks, for a POSIX shell. An artifact inside stays what it is.
func shellquoteFunc(a []cty.Value) (cty.Value, error) {
	var words []string
	err := flat(a[0], func(e cty.Value) error {
		s, err := stringOf(e)
		if err != nil {
			return err
		}
		if strings.ContainsRune(s, 0) {
			return errors.New("no shell takes a NUL")
		}
		words = append(words, "'"+strings.ReplaceAll(s, "'", `'\''`)+"'")
		return nil
	})
	return cty.StringVal(strings.Join(words, " ")), err
}

func version(s string) (*semver.Version, error) {
	v, err := semver.NewVersion(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not a semantic version", s)
	}
	return v, nil
}

func semverMatch(a []string) (cty.Value, error) {
	v, err := version(a[0])
	if err != nil {
		return cty.NilVal, err
	}
	c, err := semver.NewConstraint(a[1])
	if err != nil {
		return cty.NilVal, fmt.Errorf("%q is not a range of versions, such as \">= 1.2, < 2\"", a[1])
	}
	return cty.BoolVal(c.Check(v)), nil
}

func semverCompare(a []string) (cty.Value, error) {
	x, err := version(a[0])
	if err != nil {
		return cty.NilVal, err
	}
	y, err := version(a[1])
	if err != nil {
		return cty.NilVal, err
	}
	return cty.NumberIntVal(int64(x.Compare(y))), nil
}

// semverKey returns a string that sorts as the version does. Numbers are padded; a release sorts behind its pre-releases.
func semverKey(s string) (string, error) {
	v, err := version(s)
	if err != nil {
		return "", err
	}
	key := fmt.Sprintf("%020d.%020d.%020d", v.Major(), v.Minor(), v.Patch())
	if v.Prerelease() == "" {
		return key + "~", nil
	}
	key += "-"
	for part := range strings.SplitSeq(v.Prerelease(), ".") {
		if strings.Trim(part, "0123456789") == "" {
			key += fmt.Sprintf("!%030s", part)
		} else {
			key += "\"" + part
		}
		key += " "
	}
	return key, nil
}

func semverMax(a []cty.Value) (cty.Value, error) {
	list, err := asStrings(a[0])
	if err != nil {
		return cty.NilVal, err
	}
	var best *semver.Version
	for _, s := range list {
		v, err := version(s)
		if err != nil {
			return cty.NilVal, err
		}
		if best == nil || v.GreaterThan(best) {
			best = v
		}
	}
	if best == nil {
		return cty.NullVal(cty.String), nil
	}
	return cty.StringVal(best.Original()), nil
}

func tomlDecode(a []cty.Value) (cty.Value, error) {
	var src string
	if err := decodeString(&src, a[0]); err != nil {
		return cty.NilVal, err
	}
	var doc map[string]any
	if _, err := toml.NewDecoder(strings.NewReader(src)).Decode(&doc); err != nil {
		return cty.NilVal, err
	}
	return fromTOML(doc)
}

func fromTOML(v any) (cty.Value, error) {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]cty.Value, len(v))
		for k, e := range v {
			c, err := fromTOML(e)
			if err != nil {
				return cty.NilVal, err
			}
			out[k] = c
		}
		return cty.ObjectVal(out), nil
	case []map[string]any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		return fromTOML(list)
	case []any:
		out := make([]cty.Value, len(v))
		for i, e := range v {
			c, err := fromTOML(e)
			if err != nil {
				return cty.NilVal, err
			}
			out[i] = c
		}
		return cty.TupleVal(out), nil
	case string:
		return cty.StringVal(v), foreign(v)
	case int64:
		return cty.NumberIntVal(v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return cty.NilVal, errors.New("a number is not finite")
		}
		return cty.NumberFloatVal(v), nil
	case bool:
		return cty.BoolVal(v), nil
	case time.Time:
		return cty.StringVal(v.Format(cmp.Or(tomlTimes[v.Location().String()], time.RFC3339Nano))), nil
	default:
		return cty.NilVal, fmt.Errorf("a %T is nothing that an expression knows", v)
	}
}

// tomlTimes are the layouts of TOML's dates and times without an offset, by the names of the locations that the decoder gives them.
var tomlTimes = map[string]string{
	"date-local": time.DateOnly, "time-local": "15:04:05.999999999", "datetime-local": "2006-01-02T15:04:05.999999999",
}

// elementAt returns the element of a collection at a key.
func elementAt(coll, key cty.Value) (cty.Value, error) {
	v, diags := hcl.Index(coll, key, nil)
	if diags.HasErrors() {
		d := firstError(diags)
		return cty.NilVal, errors.New(cmpOr(d.Detail, d.Summary))
	}
	return v, nil
}

func indexFunc(a []cty.Value) (cty.Value, error) { return elementAt(a[0], a[1]) }

func hasIndexFunc(a []cty.Value) (cty.Value, error) {
	if a[0].IsNull() || !isList(a[0]) && !isObject(a[0]) {
		return cty.NilVal, wantType("a list, map or object", a[0])
	}
	_, err := elementAt(a[0], a[1])
	return cty.BoolVal(err == nil), nil
}

func encode(v cty.Value) ([]byte, error) { return ctyjson.Marshal(v, v.Type()) }

// hashFunc returns 32 hexadecimal digits that depend on all of the value.
func hashFunc(a []cty.Value) (cty.Value, error) {
	data, err := encode(a[0])
	if err != nil {
		return cty.NilVal, err
	}
	sum := cas.Derive("cbuild function hash v1", data)
	return cty.StringVal(hex.EncodeToString(sum[:16])), nil
}

// sampleFunc picks n elements (below 1: that share of them), the same ones for the same seed, and nearly the same ones when the
// collection changes a little: those whose keys hash lowest.
func sampleFunc(a []cty.Value) (cty.Value, error) {
	coll := a[0]
	if coll.IsNull() || !isList(coll) && !isObject(coll) {
		return cty.NilVal, wantType("a list, map or object", coll)
	}
	if a[1].IsNull() || a[1].Type() != cty.Number {
		return cty.NilVal, errors.New("n is a number of elements, or a share below 1")
	}
	n, _ := a[1].AsBigFloat().Float64()
	seed, err := encode(a[2])
	if err != nil {
		return cty.NilVal, err
	}
	if n < 0 {
		return cty.NilVal, errors.New("n is negative")
	}
	if n < 1 {
		n = math.Round(n * float64(coll.LengthInt()))
	}
	return pick(coll, int(min(n, float64(coll.LengthInt()))), seed)
}

type ranked struct {
	place    int
	rank     [32]byte
	key, val cty.Value
}

func pick(coll cty.Value, n int, seed []byte) (cty.Value, error) {
	var all []ranked
	for it := coll.ElementIterator(); it.Next(); {
		k, v := it.Element()
		id := k
		if isList(coll) {
			id = v
		}
		data, err := encode(id)
		if err != nil {
			return cty.NilVal, err
		}
		all = append(all, ranked{len(all), cas.Derive("cbuild function sample v1", slices.Concat(seed, []byte{0}, data)), k, v})
	}
	slices.SortFunc(all, func(x, y ranked) int { return cmp.Or(bytes.Compare(x.rank[:], y.rank[:]), x.place-y.place) })
	all = all[:n]
	slices.SortFunc(all, func(x, y ranked) int { return x.place - y.place })
	if isObject(coll) {
		out := make(map[string]cty.Value)
		for _, r := range all {
			out[r.key.AsString()] = r.val
		}
		return cty.ObjectVal(out), nil
	}
	var out []cty.Value
	for _, r := range all {
		out = append(out, r.val)
	}
	return cty.TupleVal(out), nil
}

// regressionFunc compares two instances, or their outcomes.
func regressionFunc(a []cty.Value) (cty.Value, error) {
	before, err := outcomeWord(a[0])
	if err != nil {
		return cty.NilVal, err
	}
	after, err := outcomeWord(a[1])
	if err != nil {
		return cty.NilVal, err
	}
	ran := func(o string) bool { return o == "pass" || o == "fail" || o == "crash" }
	switch {
	case !ran(before) || !ran(after):
		return cty.StringVal("error"), nil
	case before == "pass" && after == "pass":
		return cty.StringVal("same-pass"), nil
	case before == "pass":
		return cty.StringVal("regressed"), nil
	case after == "pass":
		return cty.StringVal("fixed"), nil
	}
	return cty.StringVal("same-fail"), nil
}

func outcomeWord(v cty.Value) (string, error) {
	if !v.IsNull() && v.Type().IsObjectType() && v.Type().HasAttribute("outcome") {
		v = v.GetAttr("outcome")
	}
	if v.IsNull() || v.Type() != cty.String {
		return "", wantType("an instance, or its outcome", v)
	}
	return v.AsString(), nil
}
