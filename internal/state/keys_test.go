package state

import (
	"testing"

	"cbuild/internal/vfs"
)

func TestKeysOfEarlierBuilds(t *testing.T) {
	dir := t.TempDir()
	key := func(b byte) (k [32]byte) { k[0] = b; return k }
	build := func(complete bool, keys map[string]byte) {
		t.Helper()
		k := NewKeys(vfs.OS, dir)
		for instance, b := range keys {
			k.Add("//:t", instance, key(b))
		}
		if err := k.Close(func(string) bool { return complete }); err != nil {
			t.Fatal(err)
		}
	}
	check := func(instance string, now, want byte) {
		t.Helper()
		earlier, ok := NewKeys(vfs.OS, dir).Earlier("//:t", instance, key(now))
		if ok != (want != 0) || ok && earlier != key(want) {
			t.Errorf("%s with key %d: earlier %d, %v; want %d", instance, now, earlier[0], ok, want)
		}
	}
	check("a", 1, 0)
	build(true, map[string]byte{"a": 1, "b": 2})
	check("a", 1, 0) // it has the key that it had
	check("a", 9, 1)
	build(true, map[string]byte{"a": 3, "b": 2})
	check("a", 3, 1) // before the last change
	build(true, map[string]byte{"a": 3, "b": 2})
	check("a", 3, 1) // a build in which nothing changed forgets nothing
	build(false, map[string]byte{"b": 4})
	check("b", 4, 2)
	check("a", 9, 3) // what was not evaluated is kept
	build(true, map[string]byte{"b": 4})
	check("a", 9, 3) // still in the build before
}
