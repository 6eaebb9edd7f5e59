package rules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"cbuild/engine"
)

// layout decides where in a run's directory each input stands. Sources stand at their own path, the elements of a map at their
// name, and any other artifact at in/N/<name>, N counting first mentions: so no name of a target and no key of an instance is in a
// path, and equal work has equal keys.
type layout struct {
	ctx  context.Context
	rt   *Runtime
	dir  string // the package
	work string // the run's `dir`, clean

	mounts []engine.Mount
	loose  []engine.Mount // of `with`, which may turn out not to matter
	places map[engine.Artifact]string
	tools  []engine.Artifact
	count  int
	err    error // the first mistake found while rendering
}

// toolchains adds toolchains: their programs come first in PATH, in the order of the list.
func (l *layout) toolchains(env map[string]string, list []engine.Toolchain) {
	var bins []string
	for _, t := range list {
		root := l.tool(t.Root)
		bins = append(bins, path.Join(root, t.Bin))
		for name, value := range t.Env {
			env[name] = strings.ReplaceAll(value, "${ROOT}", root)
		}
	}
	env["PATH"] = strings.Join(append(bins, env["PATH"]), ":")
}

// tool returns the place of a toolchain's tree.
func (l *layout) tool(root engine.Artifact) string {
	n := slices.Index(l.tools, root)
	if n < 0 {
		n = len(l.tools)
		l.tools = append(l.tools, root)
	}
	return engine.ToolDir(n)
}

// inputs places the inputs and returns what $in stands for; nil where it can't stand for them.
func (l *layout) inputs(inputs []engine.Input) (in *string, err error) {
	plain := true
	var paths []string
	for _, i := range inputs {
		p, err := l.input(i)
		if err != nil {
			return nil, attributed("inputs", err)
		}
		plain = plain && i.Dest == "" && !strings.ContainsAny(p, " \t\n*?[\\'\"$`")
		paths = append(paths, l.relative(p))
	}
	if !plain {
		return nil, l.err
	}
	joined := strings.Join(paths, " ")
	return &joined, l.err
}

// attributed says that a mistake is one of the attribute name.
func attributed(name string, err error) error {
	var invalid *engine.InvalidError
	if errors.As(err, &invalid) && !strings.HasPrefix(invalid.Err.Error(), name+": ") {
		return &engine.InvalidError{Err: fmt.Errorf("%s: %w", name, invalid.Err)}
	}
	return err
}

func (l *layout) with(texts []engine.Text) error {
	before := len(l.mounts)
	for _, t := range texts {
		if _, err := l.input(engine.Input{Text: t}); err != nil {
			return attributed("with", err)
		}
	}
	l.loose = slices.Clone(l.mounts[before:])
	return nil
}

// input places one input and returns its path in the run's directory.
func (l *layout) input(i engine.Input) (string, error) {
	a, single := i.Text.Single()
	if source, ok := i.Text.IsLiteral(); ok {
		var err error
		if a, err = l.rt.Sources.Source(l.ctx, l.dir, source); err != nil {
			return "", err
		}
	} else if !single {
		if i.Dest != "" {
			return "", invalidf("inputs: %q is a path inside an artifact: only whole artifacts can be placed", i.Dest)
		}
		return i.Text.Render(l.place), l.err
	}
	if i.Dest == "" {
		return l.place(a), l.err
	}
	dest, into := strings.CutSuffix(i.Dest, "/")
	dest = path.Clean(dest)
	if into {
		dest = path.Join(dest, path.Base(a.Name))
	}
	if !inside(dest) || dest == "." {
		return "", invalidf("inputs: %q is not inside the run's directory", i.Dest)
	}
	l.add(dest, a)
	return dest, nil
}

func (l *layout) add(at string, a engine.Artifact) {
	if l.places == nil {
		l.places = make(map[engine.Artifact]string)
	}
	if _, ok := l.places[a]; !ok {
		l.places[a] = at
	}
	l.mounts = append(l.mounts, engine.Mount{Path: at, Artifact: a})
}

// place returns the path at which the run sees a, relative to its directory, placing it at its first mention.
func (l *layout) place(a engine.Artifact) string {
	if a.Tool {
		return l.tool(a)
	}
	if p, ok := l.places[a]; ok {
		return p
	}
	at := a.Name
	if !a.Source {
		l.count++
		at = path.Join("in", strconv.Itoa(l.count), a.Name)
	}
	if !inside(at) {
		l.err = invalidf("inputs: what is named %q can't be placed", a.Name)
	}
	l.add(at, a)
	return at
}

// render writes t with paths relative to where the run starts.
func (l *layout) render(t engine.Text) string {
	return t.Render(func(a engine.Artifact) string { return l.relative(l.place(a)) })
}

// relative returns the path p of the run's directory as it is seen from where the run starts.
func (l *layout) relative(p string) string {
	if l.work == "." || strings.HasPrefix(p, "\uFDD0") {
		return p
	}
	if p == l.work {
		return "."
	}
	if rest, ok := strings.CutPrefix(p, l.work+"/"); ok {
		return rest
	}
	return strings.Repeat("../", strings.Count(l.work, "/")+1) + p
}

// sorted returns the mounts by path. Two different inputs at one path, or one inside a file, are a mistake.
func (l *layout) sorted() ([]engine.Mount, error) {
	slices.SortStableFunc(l.mounts, func(x, y engine.Mount) int { return strings.Compare(x.Path, y.Path) })
	mounts := slices.CompactFunc(l.mounts, func(x, y engine.Mount) bool { return x == y })
	kinds := make(map[string]engine.Kind, len(mounts))
	for _, m := range mounts {
		if _, ok := kinds[m.Path]; ok {
			return nil, invalidf("inputs: two of them stand at %s: name each, as in { for k, v in run.x : %q => v.out }", m.Path, path.Join(path.Dir(m.Path), "${k}"))
		}
		kinds[m.Path] = m.Kind
		for dir := path.Dir(m.Path); dir != "."; dir = path.Dir(dir) {
			if kind, ok := kinds[dir]; ok && kind == engine.FileKind {
				return nil, invalidf("inputs: %s stands inside the file %s", m.Path, dir)
			}
		}
	}
	return mounts, l.err
}
