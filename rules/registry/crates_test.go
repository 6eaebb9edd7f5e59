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

func newCrates(t *testing.T) *universe {
	t.Helper()
	u := newUniverse(t)
	u.Add("crates.io",
		fakes.Package{Name: "Serde_x", Version: "1.0.0", Downloads: 500},
		fakes.Package{Name: "Serde_x", Version: "1.2.0"},
		fakes.Package{Name: "Serde_x", Version: "1.10.0", Yanked: "yes"},
		fakes.Package{Name: "Serde_x", Version: "2.0.0-rc.1"},
		fakes.Package{Name: "a", Version: "0.1.0-alpha.1+x", Downloads: 7},
		fakes.Package{Name: "abc", Version: "0.1.0", Downloads: 1000},
		fakes.Package{Name: "gone", Version: "0.1.0", Yanked: "yes", Downloads: 9000})
	return u
}

func TestCratesItems(t *testing.T) {
	u := newCrates(t)
	reg := registry.NewCrates(u.options())
	for _, c := range []struct{ crates, versions, want string }{
		{"Serde_x a abc", "", "Serde_x-1.2.0 a-0.1.0-alpha.1+x abc-0.1.0"},
		{"serde_x", "latest", "Serde_x-1.2.0"},
		{"Serde_x", "all", "Serde_x-1.0.0 Serde_x-1.2.0 Serde_x-1.10.0 Serde_x-2.0.0-rc.1"},
		{"Serde_x", "1.1", "Serde_x-1.2.0 Serde_x-1.10.0"}, // bare is ^; with yanked ones, which say so
		{"Serde_x", ">=1, <1.2", "Serde_x-1.0.0"},
		{"Serde_x@1", "all", "Serde_x-1.2.0"}, // what cargo would take
		{"Serde_x@=1.0.0", "", "Serde_x-1.0.0"},
		{"Serde_x@1.10.0", "", "Serde_x-1.10.0"},
		{"Serde_x@9 none a@1.0.0 gone ../x", "", "Serde_x@9 none a@1.0.0 gone ../x"},
	} {
		items, _, err := collect(t.Context(), reg, engine.Object{"crates": list(strings.Fields(c.crates)...), "versions": c.versions})
		wantKeys(t, items, err, strings.Fields(c.want)...)
		checkFields(t, reg, items)
		if item := items["Serde_x-1.10.0"]; item != nil && item["yanked"] != true {
			t.Errorf("%v", item)
		}
	}
	items, _, err := collect(t.Context(), reg, engine.Object{"crates": list("abc")})
	sum, _ := items["abc-0.1.0"]["sha256"].(string)
	delete(items["abc-0.1.0"], "sha256")
	want := engine.Object{"name": "abc", "version": "0.1.0", "url": "crates.io:abc-0.1.0.crate", "yanked": false, "downloads": nil}
	if err != nil || len(sum) != 64 || !maps.Equal(items["abc-0.1.0"], want) {
		t.Errorf("%v, %v", items, err)
	}
	for _, path := range []string{"/crates/index/1/a", "/crates/index/3/a/abc", "/crates/index/se/rd/serde_x", "/crates/index/config.json"} {
		if u.Count(path) == 0 {
			t.Errorf("%s was not asked for: %q", path, u.Asked())
		}
	}
}

func TestCratesCensus(t *testing.T) {
	u := newCrates(t)
	reg := registry.NewCrates(u.options())
	for _, c := range []struct {
		args engine.Object
		want string
	}{
		{engine.Object{"census": true}, "abc-0.1.0 Serde_x-1.2.0 a-0.1.0-alpha.1+x"},
		{engine.Object{"census": true, "min_downloads": int64(500)}, "abc-0.1.0 Serde_x-1.2.0"},
		{engine.Object{"census": true, "top": int64(1)}, "abc-0.1.0"},
	} {
		items, _, err := collect(t.Context(), reg, c.args)
		wantKeys(t, items, err, strings.Fields(c.want)...)
		checkFields(t, reg, items)
		if items["abc-0.1.0"]["downloads"] != int64(1000) {
			t.Errorf("%v", items["abc-0.1.0"])
		}
	}
	// The census and the index say the same of a crate.
	census, _, err := collect(t.Context(), reg, engine.Object{"census": true})
	items, _, err2 := collect(t.Context(), reg, engine.Object{"crates": list("Serde_x")})
	if err != nil || err2 != nil || census["Serde_x-1.2.0"]["sha256"] != items["Serde_x-1.2.0"]["sha256"] {
		t.Errorf("%v %v", err, err2)
	}
	u.Answer("/crates/static/db-dump.tar.gz", 503)
	if _, _, err := collect(t.Context(), reg, engine.Object{"census": true}); !passes(err) {
		t.Errorf("trouble: %v", err)
	}
}

// What did not change is not sent again, and what is damaged on disk is.
func TestCratesIndexIsConditional(t *testing.T) {
	u := newCrates(t)
	o := u.options()
	o.CacheDir = t.TempDir()
	ask := func() map[string]engine.Object {
		items, _, err := collect(t.Context(), registry.NewCrates(o), engine.Object{"crates": list("abc")})
		if err != nil {
			t.Fatal(err)
		}
		return items
	}
	first := ask()
	u.Reset()
	if again := ask(); !maps.Equal(again["abc-0.1.0"], first["abc-0.1.0"]) {
		t.Errorf("%v, then %v", first, again)
	}
	conditional := 0
	for _, h := range u.Sent() {
		if h.Get("If-None-Match") != "" {
			conditional++
		}
	}
	if conditional != 1 {
		t.Errorf("%d conditional requests", conditional)
	}
	u.Add("crates.io", fakes.Package{Name: "abc", Version: "0.2.0"})
	if now := ask(); now["abc-0.2.0"] == nil {
		t.Errorf("after a new version: %v", now)
	}
}

func TestCratesConfiguration(t *testing.T) {
	u := newCrates(t)
	at := "sparse+" + u.base + "/crates/index/"
	for name, files := range map[string]map[string]string{
		"source of the workspace": {"/ws/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"corp\"\n[source.corp]\nregistry = \"" + at + "\"\n"},
		"registry of the user":    {"/home/user/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"corp\"\n[registries.corp]\nindex = \"" + at + "\"\n"},
		"old name":                {"/home/user/.cargo/config": "[registries.crates-io]\nindex = \"" + at + "\"\n"},
	} {
		m := u.machine
		m.Env, u.files = lookup([]string{"HOME=/home/user"}), files
		items, _, err := collect(t.Context(), registry.NewCrates(registry.Options{Client: u.client, Machine: m}), engine.Object{"crates": list("abc")})
		if err != nil || items["abc-0.1.0"] == nil {
			t.Errorf("%s: %v, %v", name, items, err)
		}
	}
	u.files = map[string]string{"/ws/.cargo/config.toml": "[source.crates-io]\nreplace-with = \"a\"\n[source.a]\nreplace-with = \"crates-io\"\n"}
	m := u.machine
	m.Env = lookup(nil)
	reg := registry.NewCrates(registry.Options{Client: download.New(download.Options{Offline: true}), Machine: m})
	if _, _, err := collect(t.Context(), reg, engine.Object{"crates": list("abc")}); !errors.Is(err, download.ErrOffline) {
		t.Errorf("a circle, offline: %v", err)
	}
}

func TestCratesMirrors(t *testing.T) {
	u := newCrates(t)
	reg := registry.NewCrates(u.options())
	for address, want := range map[string]string{
		"crates.io:abc-0.1.0.crate":            "abc/0.1.0",
		"crates.io:a-b-1-1.2.3-rc.1+x-y.crate": "a-b-1/1.2.3-rc.1+x-y",
		"crates.io:abc.crate":                  "",
		"crates.io:-1.0.0.crate":               "",
		"crates.io:../x-1.0.0.crate":           "",
		"crates.io:abc-1.0.crate":              "",
	} {
		mirrors, err := reg.Mirrors(t.Context(), address)
		if want == "" && !errors.As(err, new(*engine.InvalidError)) || want != "" && (err != nil || mirrors[0].URL != u.base+"/crates/static/crates/"+want+"/download") {
			t.Errorf("%s: %v, %v", address, mirrors, err)
		}
	}
}

func TestCratesArgumentsAreChecked(t *testing.T) {
	reg := registry.NewCrates(registry.Options{})
	for want, args := range map[string]engine.Object{
		"unknown argument":  {"crates": list(), "version": "latest"},
		"crates is missing": {},
		"crates[0]":         {"crates": list("a@>>1")},
		"versions":          {"crates": list(), "versions": "newest"},
		"census: want true": {"census": "yes"},
		"either crates":     {"census": true, "crates": list("a")},
		"latest ones only":  {"census": true, "versions": "all"},
		"top: want":         {"census": true, "top": "ten"},
		"need census":       {"crates": list("a"), "top": int64(3)},
	} {
		if _, err := reg.Starts(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Starts(%v): error %v, want one with %q", args, err, want)
		}
	}
}
