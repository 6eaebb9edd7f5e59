package rules

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/archive"

	"github.com/BurntSushi/toml"
)

// rustServer is where the publisher of rust has its channels; RUSTUP_DIST_SERVER names another place, as for rustup.
const rustServer = "https://static.rust-lang.org"

// rustComponents are those that a toolchain always has: what compiles, and what it compiles against.
var rustComponents = []string{"rustc", "cargo", "rust-std"}

// rustHosts are the names of platforms for rust.
var rustHosts = map[string]string{
	"linux-amd64": "x86_64-unknown-linux-gnu", "linux-arm64": "aarch64-unknown-linux-gnu", "linux-386": "i686-unknown-linux-gnu",
	"darwin-amd64": "x86_64-apple-darwin", "darwin-arm64": "aarch64-apple-darwin",
}

var rustVersion = regexp.MustCompile(`^(stable|beta|nightly|[0-9]+\.[0-9]+(\.[0-9]+)?)$`)

// A rustChannel is what is read of a channel's manifest.
type rustChannel struct {
	Pkg map[string]struct {
		Version string
		Target  map[string]struct {
			Available bool
			URL       string
			Hash      string
			XZURL     string `toml:"xz_url"`
			XZHash    string `toml:"xz_hash"`
		}
	}
	Renames map[string]struct{ To string }
}

// planRust takes rust from the manifest of a channel, and lays its components over each other as their own lists say.
func (r *Toolchain) planRust(ctx context.Context, rt *Runtime, self Self) (*engine.Plan, error) {
	channel := r.Version
	if channel == "latest" {
		channel = "stable"
	}
	if !rustVersion.MatchString(channel) {
		return nil, &engine.InvalidError{Err: fmt.Errorf("version: %q is no version of rust and no channel: want such as 1.90.0, 1.90 or stable (no server says which others there are)", r.Version)}
	}
	host := rustHosts[platform]
	if host == "" {
		return nil, &engine.UnavailableError{Err: fmt.Errorf("no rust for %s/%s", runtime.GOOS, runtime.GOARCH)}
	}
	wanted := append(slices.Clone(rustComponents), r.Components...)
	slices.Sort(wanted[len(rustComponents):])
	wanted = slices.Compact(wanted)
	server := strings.TrimSuffix(rt.env("RUSTUP_DIST_SERVER", rustServer), "/")
	answer, err := r.askFiles(ctx, rt, self, "rust "+channel+" "+host+" "+strings.Join(wanted, " "), func(ctx context.Context) (*toolAnswer, error) {
		body, err := askPublisher(ctx, rt, server+"/dist/channel-rust-"+channel+".toml")
		if err != nil {
			return nil, err
		}
		return readChannel(body, host, wanted)
	})
	if err != nil {
		return nil, err
	}
	s := &toolset{rt: rt, merge: rustEntries, layout: "rust", facts: map[string]string{"version": answer.Version, "bin": "bin", "env": r.environment(nil)}}
	for _, f := range answer.Files {
		p, err := r.newPart(rt, self, server+"/"+f.Address, f.Checksum, archive.Options{Strip: 1})
		if err != nil {
			return nil, err
		}
		s.parts = append(s.parts, p)
	}
	return r.planSet(s), nil
}

// readChannel returns the archives of the components wanted. Their addresses are relative to the server, whichever that is.
func readChannel(body []byte, host string, wanted []string) (*toolAnswer, error) {
	var c rustChannel
	if err := toml.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("the manifest of rust's channel: %w", err)
	}
	version, _, _ := strings.Cut(c.Pkg["rustc"].Version, " ")
	a := &toolAnswer{Version: version}
	for _, name := range wanted {
		pkg, target := name, host
		if other, ok := strings.CutPrefix(name, "rust-std-"); ok {
			pkg, target = "rust-std", other
		}
		if to := c.Renames[pkg].To; to != "" {
			pkg = to
		}
		build, ok := c.Pkg[pkg].Target[target]
		if !ok {
			build = c.Pkg[pkg].Target["*"]
		}
		if !build.Available {
			text := fmt.Sprintf("components: rust %s has no %s for %s", version, name, target)
			if len(c.Pkg[pkg].Target) == 0 {
				text += "; there are " + strings.Join(slices.Sorted(maps.Keys(c.Pkg)), ", ")
			}
			return nil, &engine.UnavailableError{Err: fmt.Errorf("%s", text)}
		}
		address, hash := build.XZURL, build.XZHash
		if address == "" {
			address, hash = build.URL, build.Hash
		}
		i := strings.Index(address, "/dist/")
		if i < 0 {
			return nil, fmt.Errorf("the manifest of rust's channel: %s is at %q, which is not below dist", name, address)
		}
		a.Files = append(a.Files, toolFile{Name: name, Address: address[i+1:], Checksum: "sha256:" + hash})
	}
	return a, nil
}

// rustEntries returns what an installer's archive would install: its file components names directories, and manifest.in in each of them the
// files and directories that belong to the toolchain.
func rustEntries(ctx context.Context, s cas.Store, tree cas.Digest) ([]cas.Entry, error) {
	all, err := wholeTree(ctx, s, tree)
	if err != nil {
		return nil, err
	}
	files := map[string]cas.Digest{}
	for _, e := range all {
		if e.Kind == cas.FileEntry {
			files[e.Path] = e.Digest
		}
	}
	lines := func(name string) ([]string, error) {
		d, ok := files[name]
		if !ok {
			return nil, &engine.UnavailableError{Err: fmt.Errorf("no installer of rust: it has no file %s", name)}
		}
		data, err := cas.ReadAll(ctx, s, d, maxIndex)
		text := strings.TrimSpace(string(data))
		return strings.Split(text, "\n"), transientLoss(err)
	}
	components, err := lines("components")
	if err != nil {
		return nil, err
	}
	var kept []cas.Entry
	for _, c := range components {
		manifest, err := lines(path.Join(c, "manifest.in"))
		if err != nil {
			return nil, err
		}
		for _, line := range manifest {
			kind, name, _ := strings.Cut(line, ":")
			some := installed(all, path.Join(c, name), kind == "dir")
			if len(some) == 0 {
				return nil, &engine.UnavailableError{Err: fmt.Errorf("no installer of rust: %s is not there", path.Join(c, name))}
			}
			for _, e := range some {
				e.Path = strings.TrimPrefix(e.Path, c+"/")
				kept = append(kept, e)
			}
		}
	}
	return kept, nil
}

// installed returns the entry name of all, with what is below it if it is a directory.
func installed(all []cas.Entry, name string, dir bool) (some []cas.Entry) {
	for _, e := range all {
		if e.Path == name || dir && strings.HasPrefix(e.Path, name+"/") {
			some = append(some, e)
		}
	}
	return some
}
