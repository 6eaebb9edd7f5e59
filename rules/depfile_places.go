package rules

import (
	"context"
	"path"
	"slices"
	"strings"

	"cbuild/engine"
)

// places returns the paths of the loose inputs that the names in a depfile may stand for, sorted: files, or the whole of an input where a name stands for
// a directory or a link in it.
//
// Only the executor knows where the run's directory was, and only the run where in it a compiler was started. So a name stands for everything of which the
// path ends as it does, or as the path of which it ends. One that may lead through a link, also one that the run made, stands for all that is called like
// its last element.
func (n *narrowing) places(ctx context.Context, deps []string) (all []string, err error) {
	x, err := n.index(ctx)
	if err != nil {
		return nil, err
	}
	for _, dep := range deps {
		all = append(all, x.places(dep)...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// An inputIndex finds inputs, loose or not, by the last elements of their paths.
type inputIndex struct {
	around map[string][]place // single files, and the directories that inputs are and lie in
	trees  []indexedTree
	loose  []string // the paths of all loose inputs
	dir    string   // in which the run starts
}

type indexedTree struct {
	*listing
	path string
	// whole is what stands for the tree as a whole, nothing if it is not loose; linked what stands for what its links may lead to.
	whole, linked []string
}

// A place is something that a run finds, and the loose inputs whose content stands for its content.
type place struct {
	path      string
	directory bool
	inputs    []string
}

func (n *narrowing) index(ctx context.Context) (*inputIndex, error) {
	x := &inputIndex{around: make(map[string][]place), dir: n.command.Dir}
	loose := make(map[engine.Mount]bool, len(n.loose))
	for _, m := range n.loose {
		loose[m] = true
		x.loose = append(x.loose, m.Path)
	}
	for _, m := range n.command.Mounts {
		var inputs []string
		if loose[m] {
			inputs = []string{m.Path}
		}
		for at := m.Path; at != "."; at = path.Dir(at) {
			x.around[path.Base(at)] = append(x.around[path.Base(at)], place{at, at != m.Path || m.Kind == engine.TreeKind, inputs})
		}
		if m.Kind == engine.FileKind {
			continue
		}
		tree, err := n.rt.listings.of(ctx, n.rt.Store, m.Digest)
		if err != nil {
			return nil, err
		}
		linked := inputs
		if tree.leaves || slices.ContainsFunc(n.command.Mounts, func(other engine.Mount) bool { return strings.HasPrefix(other.Path, m.Path+"/") }) {
			linked = x.loose
		}
		x.trees = append(x.trees, indexedTree{tree, m.Path, inputs, linked})
	}
	return x, nil
}

// places returns what one name stands for.
func (x *inputIndex) places(dep string) (all []string) {
	name := path.Clean(dep)
	for strings.HasPrefix(name, "../") {
		name = name[len("../"):]
	}
	if name == "." || name == ".." || name == "/" {
		return x.loose
	}
	var others []string
	known := path.IsAbs(name)
	for p := range x.called(path.Base(name)) {
		if alike(p.path, name) {
			all = append(all, p.inputs...)
		} else {
			others = append(others, p.inputs...)
		}
		known = known || p.path == name || p.path == path.Join(x.dir, name)
	}
	if !known || x.throughLink(dep) {
		all = append(all, others...)
	}
	return all
}

// alike reports whether one of two paths ends with the other.
func alike(a, b string) bool {
	return a == b || strings.HasSuffix(a, "/"+b) || strings.HasSuffix(b, "/"+a)
}

// called yields everything whose last element is base.
func (x *inputIndex) called(base string) func(yield func(place) bool) {
	return func(yield func(place) bool) {
		for _, p := range x.around[base] {
			if !yield(p) {
				return
			}
		}
		for _, t := range x.trees {
			for _, e := range t.called[base] {
				at := t.path + "/" + e.path
				inputs := t.whole
				switch {
				case e.link:
					inputs = t.linked
				case e.plain && len(inputs) > 0:
					inputs = []string{at}
				}
				if !yield(place{at, !e.link && !e.plain, inputs}) {
					return
				}
			}
		}
	}
}

// throughLink reports whether something on the way to what dep names may be a link, so that it may be elsewhere. Behind one .. means something else, also
// behind one that the run made: it is taken at its word only behind what is known to be a directory.
func (x *inputIndex) throughLink(dep string) bool {
	way := strings.Split(dep, "/")
	for i, elem := range way[:len(way)-1] {
		before := strings.Join(way[:i], "/")
		if elem == ".." && strings.Trim(before, "./") != "" && !x.isDirectory(before) {
			return true
		}
		for _, t := range x.trees {
			if slices.ContainsFunc(t.called[elem], func(e listed) bool { return e.link }) {
				return true
			}
		}
	}
	return false
}

// isDirectory reports whether name names a directory of the inputs, or one in which they lie.
func (x *inputIndex) isDirectory(name string) bool {
	at := path.Join(x.dir, name)
	for p := range x.called(path.Base(at)) {
		if p.directory && (p.path == at || path.IsAbs(name) && alike(p.path, path.Clean(name))) {
			return true
		}
	}
	return false
}
