package rules

import (
	"slices"
	"testing"

	"cbuild/cas"
	"cbuild/engine"
)

// What an action used is remembered as long as a shared copy of it is there: toolchains, and those inputs that were no copies of its own.
func TestUses(t *testing.T) {
	tree := func(name string) engine.Artifact {
		return engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte(name))}
	}
	tool, shared, own := tree("tool"), tree("shared"), tree("own")
	file := engine.Artifact{Digest: cas.Of([]byte("file"))}
	u := &Uses{Shared: func(d cas.Digest) bool { return d == shared.Digest || d == tool.Digest }}
	var keys []engine.Key
	for n := range byte(2) {
		k := engine.Key{n}
		keys = append(keys, k)
		c := &engine.Command{Tools: []engine.Artifact{tool}}
		for _, a := range []engine.Artifact{shared, own, file} {
			c.Mounts = append(c.Mounts, engine.Mount{Path: "in", Artifact: a})
		}
		u.add(c, k)
		if got := u.Keys(own.Digest); !slices.Equal(got, []engine.Key{k}) {
			t.Errorf("while it runs: %v", got)
		}
		u.settle(c, k)
	}
	for a, want := range map[engine.Artifact][]engine.Key{tool: keys, shared: keys, own: nil, file: nil} {
		if got := u.Keys(a.Digest); !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", a, got, want)
		}
	}
	if u.Forget(shared.Digest); u.Keys(shared.Digest) != nil {
		t.Error("it is not forgotten")
	}
	if len(u.keys) != 1 {
		t.Errorf("%d trees are remembered", len(u.keys))
	}
}
