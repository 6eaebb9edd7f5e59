package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/internal/sandbox"
)

// fakeRoot writes files below a new directory.
func fakeRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// host returns the lines that are not the same for all.
func host(t *testing.T, s *sandbox.System, programs, names []string) (packages []string, portable bool) {
	t.Helper()
	lines, portable, err := s.Host(t.Context(), programs, names)
	if err != nil {
		t.Fatal(err)
	}
	if lines[0] != "os "+runtime.GOOS || lines[1] != "arch "+runtime.GOARCH {
		t.Errorf("begins with %q", lines[:2])
	}
	for _, l := range lines[2:] {
		if strings.HasPrefix(l, "program ") {
			l = l[:strings.LastIndex(l, " b3:")]
		}
		packages = append(packages, l)
	}
	return packages, portable
}

const dpkgStatus = `Package: compiler
Status: install ok installed
Architecture: amd64
Version: 4:12-1
Pre-Depends: libc (>= 2.3)
Depends: binutils:any (>= 2.40), driver (= 12), cpp | other-cpp
Description: compiles
 Depends: nothing, in a description

Package: libc
Status: install ok installed
Version: 2.36-9

Package: binutils
Status: install ok installed
Version: 2.40
Depends: libc, compiler

Package: real-driver
Status: install ok installed
Version: 12.1
Provides: driver (= 12)

Package: cpp
Status: deinstall ok config-files
Version: 9

Package: unrelated
Status: install ok installed
Version: 1

Package: extra
Status: install ok installed
Version: 7
Depends: libc`

func dpkgFiles() map[string]string {
	return map[string]string{
		"etc/os-release":                     "NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n",
		"var/lib/dpkg/status":                dpkgStatus,
		"var/lib/dpkg/info/compiler.list":    "/.\n/usr/bin\n/usr/bin/cc1\n/usr/share/doc/x\n",
		"var/lib/dpkg/info/unrelated.list":   "/bin/unrelated\n/usr/share/cc1\n",
		"var/lib/dpkg/info/libc:amd64.list":  "/usr/bin/ldd\n",
		"var/lib/dpkg/info/libc:amd64.other": "/usr/bin/cc1\n",
		"usr/bin/cc1":                        "compiler",
		"usr/bin/unrelated":                  "u",
		"usr/bin/ldd":                        "l",
		"usr/local/bin/own":                  "mine",
	}
}

func TestDpkg(t *testing.T) {
	s := sandbox.NewSystem(fakeRoot(t, dpkgFiles()))
	compiler := []string{"package binutils 2.40", "package compiler 4:12-1", "package libc 2.36-9", "package real-driver 12.1"}
	for _, test := range []struct{ programs, names, want []string }{
		{[]string{"cc1"}, nil, append([]string{"program cc1"}, compiler...)},
		{[]string{"/usr/bin/cc1"}, nil, append([]string{"program /usr/bin/cc1"}, compiler...)},
		{[]string{"unrelated"}, nil, []string{"program unrelated", "package unrelated 1"}}, // listed in /bin, found in /usr/bin
		{[]string{"ldd"}, []string{"extra"}, []string{"program ldd", "package extra 7", "package libc 2.36-9"}},
		{[]string{"/usr/local/bin/own"}, nil, []string{"program /usr/local/bin/own"}},
		{nil, nil, nil},
	} {
		got, portable := host(t, s, test.programs, test.names)
		if want := append([]string{"release debian 12"}, test.want...); !slices.Equal(got, want) {
			t.Errorf("%v %v:\ngot  %q\nwant %q", test.programs, test.names, got, want)
		}
		if !portable {
			t.Errorf("%v: not portable", test.programs)
		}
	}
	var invalid *engine.InvalidError
	if _, _, err := s.Host(t.Context(), []string{"no-such"}, nil); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "command not found: no-such") {
		t.Errorf("unknown program: %v", err)
	}
	if _, _, err := s.Host(t.Context(), nil, []string{"cpp"}); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "cpp is not installed") {
		t.Errorf("a package that was removed: %v", err)
	}
}

func TestProgramContentIsInTheDescription(t *testing.T) {
	files := dpkgFiles()
	one, _, err := sandbox.NewSystem(fakeRoot(t, files)).Host(t.Context(), []string{"cc1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files["usr/bin/cc1"] = "another compiler"
	two, _, err := sandbox.NewSystem(fakeRoot(t, files)).Host(t.Context(), []string{"cc1"}, nil)
	if err != nil || slices.Equal(one, two) {
		t.Errorf("two contents are described alike: %q %v", two, err)
	}
}

func TestAlternatives(t *testing.T) {
	root := fakeRoot(t, dpkgFiles())
	if err := os.MkdirAll(filepath.Join(root, "etc/alternatives"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"usr/bin/cc": "/etc/alternatives/cc", "etc/alternatives/cc": "/usr/bin/cc1", "usr/bin/loop": "loop", "usr/bin/rel": "../bin/cc1"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	s := sandbox.NewSystem(root)
	for _, name := range []string{"cc", "rel"} {
		got, _ := host(t, s, []string{name}, nil)
		if !slices.Contains(got, "package compiler 4:12-1") {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, _, err := s.Host(t.Context(), []string{"loop"}, nil); !errors.As(err, new(*engine.InvalidError)) {
		t.Errorf("a link to itself: %v", err)
	}
}

const apkInstalled = `C:Q1abc
P:musl
V:1.2.4-r2
A:x86_64
p:so:libc.musl-x86_64.so.1=1
F:lib
R:ld-musl-x86_64.so.1
F:usr
F:usr/bin
R:ldd
a:0:0:755

P:gcc
V:12.2-r10
D:binutils=2.40-r7 so:libc.musl-x86_64.so.1 !gcc-old
F:usr/bin
R:gcc

P:binutils
V:2.40-r7
D:so:libc.musl-x86_64.so.1
F:usr/bin
R:as`

func TestApk(t *testing.T) {
	s := sandbox.NewSystem(fakeRoot(t, map[string]string{
		"etc/os-release": "ID=alpine\nVERSION_ID=3.19.1\n", "lib/apk/db/installed": apkInstalled,
		"usr/bin/gcc": "gcc", "usr/bin/as": "as",
	}))
	got, portable := host(t, s, []string{"gcc"}, nil)
	want := []string{"release alpine 3.19.1", "program gcc", "package binutils 2.40-r7", "package gcc 12.2-r10", "package musl 1.2.4-r2"}
	if !slices.Equal(got, want) || !portable {
		t.Errorf("got %q, portable %v", got, portable)
	}
}

func TestNoPackageDatabase(t *testing.T) {
	s := sandbox.NewSystem(fakeRoot(t, map[string]string{"bin/tool": "t"}))
	got, portable := host(t, s, []string{"tool"}, nil)
	if !slices.Equal(got, []string{"program tool"}) || portable {
		t.Errorf("got %q, portable %v", got, portable)
	}
}

func TestThisMachine(t *testing.T) {
	if _, err := os.Stat("/var/lib/dpkg/status"); err != nil {
		t.Skip("LOUD: no dpkg on this machine: ", err)
	}
	if _, err := os.Stat("/usr/bin/cc"); err != nil {
		t.Skip("LOUD: no cc on this machine: ", err)
	}
	got, portable := host(t, sandbox.NewSystem("/"), []string{"cc"}, nil)
	for _, name := range []string{"gcc", "cpp", "binutils", "libc6", "libc6-dev"} {
		if !slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "package "+name+" ") }) {
			t.Errorf("%s is not in the description", name)
		}
	}
	if !portable {
		t.Error("not portable")
	}
	if slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "package apt ") }) {
		t.Error("apt is in the description: cc does not need it")
	}
}

// BenchmarkSystem is what the first run target of a build waits for.
func BenchmarkSystem(b *testing.B) {
	for b.Loop() {
		if _, _, err := sandbox.NewSystem("/").Host(b.Context(), []string{"cc", "sh"}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
