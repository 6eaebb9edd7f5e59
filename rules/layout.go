package rules

import (
	"context"
	"maps"
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
	places map[engine.Artifact]string
	tools  map[engine.Artifact]int
	count  int
	err    error // the first mistake found while rendering
}

// tool adds a toolchain: its programs come first in PATH.
func (l *layout) tool(c *engine.Command, env map[string]string, t engine.Toolchain) {
	if l.tools == nil {
		l.tools = make(map[engine.Artifact]int)
	}
	n := len(c.Tools)
	l.tools[t.Root] = n
	c.Tools = append(c.Tools, t.Root)
	root := engine.ToolDir(n)
	env["PATH"] = path.Join(root, t.Bin) + ":" + env["PATH"]
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		env[name] = strings.ReplaceAll(t.Env[name], "${ROOT}", root)
	}
}

// inputs places the inputs and returns what $in stands for; nil where it can't stand for them.
func (l *layout) inputs(inputs []engine.Input) (in *string, err error) {
	plain := true
	var paths []string
	for _, i := range inputs {
		p, err := l.input(i)
		if err != nil {
			return nil, err
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

func (l *layout) with(texts []engine.Text) error {
	for _, t := range texts {
		if _, err := l.input(engine.Input{Text: t}); err != nil {
			return err
		}
	}
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
			return "", invalidf("input %q is a path inside an artifact: only whole artifacts can be placed", i.Dest)
		}
		return i.Text.Render(l.place), l.err
	}
	if i.Dest != "" {
		dest := path.Clean(i.Dest)
		if !inside(dest) || dest == "." {
			return "", invalidf("input %q is not inside the run's directory", i.Dest)
		}
		l.add(dest, a)
		return dest, nil
	}
	return l.place(a), l.err
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
	if n, ok := l.tools[a]; ok {
		return engine.ToolDir(n)
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
		l.err = invalidf("an input named %q can't be placed", a.Name)
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
	for i := 1; i < len(mounts); i++ {
		if mounts[i].Path == mounts[i-1].Path {
			return nil, invalidf("two inputs stand at %s", mounts[i].Path)
		}
	}
	return mounts, l.err
}
