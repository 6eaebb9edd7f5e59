package buildfile

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

func decodeShapeInto(s *scope, dst reflect.Value, v cty.Value) error {
	shape, err := decodeShape(v)
	if err == nil {
		dst.Set(reflect.ValueOf(&shape).Elem())
	}
	return err
}

// decodeShape turns an `out` as written into a shape of OutSpecs.
func decodeShape(v cty.Value) (engine.Shape, error) {
	switch {
	case v.IsNull():
		return nil, nil
	case v.Type() == optionalType:
		spec, err := outSpec(v.EncapsulatedValue().(*optionalOut).path)
		spec.Optional = true
		return spec, err
	case v.Type() == cty.String:
		return outSpecOf(v.AsString())
	case isList(v):
		list := []engine.Value{}
		err := eachElement(v, func(e cty.Value) error {
			one, err := decodeShape(e)
			list = append(list, one)
			return err
		})
		return list, err
	case isObject(v):
		o := make(engine.Object)
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			one, err := decodeShape(e)
			if err != nil {
				return nil, err
			}
			if one != nil {
				o[k.AsString()] = one
			}
		}
		return o, nil
	}
	return nil, wantType("a path, or a list or object of paths", v)
}

func outSpecOf(p string) (engine.Shape, error) {
	spec, err := outSpec(p)
	if err != nil {
		return nil, err
	}
	return spec, nil
}

func outSpec(p string) (engine.OutSpec, error) {
	if hasMarks(p) {
		return engine.OutSpec{}, errMarked
	}
	name, dir := strings.CutSuffix(p, "/")
	return engine.OutSpec{Path: name, Dir: dir}, checkPath(name)
}

// checkPath checks a path inside a run's directory.
func checkPath(p string) error {
	switch {
	case p == "":
		return errors.New("a path is empty")
	case hasMarks(p):
		return errMarked
	case strings.ContainsRune(p, 0):
		return fmt.Errorf("the path %q holds a NUL", p)
	case path.IsAbs(p), p == ".", p == "..", strings.HasPrefix(p, "../"), strings.Contains(p, "/../"), strings.HasSuffix(p, "/.."):
		return fmt.Errorf("the path %q must stay inside the run's directory, without \"..\"", p)
	case path.Clean(p) != p:
		return fmt.Errorf("write the path %q as %q", p, path.Clean(p))
	}
	return nil
}
