package sandbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/internal/checkout"
	"cbuild/internal/sandbox"
)

// memoryBytes is how much can be copied into memory.
const memoryBytes = 16 << 20

// ways are inputs that get into a box in different ways, all with the files f and d/g and a program x: few that are copied to the disk, more that
// are copied into memory, and a tree so large that it is a shared copy.
func (w *world) ways() map[string]engine.Artifact {
	w.t.Helper()
	content := func(more int) map[string]string {
		files := map[string]string{"f": "old", "d/g": "deep", "x*": "#!/bin/sh\necho ran\n", "l": "->d/g"}
		for i := range more {
			files[fmt.Sprintf("more/%d/%d", i/50, i)] = strconv.Itoa(i)
		}
		return files
	}
	large := content(40)
	large["more/large"] = strings.Repeat("x", memoryBytes+1)
	return map[string]engine.Artifact{"disk": w.tree(content(0)), "memory": w.tree(content(40)), "shared": w.tree(large)}
}

// Whichever way inputs come, a command sees the same, and can do what it likes with it: the next one finds it as it was.
func TestInputsBySeveralWays(t *testing.T) {
	w := newWorld(t)
	see := `stat -c '%n %u %g %a %Y' t t/f t/d t/d/g t/x; cat t/f t/l; t/x; `
	want := "t 1000 1000 755 E\nt/f 1000 1000 644 E\nt/d 1000 1000 755 E\nt/d/g 1000 1000 644 E\nt/x 1000 1000 755 E\nolddeepran\n"
	if !classFull {
		see = strings.ReplaceAll(see, "%u %g", "1000 1000") // as far as namespaces allow
	}
	want = strings.ReplaceAll(want, "E", "315532800")
	for way, tree := range w.ways() {
		for _, change := range []string{
			"echo new > t/f; echo more >> t/d/g", ": > t/f", "truncate -s 1 t/d/g", "chmod 0 t/f t/d", "chmod 777 t; chmod 600 t/x", "touch t/f t/d t",
			"rm t/f; rm -r t/d", "mv t/f t/e; mv t/e t/d/f", "rm -r t/d; mkdir t/d; ls -A t/d; echo y > t/d/h", "ln t/f t/hard; echo new > t/hard; cat t/f",
			"rm t/f; ln -s d/g t/f; echo through > t/f", "mv t/d t/e; cat t/e/g", "cp -r t u; rm -rf t/*; ls t", "rm t/f; mkdir t/f; echo z > t/f/z", "rm -r t/d; echo file > t/d",
			"dd if=/dev/zero of=t/f conv=notrunc bs=1 count=2 2>/dev/null", "cp t/x t/y; t/y; sed -i s/o/0/ t/f; cat t/f", "find t -type f -exec rm {} +; find t -type f",
			"exec 3<>t/f; echo xx >&3; cat t/f", "mkfifo t/p; rm t/p; mkdir -p t/new/deep; echo q > t/new/deep/q",
		} {
			if got := w.passes(sh(see+change, engine.Mount{Path: "t", Artifact: tree})); !strings.HasPrefix(got, want) {
				t.Errorf("%s, before %s:\n%s\nwant\n%s", way, change, got, want)
			}
		}
		if changed := w.tools.Changed(); len(changed) > 0 {
			t.Errorf("%s: a shared copy was changed", way)
		}
	}
}

// Outs are found inside of inputs, as the command left them there.
func TestOutsInsideInputs(t *testing.T) {
	w := newWorld(t)
	for way, tree := range w.ways() {
		c := outs(sh("echo new > t/f; rm t/x; rm -r t/d; mkdir t/d; echo h > t/d/h; echo out > t/made/by/out; ln -s t/d d",
			engine.Mount{Path: "t", Artifact: tree}), "t/d/", "t/f", "t/made/by/out", "t/x", "d/", "t/l")
		r := w.run(c)
		if r.Status != engine.Pass {
			t.Fatalf("%s: %v %s", way, r.Status, w.read(r.Log))
		}
		var got []string
		for _, o := range r.Outs {
			if o.Kind == engine.TreeKind {
				got = append(got, o.Path+":"+strings.Join(w.paths(o.Digest), ","))
			} else {
				got = append(got, o.Path+"="+strings.TrimSpace(w.read(o.Digest)))
			}
		}
		if got, want := fmt.Sprint(got), "[d:h t/d:h t/f=new t/made/by/out=out]"; got != want {
			t.Errorf("%s: %s, want %s (%s)", way, got, want, w.read(r.Log))
		}
		whole := w.run(outs(sh("rm -rf t/more t/d/g; echo 1 > t/n", engine.Mount{Path: "t", Artifact: tree}), "t/"))
		if got := strings.Join(w.paths(whole.Outs[0].Digest), " "); got != "d f l n x" {
			t.Errorf("%s: the whole tree holds %s", way, got)
		}
	}
}

// A directory that is mounted can't be renamed, which mv(1) helps itself with, and that of a large tree can't be removed, only emptied.
func TestWhatMountedInputsCant(t *testing.T) {
	w := newWorld(t)
	for way, tree := range w.ways() {
		got := w.passes(sh(`perl -e 'rename("t/d", "t/e") ? print "yes " : print "$! "; rename("t/more", "x") ? print "yes " : print "$! "; rename("t", "u") ? print "yes" : print "$!"'`,
			engine.Mount{Path: "t", Artifact: tree}))
		want := "yes yes yes"
		switch {
		case way == "disk":
			want = "yes No such file or directory yes"
		case classFull && way == "memory":
			want = "Invalid cross-device link Invalid cross-device link Invalid cross-device link"
		case classFull && way == "shared":
			want = "Invalid cross-device link Invalid cross-device link Device or resource busy"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", way, got, want)
		}
	}
}

// Inputs stand inside of others, beside them, and where parents of outs are; large files among many small ones, too.
func TestInputsInsideInputs(t *testing.T) {
	w := newWorld(t)
	for way, tree := range w.ways() {
		large := w.file("t/d/large", strings.Repeat("0123456789abcdef", 2<<20))
		mounts := []engine.Mount{
			{Path: "t", Artifact: tree},
			w.file("t/d/single", "1"), w.file("t/new/deep", "2"),
			{Path: "t/d/tree", Artifact: w.tree(map[string]string{"a/b": "3"})},
			w.file("t-beside", "4"), large,
		}
		c := outs(sh("cat t/d/single t/new/deep t/d/tree/a/b t-beside; wc -c < t/d/large; stat -c '%a %Y %u' t/d t/new t/d/tree/a/b t/d/single t; echo x > t/new/x; echo y > t/d/tree/a/y",
			mounts...), "t/d/out/o", "top")
		if !classFull {
			c.Script = strings.ReplaceAll(c.Script, "%u", "1000")
		}
		want := "123433554432\n755 E 1000\n755 E 1000\n644 E 1000\n644 E 1000\n755 E 1000\n"
		if got := w.passes(c); got != strings.ReplaceAll(want, "E", "315532800") {
			t.Errorf("%s: %q", way, got)
		}
		for name, bad := range map[string]engine.Mount{"a file where a directory is": w.file("t/d", "x"), "a file in a file": w.file("t/f/x", "x"), "out of it": w.file("t/l/x", "x")} {
			_, err := w.Execute(t.Context(), sh("", engine.Mount{Path: "t", Artifact: tree}, bad))
			if err == nil || !strings.Contains(err.Error(), "another input stands there") {
				t.Errorf("%s, %s: %v", way, name, err)
			}
			w.clean()
		}
	}
}

// overlays counts the overlays that a command sees.
const overlays = "grep -c ' - overlay ' /proc/self/mountinfo || true"

// What is used often, or is large, is there once for all commands; the rest is copied, and nothing of it stays.
func TestWaysOfInputs(t *testing.T) {
	w := fullOnly(t)
	all := w.ways()
	for way, want := range map[string]string{"disk": "0\n", "memory": "1\n", "shared": "1\n"} {
		if got := w.passes(sh(overlays, engine.Mount{Path: "t", Artifact: all[way]})); got != want {
			t.Errorf("%s: %s overlays", way, got)
		}
		if w.tools.Has(all[way].Digest) != (way == "shared") {
			t.Errorf("%s: a shared copy is not as it should be", way)
		}
	}
	for n := range 12 {
		w.passes(sh("echo x > t/f; rm t/d/g", engine.Mount{Path: "t", Artifact: all["memory"]}, engine.Mount{Path: "s", Artifact: all["disk"]}))
		if got := w.tools.Has(all["memory"].Digest); got != (n >= 9-1) {
			t.Errorf("use %d: shared: %v", n+2, got)
		}
	}
	if w.tools.Has(all["disk"].Digest) {
		t.Error("few files are shared")
	}
	if got := w.passes(sh(overlays, engine.Mount{Path: "s", Artifact: all["shared"]}, engine.Mount{Path: "in/t", Artifact: all["memory"]},
		engine.Mount{Path: "u", Artifact: w.manyFiles(20, 1)})); got != "3\n" {
		t.Errorf("together: %s overlays", got)
	}
}

// Whatever a command tries, what lies below its inputs, and the changes of others, are out of its reach.
func TestEscapesThroughInputs(t *testing.T) {
	w := fullOnly(t)
	all := w.ways()
	for _, attempt := range []string{
		"touch /.cbuild/input/x", "ls /.cbuild/input/* | grep .", "ls /.cbuild/memory | grep .", "ls /.cbuild/run | grep .", "ls /.cbuild/tree | grep .", "touch /.cbuild/memory/x",
		"umount t", "umount -l /build/work", "mount -o remount,ro t", "mount -t overlay o -o lowerdir=t,upperdir=tmp,workdir=w m",
		"mknod t/white c 0 0", "mknod t/f c 0 0", "setfattr -n trusted.overlay.opaque -v y t/d", "chown 0 t/f", "chattr +i t/f",
		"ls /proc/1/root/.cbuild/memory", "ls /proc/1/cwd", "ls /proc/1/fd", "ls /proc/1/task/*/root/.cbuild", "ls /proc/1/map_files",
		"nsenter -t 1 -m true", "ls /proc/self/root/.cbuild/run | grep .", "cd ../../.cbuild/run && ls | grep .",
		"ls " + filepath.Dir(w.tools.Dir()), "touch " + w.tools.Dir() + "/x",
	} {
		c := sh("if ( "+attempt+" ) >/dev/null 2>&1; then echo escaped; else echo held; fi; cat t/f s/f",
			engine.Mount{Path: "t", Artifact: all["shared"]}, engine.Mount{Path: "s", Artifact: all["memory"]})
		if got := w.passes(c); got != "held\noldold" {
			t.Errorf("%s: %s", attempt, got)
		}
	}
	if changed := w.tools.Changed(); len(changed) > 0 {
		t.Error("a shared copy was changed")
	}
}

// Commands that run at the same time change the same input, each its own.
func TestSharedInputsAtTheSameTime(t *testing.T) {
	w := newWorld(t)
	tree := w.ways()["shared"]
	done := make(chan string)
	const commands = 6
	for n := range commands {
		go func() {
			c := outs(sh(fmt.Sprintf("test $(cat t/f) = old; echo %d > t/f; sleep 0.2; rm -r t/d; test $(cat t/f) = %d; mkdir t/d; echo %d > t/d/out", n, n, n), engine.Mount{Path: "t", Artifact: tree}), "t/d/")
			r, err := w.Execute(t.Context(), c)
			switch {
			case err != nil:
				done <- err.Error()
			case r.Status != engine.Pass || len(r.Outs) != 1:
				done <- fmt.Sprint(r.Status, w.read(r.Log))
			default:
				done <- ""
			}
		}()
	}
	for range commands {
		if what := <-done; what != "" {
			t.Error(what)
		}
	}
	w.clean()
	if changed := w.tools.Changed(); len(changed) > 0 {
		t.Error("the shared copy was changed")
	}
}

// Where inputs can't be mounted, they are copied, which is said once, and commands see no difference.
func TestWhereInputsCantBeMounted(t *testing.T) {
	w := fullOnly(t)
	dir := t.TempDir()
	trees := filepath.Join(dir, "trees")
	if err := os.MkdirAll(trees, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(trees, "probe"), nil, 0o644); err != nil { // in the way of finding out
		t.Fatal(err)
	}
	store := w.store
	x := sandbox.New(store, checkout.NewShared(store, trees), filepath.Join(dir, "runs"))
	defer x.Close()
	x.Shield(func(why error) { t.Error(why) })
	told := 0
	x.Copies(func(error) { told++ })
	for way, tree := range w.ways() {
		r, err := x.Execute(t.Context(), outs(sh(overlays+"; echo new > t/f; rm -r t/d", engine.Mount{Path: "t", Artifact: tree}), "t/f"))
		if err != nil || r.Status != engine.Pass || w.read(r.Stdout) != "0\n" || len(r.Outs) != 1 {
			t.Errorf("%s: %v, %v", way, r, err)
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}
