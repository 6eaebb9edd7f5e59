package state

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/internal/clock"
	"cbuild/internal/vfs"
)

// layout writes files; a name that ends in "/" is a directory, and content "-> x" a symlink to x.
func layout(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		at := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(at), 0o777)
		target, link := strings.CutPrefix(content, "-> ")
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(at, 0o777)
		case link:
			err = os.Symlink(target, at)
		default:
			err = os.WriteFile(at, []byte(content), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// counting counts how often something is put that is not a directory's encoding: the sources that were read.
type counting struct {
	cas.Store
	puts int
}

func (c *counting) Put(ctx context.Context, r io.Reader) (cas.Digest, error) {
	if _, ok := r.(vfs.File); ok {
		c.puts++
	}
	return c.Store.Put(ctx, r)
}

type workspace struct {
	root, table string
	store       *counting
	memory      *castest.Memory
}

func newWorkspace(t *testing.T, files map[string]string) *workspace {
	t.Helper()
	m := castest.NewMemory()
	w := &workspace{root: t.TempDir(), table: filepath.Join(t.TempDir(), "state", "stat"), memory: m, store: &counting{Store: m}}
	layout(t, w.root, files)
	return w
}

// build does what one build does with a source.
func (w *workspace) build(t *testing.T, dir, name string) (Source, error) {
	t.Helper()
	table := OpenStatTable(vfs.OS, clock.System, w.table)
	src, err := NewSources(vfs.OS, w.root, w.store, table).Source(t.Context(), dir, name)
	if serr := table.Save(); serr != nil {
		t.Fatal(serr)
	}
	return src, err
}

func (w *workspace) must(t *testing.T, dir, name string) Source {
	t.Helper()
	src, err := w.build(t, dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func (w *workspace) paths(t *testing.T, src Source) (list []string) {
	t.Helper()
	for e, err := range cas.Walk(t.Context(), w.store, src.Digest) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Path)
	}
	return list
}

// old makes a file look as if it had not been touched for long: its ctime can't be set, so the file system's time is moved on.
func old(t *StatTable) { t.now = t.now.Add(time.Hour) }

// young makes a file look as if it had just been touched, however long that was ago on a busy machine.
func young(t *StatTable) { t.now = t.now.Add(-time.Hour) }

func TestFilesAndTrees(t *testing.T) {
	w := newWorkspace(t, map[string]string{
		"pkg/BUILD.hcl": "", "pkg/a.c": "a", "pkg/src/x.c": "x", "pkg/src/deep/y.c": "y", "pkg/src/empty/": "",
		"pkg/src/sub/BUILD.hcl": "", "pkg/src/sub/z.c": "z", "pkg/src/json/BUILD.hcl.json": "", "pkg/src/json/q.c": "",
		"pkg/src/link": "-> ../a.c", "pkg/src/.git/config": "", "pkg/src/cbuild-out/o": "", "pkg/src/BUILD.lock.hcl": "", "pkg/src/BUILD.lock.d/p": "",
		"tool.sh": "#!", "pkg/toa": "-> a.c", "pkg/todir": "-> src/deep",
	})
	if err := os.Chmod(filepath.Join(w.root, "tool.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, name string
		want      Source
	}{
		{"pkg", "a.c", Source{Name: "a.c", Digest: cas.Of([]byte("a"))}},
		{"pkg", "./src//x.c", Source{Name: "src/x.c", Digest: cas.Of([]byte("x"))}},
		{"pkg", "//tool.sh", Source{Name: "tool.sh", Digest: cas.Of([]byte("#!")), Executable: true}},
		{"pkg", "//pkg/a.c", Source{Name: "pkg/a.c", Digest: cas.Of([]byte("a"))}},
		{"pkg", "toa", Source{Name: "toa", Digest: cas.Of([]byte("a"))}},
		{"pkg", "todir/y.c", Source{Name: "todir/y.c", Digest: cas.Of([]byte("y"))}},
		{"", "tool.sh", Source{Name: "tool.sh", Digest: cas.Of([]byte("#!")), Executable: true}},
	} {
		if got, err := w.build(t, c.dir, c.name); err != nil || got != c.want {
			t.Errorf("%s in //%s: %+v, %v\nwant %+v", c.name, c.dir, got, err, c.want)
		}
	}
	tree := w.must(t, "pkg", "src/")
	if want := []string{"deep", "deep/y.c", "empty", "link", "x.c"}; !tree.Tree || tree.Name != "src" || !slices.Equal(w.paths(t, tree), want) {
		t.Errorf("%+v: %q\nwant %q", tree, w.paths(t, tree), want)
	}
	whole := w.must(t, "pkg", ".")
	if got := w.paths(t, whole); !slices.Contains(got, "src/x.c") || slices.Contains(got, "src/sub/z.c") {
		t.Errorf("the whole package: %q", got)
	}
	if root := w.must(t, "", "."); !slices.Equal(w.paths(t, root), []string{"tool.sh"}) {
		t.Errorf("the root package: %q", w.paths(t, root))
	}
}

func TestSourcesRefuse(t *testing.T) {
	outside := t.TempDir()
	layout(t, outside, map[string]string{"secret": "s"})
	w := newWorkspace(t, map[string]string{
		"BUILD.hcl": "", "src/main.c": "", "other/BUILD.hcl": "", "other/deep/x": "", "top.txt": "",
		"away": "-> " + outside + "/secret", "up": "-> ../" + filepath.Base(outside) + "/secret", "circle": "-> circle", "dirlink": "-> " + outside,
		"bad/abs": "-> /etc/passwd", "worse/up": "-> ../../x", "nfd/e\u0301": "", "inner/l": "-> ../top.txt",
	})
	if err := syscall.Mkfifo(filepath.Join(w.root, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	layout(t, w.root, map[string]string{"withpipe/": ""})
	if err := syscall.Mkfifo(filepath.Join(w.root, "withpipe", "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ dir, name, want string }{
		{"src", "../top.txt", `".."`},
		{"src", "a/../main.c", `".."`},
		{"", "//../x", `".."`},
		{"", "/etc/passwd", "absolute path"},
		{"", "///etc/passwd", "absolute path"},
		{"", "", "empty"},
		{"", "other", "belongs to the package //other"},
		{"", "other/deep/x", "belongs to the package //other"},
		{"src", "//other/deep/x", "belongs to the package //other"},
		{"", "away", "leaves the workspace"},
		{"", "up", "leaves the workspace"},
		{"", "circle", "circle"},
		{"", "dirlink/secret", "leaves the workspace"},
		{"", "bad", "leaves the workspace"},
		{"", "worse", "leaves the workspace"},
		{"", "nfd", "NFC"},
		{"", "pipe", "neither a file nor a directory"},
		{"", "withpipe", "can't be an input"},
		{"", "src/mian.c", `Did you mean "main.c"?`},
		{"", "scr/main.c", `Did you mean "src"?`},
		{"", "nothing-like-it-anywhere", "does not exist"},
		{"", "a\x00", "NUL"},
	} {
		src, err := w.build(t, c.dir, c.name)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q in //%s: %+v, %v; want an error with %q", c.name, c.dir, src, err, c.want)
		}
	}
	if _, err := w.build(t, "", "inner"); err != nil {
		t.Errorf("a symlink that stays inside: %v", err)
	}
	if _, err := w.build(t, "", "src/mian.c"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("err = %v", err)
	}
}

func TestOnlyChangedFilesAreReadAgain(t *testing.T) {
	w := newWorkspace(t, map[string]string{"src/a": "1", "src/b": "2"})
	build := func(t *testing.T, aged bool) Source {
		t.Helper()
		table := OpenStatTable(vfs.OS, clock.System, w.table)
		if young(table); aged {
			old(table)
			old(table)
		}
		w.store.puts = 0
		src, err := NewSources(vfs.OS, w.root, w.store, table).Source(t.Context(), "", "src")
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Save(); err != nil {
			t.Fatal(err)
		}
		return src
	}
	first := build(t, false)
	if w.store.puts != 2 {
		t.Errorf("first time: %d files are read", w.store.puts)
	}
	if build(t, true); w.store.puts != 2 {
		t.Errorf("files that were young when they were read are trusted: %d are read", w.store.puts)
	}
	if again := build(t, true); w.store.puts != 0 || again != first {
		t.Errorf("not again, but %d files are read: %+v", w.store.puts, again)
	}
	// Same size, same times, another inode and ctime: utimes fools only mtime.
	a := filepath.Join(w.root, "src/a")
	fi, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(10 * time.Second) // the clock of a file system may be coarse, but not so coarse
	for then := stampOf(fi); then == stampOf(fi) && time.Now().Before(end); {
		layout(t, w.root, map[string]string{"src/a": "3"})
		if err := os.Chtimes(a, fi.ModTime(), fi.ModTime()); err != nil {
			t.Fatal(err)
		}
		if fi, err = os.Stat(a); err != nil {
			t.Fatal(err)
		}
	}
	if changed := build(t, true); w.store.puts != 1 || changed == first {
		t.Errorf("one changed, and %d are read: %+v", w.store.puts, changed)
	}
	w.memory.Delete(cas.Of([]byte("2")))
	if build(t, true); w.store.puts != 1 {
		t.Errorf("one blob is lost, and %d are read", w.store.puts)
	}
}

func TestABuildSeesOneState(t *testing.T) {
	w := newWorkspace(t, map[string]string{"a": "1"})
	s := NewSources(vfs.OS, w.root, w.store, OpenStatTable(vfs.OS, clock.System, w.table))
	first, err := s.Source(t.Context(), "", "a")
	if err != nil {
		t.Fatal(err)
	}
	layout(t, w.root, map[string]string{"a": "other"})
	if again, err := s.Source(t.Context(), "", "a"); err != nil || again != first {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestTheWallClockDoesNotMatter(t *testing.T) {
	for _, skew := range []time.Duration{-100 * time.Hour, 100 * time.Hour} {
		w := newWorkspace(t, map[string]string{"a": "1"})
		for range 2 {
			w.store.puts = 0
			table := OpenStatTable(vfs.OS, clock.Skewed(skew), w.table)
			young(table)
			if _, err := NewSources(vfs.OS, w.root, w.store, table).Source(t.Context(), "", "a"); err != nil {
				t.Fatal(err)
			}
			if err := table.Save(); err != nil {
				t.Fatal(err)
			}
		}
		if w.store.puts != 1 {
			t.Errorf("off by %v: a young file was trusted", skew)
		}
	}
}

// writing is a store during whose Put the source is written to, each time with as many bytes.
type writing struct {
	cas.Store
	name  string
	times int
}

func (w *writing) Put(ctx context.Context, r io.Reader) (cas.Digest, error) {
	d, err := w.Store.Put(ctx, r)
	if w.times--; w.times >= 0 {
		then := time.Unix(int64(w.times), 0) // however coarse the file system's clock is
		err = errors.Join(err, os.WriteFile(w.name, []byte{'x' + byte(w.times)}, 0o666), os.Chtimes(w.name, then, then))
	}
	return d, err
}

func TestFilesThatChangeWhileTheyAreRead(t *testing.T) {
	for times, good := range map[int]bool{1: true, 2: true, 3: false} {
		w := newWorkspace(t, map[string]string{"a": "1"})
		store := &writing{w.store, filepath.Join(w.root, "a"), times}
		src, err := NewSources(vfs.OS, w.root, store, OpenStatTable(vfs.OS, clock.System, w.table)).Source(t.Context(), "", "a")
		if (err == nil) != good || !good && !errors.Is(err, errChanging) {
			t.Errorf("changed %d times: %v", times, err)
		}
		if now, _ := os.ReadFile(filepath.Join(w.root, "a")); good && src.Digest != cas.Of(now) {
			t.Errorf("changed %d times: not what is there now", times)
		}
	}
}

func TestDamageEmptiesTheTable(t *testing.T) {
	w := newWorkspace(t, map[string]string{"a": "1", "b": "2"})
	table := OpenStatTable(vfs.OS, clock.System, w.table)
	old(table)
	s := NewSources(vfs.OS, w.root, w.store, table)
	for _, name := range []string{"a", "b"} {
		if _, err := s.Source(t.Context(), "", name); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Save(); err != nil {
		t.Fatal(err)
	}
	if n := len(OpenStatTable(vfs.OS, clock.System, w.table).entries); n != 2 {
		t.Fatalf("%d entries", n)
	}
	data, err := os.ReadFile(w.table)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := slices.Clone(data)
		bad[i] ^= 1
		if entries, err := decodeTable(bad); err == nil {
			t.Errorf("byte %d flipped: %v", i, entries)
		}
		if entries, err := decodeTable(data[:i]); err == nil {
			t.Errorf("cut at %d: %v", i, entries)
		}
	}
}

func TestEntriesNobodyAsksForGo(t *testing.T) {
	w := newWorkspace(t, map[string]string{"a": "1"})
	table := OpenStatTable(vfs.OS, clock.System, w.table)
	old(table)
	if _, err := NewSources(vfs.OS, w.root, w.store, table).Source(t.Context(), "", "a"); err != nil {
		t.Fatal(err)
	}
	for i := range maxAge + 1 {
		if err := table.Save(); err != nil {
			t.Fatal(err)
		}
		if table = OpenStatTable(vfs.OS, clock.System, w.table); len(table.entries) != 1 {
			t.Fatalf("gone after %d builds", i)
		}
	}
	if err := table.Save(); err != nil {
		t.Fatal(err)
	}
	if table = OpenStatTable(vfs.OS, clock.System, w.table); len(table.entries) != 0 {
		t.Error("it is kept for ever")
	}
}

func FuzzDecodeTable(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte{1, 'a', 2, 4, 6, 7, 8, 0}, make([]byte, 32)...))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := cas.Derive("cbuild stat table v0", body)
		_, _ = decodeTable(slices.Concat([]byte(tableMagic), sum[:tableSum], body))
	})
}

// TestEveryCallFailsOnce is a build with a source, a pin and a spool in which each call to the file system fails once.
func TestEveryCallFailsOnce(t *testing.T) {
	story := func(w *workspace, fsys vfs.FS) error {
		table := OpenStatTable(fsys, clock.System, w.table)
		if _, err := NewSources(fsys, w.root, w.store, table).Source(t.Context(), "", "src"); err != nil {
			return err
		}
		pins := NewPins(fsys, w.table+".pins")
		if err := pins.Append(Pin{"//:t", "q", "a"}); err != nil {
			return err
		}
		if _, err := pins.Load(); err != nil {
			return err
		}
		if err := pins.Clear(); err != nil {
			return err
		}
		spool, err := NewSpool(fsys, filepath.Dir(w.table))
		if err != nil {
			return err
		}
		defer spool.Close()
		if _, err := spool.Append([]byte("row")); err != nil {
			return err
		}
		return table.Save()
	}
	files := map[string]string{"src/a": "1", "src/sub/b": "2", "src/l": "-> a"}
	count := vfs.NewFaulty(vfs.OS, 0, nil)
	if err := story(newWorkspace(t, files), count); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC, syscall.EMFILE, syscall.EROFS, vfs.ErrShortWrite, vfs.ErrCrash} {
		for n := 1; n <= count.Calls(); n++ {
			w := newWorkspace(t, files)
			if err := story(w, vfs.NewFaulty(vfs.OS, n, fault)); err != nil && !errors.Is(err, fault) {
				t.Errorf("call %d fails with %v: the story says %v", n, fault, err)
			}
			if err := story(w, vfs.OS); err != nil {
				t.Errorf("after call %d failed with %v: %v", n, fault, err)
			}
			src := w.must(t, "", "src")
			if got := w.paths(t, src); !slices.Equal(got, []string{"a", "l", "sub", "sub/b"}) {
				t.Errorf("after call %d failed with %v: the tree is %q", n, fault, got)
			}
		}
	}
}
