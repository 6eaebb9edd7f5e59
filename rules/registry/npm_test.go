package registry_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/registry"
	"cbuild/rules/registry/fakes"
)

func npmPackages(name string, versions ...string) []fakes.Package {
	var all []fakes.Package
	for _, v := range versions {
		all = append(all, fakes.Package{Name: name, Version: v, Files: map[string]string{"index.js": "// " + v + "\n"}})
	}
	return all
}

func TestNPMItems(t *testing.T) {
	u := newUniverse(t)
	u.Add("npm", npmPackages("one", "1.0.0", "1.2.0", "2.0.0-rc.1", "1.3.0")...)
	u.Add("npm", fakes.Package{Name: "@corp/two", Version: "0.1.0", Yanked: "use three", Unchecked: true, Tag: "next"})
	reg := registry.NewNPM(u.options())
	items, _, err := collect(t.Context(), reg, engine.Object{"packages": list("one", "one@1.0.0", "@corp/two@next")})
	wantKeys(t, items, err, "one@1.3.0", "one@1.0.0", "@corp/two@0.1.0")
	checkFields(t, reg, items)
	sri, _ := items["one@1.0.0"]["integrity"].(string)
	if !strings.HasPrefix(sri, "sha512-") {
		t.Errorf("integrity %q", sri)
	}
	want := engine.Object{"name": "@corp/two", "version": "0.1.0", "url": "npm:@corp/two@0.1.0.tgz", "integrity": nil, "time": nil, "deprecated": "use three"}
	if !maps.Equal(items["@corp/two@0.1.0"], want) {
		t.Errorf("item %v, want %v", items["@corp/two@0.1.0"], want)
	}
	// A version that is known exactly, or by its tag, is a small document of its own.
	if n := u.Count("/npm/one") + u.Count("/npm/@corp/two"); n != 0 {
		t.Errorf("%d whole documents were asked for: %q", n, u.Asked())
	}
}

func TestNPMVersions(t *testing.T) {
	u := newUniverse(t)
	u.Add("npm", npmPackages("one", "1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "2.0.0")...)
	old := fakes.Package{Name: "old", Version: "1.1.0", Yanked: "broken"}
	u.Add("npm", append(npmPackages("old", "1.0.0"), old)...)
	u.Add("npm", npmPackages("tagged", "1.1.0", "1.2.0", "1.0.0")...) // the last one is the latest
	reg := registry.NewNPM(u.options())
	for _, c := range []struct{ packages, versions, want string }{
		{"one", "", "one@2.0.0"},
		{"one", "all", "one@1.0.0 one@1.2.0 one@1.10.0 one@2.0.0-rc.1 one@2.0.0"},
		{"one", "^1.1", "one@1.2.0 one@1.10.0"},
		{"one", ">=1.2 <2 || 2.x", "one@1.2.0 one@1.10.0 one@2.0.0"},
		{"one@^1", "all", "one@1.10.0"}, // what an element says itself beats versions
		{"one@1.0.0 - 1.5.0", "", "one@1.2.0"},
		{"one@^3", "", "one@^3"},
		{"old@^1", "", "old@1.0.0"}, // as npm: one that is not deprecated
		{"old@1.1.0", "", "old@1.1.0"},
		{"tagged@^1", "", "tagged@1.0.0"}, // as npm: what the tag latest leads to, where the range allows it
		{"tagged@^1.1", "", "tagged@1.2.0"},
	} {
		items, _, err := collect(t.Context(), reg, engine.Object{"packages": list(c.packages), "versions": c.versions})
		wantKeys(t, items, err, strings.Fields(c.want)...)
		checkFields(t, reg, items)
		if c.versions == "all" && !strings.Contains(c.packages, "@") && items["one@1.0.0"]["time"] != "2024-01-02T03:04:05.000Z" {
			t.Errorf("time %v", items["one@1.0.0"]["time"])
		}
	}
}

func TestNPMWhatIsNotThere(t *testing.T) {
	for _, status := range []int{0, 403, 404} {
		u := newUniverse(t)
		u.Add("npm", npmPackages("one", "1.0.0")...)
		if status != 0 {
			u.Answer("/npm/none", status)
			u.Answer("/npm/one/9.9.9", status)
		}
		reg := registry.NewNPM(u.options())
		items, _, err := collect(t.Context(), reg, engine.Object{"packages": list("none", "one@9.9.9", "../x", "@a/b/c")})
		wantKeys(t, items, err, "none", "one@9.9.9", "../x", "@a/b/c")
		checkFields(t, reg, items)
		if items["one@9.9.9"]["name"] != "one" || items["one@9.9.9"]["url"] != nil {
			t.Errorf("%v", items)
		}
	}
}

// A registry without documents of single versions, as some are, says it with the whole one.
func TestNPMRegistryWithoutSingleVersions(t *testing.T) {
	u := newUniverse(t)
	u.Add("npm", npmPackages("one", "1.0.0", "1.1.0")...)
	u.Answer("/npm/one/*", 404)
	items, _, err := collect(t.Context(), registry.NewNPM(u.options()), engine.Object{"packages": list("one", "one@1.0.0")})
	wantKeys(t, items, err, "one@1.1.0", "one@1.0.0")
}

// An answer about something else, or that is none, is an error, and no version.
func TestNPMAnswersThatAreWrong(t *testing.T) {
	for _, body := range []string{
		`{"name":"one","version":"1.0.1","dist":{}}`, `{"name":"two","version":"1.0.0","dist":{}}`, `<html>sign in</html>`, `{}`, `{"name":"one","version":"../x"}`,
	} {
		u := newUniverse(t)
		u.Add("npm", npmPackages("one", "1.0.0")...)
		u.Say("/npm/one/1.0.0", body)
		if items, _, err := collect(t.Context(), registry.NewNPM(u.options()), engine.Object{"packages": list("one@1.0.0")}); err == nil {
			t.Errorf("%s: %v", body, items)
		}
	}
}

func TestNPMTroubleIsNotMissing(t *testing.T) {
	for _, status := range []int{429, 500, 503} {
		u := newUniverse(t)
		u.Add("npm", npmPackages("one", "1.0.0")...)
		u.Answer("/npm/one/latest", status)
		if _, _, err := collect(t.Context(), registry.NewNPM(u.options()), engine.Object{"packages": list("one")}); !passes(err) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// Where the registry is, in the order in which npm looks.
func TestNPMConfiguration(t *testing.T) {
	says := func(text string) func(context.Context, string, ...string) ([]byte, error) {
		return func(context.Context, string, ...string) ([]byte, error) { return []byte(text), nil }
	}
	u := newUniverse(t)
	u.Add("npm", npmPackages("one", "1.0.0")...)
	u.Add("npm", npmPackages("@corp/two", "1.0.0")...)
	at := u.base + "/npm"
	for name, c := range map[string]struct {
		env   []string
		files map[string]string
		npm   string
	}{
		"environment": {env: []string{"npm_config_registry=" + at + "/"}},
		"workspace":   {files: map[string]string{"/ws/.npmrc": "; a comment\nregistry = \"" + at + "\"\n", "/home/user/.npmrc": "registry=http://127.0.0.1:1/"}},
		"user":        {files: map[string]string{"/home/user/.npmrc": "registry=" + at}},
		"variable":    {env: []string{"WHERE=" + u.base}, files: map[string]string{"/ws/.npmrc": "registry=${WHERE}/npm/"}},
		"unset":       {files: map[string]string{"/ws/.npmrc": "registry=${WHERE}/npm/", "/home/user/.npmrc": "registry=" + at}},
		"npm":         {npm: `{"registry": "` + at + `/", "depth": null}`},
		"npm's scope": {npm: `{"registry": "http://127.0.0.1:1", "@corp:registry": "` + at + `/"}`},
		"scope":       {files: map[string]string{"/ws/.npmrc": "@corp:registry=" + at, "/home/user/.npmrc": "registry=http://127.0.0.1:1/"}},
		"other user":  {env: []string{"NPM_CONFIG_USERCONFIG=/etc/other"}, files: map[string]string{"/etc/other": "registry=" + at, "/home/user/.npmrc": "registry=http://127.0.0.1:1/"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := u.machine
			m.Env = lookup(append([]string{"HOME=/home/user"}, c.env...))
			u.files = c.files
			if c.npm != "" {
				m.Run = says(c.npm)
			}
			want := "one@1.0.0"
			if strings.Contains(name, "scope") {
				want = "@corp/two@1.0.0"
			}
			items, _, err := collect(t.Context(), registry.NewNPM(registry.Options{Client: u.client, Machine: m}), engine.Object{"packages": list(want)})
			wantKeys(t, items, err, want)
			if items[want]["url"] != "npm:"+want+".tgz" {
				t.Errorf("%v", items)
			}
		})
	}
	m := u.machine
	m.Env, u.files = lookup(nil), nil
	_, _, err := collect(t.Context(), registry.NewNPM(registry.Options{Client: u.client, Machine: m}), engine.Object{"packages": list("one")})
	if err == nil || !strings.Contains(err.Error(), "npm_config_registry") {
		t.Errorf("without any: %v", err)
	}
}

// A token goes to the place that it is for, and nowhere else.
func TestNPMTokens(t *testing.T) {
	u := newUniverse(t)
	const token = "s3cr3t-t0ken"
	u.SetToken(token)
	u.Add("npm", npmPackages("one", "1.0.0")...)
	host := strings.TrimPrefix(u.base, "http:")
	for name, c := range map[string]struct {
		rc string
		ok bool
	}{
		"token":       {host + "/npm/:_authToken=" + token, true},
		"whole host":  {host + "/:_authToken=${TOKEN}", true},
		"other path":  {host + "/other/:_authToken=" + token, false},
		"other host":  {"//registry.example/:_authToken=" + token, false},
		"no token":    {"", false},
		"half a path": {host + "/np:_authToken=" + token, false},
	} {
		u.files = map[string]string{"/home/user/.npmrc": c.rc}
		m := u.machine
		m.Env = lookup(append(u.Env(u.base), "HOME=/home/user", "TOKEN="+token))
		u.Reset()
		client := download.New(download.Options{})
		items, _, err := collect(t.Context(), registry.NewNPM(registry.Options{Client: client, Machine: m}), engine.Object{"packages": list("one")})
		if got := err == nil && items["one@1.0.0"] != nil; got != c.ok {
			t.Errorf("%s: %v, %v", name, items, err)
		}
		if err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
		for _, h := range u.Sent() {
			if !c.ok && h.Get("Authorization") != "" {
				t.Errorf("%s: sent %q", name, h.Get("Authorization"))
			}
		}
		client.Close()
	}
}

// Where an archive is: at the usual path of whatever registry is asked, elsewhere in it, or in another place.
func TestNPMPlacesOfArchives(t *testing.T) {
	u := newUniverse(t)
	u.Add("npm", npmPackages("one", "1.0.0")...)
	reg := registry.NewNPM(u.options())
	u.Place = "https://original.example" // as a mirror does that passes on what it was told
	items, _, err := collect(t.Context(), reg, engine.Object{"packages": list("one")})
	if err != nil || items["one@1.0.0"]["url"] != "npm:one@1.0.0.tgz" {
		t.Errorf("%v, %v", items, err)
	}
	for address, want := range map[string]string{
		"npm:one@1.0.0.tgz":                     u.base + "/npm/one/-/one-1.0.0.tgz",
		"npm:@corp/two@1.0.0-rc.1.tgz":          u.base + "/npm/@corp/two/-/two-1.0.0-rc.1.tgz",
		"npm:one@1.0.0.tgz?at=%2Ffiles%2Fx.tgz": u.base + "/npm/files/x.tgz",
		"npm:one@1.0.0.tgz?at=%2F..%2Fx.tgz":    "",
		"npm:one@1.0.0.tgz?host=%2Fx%2Fy.tgz":   u.base + "/x/y.tgz",
		"npm:one@1.0.0.tgz?host=%2F..%2Fx.tgz":  "",
		"npm:one@1.0.0.tgz?on=%2Fx.tgz":         "",
		"npm:one@latest.tgz":                    "",
		"npm:../x@1.0.0.tgz":                    "",
		"npm:one":                               "",
	} {
		mirrors, err := reg.Mirrors(t.Context(), address)
		invalid := errors.As(err, new(*engine.InvalidError))
		if want == "" && !invalid || want != "" && (err != nil || len(mirrors) != 1 || mirrors[0].URL != want) {
			t.Errorf("%s: %v, %v; want %q", address, mirrors, err, want)
		}
	}
}

func TestNPMArgumentsAreChecked(t *testing.T) {
	reg := registry.NewNPM(registry.Options{})
	for want, args := range map[string]engine.Object{
		"unknown argument":    {"packages": list(), "version": "latest"},
		"packages is missing": {},
		"a list of strings":   {"packages": int64(1)},
		"packages[1]":         {"packages": []engine.Value{"one", int64(1)}},
		"packages[0]":         {"packages": list("one@>>1")},
		"versions":            {"packages": list(), "versions": ">>1"},
	} {
		if _, err := reg.Starts(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Starts(%v): error %v, want one with %q", args, err, want)
		}
	}
	starts, err := reg.Starts(engine.Object{"packages": list("a", "a", "a@latest")})
	if err != nil || len(starts) != 1 {
		t.Errorf("%d starts for one question, %v", len(starts), err)
	}
}

func TestNPMOfflineAsksNothing(t *testing.T) {
	u := newUniverse(t)
	m := u.machine
	m.Run = func(context.Context, string, ...string) ([]byte, error) { t.Error("npm was started"); return nil, nil }
	m.Env = lookup(nil)
	reg := registry.NewNPM(registry.Options{Client: download.New(download.Options{Offline: true}), Machine: m})
	if _, _, err := collect(t.Context(), reg, engine.Object{"packages": list("one")}); !errors.Is(err, download.ErrOffline) {
		t.Errorf("error %v", err)
	}
}
