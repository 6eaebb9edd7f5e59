package cas_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
)

func file(path, content string) cas.Entry {
	return cas.Entry{Path: path, Digest: cas.Of([]byte(content))}
}

func dir(path string) cas.Entry { return cas.Entry{Path: path, Kind: cas.DirEntry} }

func symlink(path, target string) cas.Entry {
	return cas.Entry{Path: path, Kind: cas.SymlinkEntry, Target: target}
}

func walk(t *testing.T, s cas.Store, root cas.Digest) (entries []cas.Entry) {
	t.Helper()
	for e, err := range cas.Walk(t.Context(), s, root) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

func paths(entries []cas.Entry) (list []string) {
	for _, e := range entries {
		list = append(list, e.Path)
	}
	return list
}

func TestWalkGivesBackWhatWasPut(t *testing.T) {
	s := castest.NewMemory()
	exec := file("bin/sh", "shell")
	exec.Executable = true
	entries := []cas.Entry{file("a-b", "1"), file("a/c", "2"), dir("a"), dir("empty"), exec, symlink("a/link", "../a-b"), file("z/y/x", "3")}
	root, err := cas.PutTree(t.Context(), s, entries)
	if err != nil {
		t.Fatal(err)
	}
	got := walk(t, s, root)
	want := []string{"a", "a/c", "a/link", "a-b", "bin", "bin/sh", "empty", "z", "z/y", "z/y/x"}
	if !slices.Equal(paths(got), want) {
		t.Errorf("paths %q\nwant %q", paths(got), want)
	}
	if !slices.Contains(got, exec) || !slices.Contains(got, symlink("a/link", "../a-b")) {
		t.Errorf("an entry is not what it was: %+v", got)
	}
	again, err := cas.PutTree(t.Context(), s, got)
	if err != nil || again != root {
		t.Errorf("what Walk yields makes the tree %v, not %v: %v", again, root, err)
	}
}

func TestTheOrderOfEntriesDoesNotMatter(t *testing.T) {
	s := castest.NewMemory()
	entries := []cas.Entry{file("a/b", "1"), file("a.b", "2"), file("a0", "3"), dir("a"), file("b/a/c", "4"), file("b-/a", "5"), file("b/a-", "6")}
	want, err := cas.PutTree(t.Context(), s, entries)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		r.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		if got, err := cas.PutTree(t.Context(), s, entries); err != nil || got != want {
			t.Fatalf("%v, %v; want %v", got, err, want)
		}
	}
}

func TestTheEmptyTree(t *testing.T) {
	s := castest.NewMemory()
	root, err := cas.PutTree(t.Context(), s, nil)
	if err != nil || root != cas.Of(nil) {
		t.Fatalf("%v, %v", root, err)
	}
	if got := walk(t, s, root); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestPutTreeRefuses(t *testing.T) {
	for name, entries := range map[string][]cas.Entry{
		"dot dot":           {file("a/../b", "")},
		"dot":               {file("./a", "")},
		"absolute":          {file("/a", "")},
		"trailing slash":    {dir("a/")},
		"empty":             {file("", "")},
		"NUL":               {file("a\x00", "")},
		"not UTF-8":         {file("a\xff", "")},
		"twice":             {file("a", "1"), file("b", ""), file("a", "1")},
		"dir twice":         {dir("a"), dir("a")},
		"file and dir":      {file("a", ""), dir("a")},
		"file as parent":    {file("a", ""), file("a/b", "")},
		"symlink as parent": {symlink("a", "b"), file("a/b", "")},
		"no digest":         {{Path: "a"}},
		"no target":         {symlink("a", "")},
		"too long":          {file(strings.Repeat("a/", cas.MaxPath/2)+"bb", "")},
	} {
		if root, err := cas.PutTree(t.Context(), castest.NewMemory(), entries); err == nil {
			t.Errorf("%s: stored as %v", name, root)
		}
	}
}

func TestWalkOfAnIncompleteTreeFails(t *testing.T) {
	s := castest.NewMemory()
	root, err := cas.PutTree(t.Context(), s, []cas.Entry{file("a", ""), file("b/c", "")})
	if err != nil {
		t.Fatal(err)
	}
	for e := range cas.Walk(t.Context(), s, root) {
		if e.Kind == cas.DirEntry {
			s.Delete(e.Digest)
		}
	}
	var seen []string
	err = nil
	for e, werr := range cas.Walk(t.Context(), s, root) {
		if err = werr; err == nil {
			seen = append(seen, e.Path)
		}
	}
	if !errors.Is(err, cas.ErrNotFound) || !slices.Equal(seen, []string{"a", "b"}) {
		t.Errorf("%q, %v", seen, err)
	}
}

func TestWalkEndsEarly(t *testing.T) {
	s := castest.NewMemory()
	root, err := cas.PutTree(t.Context(), s, []cas.Entry{file("a/b/c", ""), file("a/b/d", "")})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range cas.Walk(t.Context(), s, root) {
		if n++; n == 3 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range cas.Walk(ctx, s, root) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after a cancel: %v", err)
		}
	}
}

func TestWalkRefusesEndlessDepth(t *testing.T) {
	s := castest.NewMemory()
	root := cas.Of(nil)
	if _, err := cas.PutBytes(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	for range cas.MaxPath {
		data, err := (&cas.Directory{Dirs: []cas.Subdir{{Name: "d", Digest: root}}}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if root, err = cas.PutBytes(t.Context(), s, data); err != nil {
			t.Fatal(err)
		}
	}
	var last error
	for _, err := range cas.Walk(t.Context(), s, root) {
		last = err
	}
	if last == nil {
		t.Error("a path of endless length was walked")
	}
}
