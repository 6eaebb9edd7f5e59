package buildfile

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"cbuild/cas"
	"cbuild/engine"
)

// basenameFunc returns the last element of a path, also of the path at which a run sees an artifact.
func basenameFunc(s *scope, _ string, args []cty.Value) (cty.Value, error) {
	str, err := oneArg(args)
	if err != nil || !hasMarks(str) {
		return cty.StringVal(path.Base(str)), err
	}
	a, inside, err := s.pathIn(str)
	if err != nil {
		return cty.NilVal, err
	}
	return cty.StringVal(path.Base(path.Join(a.Name, inside))), nil
}

// dirnameFunc returns a path without its last element. Where a run sees an artifact is not known yet, so that the directory of a whole one
// is a directory with nothing but it.
func dirnameFunc(s *scope, _ string, args []cty.Value) (cty.Value, error) {
	str, err := oneArg(args)
	if err != nil || !hasMarks(str) {
		return cty.StringVal(path.Dir(str)), err
	}
	a, inside, err := s.pathIn(str)
	switch {
	case err != nil:
		return cty.NilVal, err
	case inside == "":
		dir, err := s.around(a)
		return cty.StringVal(s.mark(dir)), err
	case path.Dir(inside) == ".":
		return cty.StringVal(s.mark(a)), nil
	}
	return cty.StringVal(s.mark(a) + "/" + path.Dir(inside)), nil
}

// pathIn splits the path of an artifact, or of something inside one, into the two.
func (s *scope) pathIn(str string) (a engine.Artifact, inside string, err error) {
	t := s.text(str)
	switch {
	case len(t) == 1 && t[0].Artifact != nil:
		return *t[0].Artifact, "", nil
	case len(t) == 2 && t[0].Artifact != nil && strings.HasPrefix(t[1].Lit, "/"):
		return *t[0].Artifact, strings.TrimPrefix(path.Clean(t[1].Lit), "/"), nil
	}
	return a, "", errors.New("it takes a path, an artifact, or a path inside one")
}

// around returns a directory that holds a alone.
func (s *scope) around(a engine.Artifact) (engine.Artifact, error) {
	rt := s.pkg.ws.runtime()
	switch {
	case rt == nil || rt.Store == nil:
		return a, errors.New("artifacts can be read during a build only")
	case a.Tool:
		return a, errors.New("a toolchain has no directory around it")
	}
	name := path.Base(a.Name)
	entries := []cas.Entry{{Path: name, Digest: a.Digest, Executable: a.Executable}}
	if a.Kind == engine.TreeKind {
		entries[0] = cas.Entry{Path: name, Kind: cas.DirEntry}
		for e, err := range s.entries(a) {
			if err != nil {
				return a, err
			}
			e.Path = path.Join(name, e.Path)
			entries = append(entries, e)
		}
	} else if missing, err := rt.Store.Missing(s.ctx, []cas.Digest{a.Digest}); err != nil {
		return a, s.fail(err)
	} else if len(missing) > 0 {
		return a, s.fail(&engine.LostError{Digest: a.Digest, Err: fmt.Errorf("%s: %w", a.Name, cas.ErrNotFound)})
	}
	tree, err := cas.PutTree(s.ctx, rt.Store, entries)
	if err != nil {
		return a, s.fail(err)
	}
	return engine.Artifact{Kind: engine.TreeKind, Digest: tree, Name: "dir"}, nil
}
