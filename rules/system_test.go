package rules

import (
	"slices"
	"testing"

	"cbuild/cas"
	"cbuild/engine"
)

// With another system nothing of the host is in the key, not even whether it has the program; the system itself is.
func TestSystemsInTheKey(t *testing.T) {
	rt := newRunTest(t)
	rt.other = true // the machine can't vouch for its programs
	root := engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte("root")), Name: "root"}
	other := engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte("other")), Name: "root"}
	seen := map[engine.Key]string{}
	for name, test := range map[string]struct {
		system engine.Value
		kind   engine.SystemKind
		root   engine.Artifact
	}{
		"nothing said": {nil, engine.SystemHost, engine.Artifact{}},
		"none":         {"none", engine.SystemNone, engine.Artifact{}},
		"tree":         {root, engine.SystemRoot, root},
		"another tree": {other, engine.SystemRoot, other},
		"text":         {of(engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte("third")), Name: "x"}), engine.SystemRoot, engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte("third")), Name: "x"}},
	} {
		program := "missing"
		if test.kind == engine.SystemHost {
			program = "x"
		}
		plan := func(machine string) (*engine.Command, engine.Key) {
			rt.rt.Machine = machine
			p, err := rt.plan(Run{Command: command(program), System: test.system})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return p.Action.(*runAction).command, p.Action.Key()
		}
		c, key := plan("m1")
		if c.System != test.kind || c.Root != test.root {
			t.Errorf("%s: %v %v", name, c.System, c.Root)
		}
		if old, ok := seen[key]; ok {
			t.Errorf("%s has the key of %s", name, old)
		}
		seen[key] = name
		if _, there := plan("m2"); (there == key) != (test.kind != engine.SystemHost) {
			t.Errorf("%s: on another machine the key is the same: %v", name, there == key)
		}
	}
	rt.rt.Machine = "m1"
	host, err := rt.plan(Run{Command: command("x"), System: "host"})
	if err != nil || seen[host.Action.Key()] != "nothing said" {
		t.Errorf("the host's system is not what there is without a word: %v", err)
	}
}

// The results of what used a tree as its system are among those that used it.
func TestUseOfASystem(t *testing.T) {
	u := &Uses{}
	root := engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte("root"))}
	k := engine.Key{1}
	u.add(&engine.Command{System: engine.SystemRoot, Root: root}, k)
	if got := u.Keys(root.Digest); !slices.Equal(got, []engine.Key{k}) {
		t.Errorf("got %v", got)
	}
}
