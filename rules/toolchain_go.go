package rules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/archive"
	"cbuild/rules/registry"
)

// goRegistry is what a toolchain of Go needs of the registry go.
type goRegistry interface {
	registry.Resolver
	// H1 returns the checksum of what address names, "" where the checksum database is not to be asked.
	H1(ctx context.Context, address string) (string, error)
	// Versions returns the versions of a module that its list names, ascending.
	Versions(ctx context.Context, module string) ([]string, error)
}

const goToolchain = "golang.org/toolchain"

// exactGo is what a version of Go looks like.
var exactGo = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*((rc|beta)[0-9]+)?$`)

// planGo gets a toolchain as the go command does: from the module proxy, checked against the checksum database.
func (r *Toolchain) planGo(ctx context.Context, rt *Runtime, self Self) (*engine.Plan, error) {
	version := strings.TrimPrefix(r.Version, "go")
	if version == "" || strings.ContainsAny(version, "/@") {
		return nil, &engine.InvalidError{Err: fmt.Errorf("version: %q is not a version of Go, such as 1.25.0", r.Version)}
	}
	reg, ok := rt.Registries["go"].(goRegistry)
	if !ok {
		return nil, &engine.InvalidError{Err: errors.New("kind: there is no registry go")}
	}
	if !exactGo.MatchString(version) {
		var err error
		version, err = r.ask(ctx, rt, self, "go "+version+" "+platform, func(ctx context.Context) (string, error) {
			all, err := reg.Versions(ctx, goToolchain)
			if err != nil {
				return "", err
			}
			return pickVersion("Go toolchain", version, goVersionsHere(all))
		})
		if err != nil {
			return nil, err
		}
	}
	moduleVersion := "v0.0.1-go" + version + "." + platform
	f := &fetch{
		rt: rt, self: self, urls: []string{"go:" + goToolchain + "@" + moduleVersion + ".zip"}, timeout: r.timeout(), most: maxDownload, name: treeName, tool: true,
		unpack: &archive.Options{Format: archive.Zip, Prefix: goToolchain + "@" + moduleVersion, Workers: toolWorkers},
		refine: refineGo, shape: "go toolchain" + r.extra(),
		facts: map[string]string{
			"version": version, "bin": "bin",
			"env": r.environment(map[string]string{"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOROOT": "${ROOT}", "GOTOOLCHAIN": "local"}),
		},
	}
	if err := f.usePin(); err != nil {
		return nil, err
	}
	if f.want.isZero() {
		if err := r.askH1(ctx, reg, f, version); err != nil {
			return nil, err
		}
	}
	return f.plan(ctx, engine.Plan{Action: f, Pool: engine.NetPool, Pools: r.Pool, Retries: r.retries(netRetries), Shape: engine.OutSpec{Path: f.name, Dir: true}, Ahead: sizeOf})
}

// extra is what the target adds to the environment, for the key: what can be read of a toolchain is part of its result.
func (r *Toolchain) extra() string {
	if len(r.Env) == 0 {
		return ""
	}
	return " " + r.environment(nil)
}

// askH1 learns the checksum of f from the checksum database. It leaves f without one where the database is not to be asked.
func (r *Toolchain) askH1(ctx context.Context, reg goRegistry, f *fetch, version string) error {
	h1, err := r.ask(ctx, f.rt, f.self, f.request(), func(ctx context.Context) (string, error) {
		h1, err := reg.H1(ctx, f.urls[0])
		if engine.ClassOf(err) == engine.ClassUnavailable && err != nil {
			err = unknownGo(ctx, reg, version, err)
		}
		return h1, err
	})
	if err != nil || h1 == "" {
		return err
	}
	f.want, err = parseChecksum(h1)
	return err
}

// unknownGo returns the error for a version that is not there, with those that are and resemble it.
func unknownGo(ctx context.Context, reg goRegistry, version string, cause error) error {
	text := fmt.Sprintf("no Go toolchain %s for %s/%s", version, runtime.GOOS, runtime.GOARCH)
	if all, err := reg.Versions(ctx, goToolchain); err == nil {
		if near := nearVersions(goVersionsHere(all), version); len(near) > 0 {
			text += "; there are " + strings.Join(near, ", ")
		}
	}
	return &engine.UnavailableError{Err: fmt.Errorf("%s: %w", text, cause)}
}

// goVersionsHere returns the versions of Go that there are for this machine among those of the module of toolchains.
func goVersionsHere(all []string) (here []string) {
	for _, v := range all {
		v, ok := strings.CutPrefix(v, "v0.0.1-go")
		v, ok2 := strings.CutSuffix(v, "."+platform)
		if ok && ok2 {
			here = append(here, v)
		}
	}
	return here
}

// nearVersions returns up to five of those that resemble version, the latest last: those with the longest common beginning.
func nearVersions(all []string, version string) []string {
	here := slices.Clone(all)
	slices.SortFunc(here, compareGo)
	slices.SortStableFunc(here, func(a, b string) int { return common(b, version) - common(a, version) })
	longest := 0
	if len(here) > 0 {
		longest = common(here[0], version)
	}
	here = slices.DeleteFunc(here, func(v string) bool { return common(v, version) < longest })
	return here[max(0, len(here)-5):]
}

func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// compareGo orders versions of Go by their numbers.
func compareGo(a, b string) int {
	split := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == '.' }) }
	return slices.CompareFunc(split(a), split(b), func(x, y string) int {
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	})
}

// refineGo does to the tree of a toolchain what the go command does after unpacking one: zip files of modules have no permissions, and
// a module can't hold go.mod files of others, so they are there as _go.mod.
func refineGo(entries []cas.Entry) []cas.Entry {
	hidden := slices.ContainsFunc(entries, func(e cas.Entry) bool { return e.Path == "src/_go.mod" })
	for i, e := range entries {
		if e.Kind != cas.FileEntry {
			continue
		}
		dir, name := path.Split(e.Path)
		if strings.HasPrefix(dir, "bin/") || strings.HasPrefix(dir, "pkg/tool/") || strings.HasPrefix(dir, "lib/") && isExec(name) {
			entries[i].Executable = true
		}
		if hidden && name == "_go.mod" {
			e.Path = dir + "go.mod"
			entries = append(entries, e)
		}
	}
	return entries
}

// isExec reports whether name is that of a program which runs others, such as go_js_wasm_exec.
func isExec(name string) bool {
	ok, _ := path.Match("go_?*_?*_exec", name)
	return ok
}
