package rules_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules"
	"cbuild/rules/download"
	"cbuild/rules/registry"
	"cbuild/rules/registry/fakeproxy"
)

const here = runtime.GOOS + "-" + runtime.GOARCH

func hexSum(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// publishers is a network with a server of the publishers of node, rust and zig, of the shapes that theirs have.
type publishers struct {
	*network
	bodies map[string]string
	base   string
	asked  *[]string
}

func newPublishers(t *testing.T) *publishers {
	p := &publishers{network: newNetwork(t), bodies: map[string]string{}}
	p.base, p.asked = served(t, p.bodies)
	p.network.env = append(p.network.env, "npm_config_registry="+p.base+"/npm/", "RUSTUP_DIST_SERVER="+p.base+"/rustup", "CBUILD_ZIG_INDEX="+p.base+"/zig/index.json", "HOME="+t.TempDir())
	return p
}

func (p *publishers) runtime(offline bool) *rules.Runtime {
	rt := p.network.runtime(offline)
	rt.Env = func(name string) (string, bool) {
		for _, e := range p.network.env {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				return v, true
			}
		}
		return "", false
	}
	rt.Registries["npm"] = registry.NewNPM(registry.Options{Client: rt.Client, Machine: registry.Machine{Env: rt.Env}})
	return rt
}

// npm publishes a package.
func (p *publishers) npm(name, version string, files map[string]string) {
	body := archives(p.t, files)["tar.gz"]
	sum := sha512.Sum512([]byte(body))
	place := "/" + name + "/-/" + name + "-" + version + ".tgz"
	doc := map[string]any{"name": name, "version": version, "dist": map[string]any{"tarball": p.base + "/npm" + place, "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}}
	p.bodies["/npm"+place] = body
	p.json("/npm/"+name+"/"+version, doc)
	p.json("/npm/"+name+"/latest", doc)
	packument := map[string]any{"name": name, "dist-tags": map[string]string{"latest": version}, "versions": map[string]any{version: doc}}
	if old := p.bodies["/npm/"+name]; old != "" {
		var was map[string]map[string]any
		_ = json.Unmarshal([]byte(old), &was) // its members beside versions are none
		maps.Copy(packument["versions"].(map[string]any), was["versions"])
	}
	p.json("/npm/"+name, packument)
}

func (p *publishers) json(path string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		p.t.Fatal(err)
	}
	p.bodies[path] = string(data)
}

// rust publishes a channel of components, each an installer with a list of what to install.
func (p *publishers) rust(channel, version string, triple string, components map[string]map[string]string) {
	var b strings.Builder
	fmt.Fprintf(&b, "manifest-version = \"2\"\ndate = \"2025-09-18\"\n[renames.clippy]\nto = \"clippy-preview\"\n")
	for _, name := range slices.Sorted(maps.Keys(components)) {
		top := name + "-" + version + "-" + triple
		files := map[string]string{top + "/components": name + "\n", top + "/install.sh": "#!/bin/sh\n", top + "/version": version}
		var list []string
		for path, content := range components[name] {
			files[top+"/"+name+"/"+path] = content
			if dir, ok := strings.CutPrefix(path, "share/doc/"); ok {
				dir, _, _ = strings.Cut(dir, "/")
				list = append(list, "dir:share/doc/"+dir)
			} else {
				list = append(list, "file:"+path)
			}
		}
		slices.Sort(list)
		files[top+"/"+name+"/manifest.in"] = strings.Join(slices.Compact(list), "\n") + "\n"
		files[top+"/"+name+"/not-listed"] = "x"
		body := archives(p.t, files)["tar.gz"]
		place := "/dist/2025-09-18/" + top + ".tar.gz"
		p.bodies["/rustup"+place] = body
		target := triple
		if name == "rust-src" {
			target = "*"
		}
		fmt.Fprintf(&b, "[pkg.%s]\nversion = \"%s (1159e78c4 2025-09-14)\"\n[pkg.%s.target.%q]\navailable = true\nurl = \"https://static.rust-lang.org%s\"\nhash = \"%s\"\n", name, version, name, target, place, hexSum(body))
		if name == "rustc" {
			fmt.Fprintf(&b, "[pkg.%s.target.riscv64gc-unknown-linux-gnu]\navailable = false\n", name)
		}
	}
	p.bodies["/rustup/dist/channel-rust-"+channel+".toml"] = b.String()
}

var triples = map[string]string{
	"linux-amd64": "x86_64-unknown-linux-gnu", "linux-arm64": "aarch64-unknown-linux-gnu", "darwin-amd64": "x86_64-apple-darwin", "darwin-arm64": "aarch64-apple-darwin",
}

// names are the files of a toolchain.
func (p *publishers) names(r *engine.Result) string {
	return strings.Join(slices.Sorted(maps.Keys(p.files(r.Outs[0].Artifact))), " ")
}

// ask makes a toolchain and checks that, once its answers are pinned, nobody is asked what it is.
func (p *publishers) ask(t *testing.T, tool rules.Toolchain, version, files string) *engine.Result {
	t.Helper()
	r, err := p.do(p.runtime(false), &tool)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.names(r); got != files || r.Facts["version"] != version || !r.Outs[0].Artifact.Tool {
		t.Errorf("%s: %s\nwant %s: %s", r.Facts["version"], got, version, files)
	}
	first, err := p.planned(p.runtime(false), &tool)
	if err != nil {
		t.Fatal(err)
	}
	*p.asked = nil
	again, err := p.planned(p.runtime(true), &tool)
	if err != nil || again.Action.Key() != first.Action.Key() || len(*p.asked) > 0 {
		t.Errorf("again, without a network: %v, asked %v", err, *p.asked)
	}
	for request, answer := range p.pins.byID {
		if strings.Contains(request+answer, strings.TrimPrefix(p.base, "http://")) && tool.Kind != "zig" { // whose index is no mirror
			t.Errorf("the pin %s = %s names a mirror", request, answer)
		}
	}
	if strings.Contains(string(first.Action.Preimage()), p.base) {
		t.Errorf("the key names a host: %s", first.Action.Preimage())
	}
	return r
}

func TestToolchainNode(t *testing.T) {
	p := newPublishers(t)
	word := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if word == "" {
		word = runtime.GOARCH
	}
	node := "node-" + runtime.GOOS + "-" + word
	p.npm(node, "22.3.0", map[string]string{"package/bin/node": "22", "package/package.json": "{}"})
	p.npm(node, "26.1.0", map[string]string{"package/bin/node": "26", "package/package.json": "{}"})
	p.npm("npm", "11.0.0", map[string]string{"package/bin/npm-cli.js": "N", "package/bin/npx-cli.js": "X"})
	only := "bin/node package.json"
	r := p.ask(t, rules.Toolchain{Kind: "node", Version: "22.3.0"}, "22.3.0", only)
	if r.Facts["bin"] != "bin" || r.Facts["env"] != "{}" || p.files(r.Outs[0].Artifact)["bin/node"] != "22" {
		t.Errorf("%v", r.Facts)
	}
	p.ask(t, rules.Toolchain{Kind: "node", Version: "v22.3.0"}, "22.3.0", only)
	p.ask(t, rules.Toolchain{Kind: "node", Version: "latest"}, "26.1.0", only)
	p.ask(t, rules.Toolchain{Kind: "node", Version: "^22.1"}, "22.3.0", only)
	p.ask(t, rules.Toolchain{Kind: "node", Version: "26.1.0", Components: []string{"npm"}}, "26.1.0",
		"bin/node lib/node_modules/npm/bin/npm-cli.js lib/node_modules/npm/bin/npx-cli.js package.json")
	for _, c := range []struct {
		tool rules.Toolchain
		err  string
	}{
		{rules.Toolchain{Kind: "node", Version: "1.2.3"}, "has no " + node + "@1.2.3"},
		{rules.Toolchain{Kind: "node", Version: "26.1.0", Components: []string{"yarn"}}, `no component "yarn"`},
		{rules.Toolchain{Kind: "node", Version: "26.1.0", Bin: "x"}, "for kind"},
		{rules.Toolchain{Kind: "node"}, "needs one"},
		{rules.Toolchain{Kind: "node", Version: "26.1.0", Env: map[string]string{"PATH": "x"}}, "PATH"},
	} {
		if _, err := p.do(p.runtime(false), &c.tool); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%+v: %v, want %s", c.tool, err, c.err)
		}
	}
}

func TestToolchainRust(t *testing.T) {
	triple := triples[here]
	if triple == "" {
		t.Skipf("SKIPPED: no rust for %s", here)
	}
	p := newPublishers(t)
	p.rust("1.90.0", "1.90.0", triple, map[string]map[string]string{
		"rustc":          {"bin/rustc": "R", "lib/librustc.so": "L", "share/doc/rust/README": "D", "share/doc/rust/sub/x": "E"},
		"cargo":          {"bin/cargo": "C", "etc/bash_completion.d/cargo": "B"},
		"rust-std":       {"lib/rustlib/" + triple + "/lib/libstd.rlib": "S"},
		"clippy-preview": {"bin/cargo-clippy": "P"},
		"rust-src":       {"lib/rustlib/src/main.rs": "M"},
	})
	p.bodies["/rustup/dist/channel-rust-stable.toml"] = p.bodies["/rustup/dist/channel-rust-1.90.0.toml"]
	usual := "bin/cargo bin/rustc etc/bash_completion.d/cargo lib/librustc.so lib/rustlib/" + triple + "/lib/libstd.rlib share/doc/rust/README share/doc/rust/sub/x"
	p.ask(t, rules.Toolchain{Kind: "rust", Version: "1.90.0"}, "1.90.0", usual)
	p.ask(t, rules.Toolchain{Kind: "rust", Version: "latest"}, "1.90.0", usual)
	p.ask(t, rules.Toolchain{Kind: "rust", Version: "stable", Components: []string{"rust-src", "clippy"}}, "1.90.0",
		strings.Replace(strings.Replace(usual, "bin/cargo ", "bin/cargo bin/cargo-clippy ", 1), " lib/rustlib/", " lib/rustlib/src/main.rs lib/rustlib/", 1))
	for _, c := range []struct {
		version string
		add     []string
		err     string
		class   engine.Class
	}{
		{"1.90.0", []string{"miri"}, "has no miri for " + triple + "; there are cargo, clippy-preview", engine.ClassUnavailable},
		{"1.90.0", []string{"rust-std-wasm32-unknown-unknown"}, "has no rust-std-wasm32-unknown-unknown for wasm32-unknown-unknown", engine.ClassUnavailable},
		{"1.2.3", nil, "404", engine.ClassUnavailable},
		{"^1.90", nil, "no version of rust and no channel", engine.ClassInvalid},
	} {
		_, err := p.do(p.runtime(false), &rules.Toolchain{Kind: "rust", Version: c.version, Components: c.add})
		if err == nil || !strings.Contains(err.Error(), c.err) || engine.ClassOf(err) != c.class {
			t.Errorf("%s %v: %v, want %s", c.version, c.add, err, c.err)
		}
	}
	// What is no installer is told, not laid over the rest.
	p.rust("1.91.0", "1.91.0", triple, map[string]map[string]string{"rustc": {"bin/rustc": "R"}, "cargo": {"bin/rustc": "another"}, "rust-std": {"lib/x": "S"}})
	if _, err := p.do(p.runtime(false), &rules.Toolchain{Kind: "rust", Version: "1.91.0"}); err == nil || !strings.Contains(err.Error(), "bin/rustc is in two of the archives") {
		t.Errorf("two components with one file: %v", err)
	}
}

func TestToolchainZig(t *testing.T) {
	p := newPublishers(t)
	where := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH] + "-" + map[string]string{"linux": "linux", "darwin": "macos"}[runtime.GOOS]
	index := map[string]any{"master": map[string]any{"version": "0.16.0-dev.1", where: map[string]string{"tarball": p.base + "/none", "shasum": hexSum(""), "size": "0"}}}
	for _, v := range []string{"0.9.1", "0.13.0", "0.14.1"} {
		body := archives(t, map[string]string{"zig-" + v + "/zig": v, "zig-" + v + "/lib/std.zig": "S"})["tar.gz"]
		p.bodies["/zig/"+v+".tar.gz"] = body
		index[v] = map[string]any{"date": "2024-06-07", where: map[string]string{"tarball": p.base + "/zig/" + v + ".tar.gz", "shasum": hexSum(body), "size": "1"}}
	}
	p.json("/zig/index.json", index)
	for written, version := range map[string]string{"0.13.0": "0.13.0", "latest": "0.14.1", "~0.13": "0.13.0", "<0.13": "0.9.1"} {
		r := p.ask(t, rules.Toolchain{Kind: "zig", Version: written}, version, "lib/std.zig zig")
		if r.Facts["bin"] != "." {
			t.Errorf("%v", r.Facts)
		}
	}
	if _, err := p.do(p.runtime(false), &rules.Toolchain{Kind: "zig", Version: "0.12.0"}); err == nil || !strings.Contains(err.Error(), "no zig 0.12.0 for "+here+"; there are ") {
		t.Errorf("%v", err)
	}
}

func TestToolchainArchive(t *testing.T) {
	p := newPublishers(t)
	tool := archives(t, map[string]string{"t-1/sbin/tool": "T", "t-1/lib/x": "X"})["tar.zst"]
	more := archives(t, map[string]string{"t-1/lib/y": "Y"})["zip"]
	p.bodies["/t.tar.zst"], p.bodies["/more.zip"] = tool, more
	one := engine.Object{"url": p.base + "/t.tar.zst", "sha256": hexSum(tool)}
	two := []engine.Value{one, engine.Object{"url": p.base + "/more.zip", "sha256": hexSum(more)}}
	for name, c := range map[string]struct {
		archives engine.Value
		files    string
	}{
		"one":                  {one, "lib/x sbin/tool"},
		"several":              {two, "lib/x lib/y sbin/tool"},
		"by platform":          {engine.Object{here: one, "plan9-mips": 7}, "lib/x sbin/tool"},
		"by platform, several": {engine.Object{here: two}, "lib/x lib/y sbin/tool"},
	} {
		t.Run(name, func(t *testing.T) {
			r := p.ask(t, rules.Toolchain{Kind: "archive", Archives: c.archives, Strip: int64(1), Bin: "sbin/", Env: map[string]string{"X": "${ROOT}/lib:${ROOT}/sbin"}}, "", c.files)
			if r.Facts["bin"] != "sbin" || r.Facts["env"] != `{"X":"${ROOT}/lib:${ROOT}/sbin"}` {
				t.Errorf("%v", r.Facts)
			}
		})
	}
	for name, c := range map[string]struct {
		tool  rules.Toolchain
		err   string
		class engine.Class
	}{
		"nothing":                 {rules.Toolchain{}, "needs them", engine.ClassInvalid},
		"no checksum":             {rules.Toolchain{Archives: engine.Object{"url": p.base + "/t.tar.zst"}}, "its sha256", engine.ClassInvalid},
		"a wrong member":          {rules.Toolchain{Archives: engine.Object{"url": "x", "sha": "y"}}, `unknown member "sha"`, engine.ClassInvalid},
		"another platform":        {rules.Toolchain{Archives: engine.Object{"plan9-mips": one}}, "only for plan9-mips", engine.ClassUnavailable},
		"no platform":             {rules.Toolchain{Archives: engine.Object{"linux": one}}, "is no platform", engine.ClassInvalid},
		"platforms in a platform": {rules.Toolchain{Archives: engine.Object{here: engine.Object{here: one}}}, "has no url", engine.ClassInvalid},
		"an empty list":           {rules.Toolchain{Archives: []engine.Value{}}, "is empty", engine.ClassInvalid},
		"a text":                  {rules.Toolchain{Archives: "x"}, "want { url, sha256 }", engine.ClassInvalid},
		"no format":               {rules.Toolchain{Archives: engine.Object{"url": p.base + "/t", "sha256": hexSum("")}}, "can't be told", engine.ClassInvalid},
		"components":              {rules.Toolchain{Archives: one, Components: []string{"x"}}, "has none", engine.ClassInvalid},
		"another content":         {rules.Toolchain{Archives: engine.Object{"url": p.base + "/t.tar.zst", "sha256": hexSum("")}}, "hecksum", engine.ClassError},
	} {
		t.Run(name, func(t *testing.T) {
			c.tool.Kind = "archive"
			_, err := p.do(p.runtime(false), &c.tool)
			if err == nil || !strings.Contains(err.Error(), c.err) || engine.ClassOf(err) != c.class {
				t.Errorf("%v (%s), want %s", err, engine.ClassOf(err), c.err)
			}
		})
	}
	plan := func(tool rules.Toolchain) engine.Key {
		tool.Kind, tool.Archives = "archive", one
		got, err := p.planned(p.runtime(true), &tool)
		if err != nil {
			t.Fatal(err)
		}
		return got.Action.Key()
	}
	keys := map[engine.Key]bool{}
	for _, tool := range []rules.Toolchain{{}, {Bin: "x"}, {Env: map[string]string{"A": "b"}}, {Strip: int64(1)}, {Strip: "t-1"}, {Version: "1"}} {
		keys[plan(tool)] = true
	}
	if len(keys) != 6 {
		t.Errorf("%d keys for six toolchains", len(keys))
	}
}

// What a range of versions of Go stands for is asked once, and then pinned.
func TestToolchainGoVersions(t *testing.T) {
	p := newPublishers(t)
	for _, v := range []string{"1.24.3", "1.25.1", "1.25.10", "1.26rc1"} {
		p.Add(fakeproxy.Toolchain(v, runtime.GOOS, runtime.GOARCH, nil))
	}
	for written, version := range map[string]string{"latest": "1.25.10", "~1.25.0": "1.25.10", "1.24.x": "1.24.3", "1.26rc1": "1.26rc1"} {
		r, err := p.do(p.runtime(false), &rules.Toolchain{Kind: "go", Version: written})
		if err != nil || r.Facts["version"] != version {
			t.Errorf("%s: %v, %v; want %s", written, r, err, version)
		}
	}
	if _, err := p.do(p.runtime(false), &rules.Toolchain{Kind: "go", Version: "^2"}); engine.ClassOf(err) != engine.ClassUnavailable || !strings.Contains(err.Error(), "no Go toolchain ^2") {
		t.Errorf("%v", err)
	}
	if _, err := p.do(p.runtime(false), &rules.Toolchain{Kind: "go", Version: "newest"}); engine.ClassOf(err) != engine.ClassInvalid {
		t.Errorf("%v", err)
	}
}

// The real node of npm's registry, with npm, is there and has its programs.
func TestRealNode(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: nothing is downloaded with -short")
	}
	n := newNetwork(t)
	rt := n.runtime(false)
	client := download.New(download.Options{})
	t.Cleanup(client.Close)
	rt.Client = client
	rt.Registries["npm"] = registry.NewNPM(registry.Options{Client: client, Machine: registry.Machine{Env: os.LookupEnv, Run: registry.Run}})
	r, err := n.do(rt, &rules.Toolchain{Kind: "node", Version: "^22", Components: []string{"npm"}})
	trouble, ok := errors.AsType[*engine.TroubleError](err)
	if ok && trouble.Retry || err != nil && strings.Contains(err.Error(), "where are ") {
		t.Skipf("SKIPPED: the registry of npm can't be reached: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for e, err := range cas.Walk(t.Context(), n.store, r.Outs[0].Artifact.Digest) {
		if err != nil {
			t.Fatal(err)
		}
		found[e.Path] = e.Executable || e.Target != ""
	}
	if !strings.HasPrefix(r.Facts["version"], "22.") || !found["bin/node"] || !found["bin/npm"] || !found["lib/node_modules/npm/bin/npm-cli.js"] {
		t.Errorf("node %s with %d files: %v", r.Facts["version"], len(found), found["bin/node"])
	}
}
