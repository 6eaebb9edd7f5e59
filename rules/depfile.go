package rules

import (
	"context"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"sync"

	"cbuild/cas"
	"cbuild/engine"
)

const (
	// maxDepfile is the largest depfile, and the largest list of what was learned, in bytes.
	maxDepfile = 64 << 20
	// maxLearned is how many sets of files are kept that equal commands turned out to read.
	maxLearned = 8
)

// A narrowing is engine.Narrower for a run with a depfile. The loose inputs, those of `with`, enter its further keys with all their names, as a
// file that is new may be found before another, but only those that the depfile names with their content:
//
//	weak key     all components but the content of loose inputs, and their names -> sets of names, of those that were read
//	strong key   the weak key's components, and the content of one such set      -> the result
type narrowing struct {
	rt         *Runtime
	command    *engine.Command
	loose      []engine.Mount
	depfile    string
	components func(*engine.Command) *engine.KeyBuilder
}

// Keys is engine.Narrower's.
func (n *narrowing) Keys(ctx context.Context) ([]engine.Key, error) {
	weak, err := n.weak(ctx)
	if err != nil {
		return nil, ctx.Err()
	}
	sets, err := n.learned(ctx, weak.Sum())
	if err != nil {
		return nil, err
	}
	var keys []engine.Key
	for _, names := range sets {
		if strong, err := n.strong(ctx, names); err == nil {
			keys = append(keys, strong.Sum())
		}
	}
	return keys, ctx.Err()
}

// Learn is engine.Narrower's.
func (n *narrowing) Learn(ctx context.Context, r *engine.Result) (engine.Key, []byte, error) {
	names, err := n.read(ctx, r)
	if err != nil {
		return engine.Key{}, nil, err
	}
	weak, err := n.weak(ctx)
	if err != nil {
		return engine.Key{}, nil, err
	}
	strong, err := n.strong(ctx, names)
	if err != nil {
		return engine.Key{}, nil, err
	}
	k := strong.Sum()
	n.rt.Uses.add(n.command, k)
	n.rt.Uses.settle(n.command, k)
	return k, strong.Preimage(), n.learn(ctx, weak, names)
}

// weak returns the components without the content of loose inputs.
func (n *narrowing) weak(ctx context.Context) (*engine.KeyBuilder, error) {
	c := *n.command
	c.Mounts = slices.DeleteFunc(slices.Clone(c.Mounts), n.isLoose)
	b := n.components(&c)
	var names []string
	for _, m := range n.loose {
		if m.Kind == engine.FileKind {
			names = append(names, named(m.Path, m.Executable))
			continue
		}
		tree, err := n.rt.listings.of(ctx, n.rt.Store, m.Digest)
		if err != nil {
			return nil, err
		}
		names = append(names, m.Path+"/")
		for _, name := range tree.names {
			names = append(names, m.Path+"/"+name)
		}
	}
	b.Strings("with", names)
	return b, nil
}

// strong returns the components with the content of those loose inputs only that names names.
func (n *narrowing) strong(ctx context.Context, names []string) (*engine.KeyBuilder, error) {
	b, err := n.weak(ctx)
	if err != nil {
		return nil, err
	}
	b.Strings("depends", names)
	for _, name := range names {
		m, inner := n.mountOf(name)
		a := m.Artifact
		if inner != "" {
			tree, err := n.rt.listings.of(ctx, n.rt.Store, m.Digest)
			if err != nil {
				return nil, err
			}
			e := tree.entries[inner]
			a = engine.Artifact{Kind: engine.FileKind, Digest: e.Digest, Executable: e.Executable}
		}
		b.Artifact("with "+name, a)
	}
	return b, nil
}

func (n *narrowing) isLoose(m engine.Mount) bool { return slices.Contains(n.loose, m) }

// mountOf returns the innermost input that holds a path of the run's directory, and the path inside it; the zero Mount if none does.
func (n *narrowing) mountOf(name string) (m engine.Mount, inner string) {
	for _, x := range n.command.Mounts {
		rest, ok := strings.CutPrefix(name, x.Path)
		if ok && (rest == "" || rest[0] == '/') && len(x.Path) > len(m.Path) {
			m, inner = x, strings.TrimPrefix(rest, "/")
		}
	}
	return m, inner
}

// read returns the names of the loose inputs that the result's depfile names, sorted: files, or the whole of a directory of which it names what is no
// plain file.
func (n *narrowing) read(ctx context.Context, r *engine.Result) (names []string, err error) {
	deps, err := readDepfile(ctx, n.rt.Store, r, n.depfile)
	if err != nil {
		return nil, err
	}
	for _, dep := range deps {
		for _, at := range n.places(dep) {
			m, inner := n.mountOf(at)
			if !n.isLoose(m) {
				continue
			}
			if inner != "" {
				tree, err := n.rt.listings.of(ctx, n.rt.Store, m.Digest)
				if err != nil {
					return nil, err
				}
				if e, ok := tree.entries[inner]; !ok || e.Kind != cas.FileEntry {
					at = m.Path // a link, or something behind one
				}
			}
			names = append(names, at)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// places returns the paths of the run's directory that a name in a depfile may stand for. What is absolute has the run's directory before it, of which
// only the executor knows where it was.
func (n *narrowing) places(dep string) (all []string) {
	at := path.Join(n.command.Dir, dep)
	if !path.IsAbs(dep) && inside(at) {
		return []string{at}
	}
	for _, m := range n.loose {
		if i := strings.Index(path.Clean(dep)+"/", "/"+m.Path+"/"); i >= 0 {
			all = append(all, path.Clean(dep)[i+1:])
		}
	}
	return all
}

// learned returns the sets of names that are known for a weak key, the latest first.
func (n *narrowing) learned(ctx context.Context, weak engine.Key) (sets [][]string, err error) {
	r, _, err := n.rt.Cache.Lookup(ctx, weak, engine.Conditions{}, engine.LookupNormal)
	if r == nil || err != nil || len(r.Outs) == 0 {
		return nil, err
	}
	data, err := cas.ReadAll(ctx, n.rt.Store, r.Outs[0].Digest, maxDepfile)
	if err != nil || json.Unmarshal(data, &sets) != nil {
		return nil, ctx.Err()
	}
	return sets, nil
}

// learn adds a set of names to those that are known for the key of weak.
func (n *narrowing) learn(ctx context.Context, weak *engine.KeyBuilder, names []string) error {
	n.rt.learning.Lock()
	defer n.rt.learning.Unlock()
	k := weak.Sum()
	sets, err := n.learned(ctx, k)
	if err != nil {
		return err
	}
	if len(sets) > 0 && slices.Equal(sets[0], names) {
		return nil
	}
	known := len(sets) > 0
	sets = slices.DeleteFunc(sets, func(s []string) bool { return slices.Equal(s, names) })
	sets = slices.Insert(sets, 0, names)
	data, err := json.Marshal(sets[:min(len(sets), maxLearned)])
	if err != nil {
		return err
	}
	d, err := cas.PutBytes(ctx, n.rt.Store, data)
	if err != nil {
		return err
	}
	if known {
		if err := n.rt.Cache.Withdraw(ctx, k); err != nil {
			return err
		}
	}
	out := engine.Output{Path: "depends", Artifact: engine.Artifact{Kind: engine.FileKind, Digest: d, Name: "depends"}}
	return n.rt.Cache.Record(ctx, engine.Record{Key: k, Result: &engine.Result{Status: engine.Pass, Outs: []engine.Output{out}}, Preimage: weak.Preimage()})
}

// A listing is a tree as a narrowing looks at it.
type listing struct {
	names   []string // of all entries, with what they are
	entries map[string]cas.Entry
}

func named(name string, executable bool) string {
	if executable {
		return name + "*"
	}
	return name
}

// listings keeps the trees that were looked at last.
type listings struct {
	mu    sync.Mutex
	trees map[cas.Digest]*listing // guarded by mu
}

// maxListings is how many trees are kept.
const maxListings = 16

func (l *listings) of(ctx context.Context, s cas.Store, root cas.Digest) (*listing, error) {
	l.mu.Lock()
	t := l.trees[root]
	l.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t = &listing{entries: make(map[string]cas.Entry)}
	for e, err := range cas.Walk(ctx, s, root) {
		if err != nil {
			return nil, err
		}
		t.entries[e.Path] = e
		switch e.Kind {
		case cas.FileEntry:
			t.names = append(t.names, named(e.Path, e.Executable))
		case cas.DirEntry:
			t.names = append(t.names, e.Path+"/")
		case cas.SymlinkEntry:
			t.names = append(t.names, e.Path+" -> "+e.Target)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trees == nil || len(l.trees) >= maxListings {
		l.trees = make(map[cas.Digest]*listing)
	}
	l.trees[root] = t
	return t, nil
}
