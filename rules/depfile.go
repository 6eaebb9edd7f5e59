package rules

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

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
//	strong key   the weak key, and the content of one such set                   -> the result
//
// It belongs to one instance, and is not used concurrently.
type narrowing struct {
	rt         *Runtime
	command    *engine.Command
	key        engine.Key // the run's own
	loose      []engine.Mount
	depfile    string
	components func(*engine.Command) *engine.KeyBuilder

	weak  *engine.KeyBuilder // once it is known
	files map[string]engine.Artifact
	trees []engine.Mount
}

// Keys is engine.Narrower's.
func (n *narrowing) Keys(ctx context.Context) ([]engine.Key, error) {
	if err := n.prepare(ctx); err != nil {
		return nil, ctx.Err()
	}
	weak := n.weak.Sum()
	sets, err := n.learned(ctx, weak)
	if err != nil {
		return nil, err
	}
	var keys []engine.Key
	for _, names := range sets {
		if strong, err := n.strong(ctx, weak, names); err == nil {
			keys = append(keys, strong.Sum())
		}
	}
	if len(keys) > 0 {
		// What is found under them is recorded under the run's own key, too, and came about with the same toolchains.
		n.uses(n.key)
	}
	return keys, ctx.Err()
}

// Learn is engine.Narrower's.
func (n *narrowing) Learn(ctx context.Context, r *engine.Result) (engine.Key, []byte, error) {
	deps, err := readDepfile(ctx, n.rt.Store, r, n.depfile)
	if err != nil {
		return engine.Key{}, nil, err
	}
	if err := n.prepare(ctx); err != nil {
		return engine.Key{}, nil, err
	}
	names, err := n.places(ctx, deps)
	if err != nil {
		return engine.Key{}, nil, err
	}
	weak := n.weak.Sum()
	strong, err := n.strong(ctx, weak, names)
	if err != nil {
		return engine.Key{}, nil, err
	}
	k := strong.Sum()
	n.uses(k)
	return k, strong.Preimage(), n.learn(ctx, weak, names)
}

// uses notes that what is recorded under k came about with what the command names.
func (n *narrowing) uses(k engine.Key) {
	n.rt.Uses.add(n.command, k)
	n.rt.Uses.settle(n.command, k)
}

// prepare finds out the components without the content of loose inputs, and where that is.
func (n *narrowing) prepare(ctx context.Context) error {
	if n.weak != nil {
		return nil
	}
	loose := make(map[engine.Mount]bool, len(n.loose))
	for _, m := range n.loose {
		loose[m] = true
	}
	n.files, n.trees = make(map[string]engine.Artifact), nil
	var names []string
	for _, m := range n.loose {
		if m.Kind == engine.FileKind {
			n.files[m.Path] = m.Artifact
			names = append(names, kindOf(cas.FileEntry, m.Executable)+m.Path)
			continue
		}
		tree, err := n.rt.listings.of(ctx, n.rt.Store, m.Digest)
		if err != nil {
			return err
		}
		n.trees = append(n.trees, m)
		names = append(names, "with names "+tree.names.String()+" "+m.Path)
	}
	c := *n.command
	c.Mounts = slices.DeleteFunc(slices.Clone(c.Mounts), func(m engine.Mount) bool { return loose[m] })
	n.weak = n.components(&c)
	n.weak.Strings("with", names)
	return nil
}

// strong returns a weak key and the content of those loose inputs that names names.
func (n *narrowing) strong(ctx context.Context, weak engine.Key, names []string) (*engine.KeyBuilder, error) {
	b := engine.NewKey("depends", 1)
	b.String("all else", weak.String())
	b.Strings("depends", names)
	for _, name := range names {
		if a, ok := n.files[name]; ok {
			b.Artifact("with "+name, a)
		}
		for _, m := range n.trees { // several may lie in one another
			if m.Path == name {
				b.Artifact("with "+name, m.Artifact)
				continue
			}
			inner, ok := strings.CutPrefix(name, m.Path+"/")
			if !ok {
				continue
			}
			tree, err := n.rt.listings.of(ctx, n.rt.Store, m.Digest)
			if err != nil {
				return nil, err
			}
			if e, ok := tree.files[inner]; ok {
				b.Artifact("with "+name, engine.Artifact{Digest: e.digest, Executable: e.executable})
			}
		}
	}
	return b, nil
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

// learn adds a set of names to those that are known for a weak key.
func (n *narrowing) learn(ctx context.Context, weak engine.Key, names []string) error {
	n.rt.learning.Lock()
	defer n.rt.learning.Unlock()
	sets, err := n.learned(ctx, weak)
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
		if err := n.rt.Cache.Withdraw(ctx, weak); err != nil {
			return err
		}
	}
	out := engine.Output{Path: "depends", Artifact: engine.Artifact{Kind: engine.FileKind, Digest: d, Name: "depends"}}
	return n.rt.Cache.Record(ctx, engine.Record{Key: weak, Result: &engine.Result{Status: engine.Pass, Outs: []engine.Output{out}}, Preimage: n.weak.Preimage()})
}
