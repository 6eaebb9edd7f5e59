package buildfile

import (
	"context"
	"errors"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

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
	var all []made
	for _, b := range t.call.rule.outputs {
		l := t.call.outputs[b.Labels[0]]
		value, err := s.evalPlain(l.compiled)
		if err != nil {
			return nil, err.outcome()
		}
		all = madeIn(value, l.name, all)
	}
	return rules.Outputs(places(all)), nil
}

// A made artifact is one that an action made, and where it stands among the outputs of a call.
type made struct {
	engine.Artifact
	at string
}

// madeIn adds the artifacts in v, which stands at a path among the outputs, that actions made.
func madeIn(v engine.Value, at string, all []made) []made {
	switch v := v.(type) {
	case engine.Artifact:
		if !v.Source && !v.Tool {
			all = append(all, made{v, at})
		}
	case []engine.Value:
		for i, e := range v {
			all = madeIn(e, path.Join(at, strconv.Itoa(i)), all)
		}
	case engine.Object:
		for _, key := range sortedKeys(v) {
			all = madeIn(v[key], path.Join(at, keyFolder(key)), all)
		}
	}
	return all
}

// keyFolder returns the name of a folder for a key, which may be any text.
func keyFolder(key string) string {
	switch folder := url.PathEscape(key); {
	case folder == "":
		return "%"
	case strings.HasPrefix(folder, "."):
		return "%2E" + folder[1:]
	default:
		return folder
	}
}

// places returns where the artifacts are published: under their own names, or where two of them would stand at or in the same place, each in a folder that says
// which output it is.
func places(all []made) (outs []engine.Output) {
	taken := make(map[string]engine.Artifact)
	clash := slices.ContainsFunc(all, func(m made) bool {
		had, ok := taken[m.Name]
		taken[m.Name] = m.Artifact
		return ok && had != m.Artifact
	})
	for name := range taken {
		for dir := path.Dir(name); dir != "." && !clash; dir = path.Dir(dir) {
			_, clash = taken[dir]
		}
	}
	seen := make(map[string]bool)
	for _, m := range all {
		at := m.Name
		if clash {
			at = path.Join(m.at, m.Name)
		}
		if !seen[at] {
			seen[at] = true
			outs = append(outs, engine.Output{Path: at, Artifact: m.Artifact})
		}
	}
	return outs
}
