package registry_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/registry"
	"cbuild/rules/registry/fakes"
)

// newArchive returns a universe with three packages and the key that signs its releases.
func newArchive(t *testing.T, env ...string) *universe {
	t.Helper()
	u := newUniverse(t, env...)
	u.files["/usr/share/keyrings/debian-archive-keyring.gpg"] = string(u.Keyring())
	u.Add("debian",
		fakes.Package{Name: "sl", Version: "5.02-1", Section: "games", Depends: "libc6 (>= 2.34), libtinfo6"},
		fakes.Package{Name: "libc++~x", Version: "1:2.0+b1", Unchecked: false},
		fakes.Package{Name: "arm", Version: "1", Arch: "arm64"},
		fakes.Package{Name: "unchecked", Version: "1", Unchecked: true})
	return u
}

var stable = engine.Object{"suite": "stable", "arch": "amd64"}

func TestDebianItems(t *testing.T) {
	u := newArchive(t)
	reg := registry.NewDebian(u.options())
	items, notes, err := collect(t.Context(), reg, stable)
	wantKeys(t, items, err, "sl_5.02-1", "libc++~x_1:2.0+b1")
	checkFields(t, reg, items)
	if len(notes) != 0 {
		t.Errorf("notes %q", notes)
	}
	item := items["sl_5.02-1"]
	sum, _ := item["sha256"].(string)
	size, _ := item["size"].(int64)
	if len(sum) != 64 || size == 0 {
		t.Errorf("item %v", item)
	}
	delete(item, "sha256")
	delete(item, "size")
	want := engine.Object{"name": "sl", "version": "5.02-1", "section": "games", "depends": "libc6 (>= 2.34), libtinfo6", "url": "debian:pool/main/s/sl/sl_5.02-1_amd64.deb"}
	if !maps.Equal(item, want) {
		t.Errorf("item %v, want %v", item, want)
	}
	if u.Count("/debian/dists/stable/main/binary-amd64/by-hash/SHA256/*") != 1 || u.Count("/debian/dists/stable/InRelease") != 1 || u.Count("*") != 2 {
		t.Errorf("asked for %q", u.Asked())
	}
	items, _, err = collect(t.Context(), reg, engine.Object{"suite": list("stable"), "component": "main", "arch": list("amd64", "arm64")})
	wantKeys(t, items, err, "sl_5.02-1", "libc++~x_1:2.0+b1", "arm_1")
	if u.Count("/debian/dists/stable/InRelease") != 1 {
		t.Errorf("the release was asked for again in the same build")
	}
}

// Whatever forms of an index a mirror has, the answer is the same.
func TestDebianMirrorsLackForms(t *testing.T) {
	u := newArchive(t)
	index := "/debian/dists/stable/main/binary-amd64/"
	reference, _, err := collect(t.Context(), registry.NewDebian(u.options()), stable)
	if err != nil {
		t.Fatal(err)
	}
	for _, lacks := range [][]string{{"by-hash/SHA256/*"}, {"by-hash/SHA256/*", "Packages.xz"}, {"by-hash/SHA256/*", "Packages.xz", "Packages.gz"}} {
		for _, name := range lacks {
			u.Answer(index+name, 404)
		}
		items, _, err := collect(t.Context(), registry.NewDebian(u.options()), stable)
		if err != nil || fmt.Sprint(items) != fmt.Sprint(reference) {
			t.Errorf("without %q: %v, %v", lacks, items, err)
		}
	}
	u.Answer(index+"Packages", 404)
	if _, _, err := collect(t.Context(), registry.NewDebian(u.options()), stable); engine.ClassOf(err) != engine.ClassUnavailable {
		t.Errorf("without any: %v", err)
	}
}

// An index that is not the one which the release names is not believed: a mirror is in the middle of an update, or lies.
func TestDebianIndexOfAnotherRelease(t *testing.T) {
	u := newArchive(t)
	u.Say("/debian/dists/stable/main/binary-amd64/by-hash/SHA256/*", "Package: evil\n")
	u.Say("/debian/dists/stable/main/binary-amd64/Packages*", "Package: evil\n")
	items, _, err := collect(t.Context(), registry.NewDebian(u.options()), stable)
	if !passes(err) || len(items) != 0 {
		t.Errorf("%v, %v", items, err)
	}
	u.Say("/debian/dists/stable/InRelease", "Suite: stable\nSHA256:\n")
	if _, _, err := collect(t.Context(), registry.NewDebian(u.options()), stable); err == nil || passes(err) {
		t.Errorf("a release without a signature: %v", err)
	}
}

func TestDebianWhatIsNotThere(t *testing.T) {
	u := newArchive(t)
	for _, args := range []engine.Object{
		{"suite": "none", "arch": "amd64"},
		{"suite": "stable", "arch": "s390x"},
		{"suite": "stable", "arch": "amd64", "component": "contrib"},
	} {
		if _, _, err := collect(t.Context(), registry.NewDebian(u.options()), args); engine.ClassOf(err) != engine.ClassUnavailable {
			t.Errorf("%v: %v", args, err)
		}
	}
	u.Answer("/debian/dists/stable/InRelease", 503)
	if _, _, err := collect(t.Context(), registry.NewDebian(u.options()), stable); !passes(err) {
		t.Errorf("trouble: %v", err)
	}
}

// otherKey is a key that signed nothing.
func otherKey(t *testing.T) string {
	t.Helper()
	e, err := openpgp.NewEntity("other", "", "other@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	a, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err == nil {
		err = e.Serialize(a)
	}
	if err == nil {
		err = a.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDebianSignatures(t *testing.T) {
	const ring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	u := newArchive(t)
	good, other := u.files[ring], otherKey(t)
	source := func(by string) string {
		return "Types: deb deb-src\nURIs: " + u.base + "/debian\nSuites: stable\nComponents: main\nSigned-By: " + by + "\n"
	}
	inline := func(key string) string {
		var b strings.Builder
		for line := range strings.Lines(key) {
			if line == "\n" {
				line = ".\n"
			}
			b.WriteString("\n " + strings.TrimSuffix(line, "\n"))
		}
		return b.String()
	}
	noMirror := lookup([]string{"HOME=/home/user"})
	for name, c := range map[string]struct {
		files map[string]string
		ok    bool
		note  bool
	}{
		"good":               {map[string]string{ring: good}, true, false},
		"one of two":         {map[string]string{ring: good, "/etc/apt/trusted.gpg.d/x.asc": other}, true, false},
		"other":              {map[string]string{ring: other}, false, false},
		"none":               {nil, true, true},
		"damaged":            {map[string]string{ring: "garbage"}, false, false},
		"signed-by":          {map[string]string{"/etc/apt/sources.list.d/d.sources": source("/k/good.asc"), "/k/good.asc": good, ring: other}, true, false},
		"signed-by other":    {map[string]string{"/etc/apt/sources.list.d/d.sources": source("/k/o.asc"), "/k/o.asc": other, ring: good}, false, false},
		"signed-by, inline":  {map[string]string{"/etc/apt/sources.list.d/d.sources": source(inline(good))}, true, false},
		"one line, signed":   {map[string]string{"/etc/apt/sources.list": "deb [arch=amd64 signed-by=/k/good.asc] " + u.base + "/debian stable main\n", "/k/good.asc": good}, true, false},
		"one line, by other": {map[string]string{"/etc/apt/sources.list": "deb [signed-by=/k/o.asc] " + u.base + "/debian stable main\n", "/k/o.asc": other, ring: good}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			u.files = c.files
			m := u.machine
			for file := range c.files {
				if strings.HasPrefix(file, "/etc/apt/sources") {
					m.Env = noMirror
				}
			}
			items, notes, err := collect(t.Context(), registry.NewDebian(registry.Options{Client: u.client, Machine: m}), stable)
			if (err == nil) != c.ok || c.ok && len(items) != 2 || (len(notes) > 0) != c.note {
				t.Errorf("%d items, notes %q, %v", len(items), notes, err)
			}
			if err != nil && (passes(err) || engine.ClassOf(err) != engine.ClassError) {
				t.Errorf("%v is not final", err)
			}
		})
	}
}

// The pool is had from all places that apt knows; a snapshot is another place.
func TestDebianMirrors(t *testing.T) {
	u := newUniverse(t)
	u.files = map[string]string{
		"/etc/apt/sources.list":                "# old\ndeb cdrom:[x]/ stable main\ndeb-src http://src.example/debian stable main\ndeb http://one.example/debian/ stable main # here\n",
		"/etc/apt/sources.list.d/two.sources":  "Types: deb\nURIs: http://two.example/debian http://one.example/debian\nSuites: stable stable-updates\nComponents: main\n\nTypes: deb\nURIs: http://sec.example/debian-security\nSuites: stable-security\nComponents: main\n\nEnabled: no\nTypes: deb\nURIs: http://off.example/\nSuites: stable\n",
		"/etc/apt/sources.list.d/x.disabled":   "deb http://disabled.example/ stable main\n",
		"/etc/apt/sources.list.d/three.list":   "deb [trusted=yes] https://three.example/d stable main\n",
		"/etc/apt/sources.list.d/comment.list": "#deb https://comment.example/d stable main\n",
	}
	m := u.machine
	m.Env = lookup([]string{"DEBIAN_SNAPSHOTS=https://snap.example/@SNAPSHOTID@/"})
	reg := registry.NewDebian(registry.Options{Client: u.client, Machine: m})
	for address, want := range map[string]string{
		"debian:pool/main/s/sl/sl_5+x~y_amd64.deb":                  "one.example/debian three.example/d two.example/debian sec.example/debian-security",
		"debian:20250520T000000Z/pool/main/s/sl/sl_5+x~y_amd64.deb": "snap.example/20250520T000000Z",
		"debian:pool/../x": "",
		"debian:/x":        "",
		"debian:":          "",
	} {
		mirrors, err := reg.Mirrors(t.Context(), address)
		if want == "" {
			if !errors.As(err, new(*engine.InvalidError)) {
				t.Errorf("%s: %v, %v", address, mirrors, err)
			}
			continue
		}
		var got []string
		for _, m := range mirrors {
			place, ok := strings.CutSuffix(m.URL, "/pool/main/s/sl/sl_5+x~y_amd64.deb")
			if !ok {
				t.Errorf("%s: %s", address, m.URL)
			}
			_, place, _ = strings.Cut(place, "://")
			got = append(got, place)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v; want %q", address, got, err, want)
		}
	}
}

func TestDebianSnapshot(t *testing.T) {
	u := newArchive(t)
	args := engine.Object{"suite": "stable", "arch": "amd64", "snapshot": "20250520T000000Z"}
	items, _, err := collect(t.Context(), registry.NewDebian(u.options()), args)
	wantKeys(t, items, err, "sl_5.02-1", "libc++~x_1:2.0+b1")
	if got := items["sl_5.02-1"]["url"]; got != "debian:20250520T000000Z/pool/main/s/sl/sl_5.02-1_amd64.deb" {
		t.Errorf("url %v", got)
	}
	if n := u.Count("/debian/*/*/*"); n != 0 || u.Count("/snapshots/20250520T000000Z/dists/stable/InRelease") != 1 {
		t.Errorf("asked for %q", u.Asked())
	}
}

func TestDebianWithoutConfiguration(t *testing.T) {
	u := newUniverse(t)
	u.machine.Env = lookup(nil)
	_, _, err := collect(t.Context(), registry.NewDebian(u.options()), stable)
	if err == nil || !strings.Contains(err.Error(), "DEBIAN_MIRROR") {
		t.Errorf("%v", err)
	}
	reg := registry.NewDebian(registry.Options{Client: download.New(download.Options{Offline: true}), Machine: u.machine})
	if _, _, err := collect(t.Context(), reg, stable); !errors.Is(err, download.ErrOffline) {
		t.Errorf("offline: %v", err)
	}
}

func TestDebianArgumentsAreChecked(t *testing.T) {
	reg := registry.NewDebian(registry.Options{})
	for want, args := range map[string]engine.Object{
		"unknown argument": {"suite": "stable", "arch": "amd64", "archs": "x"},
		"suite is missing": {"arch": "amd64"},
		"arch is missing":  {"suite": "stable"},
		"suite: \"../x\"":  {"suite": "../x", "arch": "amd64"},
		"component":        {"suite": "stable", "arch": "amd64", "component": list("main", "a b")},
		"snapshot":         {"suite": "stable", "arch": "amd64", "snapshot": "yesterday"},
	} {
		if _, err := reg.Starts(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Starts(%v): error %v, want one with %q", args, err, want)
		}
	}
}
