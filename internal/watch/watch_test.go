package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open watches a new directory that holds files, in which names that begin with "out" are ignored.
func open(t *testing.T, files ...string) (w *Watcher, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, f := range append(files, marker) {
		write(t, filepath.Join(dir, f))
	}
	w, err := Open(Options{Root: dir, Ignore: func(path string) bool { return strings.HasPrefix(filepath.Base(path), "out") }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, dir
}

func write(t *testing.T, path string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	check(t, err)
	_, err = f.WriteString("x")
	check(t, errors.Join(err, f.Close()))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// marker is a file in the root, there from the beginning, that is changed last, by a single event: what happened before it is told by then, in
// however many bursts on a busy machine.
const marker = "zz-marker"

// changed returns the paths below dir that changed until now.
func changed(t *testing.T, w *Watcher, dir string) (got []string) {
	t.Helper()
	last := filepath.Join(w.opts.Root, marker)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	check(t, os.Chtimes(last, time.Time{}, time.Now()))
	for {
		paths, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("changed: %q, %v", got, err)
		}
		for _, p := range paths {
			if p == last {
				continue
			}
			rel, err := filepath.Rel(dir, p)
			check(t, err)
			got = append(got, rel)
		}
		if slices.Contains(paths, last) {
			slices.Sort(got)
			return slices.Compact(got)
		}
	}
}

// sees fails the test unless these paths below dir are what changed.
func sees(t *testing.T, w *Watcher, dir string, want ...string) {
	t.Helper()
	if got := changed(t, w, dir); !slices.Equal(got, want) {
		t.Errorf("changed: %q; want %q", got, want)
	}
}

// What anybody does to files is seen, by the names that they have.
func TestChangesAreSeen(t *testing.T) {
	w, dir := open(t, "a.c", "sub/b.c", "sub/deep/c.c", "out/x")
	path := func(name string) string { return filepath.Join(dir, name) }
	if n := w.Files(); n != 4 {
		t.Errorf("%d files are watched, want 4", n)
	}
	for _, c := range []struct {
		what string
		do   func()
		want []string
	}{
		{"written", func() { write(t, path("a.c")) }, []string{"a.c"}},
		{"deep below", func() { write(t, path("sub/deep/c.c")) }, []string{"sub/deep/c.c"}},
		{"two at once", func() { write(t, path("a.c")); write(t, path("sub/b.c")) }, []string{"a.c", "sub/b.c"}},
		{"saved by renaming", func() { write(t, path("out.tmp")); check(t, os.Rename(path("out.tmp"), path("a.c"))) }, []string{"a.c"}},
		{"new", func() { write(t, path("d.c")) }, []string{"d.c"}},
		{"removed", func() { check(t, os.Remove(path("d.c"))) }, []string{"d.c"}},
		{"executable", func() { check(t, os.Chmod(path("a.c"), 0o755)) }, []string{"a.c"}},
		{"a tree", func() { write(t, path("new/tree/of/e.c")) }, []string{"new"}},
		{"in the new tree", func() { write(t, path("new/tree/of/e.c")) }, []string{"new/tree/of/e.c"}},
		{"a tree gets another name", func() { check(t, os.Rename(path("new"), path("old"))) }, []string{"new", "old"}},
		{"in the tree of another name", func() { write(t, path("old/tree/of/e.c")) }, []string{"old/tree/of/e.c"}},
		{"a link", func() { check(t, os.Symlink("a.c", path("link"))) }, []string{"link"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			c.do()
			sees(t, w, dir, c.want...)
		})
	}
	check(t, os.RemoveAll(path("old")))
	check(t, os.RemoveAll(path("sub")))
	changed(t, w, dir)
	if n := w.Files(); n != 3 {
		t.Errorf("then %d files are watched, want 3", n)
	}
	write(t, path("sub/b.c"))
	sees(t, w, dir, "sub")
	write(t, path("sub/b.c"))
	sees(t, w, dir, "sub/b.c")
}

// What is ignored, and what came and went, is no change.
func TestWhatIsNoChange(t *testing.T) {
	w, dir := open(t, "a.c", "out/x")
	for try := range 10 {
		write(t, filepath.Join(dir, "out/x"))
		write(t, filepath.Join(dir, "outcome"))
		write(t, filepath.Join(dir, "4913"))
		check(t, os.Remove(filepath.Join(dir, "4913")))
		got := changed(t, w, dir)
		if len(got) == 0 {
			break
		}
		// Where a burst ends between the two, the end of a file is told of whose beginning nothing was. That is not so each time.
		if try == 9 || !slices.Equal(got, []string{"4913"}) {
			t.Fatalf("changed: %q", got)
		}
	}
	write(t, filepath.Join(dir, "a.c"))
	sees(t, w, dir, "a.c")
}

// Single files are watched elsewhere, also before they and their directories are there; what lies beside them is not.
func TestSingleFiles(t *testing.T) {
	elsewhere := t.TempDir()
	file := filepath.Join(elsewhere, "conf", "app", "file")
	root := t.TempDir()
	write(t, filepath.Join(root, marker))
	w, err := Open(Options{Root: root, Files: []string{file}, Ignore: func(string) bool { return false }})
	check(t, err)
	defer w.Close()
	write(t, filepath.Join(elsewhere, "other"))
	write(t, file)
	sees(t, w, elsewhere, "conf/app/file")
	write(t, filepath.Join(filepath.Dir(file), "other"))
	write(t, file)
	sees(t, w, elsewhere, "conf/app/file")
	check(t, os.RemoveAll(filepath.Dir(file)))
	sees(t, w, elsewhere, "conf/app/file")
	write(t, file)
	sees(t, w, elsewhere, "conf/app/file")
}

// A burst ends after a moment of quiet, and a storm does not go on for ever.
func TestBursts(t *testing.T) {
	for _, c := range []struct {
		every time.Duration
		n     int
		want  time.Duration
	}{
		{quiet / 2, 5, 4*quiet/2 + quiet}, // they are one burst
		{2 * quiet, 5, quiet},             // they are not
		{quiet / 2, 100, most},            // a storm
	} {
		t.Run(fmt.Sprintf("%d each %v", c.n, c.every), func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a"))
			synctest.Test(t, func(t *testing.T) {
				events := make(chan fsnotify.Event)
				w := &Watcher{
					opts:   Options{Root: dir, Ignore: func(string) bool { return false }},
					events: events, dirs: map[string]int{dir: 1},
				}
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					for range c.n {
						select {
						case events <- fsnotify.Event{Name: filepath.Join(dir, "a"), Op: fsnotify.Write}:
						case <-ctx.Done():
							return
						}
						time.Sleep(c.every)
					}
				}()
				began := time.Now()
				paths, err := w.Next(ctx)
				took := time.Since(began)
				cancel()
				time.Sleep(c.every) // the sender ends
				if err != nil || len(paths) != 1 || took != c.want {
					t.Errorf("after %v: %q, %v; want one after %v", took, paths, err, c.want)
				}
			})
		})
	}
}

// More changes than the system keeps while nobody waits are told as a change of everything, after which everything is watched.
func TestOverflow(t *testing.T) {
	w, dir := open(t, "a")
	most := 16384 // of inotify, if nobody has set another number
	if text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events"); err == nil {
		_, err = fmt.Sscan(string(text), &most)
		check(t, err)
	}
	if most > 200_000 {
		t.Skipf("SKIPPED: this machine keeps %d events: that takes too long", most)
	}
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for range 3*most + 2 {
		check(t, os.Rename(a, b))
		a, b = b, a
	}
	write(t, filepath.Join(dir, "unseen/c"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		paths, err := w.Next(ctx)
		check(t, err)
		if slices.Contains(paths, dir) {
			break
		}
	}
	write(t, filepath.Join(dir, "unseen/c"))
	sees(t, w, dir, "unseen/c")
}

// The root may be replaced, but not taken away.
func TestRootIsGone(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "root")
	write(t, filepath.Join(root, "a"))
	w, err := Open(Options{Root: root, Ignore: func(string) bool { return false }})
	check(t, err)
	defer w.Close()
	check(t, os.Rename(root, filepath.Join(top, "old")))
	write(t, filepath.Join(root, "b"))
	write(t, filepath.Join(root, marker))
	if _, err := w.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "b"))
	sees(t, w, root, "b")
	check(t, os.RemoveAll(root))
	if paths, err := w.Next(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("%q, %v; want ErrGone", paths, err)
	}
	if _, err := Open(Options{Root: root, Ignore: func(string) bool { return false }}); !errors.Is(err, ErrGone) {
		t.Errorf("%v; want ErrGone", err)
	}
}

// A workspace may have ten thousand directories.
func TestTenThousandDirectories(t *testing.T) {
	dir := t.TempDir()
	for i := range 100 {
		for j := range 100 {
			check(t, os.MkdirAll(filepath.Join(dir, fmt.Sprint(i), fmt.Sprint(j)), 0o755))
		}
	}
	last := filepath.Join(dir, "99", "99", "a")
	write(t, last)
	write(t, filepath.Join(dir, marker))
	began := time.Now()
	w, err := Open(Options{Root: dir, Ignore: func(string) bool { return false }})
	var limit *LimitError
	if errors.As(err, &limit) {
		t.Skipf("SKIPPED: this machine allows too few watches: %v", err)
	}
	check(t, err)
	defer w.Close()
	t.Logf("watched after %v", time.Since(began))
	if len(w.dirs) != 10101 || w.Files() != 2 {
		t.Errorf("%d directories and %d files are watched, want 10,101 and 2", len(w.dirs), w.Files())
	}
	write(t, last)
	sees(t, w, dir, "99/99/a")
}

// Where the machine allows too few watches, the error says how many, and which limit it is. The limit belongs to a user namespace.
func TestLimit(t *testing.T) {
	if os.Getenv("WATCH_LIMITED") == "1" {
		if err := os.WriteFile("/proc/sys/user/max_inotify_watches", []byte("3"), 0); err != nil {
			t.Skipf("SKIPPED: no limit can be set: %v", err) // as where /proc/sys is read-only
		}
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a/b/c/d/e"))
		_, err := Open(Options{Root: dir, Ignore: func(string) bool { return false }})
		var limit *LimitError
		if !errors.As(err, &limit) || limit.Dirs != 3 || limit.Setting != "fs.inotify.max_user_watches" {
			t.Errorf("%v; want a limit of 3", err)
		}
		fmt.Println("limited")
		return
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("SKIPPED: there is no unshare")
	}
	if out, err := exec.CommandContext(t.Context(), unshare, "--user", "--map-root-user", "true").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: there are no user namespaces here: %v: %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), unshare, "--user", "--map-root-user", os.Args[0], "-test.run=^TestLimit$", "-test.v")
	cmd.Env = append(os.Environ(), "WATCH_LIMITED=1")
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "SKIPPED") {
		t.Skipf("%s", out)
	}
	if err != nil || !strings.Contains(string(out), "limited") {
		t.Errorf("%v\n%s", err, out)
	}
}
