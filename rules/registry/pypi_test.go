package registry_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/registry"
	"cbuild/rules/registry/fakes"
)

func newPython(t *testing.T, env ...string) *universe {
	t.Helper()
	u := newUniverse(t, env...)
	for _, v := range []string{"1.0", "1.2.1", "1.10", "2.0rc1"} {
		u.Add("pypi", fakes.Package{Name: "Foo.Bar", Version: v, Wheel: v == "1.10"})
	}
	u.Add("pypi",
		fakes.Package{Name: "Foo.Bar", Version: "1.11", Yanked: "broken"},
		fakes.Package{Name: "wheels", Version: "0.1", Wheel: true, NoSource: true, Unchecked: true},
		fakes.Package{Name: "early", Version: "0.1.dev3"})
	return u
}

func TestPyPIItems(t *testing.T) {
	u := newPython(t)
	reg := registry.NewPyPI(u.options())
	for _, c := range []struct{ packages, versions, files, want string }{
		{"foo_bar early wheels", "", "", "foo-bar-1.10 early-0.1.dev3 wheels-0.1"},
		{"Foo.Bar", "all", "", "foo-bar-1.0 foo-bar-1.2.1 foo-bar-1.10 foo-bar-1.11 foo-bar-2.0rc1"},
		{"foo-bar", "~=1.2", "", "foo-bar-1.2.1 foo-bar-1.10 foo-bar-1.11"},
		{"foo-bar", ">=1.0,!=1.2.*,<1.11", "", "foo-bar-1.0 foo-bar-1.10"},
		{"foo-bar", ">=2.0rc1", "", "foo-bar-2.0rc1"},
		{"foo-bar==1.2.1", "all", "", "foo-bar-1.2.1"},
		{"foo-bar==1.0.0", "", "", "foo-bar-1.0"},
		{"foo-bar==1.10", "", "all", "foo_bar-1.10.tar.gz foo_bar-1.10-py3-none-any.whl foo_bar-1.10-cp311-cp311-manylinux_2_17_x86_64.whl"},
		{"foo-bar==3 none ../x", "", "", "foo-bar==3 none ../x"},
	} {
		items, _, err := collect(t.Context(), reg, engine.Object{"packages": list(strings.Fields(c.packages)...), "versions": c.versions, "files": c.files})
		wantKeys(t, items, err, strings.Fields(c.want)...)
		checkFields(t, reg, items)
		if item := items["foo-bar-1.11"]; item != nil && item["yanked"] != true {
			t.Errorf("%v", item)
		}
		if item := items["wheels-0.1"]; item != nil && (item["url"] != nil || item["version"] != "0.1") {
			t.Errorf("a version without a source: %v", item)
		}
	}
	items, _, err := collect(t.Context(), reg, engine.Object{"packages": list("foo-bar==1.10"), "files": "wheel"})
	item := items["foo-bar-1.10"]
	if err != nil || item == nil || len(item["sha256"].(string)) != 64 {
		t.Fatalf("%v, %v", items, err)
	}
	delete(item, "sha256")
	want := engine.Object{"name": "foo-bar", "version": "1.10", "url": "pypi:foo-bar/foo_bar-1.10-py3-none-any.whl", "yanked": false, "requires_python": ">=3.8"}
	if !maps.Equal(item, want) {
		t.Errorf("%v, want %v", item, want)
	}
}

// Where a file is, the index says, in this build or in one that has the answer from pins.
func TestPyPIMirrors(t *testing.T) {
	u := newPython(t)
	for _, asked := range []bool{true, false} {
		reg := registry.NewPyPI(u.options())
		if asked {
			if _, _, err := collect(t.Context(), reg, engine.Object{"packages": list("foo-bar==1.0")}); err != nil {
				t.Fatal(err)
			}
		}
		u.Reset()
		mirrors, err := reg.Mirrors(t.Context(), "pypi:foo-bar/foo_bar-1.0.tar.gz")
		if err != nil || mirrors[0].URL != u.base+"/pypi/packages/foo_bar-1.0.tar.gz" || (u.Count("*") == 0) != asked {
			t.Errorf("%v, %v, %q", mirrors, err, u.Asked())
		}
	}
	reg := registry.NewPyPI(u.options())
	if _, err := reg.Mirrors(t.Context(), "pypi:foo-bar/foo_bar-9.tar.gz"); engine.ClassOf(err) != engine.ClassUnavailable {
		t.Errorf("a file that is not there: %v", err)
	}
	for _, address := range []string{"pypi:foo-bar", "pypi:../x/y.whl", "pypi:a/../b", "pypi:a/b/c"} {
		if _, err := reg.Mirrors(t.Context(), address); !errors.As(err, new(*engine.InvalidError)) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestPyPIConfiguration(t *testing.T) {
	u := newPython(t)
	for name, c := range map[string]struct {
		env   []string
		files map[string]string
	}{
		"file":        {[]string{"PIP_CONFIG_FILE=/pip"}, map[string]string{"/pip": "[global]\nindex_url = " + u.base + "/pypi/simple\n"}},
		"user":        {nil, map[string]string{"/home/user/.config/pip/pip.conf": "# c\n[install]\nindex-url=" + u.base + "/pypi/simple/\n[global]\nindex-url=http://127.0.0.1:1/\n"}},
		"machine":     {nil, map[string]string{"/etc/pip.conf": "[global]\nindex-url: none\nindex-url = " + u.base + "/pypi/simple/\n"}},
		"environment": {[]string{"VIRTUAL_ENV=/venv"}, map[string]string{"/venv/pip.conf": "[global]\nindex-url=" + u.base + "/pypi/simple/\n"}},
	} {
		m := u.machine
		m.Env, u.files = lookup(append([]string{"HOME=/home/user"}, c.env...)), c.files
		items, _, err := collect(t.Context(), registry.NewPyPI(registry.Options{Client: u.client, Machine: m}), engine.Object{"packages": list("foo-bar")})
		if err != nil || items["foo-bar-1.10"] == nil {
			t.Errorf("%s: %v, %v", name, items, err)
		}
	}
	// A password in the address is sent, and shown nowhere.
	m := u.machine
	m.Env = lookup([]string{"PIP_INDEX_URL=" + strings.Replace(u.base, "http://", "http://me:s3cr3t@", 1) + "/pypi/simple/"})
	u.Reset()
	u.Answer("/pypi/simple/foo-bar/", 500)
	_, _, err := collect(t.Context(), registry.NewPyPI(registry.Options{Client: u.client, Machine: m}), engine.Object{"packages": list("foo-bar")})
	if err == nil || strings.Contains(err.Error(), "s3cr3t") || len(u.Sent()) != 1 || !strings.HasPrefix(u.Sent()[0].Get("Authorization"), "Basic ") {
		t.Errorf("%v, %v", err, u.Sent())
	}
	reg := registry.NewPyPI(registry.Options{Client: download.New(download.Options{Offline: true}), Machine: u.machine})
	if _, _, err := collect(t.Context(), reg, engine.Object{"packages": list("foo-bar")}); !errors.Is(err, download.ErrOffline) {
		t.Errorf("offline: %v", err)
	}
}

func TestPyPIArgumentsAreChecked(t *testing.T) {
	reg := registry.NewPyPI(registry.Options{})
	for want, args := range map[string]engine.Object{
		"unknown argument":    {"packages": list(), "version": "latest"},
		"packages is missing": {},
		"packages[0]":         {"packages": list("a==x")},
		"versions":            {"packages": list(), "versions": "newest"},
		"files":               {"packages": list(), "files": "egg"},
	} {
		if _, err := reg.Starts(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Starts(%v): error %v, want one with %q", args, err, want)
		}
	}
}
