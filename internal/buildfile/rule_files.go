package buildfile

import (
	"context"
	"errors"

	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
	"cbuild/rules"
)

// sourceFiles returns the files that v names as a list of artifacts: paths are those of files of the package dir, and stand at them in a run, as if
// they were written there.
func (s *scope) sourceFiles(dir string, v cty.Value) (cty.Value, error) {
	if s.typing > 0 {
		return cty.DynamicVal, nil
	}
	list := []cty.Value{}
	var add func(v cty.Value) error
	add = func(v cty.Value) error {
		if v.IsNull() {
			return nil
		}
		if isObject(v) {
			for it := v.ElementIterator(); it.Next(); {
				_, e := it.Element()
				if err := flat(e, add); err != nil {
					return err
				}
			}
			return nil
		}
		str, err := stringOf(v)
		if err != nil {
			return errors.New("it wants a path, an artifact, or a list of them, not " + describe(v))
		}
		if !hasMarks(str) {
			if str, err = s.sourceFile(dir, str); err != nil {
				return err
			}
		}
		list = append(list, cty.StringVal(str))
		return nil
	}
	if v.IsNull() {
		return cty.EmptyTupleVal, nil
	}
	if err := flat(v, add); err != nil {
		return cty.NilVal, err
	}
	return cty.TupleVal(list), nil
}

// sourceFile returns the marker of a file of the package dir.
func (s *scope) sourceFile(dir, name string) (string, error) {
	rt := s.pkg.ws.runtime()
	if rt == nil || rt.Sources == nil {
		return "", errors.New("files can be passed to a rule during a build only")
	}
	a, err := rt.Sources.Source(s.ctx, dir, name)
	var invalid *engine.InvalidError
	switch {
	case errors.As(err, &invalid):
		return "", invalid.Err
	case err != nil:
		return "", s.fail(err)
	}
	return s.mark(a), nil
}

// planCall plans a call of a rule: what its outputs made is what it publishes.
func (t *target) planCall(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
	s := instanceScope(ctx, t.pkg, t, v, i)
	var outs []engine.Output
	taken := make(map[string]engine.Artifact)
	for _, b := range t.call.rule.outputs {
		l := t.call.outputs[b.Labels[0]]
		value, err := s.evalPlain(l.compiled)
		if err != nil {
			return nil, err.outcome()
		}
		for _, a := range madeIn(value, nil) {
			outs = append(outs, engine.Output{Path: outPath(taken, l.name, a), Artifact: a})
		}
	}
	return rules.Outputs(outs), nil
}

// madeIn returns the artifacts in v that actions made.
func madeIn(v engine.Value, found []engine.Artifact) []engine.Artifact {
	switch v := v.(type) {
	case engine.Artifact:
		if !v.Source && !v.Tool {
			found = append(found, v)
		}
	case []engine.Value:
		for _, e := range v {
			found = madeIn(e, found)
		}
	case engine.Object:
		for _, key := range sortedKeys(v) {
			found = madeIn(v[key], found)
		}
	}
	return found
}
