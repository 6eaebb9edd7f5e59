package engine

import (
	"strings"
	"testing"

	"cbuild/cas"
)

func fullKey() *KeyBuilder {
	c := &Command{
		Argv: []string{"cc", "-c", "a b\n"}, Script: "x", Env: []string{"A=1", "B="}, Dir: "src",
		Mounts: []Mount{{Path: "in/1/a", Artifact: Artifact{Digest: cas.Of([]byte("a")), Executable: true}}, {Path: "src", Artifact: Artifact{Kind: TreeKind, Digest: cas.Of(nil)}}},
		Tools:  []Artifact{{Kind: TreeKind, Digest: cas.Of([]byte("go"))}},
		Outs:   []OutSpec{{Path: "o"}, {Path: "d", Dir: true, Optional: true}},
		Stdin:  cas.Of([]byte("in")), Stdout: "o", Network: true,
	}
	return c.Key([]string{"os linux"}, []string{"x=y"})
}

// TestKeyIsGolden fails when keys change: then every stored result is lost to users, so it must be on purpose.
func TestKeyIsGolden(t *testing.T) {
	const want = "b3:0b640850403e5b7b8b583a791add0732dc8e26e83be819ad45270e5d49073428"
	if got := fullKey().Sum().String(); got != want {
		t.Errorf("key %s, want %s", got, want)
	}
}

func TestPreimageNamesEveryComponent(t *testing.T) {
	got := string(fullKey().Preimage())
	for _, line := range []string{
		`rule: "run 1"`, `contract: "v1"`, `command[2]: "a b\n"`, `script: "x"`, `env: "A=1"`, `dir: "src"`, `platform[0]: "x=y"`,
		`out[0]: "d"`, `stdout: "o"`, "stdin: " + cas.Of([]byte("in")).String(), "input in/1/a: " + cas.Of([]byte("a")).String() + " executable",
		"input src: " + cas.Of(nil).String(), "toolchain 0: " + cas.Of([]byte("go")).String(), `network: "true"`, `system: "os linux"`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no line %s in\n%s", line, got)
		}
	}
}

// FuzzKeyIsInjective builds keys of two lists of components and compares: equal bytes if and only if equal components.
func FuzzKeyIsInjective(f *testing.F) {
	f.Add("a", "b", "ab", "")
	f.Add("s", "l", "\x00", "d")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		forms := map[string]string{}
		add := func(what string, build func(*KeyBuilder)) {
			k := NewKey("fuzz", 1)
			build(k)
			if other, ok := forms[string(k.canon)]; ok && other != what {
				t.Fatalf("%q and %q have one encoding", what, other)
			}
			forms[string(k.canon)] = what
		}
		quote := func(parts ...string) string { return strings.Join(parts, "\xff\xfe") }
		for _, p := range [][2]string{{a, b}, {c, d}, {a + b, c}, {a, b + c}} {
			add(quote("string", p[0], p[1]), func(k *KeyBuilder) { k.String(p[0], p[1]) })
			add(quote("list", p[0], p[1]), func(k *KeyBuilder) { k.Strings(p[0], []string{p[1]}) })
			add(quote("two", p[0], p[1], c, d), func(k *KeyBuilder) { k.String(p[0], p[1]); k.String(c, d) })
			add(quote("list of two", p[0], p[1], d), func(k *KeyBuilder) { k.Strings(p[0], []string{p[1], d}) })
			add(quote("digest", p[0], p[1]), func(k *KeyBuilder) { k.Digest(p[0], cas.Of([]byte(p[1]))) })
		}
	})
}
