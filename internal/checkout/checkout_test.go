package checkout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cbuild/cas"
	"cbuild/cas/castest"
)

// drawTree makes a random tree in s.
func drawTree(t *rapid.T, s cas.Store) cas.Digest {
	names := rapid.SampledFrom([]string{"a", "b", "ä", "a b", "-", ".hidden", "\n", "日本", "new\x01", "A"})
	kinds := map[string]cas.EntryKind{}
	var entries []cas.Entry
	for range rapid.IntRange(0, 12).Draw(t, "entries") {
		parts := rapid.SliceOfN(names, 1, 4).Draw(t, "path")
		e := cas.Entry{Path: path.Join(parts...), Kind: rapid.SampledFrom([]cas.EntryKind{cas.FileEntry, cas.DirEntry, cas.SymlinkEntry}).Draw(t, "kind")}
		if !free(kinds, e.Path) {
			continue
		}
		switch e.Kind {
		case cas.FileEntry:
			d, err := cas.PutBytes(context.Background(), s, []byte(rapid.StringN(0, 40, 80).Draw(t, "content")))
			if err != nil {
				t.Fatal(err)
			}
			e.Digest, e.Executable = d, rapid.Bool().Draw(t, "executable")
		case cas.SymlinkEntry:
			e.Target = rapid.SampledFrom([]string{"a", "nothing", "./b/../b", "a/b"}).Draw(t, "target")
		}
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			kinds[dir] = cas.DirEntry
		}
		kinds[e.Path] = e.Kind
		entries = append(entries, e)
	}
	root, err := cas.PutTree(context.Background(), s, entries)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// free reports whether an entry can be added at p.
func free(kinds map[string]cas.EntryKind, p string) bool {
	if _, taken := kinds[p]; taken {
		return false
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if k, ok := kinds[dir]; ok && k != cas.DirEntry {
			return false
		}
	}
	return true
}

func TestWriteAndCapture(t *testing.T) {
	s := castest.NewMemory()
	n := 0
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		root := drawTree(t, s)
		n++
		for i, write := range []func(context.Context, cas.Store, cas.Digest, string) error{Write, writeParallel} {
			dir := filepath.Join(base, fmt.Sprint(n, ".", i))
			if err := write(context.Background(), s, root, dir); err != nil {
				t.Fatal(err)
			}
			checkWorld(t, dir)
			got, err := Capture(context.Background(), s, dir)
			if err != nil {
				t.Fatal(err)
			}
			if got.Hash != root.Hash {
				t.Fatalf("captured %v, written %v", got, root)
			}
			if err := Remove(dir); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// checkWorld checks times and modes of everything below dir.
func checkWorld(t *rapid.T, dir string) {
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		if m := info.Mode().Perm(); m != 0o755 && (d.IsDir() || m != 0o644) {
			t.Errorf("%s has mode %v", p, m)
		}
		if !info.ModTime().Equal(Epoch) {
			t.Errorf("%s is of %v", p, info.ModTime())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tree stores a tree of n files, the first of them executable.
func tree(t *testing.T, s cas.Store, n int) cas.Digest {
	t.Helper()
	var entries []cas.Entry
	for i := range n {
		d, err := cas.PutBytes(t.Context(), s, fmt.Append(nil, "content ", i))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, cas.Entry{Path: fmt.Sprintf("d%d/f%d", i%7, i), Digest: d, Executable: i == 0})
	}
	root, err := cas.PutTree(t.Context(), s, entries)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// counting counts how often blobs are opened.
type counting struct {
	*castest.Memory
	opened atomic.Int64
	slow   time.Duration
}

func (c *counting) Open(ctx context.Context, d cas.Digest) (io.ReadCloser, error) {
	c.opened.Add(1)
	time.Sleep(c.slow)
	return c.Memory.Open(ctx, d)
}

func TestSharedIsWrittenOnce(t *testing.T) {
	s := &counting{Memory: castest.NewMemory(), slow: time.Millisecond}
	root := tree(t, s, 50)
	dir := filepath.Join(t.TempDir(), "trees")
	first := NewShared(s, dir)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			p, err := first.Tree(t.Context(), root)
			if err == nil {
				_, err = os.Stat(filepath.Join(p, "d0/f0"))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	opened := s.opened.Load()
	if opened > 60 {
		t.Errorf("%d blobs were opened for a tree of 50 files", opened)
	}
	if p, err := NewShared(s, dir).Tree(t.Context(), root); err != nil || s.opened.Load() != opened {
		t.Errorf("an intact copy was written again: %s %v", p, err)
	}
	if changed := first.Changed(); len(changed) > 0 {
		t.Errorf("changed: %v", changed)
	}
}

// TestSharedByProcesses has several that start at once, as processes would: each with a Shared of its own. None may lose the copy
// that it was given, even if another one replaces what it takes for damaged.
func TestSharedByProcesses(t *testing.T) {
	s := &counting{Memory: castest.NewMemory(), slow: 200 * time.Microsecond}
	root := tree(t, s, 60)
	for range 10 {
		dir := filepath.Join(t.TempDir(), "trees")
		opened := s.opened.Load()
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				shared := NewShared(s, dir)
				p, err := shared.Tree(t.Context(), root)
				if err != nil {
					t.Error(err)
					return
				}
				before, err := os.Stat(filepath.Join(p, "d0/f0"))
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(20 * time.Millisecond)
				after, err := os.Stat(filepath.Join(p, "d0/f0"))
				if err != nil || !os.SameFile(before, after) {
					t.Errorf("the copy was taken away: %v", err)
				}
				if changed := shared.Changed(); len(changed) > 0 {
					t.Errorf("changed: %v", changed)
				}
			})
		}
		wg.Wait()
		if n := s.opened.Load() - opened; n > 70 {
			t.Errorf("%d blobs were opened for a tree of 60 files", n)
		}
		left, _ := filepath.Glob(filepath.Join(dir, "*"+newSuffix))
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestChangedCopies(t *testing.T) {
	for name, change := range map[string]func(dir string) error{
		"append": func(dir string) error {
			f, err := os.OpenFile(filepath.Join(dir, "d1/f1"), os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("x")
				f.Close()
			}
			return err
		},
		"same size and time": func(dir string) error {
			p := filepath.Join(dir, "d1/f1")
			before, err := os.Stat(p)
			end := time.Now().Add(10 * time.Second) // the clock of a file system may be coarse, but not so coarse
			for now := before; err == nil && fileIdentity(now) == fileIdentity(before) && time.Now().Before(end); now, err = os.Stat(p) {
				err = errors.Join(os.WriteFile(p, []byte("CONTENT 1"), 0), os.Chtimes(p, Epoch, Epoch))
				if err != nil {
					return err
				}
			}
			return err
		},
		"chmod":           func(dir string) error { return os.Chmod(filepath.Join(dir, "d1/f1"), 0o755) },
		"chmod directory": func(dir string) error { return os.Chmod(filepath.Join(dir, "d1"), 0o700) },
		"delete":          func(dir string) error { return os.Remove(filepath.Join(dir, "d1/f1")) },
		"delete all":      func(dir string) error { return os.RemoveAll(dir) },
		"add a file":      func(dir string) error { return os.WriteFile(filepath.Join(dir, "d1/new"), nil, 0o644) },
		"add to the root": func(dir string) error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o644) },
		"__pycache__":     func(dir string) error { return os.MkdirAll(filepath.Join(dir, "d1/__pycache__"), 0o755) },
		"rename":          func(dir string) error { return os.Rename(filepath.Join(dir, "d1/f1"), filepath.Join(dir, "d1/g")) },
		"replaced by link": func(dir string) error {
			os.Remove(filepath.Join(dir, "d1/f1"))
			return os.Symlink("f8", filepath.Join(dir, "d1/f1"))
		},
		"added and removed": func(dir string) error {
			p := filepath.Join(dir, "d1/tmp")
			if err := os.WriteFile(p, nil, 0o644); err != nil {
				return err
			}
			return os.Remove(p)
		},
		"unreadable": func(dir string) error { return os.Chmod(filepath.Join(dir, "d1"), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := castest.NewMemory()
			root := tree(t, s, 10)
			dir := t.TempDir()
			used := NewShared(s, dir)
			p, err := used.Tree(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			if err := change(p); err != nil {
				t.Fatal(err)
			}
			// The next process does not use it …
			other := NewShared(s, dir)
			again, err := other.Tree(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Capture(t.Context(), s, again); err != nil || got.Hash != root.Hash {
				t.Errorf("the next one got %v, %v", got, err)
			}
			// … and that it was replaced does not hide from the first one that it used a changed copy, …
			if changed := used.Changed(); !slices.Equal(changed, []cas.Digest{root}) {
				t.Errorf("changed: %v", changed)
			}
			// … which takes nothing away from the other.
			if changed := other.Changed(); len(changed) > 0 {
				t.Errorf("changed, to the other: %v", changed)
			}
			if _, err := used.Tree(t.Context(), root); err != nil {
				t.Error(err)
			}
			if changed := used.Changed(); len(changed) > 0 {
				t.Errorf("changed, when used again: %v", changed)
			}
		})
	}
}

func TestChangedIsRebuiltOnNextUse(t *testing.T) {
	s := castest.NewMemory()
	root := tree(t, s, 10)
	shared := NewShared(s, t.TempDir())
	p, err := shared.Tree(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(p, "d1/f1")); err != nil {
		t.Fatal(err)
	}
	if changed := shared.Changed(); len(changed) != 1 {
		t.Fatalf("changed: %v", changed)
	}
	if p, err = shared.Tree(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if got, err := Capture(t.Context(), s, p); err != nil || got.Hash != root.Hash {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestLeftoversOfKilledProcesses(t *testing.T) {
	s := castest.NewMemory()
	root, another := tree(t, s, 10), tree(t, s, 11)
	dir := t.TempDir()
	for _, d := range []cas.Digest{root, another} { // killed while they wrote
		if err := os.MkdirAll(filepath.Join(dir, d.Hex()+newSuffix, "tree/d0"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Killed between the last rename and the manifest.
	if err := os.MkdirAll(filepath.Join(dir, root.Hex(), "d0"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := NewShared(s, dir).Tree(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Capture(t.Context(), s, p); err != nil || got.Hash != root.Hash {
		t.Errorf("got %v, %v", got, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+newSuffix)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// failing is a store whose blobs can't be read to the end.
type failing struct {
	*castest.Memory
	after atomic.Int64
}

type failingReader struct {
	io.ReadCloser
	err error
}

func (f failingReader) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

func (f *failing) Open(ctx context.Context, d cas.Digest) (io.ReadCloser, error) {
	r, err := f.Memory.Open(ctx, d)
	if f.after.Add(-1) < 0 {
		return failingReader{r, syscall.EIO}, err
	}
	return r, err
}

// damaged is a store that finds out at the end that what it gave was not right.
type damaged struct{ *castest.Memory }

type damagedReader struct{ io.Reader }

func (damagedReader) Close() error { return fmt.Errorf("damaged: %w", cas.ErrNotFound) }

func (d damaged) Open(ctx context.Context, digest cas.Digest) (io.ReadCloser, error) {
	r, err := d.Memory.Open(ctx, digest)
	return damagedReader{r}, err
}

func TestTroubleWhileWriting(t *testing.T) {
	m := castest.NewMemory()
	root := tree(t, m, 30)
	for after := range 40 {
		dir := t.TempDir()
		bad := &failing{Memory: m}
		bad.after.Store(int64(after))
		shared := NewShared(bad, dir)
		_, err := shared.Tree(t.Context(), root)
		if err == nil {
			if after < 30 {
				t.Errorf("%d: no error", after)
			}
			continue
		}
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%d: %v", after, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*"+newSuffix)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		shared.store = m
		p, err := shared.Tree(t.Context(), root) // the same one, later
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Capture(t.Context(), m, p); err != nil || got.Hash != root.Hash {
			t.Errorf("%d: got %v, %v", after, got, err)
		}
	}
	if err := File(t.Context(), damaged{m}, cas.Of([]byte("content 1")), true, filepath.Join(t.TempDir(), "f")); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("damage that Close tells: %v", err)
	}
	m.Delete(cas.Of([]byte("content 3")))
	if _, err := NewShared(m, t.TempDir()).Tree(t.Context(), root); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("a lost blob: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewShared(m, t.TempDir()).Tree(ctx, root); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestExecutablesWaitForForks holds the lock that a fork holds: no process may inherit the file while it is open for writing.
func TestExecutablesWaitForForks(t *testing.T) {
	s := castest.NewMemory()
	d, err := cas.PutBytes(t.Context(), s, []byte("#!/bin/sh\n"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	syscall.ForkLock.Lock()
	if err := File(t.Context(), s, d, false, filepath.Join(dir, "plain")); err != nil {
		t.Error(err)
	}
	written := make(chan error)
	go func() { written <- File(t.Context(), s, d, true, filepath.Join(dir, "program")) }()
	select {
	case <-written:
		t.Error("written while a process was forked")
	case <-time.After(50 * time.Millisecond):
	}
	syscall.ForkLock.Unlock()
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// TestPrograms writes programs and other files, of sizes around those that are kept in memory, also where the size is not known.
func TestPrograms(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	s := castest.NewMemory()
	for _, size := range []int{0, 1, small - 1, small, small + 1, maxBuffer - 1, maxBuffer, maxBuffer + 1, 2*maxBuffer + 3} {
		content := strings.Repeat("0123456789", size/10+1)[:size]
		d, err := cas.PutBytes(t.Context(), s, []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		for mode, executable := range map[os.FileMode]bool{0o755: true, 0o644: false} {
			for _, known := range []bool{true, false} {
				d := d
				if !known {
					d.Size = -1
				}
				dir := t.TempDir()
				p := filepath.Join(dir, "p")
				if err := File(t.Context(), s, d, executable, p); err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(p)
				if err != nil || string(got) != content {
					t.Errorf("%d bytes: %d were written, %v", size, len(got), err)
				}
				if info, err := os.Stat(p); err != nil || info.Mode() != mode || !info.ModTime().Equal(Epoch) {
					t.Errorf("%d bytes: %v %v", size, info, err)
				}
				if left, _ := os.ReadDir(dir); len(left) != 1 {
					t.Errorf("%d bytes: left are %v", size, left)
				}
				if err := File(t.Context(), s, d, executable, p); !errors.Is(err, os.ErrExist) {
					t.Errorf("%d bytes, again: %v", size, err)
				}
			}
		}
	}
}

// TestNoSpace writes to a file system without space, if there is one that we may mount.
func TestNoSpace(t *testing.T) {
	dir := t.TempDir()
	if err := mountSmall(dir, "64k"); err != nil {
		t.Skip("LOUD: no small file system can be mounted here: ", err)
	}
	defer unmount(dir)
	s := castest.NewMemory()
	d, err := cas.PutBytes(t.Context(), s, []byte(strings.Repeat("x", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	root, err := cas.PutTree(t.Context(), s, []cas.Entry{{Path: "a/big", Digest: d}})
	if err != nil {
		t.Fatal(err)
	}
	shared := NewShared(s, dir)
	if _, err := shared.Tree(t.Context(), root); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+newSuffix)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	small := tree(t, s, 2)
	_, done, err := shared.Use(t.Context(), small)
	if err == nil {
		done() // else it holds a lock there
	}
	if err != nil {
		t.Errorf("what fits: %v", err)
	}
}

func TestRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	deep := filepath.Join(dir, "a/b/c")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.MkdirAll(filepath.Join(outside, "kept"), 0o755), os.Chmod(outside, 0o555)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(outside, 0o755) // else it stays
	if err := errors.Join(os.WriteFile(filepath.Join(deep, "f"), nil, 0), os.Symlink(outside, filepath.Join(deep, "link")), os.Chmod(deep, 0), os.Chmod(filepath.Join(dir, "a"), 0), os.Chmod(dir, 0)); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("it is still there")
	}
	if info, err := os.Stat(outside); err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("what a link leads to: %v %v", info, err)
	}
	if err := Remove(dir); err != nil {
		t.Errorf("what is not there: %v", err)
	}
}

func BenchmarkIntact(b *testing.B) {
	s := castest.NewMemory()
	var entries []cas.Entry
	for i := range 11_000 {
		d, err := cas.PutBytes(b.Context(), s, fmt.Append(nil, i))
		if err != nil {
			b.Fatal(err)
		}
		entries = append(entries, cas.Entry{Path: fmt.Sprintf("d%d/f%d", i%900, i), Digest: d})
	}
	root, err := cas.PutTree(b.Context(), s, entries)
	if err != nil {
		b.Fatal(err)
	}
	p, err := NewShared(s, b.TempDir()).Tree(b.Context(), root)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok := intact(p); !ok {
			b.Fatal("not intact")
		}
	}
}
