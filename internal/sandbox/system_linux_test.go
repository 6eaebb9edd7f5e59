package sandbox_test

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cbuild/cas"
	"cbuild/engine"
)

// rootWith returns a root file system with busybox or, where there is none, with the machine's shell and what it loads; and the files.
func (w *world) rootWith(files map[string]string) engine.Artifact {
	w.t.Helper()
	all := map[string]string{}
	copied := func(from, at string) {
		data, err := os.ReadFile(from)
		if err != nil {
			w.t.Fatal(err)
		}
		all[strings.TrimPrefix(at, "/")+"*"] = string(data)
	}
	for _, name := range []string{"sh", "ls", "cat", "touch", "mkdir", "id", "find", "grep", "env", "readlink"} {
		path, err := exec.LookPath(name)
		if err != nil {
			w.t.Fatal(err)
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			w.t.Fatal(err)
		}
		copied(real, "/usr/bin/"+name)
		for _, lib := range loads(w.t, real) {
			copied(lib, lib)
		}
	}
	for name, text := range files {
		all[name] = text
	}
	all["bin"] = "->usr/bin"
	return w.tree(all)
}

// loads lists what a program of this machine loads, its loader included.
func loads(t testing.TB, program string) (files []string) {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Skipf("SKIPPED: %s is no program that could be copied: %v", program, err)
	}
	defer f.Close()
	if f.Section(".interp") == nil {
		return nil
	}
	out, err := exec.Command("ldd", program).Output() //nolint:noctx // it ends
	if err != nil {
		t.Skipf("SKIPPED: ldd: %v", err)
	}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			files = append(files, word)
		}
	}
	return files
}

// buildLook builds a program that needs no system.
func buildLook(t testing.TB, program string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", program, "./testdata/look") //nolint:noctx // it ends
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no program could be built: %v %s", err, out)
	}
}

// static returns that program as an input. TestSuiteInClassFull has built it already.
func (w *world) static() engine.Mount {
	w.t.Helper()
	program := os.Getenv("CBUILD_TEST_LOOK")
	if program == "" {
		program = filepath.Join(w.t.TempDir(), "look")
		buildLook(w.t, program)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		w.t.Fatal(err)
	}
	return engine.Mount{Path: "look", Artifact: engine.Artifact{Digest: w.blob(string(data)), Executable: true, Name: "look"}}
}

// Without a system there is nothing but what was declared.
func TestSystemNone(t *testing.T) {
	w := fullOnly(t)
	look := w.static()
	tool := engine.Artifact{Kind: engine.TreeKind, Digest: w.tree(map[string]string{"bin/x": "tool\n"}).Digest}
	run := func(argv ...string) *engine.Result {
		c := outs(sh("", look, w.file("in", "input\n")), "out")
		c.Argv, c.Script, c.System, c.Tools = argv, "", engine.SystemNone, []engine.Artifact{tool}
		return w.run(c)
	}
	r := run("./look", "/", "/etc", "/tools/0/bin", "/usr", "/bin/sh", "in")
	want := "/: .cbuild build dev etc home proc root run tmp tools var\n/etc: group hosts mtab nsswitch.conf passwd protocols resolv.conf services\n" +
		"/tools/0/bin: x\n/usr: absent\n/bin/sh: absent\nin: input\n"
	if got := w.read(r.Stdout); r.Status != engine.Pass || got != want {
		t.Errorf("%v: %s\nwant %s\n%s", r.Status, got, want, w.read(r.Log))
	}
	r = run("sh", "-c", "true")
	if r.Status != engine.Fail || r.ExitCode != 127 || !strings.Contains(w.read(r.Log), "sh: executable file not found") {
		t.Errorf("%v %d: %s", r.Status, r.ExitCode, w.read(r.Log))
	}
	if got := w.passes(sh("ls /bin/sh")); got != "/bin/sh\n" {
		t.Errorf("the next command, with the host's system: %s", got)
	}
}

// A tree is the root file system: read-only, but for what every command has.
func TestSystemOfATree(t *testing.T) {
	w := fullOnly(t)
	root := w.rootWith(map[string]string{
		"etc/passwd": "evil:x:0:0::/:/bin/sh\n", "etc/own": "own\n", "etc/deep/er": "x", "etc/link": "->own", "var/lib/db": "db\n", "var/run": "->/run", "run/x": "r\n",
		"tmp/x": "not this", "dev/null": "not this", "proc/x": "not this", "build/x": "not this", "tools/0/x": "not this", "top": "top\n", "opt/a/b": "b\n", "etc/mtab": "->/etc/own",
	})
	run := func(script string) string {
		w.t.Helper()
		c := sh(script, w.file("in", "input\n"), engine.Mount{Path: "t", Artifact: w.ways()["memory"]})
		c.System, c.Root = engine.SystemRoot, root
		return w.passes(c)
	}
	for script, want := range map[string]string{
		"ls -A /":                          ".cbuild\nbin\nbuild\ndev\netc\nhome\nlib\nlib64\nopt\nproc\nroot\nrun\ntmp\ntools\ntop\nusr\nvar\n",
		"cat in /etc/own /etc/link /top":   "input\nown\nown\ntop\n",
		"grep -c evil /etc/passwd || true": "0\n",
		"ls /etc/deep; ls /var; cat /run/x /var/run/x /var/lib/db; ls /tmp /build": "er\nlib\nrun\ntmp\nr\nr\ndb\n/build:\nscript\nwork\n\n/tmp:\n",
		"readlink /etc/mtab /bin":                   "/proc/self/mounts\nusr/bin\n",
		"echo x > /dev/null; ls -A /tools/0; id -u": "1000\n",
		"cat /opt/a/b t/f; echo new > t/f; cat t/f": "b\noldnew\n",
		"for p in /x /etc/x /etc/own /opt/x /usr/x /var/x /var/lib/x /top; do ( echo x > $p ) 2>/dev/null && echo written $p; done; echo held": "held\n",
		"ls -d " + w.dir + " /root/.. /var/lib/dpkg 2>/dev/null || echo held":                                                                  "/root/..\nheld\n",
	} {
		if strings.HasPrefix(script, "ls -A /") && !strings.Contains(script, "/tools") {
			if _, err := os.Stat("/lib64"); err != nil {
				continue // a machine whose loader is elsewhere
			}
		}
		if got := run(script); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
	if changed := w.tools.Changed(); len(changed) > 0 {
		t.Error("the tree was changed")
	}
}

// However a tree looks, it can neither take the place of what is ours nor lead outside.
func TestHostileSystems(t *testing.T) {
	w := fullOnly(t)
	look := w.static()
	for name, files := range map[string]map[string]string{
		"links in our places": {"etc": "->usr", "var": "->/", "tmp": "->/proc", "dev": "->/", "proc": "->/", "build": "->/", "tools": "->/", ".cbuild": "->/"},
		"files in our places": {"etc": "x", "var": "x", "tmp": "x", "dev": "x", "proc": "x", "build": "x", "tools": "x", ".cbuild": "x"},
		"links out":           {"home": "->../../../..", "run": "->/proc/1/root", "root": "->..", "lib": "->/../../etc", "etc/x": "->../../../root"},
		"nothing":             {},
	} {
		c := sh("", look)
		c.Argv, c.Script, c.System, c.Root = []string{"./look", "/etc/passwd", "/build"}, "", engine.SystemRoot, w.tree(files)
		r := w.run(c)
		if got := w.read(r.Stdout); r.Status != engine.Pass || !strings.Contains(got, "build:x:1000") || !strings.Contains(got, "/build: script work") {
			t.Errorf("%s: %v %s %s", name, r.Status, got, w.read(r.Log))
		}
	}
}

// Boxes are kept for few systems; commands of many, and of the host, work in any order.
func TestManySystems(t *testing.T) {
	w := fullOnly(t)
	look := w.static()
	for n := range 24 {
		c := sh("", look)
		c.Argv, c.Script, c.System, c.Root = []string{"./look", "/which"}, "", engine.SystemRoot, w.tree(map[string]string{"which": fmt.Sprint(n % 12)})
		if got := w.passes(c); got != fmt.Sprintf("/which: %d\n", n%12) {
			t.Errorf("%d: %s", n, got)
		}
		w.passes(sh("true"))
	}
}

// In class none there is the host's system and no other; a tree that the store lost is named.
func TestSystemsThatCantBe(t *testing.T) {
	w := newWorld(t)
	c := sh("true")
	c.System, c.Root = engine.SystemRoot, engine.Artifact{Kind: engine.TreeKind, Digest: cas.Of([]byte("lost"))}
	_, err := w.Execute(t.Context(), c)
	var lost *engine.LostError
	var invalid *engine.InvalidError
	switch {
	case classFull && (!errors.As(err, &lost) || lost.Digest != c.Root.Digest):
		t.Errorf("a lost one: %v", err)
	case !classFull && (!errors.As(err, &invalid) || !strings.Contains(err.Error(), "needs sandbox class full")):
		t.Errorf("in class none: %v", err)
	}
	w.clean()
}
