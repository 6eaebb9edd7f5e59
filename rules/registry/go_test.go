package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/registry"
	"cbuild/rules/registry/fakeproxy"
)

// lookup returns a lookup in NAME=VALUE lines.
func lookup(env []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, e := range slices.Backward(env) {
			if value, ok := strings.CutPrefix(e, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}

// world is a fake proxy with a registry that uses it.
type world struct {
	*fakeproxy.Proxy
	base string
	reg  *registry.Go
}

func newWorld(t *testing.T, env ...string) *world {
	t.Helper()
	p := fakeproxy.New()
	srv := p.Serve()
	t.Cleanup(srv.Close)
	client := download.New(download.Options{})
	t.Cleanup(client.Close)
	all := append(p.Env(srv.URL), env...)
	return &world{Proxy: p, base: srv.URL, reg: registry.NewGo(registry.GoOptions{Client: client, Env: lookup(all)})}
}

// ask returns the items of all starts by key, and the first error.
func ask(ctx context.Context, reg registry.Registry, versions engine.Value, modules ...string) (map[string]engine.Object, error) {
	list := make([]engine.Value, len(modules))
	for i, m := range modules {
		list[i] = m
	}
	starts, err := reg.Starts(engine.Object{"modules": list, "versions": versions})
	if err != nil {
		return nil, err
	}
	items := map[string]engine.Object{}
	var first error
	for _, s := range starts {
		for page, err := range s.Pages(ctx) {
			if err != nil && first == nil {
				first = err
			}
			for _, item := range page.Items {
				items[item.Key] = item.Value.(engine.Object)
			}
		}
	}
	return items, first
}

func mod(path string, versions ...string) []fakeproxy.Module {
	var all []fakeproxy.Module
	for _, v := range versions {
		all = append(all, fakeproxy.Module{Path: path, Version: v, Files: map[string]string{"a.go": "package a // " + v + "\n"}})
	}
	return all
}

func TestItemsOfTwoModules(t *testing.T) {
	w := newWorld(t)
	w.Add(mod("example.com/One", "v1.0.0", "v1.2.0", "v1.3.0-rc.1")...)
	w.Add(mod("example.com/two/v2", "v2.0.0")...)
	items, err := ask(t.Context(), w.reg, nil, "example.com/One", "example.com/two/v2@v2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	one := items["example.com/One@v1.2.0"]
	if one == nil || items["example.com/two/v2@v2.0.0"] == nil || len(items) != 2 {
		t.Fatalf("items %v", items)
	}
	h1, _ := one["h1"].(string)
	if !strings.HasPrefix(h1, "h1:") {
		t.Errorf("h1 = %q", h1)
	}
	delete(one, "h1")
	want := engine.Object{
		"module": "example.com/One", "version": "v1.2.0", "url": "go:example.com/One@v1.2.0.zip", "time": "2024-01-02T03:04:05Z", "retracted": false,
	}
	if !maps.Equal(one, want) {
		t.Errorf("item %v, want %v and h1", one, want)
	}
}

// The latest version is the same whether the proxy has @latest or only a list.
func TestLatest(t *testing.T) {
	retract := func(m fakeproxy.Module, what string) fakeproxy.Module {
		m.GoMod = "module " + m.Path + "\n\nretract " + what + "\n"
		return m
	}
	for name, c := range map[string]struct {
		modules []fakeproxy.Module
		want    string
		retract engine.Value
	}{
		"release":              {mod("example.com/a", "v1.9.0", "v1.10.0", "v1.11.0-beta"), "v1.10.0", false},
		"pre-release":          {mod("example.com/a", "v1.0.0-alpha", "v1.0.0-beta"), "v1.0.0-beta", false},
		"retracted":            {append(mod("example.com/a", "v1.0.0", "v1.1.0"), retract(mod("example.com/a", "v1.2.0")[0], "[v1.1.0, v1.2.0]")), "v1.0.0", false},
		"pre before retracted": {append(mod("example.com/a", "v1.0.0-alpha"), retract(mod("example.com/a", "v1.2.0")[0], "v1.2.0")), "v1.0.0-alpha", false},
		"all retracted":        {[]fakeproxy.Module{retract(mod("example.com/a", "v1.2.0")[0], "v1.2.0")}, "v1.2.0", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.NoLatest = true
			w.Add(c.modules...)
			items, err := ask(t.Context(), w.reg, "latest", "example.com/a")
			if err != nil {
				t.Fatal(err)
			}
			item := items["example.com/a@"+c.want]
			if item == nil || item["retracted"] != c.retract {
				t.Errorf("items %v, want %s with retracted %v", items, c.want, c.retract)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	w := newWorld(t)
	w.Add(mod("example.com/a", "v1.0.0", "v1.2.3", "v2.0.0+incompatible")...)
	for versions, want := range map[string][]string{
		"all":         {"v1.0.0", "v1.2.3", "v2.0.0+incompatible"},
		">= 1.1, < 3": {"v1.2.3", "v2.0.0+incompatible"},
		"^1":          {"v1.0.0", "v1.2.3"},
	} {
		items, err := ask(t.Context(), w.reg, versions, "example.com/a")
		var got []string
		for key := range items {
			got = append(got, strings.TrimPrefix(key, "example.com/a@"))
		}
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("versions %q: %v, %v; want %v", versions, got, err, want)
		}
	}
	// What an element itself says beats versions.
	items, err := ask(t.Context(), w.reg, "all", "example.com/a@v1.0.0")
	if err != nil || len(items) != 1 || items["example.com/a@v1.0.0"] == nil {
		t.Errorf("exact version: %v, %v", items, err)
	}
}

func TestWhatIsNotThereIsAnItemWithoutVersion(t *testing.T) {
	names := []string{"example.com/none", "example.com/a@v9.9.9", "../x", "example.com/a@v1.0.0/../../x", "example.com/a@"}
	for _, status := range []int{0, 400, 403, 404, 410} {
		w := newWorld(t)
		w.Add(mod("example.com/a", "v1.0.0")...)
		if status != 0 {
			w.Fault("/example.com/none/*", fakeproxy.Fault{Status: status, Always: true})
			w.Fault("/example.com/none/@v/*", fakeproxy.Fault{Status: status, Always: true})
			w.Fault("/example.com/a/@v/v9.9.9.info", fakeproxy.Fault{Status: status, Always: true})
		}
		items, err := ask(t.Context(), w.reg, nil, names[:4]...)
		if err != nil || len(items) != 4 {
			t.Errorf("status %d: %v, %v", status, items, err)
		}
		for _, name := range names[:4] {
			item := items[name]
			path, _, _ := strings.Cut(name, "@")
			if item == nil || item["module"] != path || item["version"] != nil || item["url"] != nil || len(item) != 6 {
				t.Errorf("status %d: item %q is %v", status, name, item)
			}
		}
	}
}

// Trouble while asking is trouble, not a missing module.
func TestTroubleIsNotMissing(t *testing.T) {
	paths := map[string]string{
		"latest": "/example.com/a/@latest", "mod": "/example.com/a/@v/v1.0.0.mod", "lookup": "/sumdb/*/lookup/example.com/a@v1.0.0", "tile": "/sumdb/*/tile/8/0/*/*",
	}
	for name, pattern := range paths {
		for _, f := range []fakeproxy.Fault{{Status: 429, RetryAfter: "0"}, {Status: 503}, {Cut: fakeproxy.Reset, At: 1}, {Cut: fakeproxy.Short, At: 1}, {Cut: fakeproxy.Reset, At: -1}} {
			t.Run(fmt.Sprintf("%s/%d/%d/%d", name, f.Status, f.Cut, f.At), func(t *testing.T) {
				w := newWorld(t)
				w.Add(mod("example.com/a", "v1.0.0")...)
				w.Fault(pattern, f, f) // net/http itself repeats a request that a kept connection was too old for
				if _, err := ask(t.Context(), w.reg, nil, "example.com/a"); !passes(err) {
					t.Fatalf("error %v, want trouble that may pass", err)
				}
				w.Heal() // and nothing of it is kept
				if items, err := ask(t.Context(), w.reg, nil, "example.com/a"); err != nil || items["example.com/a@v1.0.0"] == nil {
					t.Errorf("after it passed: %v, %v", items, err)
				}
			})
		}
	}
}

func passes(err error) bool {
	e, ok := errors.AsType[*engine.TroubleError](err)
	return ok && e.Retry
}

func TestChecksumDatabase(t *testing.T) {
	for name, c := range map[string]struct {
		env  func(w *world) []string
		none bool
	}{
		"through the proxy":   {env: func(w *world) []string { return nil }},
		"at its own address":  {env: func(w *world) []string { return []string{"GOSUMDB=" + w.SumDB(w.base), "GOPROXY=" + w.base} }},
		"off":                 {env: func(w *world) []string { return []string{"GOSUMDB=off"} }, none: true},
		"GONOSUMDB":           {env: func(w *world) []string { return []string{"GONOSUMDB=example.com"} }, none: true},
		"GONOSUMDB of others": {env: func(w *world) []string { return []string{"GONOSUMDB=example.org,*.net"} }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Add(mod("example.com/a", "v1.0.0")...)
			reg := registry.NewGo(registry.GoOptions{Client: download.New(download.Options{}), Env: lookup(append(w.Env(w.base), c.env(w)...)), CacheDir: t.TempDir()})
			items, err := ask(t.Context(), reg, nil, "example.com/a")
			if err != nil {
				t.Fatal(err)
			}
			if h1 := items["example.com/a@v1.0.0"]["h1"]; (h1 == nil) != c.none {
				t.Errorf("h1 = %v", h1)
			}
			if asked := w.Count("/sumdb/*") + w.Count("/sumdb/*/*") + w.Count("/sumdb/*/*/*") + w.Count("/sumdb/*/*/*/*"); (asked == 0) != c.none {
				t.Errorf("%d requests to the checksum database", asked)
			}
		})
	}
}

// A database that denies what it said before is caught, and that is final.
func TestChecksumDatabaseThatLies(t *testing.T) {
	w := newWorld(t)
	w.Add(mod("example.com/a", "v1.0.0")...)
	dir := t.TempDir()
	reg := registry.NewGo(registry.GoOptions{Client: download.New(download.Options{}), Env: lookup(w.Env(w.base)), CacheDir: dir})
	if _, err := ask(t.Context(), reg, nil, "example.com/a"); err != nil {
		t.Fatal(err)
	}
	liar := w.Forked()
	liar.Add(mod("example.com/b", "v1.0.0")...)
	srv := liar.Serve()
	defer srv.Close()
	reg = registry.NewGo(registry.GoOptions{Client: download.New(download.Options{}), Env: lookup(liar.Env(srv.URL)), CacheDir: dir})
	_, err := ask(t.Context(), reg, nil, "example.com/b")
	if err == nil || !strings.Contains(err.Error(), "SECURITY ERROR") || passes(err) || engine.ClassOf(err) != engine.ClassError {
		t.Errorf("error %v, want a final SECURITY ERROR", err)
	}
}

func TestProxyList(t *testing.T) {
	one, two := newWorld(t), newWorld(t)
	two.Add(mod("example.com/a", "v1.0.0")...)
	sums := "GOSUMDB=" + two.SumDB(two.base)
	for name, c := range map[string]struct {
		goproxy string
		status  int // of the first proxy
		ok      bool
		class   engine.Class
	}{
		"comma, not there":       {one.base + "," + two.base, 404, true, ""},
		"comma, gone":            {one.base + "," + two.base, 410, true, ""},
		"comma, trouble":         {one.base + "," + two.base, 503, false, engine.ClassError},
		"bar, trouble":           {one.base + "|" + two.base, 503, true, ""},
		"direct not needed":      {two.base + ",direct", 0, true, ""},
		"direct needed":          {"direct", 0, false, engine.ClassError},
		"direct after trouble":   {one.base + "|direct", 503, false, engine.ClassError},
		"off":                    {"off", 0, false, engine.ClassError},
		"off after it was found": {two.base + ",off", 0, true, ""},
		"nothing":                {" , ", 0, false, engine.ClassError},
	} {
		t.Run(name, func(t *testing.T) {
			one.Heal()
			if c.status != 0 {
				one.Fault("/example.com/a/*", fakeproxy.Fault{Status: c.status, Always: true})
				one.Fault("/example.com/a/@v/*", fakeproxy.Fault{Status: c.status, Always: true})
			}
			env := append(two.Env(two.base), sums, "GOPROXY="+c.goproxy)
			reg := registry.NewGo(registry.GoOptions{Client: download.New(download.Options{}), Env: lookup(env)})
			items, err := ask(t.Context(), reg, nil, "example.com/a")
			if got := err == nil && items["example.com/a@v1.0.0"] != nil; got != c.ok {
				t.Errorf("%v, %v", items, err)
			}
			if err != nil && engine.ClassOf(err) != c.class {
				t.Errorf("class %v of %v, want %v", engine.ClassOf(err), err, c.class)
			}
		})
	}
}

func TestMissingWithDirectIsMissing(t *testing.T) {
	w := newWorld(t)
	reg := registry.NewGo(registry.GoOptions{Client: download.New(download.Options{}), Env: lookup(append(w.Env(w.base), "GOPROXY="+w.base+",direct"))})
	items, err := ask(t.Context(), reg, nil, "example.com/none")
	if err != nil || items["example.com/none"] == nil {
		t.Errorf("%v, %v", items, err)
	}
}

func TestOfflineAsksNothing(t *testing.T) {
	w := newWorld(t)
	w.Add(mod("example.com/a", "v1.0.0")...)
	reg := registry.NewGo(registry.GoOptions{Client: download.New(download.Options{Offline: true}), Env: lookup(w.Env(w.base))})
	if _, err := ask(t.Context(), reg, nil, "example.com/a"); !errors.Is(err, download.ErrOffline) || passes(err) {
		t.Errorf("error %v, want ErrOffline", err)
	}
	if w.Total() != 0 {
		t.Errorf("%d requests", w.Total())
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	reg := newWorld(t).reg
	for want, args := range map[string]engine.Object{
		"unknown argument": {"modules": []engine.Value{}, "version": "latest"},
		"want a list":      {"modules": "example.com/a"},
		"modules[1]":       {"modules": []engine.Value{"example.com/a", int64(1)}},
		"modules[0]":       {"modules": []engine.Value{""}},
		"versions":         {"modules": []engine.Value{}, "versions": "newest"},
		"a range":          {"modules": []engine.Value{}, "versions": int64(1)},
	} {
		if _, err := reg.Starts(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Starts(%v): error %v, want one with %q", args, err, want)
		}
	}
}

// What the go command says counts where the environment is silent, and it is asked once, for the first request.
func TestGoCommandIsAskedLazily(t *testing.T) {
	w := newWorld(t)
	w.Add(mod("example.com/a", "v1.0.0")...)
	asked := 0
	goEnv := func(context.Context, []string) (map[string]string, error) {
		asked++
		if asked == 1 {
			return nil, errors.New("not now")
		}
		return map[string]string{"GOPROXY": w.base, "GOSUMDB": "off"}, nil
	}
	env := []string{"GOSUMDB=" + w.SumDB(w.base)}
	reg := registry.NewGo(registry.GoOptions{Client: download.New(download.Options{}), Env: lookup(env), GoEnv: goEnv})
	if _, err := reg.Starts(engine.Object{"modules": []engine.Value{"example.com/a"}}); err != nil || asked != 0 {
		t.Errorf("asked %d times before a request, %v", asked, err)
	}
	if _, err := ask(t.Context(), reg, nil, "example.com/a"); err == nil || !strings.Contains(err.Error(), "Set GOPROXY") {
		t.Errorf("without an answer: %v", err)
	}
	for range 2 {
		if items, err := ask(t.Context(), reg, nil, "example.com/a"); err != nil || items["example.com/a@v1.0.0"]["h1"] == nil {
			t.Errorf("%v, %v", items, err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
}

func TestDirectoryAsProxy(t *testing.T) {
	m := mod("example.com/a", "v1.0.0")[0]
	dir := t.TempDir()
	at := filepath.Join(dir, "example.com", "a", "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"list": "v1.0.0\n", "v1.0.0.info": `{"Version":"v1.0.0"}`, "v1.0.0.mod": "module example.com/a\n", "v1.0.0.zip": string(fakeproxy.Zip(m))} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"GOPROXY=file://" + dir, "GOSUMDB=off"}
	reg := registry.NewGo(registry.GoOptions{Client: download.New(download.Options{}), Env: lookup(env)})
	items, err := ask(t.Context(), reg, nil, "example.com/a", "example.com/b")
	if err != nil || items["example.com/a@v1.0.0"] == nil || items["example.com/b"] == nil {
		t.Errorf("%v, %v", items, err)
	}
	mirrors, err := reg.Mirrors(t.Context(), "go:example.com/a@v1.0.0.zip")
	if err != nil || len(mirrors) != 1 || mirrors[0].URL != "file://"+at+"/v1.0.0.zip" {
		t.Errorf("mirrors %v, %v", mirrors, err)
	}
}

// Damage to what was kept of the checksum database costs requests, nothing else.
func TestDamagedSumsAreAskedForAgain(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.Add(mod(fmt.Sprintf("example.com/m%d", i), "v1.0.0")...)
	}
	dir := t.TempDir()
	asking := func(module string) {
		t.Helper()
		reg := registry.NewGo(registry.GoOptions{Client: download.New(download.Options{}), Env: lookup(w.Env(w.base)), CacheDir: dir})
		if items, err := ask(t.Context(), reg, nil, module); err != nil || items[module+"@v1.0.0"]["h1"] == nil {
			t.Errorf("%s: %v, %v", module, items, err)
		}
	}
	for i := range 4 {
		asking(fmt.Sprintf("example.com/m%d", i))
	}
	w.Reset()
	asking("example.com/m1")
	if n := w.Count("/sumdb/*/lookup/*/*"); n != 0 {
		t.Errorf("%d look-ups of what is kept", n)
	}
	var files []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	if len(files) < 3 {
		t.Fatalf("kept %v", files)
	}
	for _, name := range files {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for what, damage := range map[string][]byte{"empty": {}, "cut": whole[:len(whole)/2], "garbage": []byte("garbage\n"), "flipped": append([]byte{whole[0] ^ 1}, whole[1:]...)} {
			if err := os.WriteFile(name, damage, 0o644); err != nil {
				t.Fatal(err)
			}
			t.Run(what+" "+filepath.Base(name), func(*testing.T) { asking("example.com/m1"); asking("example.com/m4") })
		}
	}
}

func TestPrivateModulesAreNotAskedFor(t *testing.T) {
	w := newWorld(t)
	w.Add(mod("corp.example/a", "v1.0.0")...)
	for _, private := range []string{"GOPRIVATE=corp.example", "GONOPROXY=*.example"} {
		env := append(w.Env(w.base), "GONOPROXY=", "GONOSUMDB=", private)
		reg := registry.NewGo(registry.GoOptions{Client: download.New(download.Options{}), Env: lookup(env)})
		_, err := ask(t.Context(), reg, nil, "corp.example/a")
		if err == nil || !strings.Contains(err.Error(), "GOPRIVATE") || w.Total() != 0 {
			t.Errorf("%s: %v, %d requests", private, err, w.Total())
		}
	}
}
