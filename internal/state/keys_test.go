package state

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"

	"cbuild/internal/vfs"
)

func TestKeysOfEarlierBuilds(t *testing.T) {
	dir := t.TempDir()
	key := func(b byte) (k [32]byte) { k[0] = b; return k }
	build := func(complete bool, keys map[string]byte) {
		t.Helper()
		k := NewKeys(vfs.OS, dir, t.TempDir())
		for instance, b := range keys {
			k.Add("//:t", instance, key(b))
		}
		if err := k.Close(func(string) bool { return complete }); err != nil {
			t.Fatal(err)
		}
	}
	check := func(instance string, now, want byte) {
		t.Helper()
		earlier, ok := NewKeys(vfs.OS, dir, t.TempDir()).Earlier("//:t", instance, key(now))
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

func TestAllKeysAreThoseOfTheLastBuild(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []byte{1, 2} {
		k := NewKeys(vfs.OS, dir, t.TempDir())
		for i := range n + 2 {
			k.Add("//:t", fmt.Sprint(i), [32]byte{n, i})
		}
		if err := k.Close(func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	k := NewKeys(vfs.OS, dir, t.TempDir())
	all := slices.SortedFunc(k.All("//:t"), func(x, y [32]byte) int { return bytes.Compare(x[:], y[:]) })
	if want := [][32]byte{{2, 0}, {2, 1}, {2, 2}, {2, 3}}; !slices.Equal(all, want) {
		t.Errorf("%v", all)
	}
	for range k.All("//:t") {
		break
	}
	for key := range k.All("//:other") {
		t.Errorf("%v", key)
	}
}

// Two builds of one workspace that go on at the same time write down what each of them saw, and leave nothing else behind.
func TestKeysOfBuildsAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	builds := make([]*Keys, 4)
	for i := range builds {
		builds[i] = NewKeys(vfs.OS, dir, t.TempDir())
	}
	for instance := range 1000 {
		for i, k := range builds {
			k.Add("//:t", fmt.Sprint(instance), [32]byte{byte(i + 1), byte(instance), byte(instance >> 8)})
		}
	}
	for _, k := range builds {
		if err := k.Close(func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	last := NewKeys(vfs.OS, dir, t.TempDir())
	for instance := range 1000 {
		want := [32]byte{4, byte(instance), byte(instance >> 8)}
		if got, ok := last.Earlier("//:t", fmt.Sprint(instance), [32]byte{}); !ok || got != want {
			t.Fatalf("instance %d: %v, %v", instance, got, ok)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("%d files, want those of the last two builds", len(files))
	}
}
