package buildfile

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"cbuild/cas"
	"cbuild/engine"
)

// scopeFunctions are the functions that read files of the workspace or artifacts.
var scopeFunctions = map[string]scopeFunction{
	"basename": basenameFunc, "dirname": dirnameFunc,
	"file": fileFunc, "filehash": filehashFunc, "filesize": filesizeFunc, "exists": existsFunc, "files": filesFunc, "glob": globFunc,
}

// scopeFunctionTypes are what they return.
var scopeFunctionTypes = map[string]cty.Type{
	"basename": cty.String, "dirname": cty.String,
	"file": cty.String, "filehash": cty.String, "filesize": cty.Number, "exists": cty.Bool, "files": cty.Map(cty.String), "glob": cty.List(cty.String),
}

// oneArg returns the only argument, a string that may be marked.
func oneArg(args []cty.Value) (string, error) {
	if len(args) != 1 {
		return "", fmt.Errorf("it takes 1 argument, not %d", len(args))
	}
	return stringOf(args[0])
}

// artifact returns the artifact that str names, or the one inside it that a path behind its marker names. Ok is false for plain
// text.
func (s *scope) artifact(str string) (a engine.Artifact, ok bool, err error) {
	if !strings.Contains(str, markPrefix) {
		return a, false, nil
	}
	t := s.text(str)
	if one, ok := t.Single(); ok {
		return one, true, nil
	}
	if len(t) != 2 || t[0].Artifact == nil || !strings.HasPrefix(t[1].Lit, "/") {
		return a, true, errors.New("it takes an artifact, or a path inside one")
	}
	want := path.Clean(strings.TrimPrefix(t[1].Lit, "/"))
	for e, err := range s.entries(*t[0].Artifact) {
		if err != nil {
			return a, true, err
		}
		if e.Path == want {
			return artifactOf(e), true, nil
		}
	}
	return a, true, fmt.Errorf("%s holds no %s", t[0].Artifact.Name, want)
}

func artifactOf(e cas.Entry) engine.Artifact {
	a := engine.Artifact{Digest: e.Digest, Executable: e.Executable, Name: e.Path}
	if e.Kind == cas.DirEntry {
		a.Kind = engine.TreeKind
	}
	return a
}

// lost says that a could not be read: if the store lost it, what made it is done again.
func lost(a engine.Artifact, err error) error {
	err = fmt.Errorf("%s: %w", a.Name, err)
	if errors.Is(err, cas.ErrNotFound) {
		return &engine.LostError{Digest: a.Digest, Err: err}
	}
	return err
}

// entries walks the tree a.
func (s *scope) entries(a engine.Artifact) func(func(cas.Entry, error) bool) {
	rt := s.pkg.ws.runtime()
	if rt == nil || rt.Store == nil || a.Kind != engine.TreeKind {
		return func(yield func(cas.Entry, error) bool) {
			yield(cas.Entry{}, fmt.Errorf("%s is not a directory", a.Name))
		}
	}
	return func(yield func(cas.Entry, error) bool) {
		for e, err := range cas.Walk(s.ctx, rt.Store, a.Digest) {
			if err != nil {
				err = s.fail(lost(a, err))
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// content reads the text of an artifact.
func (s *scope) content(a engine.Artifact) (string, error) {
	rt := s.pkg.ws.runtime()
	switch {
	case a.Kind == engine.TreeKind:
		return "", fmt.Errorf("%s is a directory", a.Name)
	case rt == nil || rt.Store == nil:
		return "", errors.New("artifacts can be read during a build only")
	}
	data, err := cas.ReadAll(s.ctx, rt.Store, a.Digest, maxText)
	if err != nil {
		return "", s.fail(lost(a, err))
	}
	return text(a.Name, data)
}

func fileFunc(s *scope, dir string, args []cty.Value) (cty.Value, error) {
	str, err := oneArg(args)
	if err != nil {
		return cty.NilVal, err
	}
	a, ok, err := s.artifact(str)
	if err != nil {
		return cty.NilVal, err
	}
	var out string
	if ok {
		out, err = s.content(a)
	} else {
		var data []byte
		if data, err = s.pkg.ws.files.read(dir, str); err == nil {
			out, err = text(str, data)
		}
	}
	return cty.StringVal(out), err
}

func filehashFunc(s *scope, dir string, args []cty.Value) (cty.Value, error) {
	str, err := oneArg(args)
	if err != nil {
		return cty.NilVal, err
	}
	a, ok, err := s.artifact(str)
	if err != nil {
		return cty.NilVal, err
	}
	if ok {
		return cty.StringVal(a.Digest.String()), nil
	}
	data, err := s.pkg.ws.files.read(dir, str)
	return cty.StringVal(cas.Of(data).String()), err
}

func filesizeFunc(s *scope, dir string, args []cty.Value) (cty.Value, error) {
	str, err := oneArg(args)
	if err != nil {
		return cty.NilVal, err
	}
	a, ok, err := s.artifact(str)
	if err != nil {
		return cty.NilVal, err
	}
	if !ok {
		data, err := s.pkg.ws.files.read(dir, str)
		return cty.NumberIntVal(int64(len(data))), err
	}
	if a.Kind == engine.TreeKind {
		return cty.NilVal, fmt.Errorf("%s is a directory", a.Name)
	}
	if a.Digest.Size >= 0 {
		return cty.NumberIntVal(a.Digest.Size), nil
	}
	size, err := s.sizeOf(a)
	return cty.NumberIntVal(size), err
}

// sizeOf counts the bytes of an artifact of which only the hash is known.
func (s *scope) sizeOf(a engine.Artifact) (int64, error) {
	rt := s.pkg.ws.runtime()
	if rt == nil || rt.Store == nil {
		return 0, errors.New("artifacts can be read during a build only")
	}
	r, err := rt.Store.Open(s.ctx, a.Digest)
	if err != nil {
		return 0, s.fail(lost(a, err))
	}
	n, err := io.Copy(io.Discard, r)
	return n, errors.Join(err, r.Close())
}

func existsFunc(s *scope, dir string, args []cty.Value) (cty.Value, error) {
	str, err := oneArg(args)
	if err != nil {
		return cty.NilVal, err
	}
	if hasMarks(str) {
		return cty.NilVal, errMarked
	}
	ok, err := s.pkg.ws.files.exists(dir, str)
	return cty.BoolVal(ok), err
}

// filesFunc lists the files of a tree: a map from path to artifact.
func filesFunc(s *scope, _ string, args []cty.Value) (cty.Value, error) {
	str, err := oneArg(args)
	if err != nil {
		return cty.NilVal, err
	}
	a, ok, err := s.artifact(str)
	switch {
	case err != nil:
		return cty.NilVal, err
	case !ok:
		return cty.NilVal, errors.New("it takes an artifact; for files of the package use glob()")
	}
	out := make(map[string]cty.Value)
	for e, err := range s.entries(a) {
		if err != nil {
			return cty.NilVal, err
		}
		if e.Kind != cas.FileEntry {
			continue
		}
		if err := checkName(e.Path); err != nil {
			return cty.NilVal, err
		}
		out[e.Path] = cty.StringVal(s.mark(artifactOf(e)))
	}
	if len(out) == 0 {
		return cty.MapValEmpty(cty.String), nil
	}
	return cty.MapVal(out), nil
}

// globFunc lists files of the package: glob(pattern, exclude…); each argument may be a list.
func globFunc(s *scope, dir string, args []cty.Value) (cty.Value, error) {
	if len(args) == 0 {
		return cty.NilVal, errors.New("it takes a pattern")
	}
	var include, exclude []string
	for i, a := range args {
		into := &exclude
		if i == 0 {
			into = &include
		}
		err := flat(a, func(e cty.Value) error {
			var p string
			err := decodeString(&p, e)
			*into = append(*into, p)
			return err
		})
		if err != nil {
			return cty.NilVal, err
		}
	}
	names, err := s.pkg.ws.files.glob(dir, include, exclude)
	if err != nil {
		return cty.NilVal, err
	}
	if len(names) == 0 {
		return cty.ListValEmpty(cty.String), nil
	}
	out := make([]cty.Value, len(names))
	for i, n := range names {
		out[i] = cty.StringVal(n)
	}
	return cty.ListVal(out), nil
}
