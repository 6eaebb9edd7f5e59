package rules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/archive"
	"cbuild/rules/registry"
)

// Toolchain are the attributes of a toolchain.
type Toolchain struct {
	Common
	Kind    string `hcl:"kind,required" one:"go" later:"archive node rust zig" doc:"What it is a toolchain of."`
	Version string `hcl:"version,required" doc:"Version, as its publisher writes it."`
}

// goRegistry is what a toolchain of Go needs of the registry go.
type goRegistry interface {
	registry.Resolver
	// H1 returns the checksum of what address names, "" where the checksum database is not to be asked.
	H1(ctx context.Context, address string) (string, error)
	// Versions returns the versions of a module that its list names, ascending.
	Versions(ctx context.Context, module string) ([]string, error)
}

const goToolchain = "golang.org/toolchain"

// toolWorkers is how many files of a toolchain are stored at a time.
const toolWorkers = 4

// Plan implements Spec. The checksum is asked for first, once, and pinned; so the result is keyed by content like any download.
func (r *Toolchain) Plan(ctx context.Context, rt *Runtime, self Self) (*engine.Plan, error) {
	if r.Kind != "go" {
		return nil, &engine.InvalidError{Err: fmt.Errorf("kind: unknown kind of toolchain %q: only \"go\" is there yet", r.Kind)}
	}
	version := strings.TrimPrefix(r.Version, "go")
	if version == "" || strings.ContainsAny(version, "/@ ") {
		return nil, &engine.InvalidError{Err: fmt.Errorf("version: %q is not a version of Go, such as 1.25.0", r.Version)}
	}
	moduleVersion := "v0.0.1-go" + version + "." + runtime.GOOS + "-" + runtime.GOARCH
	f := &fetch{
		rt: rt, self: self, urls: []string{"go:" + goToolchain + "@" + moduleVersion + ".zip"}, timeout: r.Timeout, most: maxDownload, name: treeName, tool: true,
		unpack: &archive.Options{Format: archive.Zip, Prefix: goToolchain + "@" + moduleVersion, Workers: toolWorkers},
		refine: refineGo, shape: "go toolchain",
		facts: map[string]string{
			"version": version, "bin": "bin",
			"env": `{"CGO_ENABLED":"0","GOFLAGS":"-mod=mod","GOPROXY":"off","GOROOT":"${ROOT}","GOTOOLCHAIN":"local"}`,
		},
	}
	if f.timeout == 0 {
		f.timeout = fetchTimeout
	}
	if err := f.usePin(); err != nil {
		return nil, err
	}
	if f.want.isZero() {
		if err := r.ask(ctx, f, version); err != nil {
			return nil, err
		}
	}
	return f.plan(ctx, engine.Plan{Action: f, Pool: engine.NetPool, Pools: r.Pool, Retries: r.retries(netRetries), Shape: engine.OutSpec{Path: f.name, Dir: true}, Ahead: sizeOf})
}

// ask learns the checksum of f from the checksum database and pins it. It leaves f without one where the database is not to be asked.
func (r *Toolchain) ask(ctx context.Context, f *fetch, version string) error {
	reg, ok := f.rt.Registries["go"].(goRegistry)
	if !ok {
		return &engine.InvalidError{Err: errors.New("kind: there is no registry go")}
	}
	q := &h1Question{reg: reg, address: f.urls[0], version: version, timeout: r.Timeout}
	o := f.self.View.Perform(ctx, "checksum of "+f.urls[0], &engine.Plan{Action: q, Pool: engine.NetPool, Pools: r.Pool, Retries: r.retries(netRetries)})
	if o.Err != nil {
		return o.Err
	}
	h1 := o.Result.Facts["h1"]
	if h1 == "" {
		return nil
	}
	want, err := parseChecksum(h1)
	if err != nil {
		return err
	}
	f.want = want
	return f.rt.Pins.SetPin(f.self.Instance.Target.Label, f.request(), h1)
}

// An h1Question is the action that asks for a checksum. Its result is never stored: what lasts is the pin.
type h1Question struct {
	reg     goRegistry
	address string
	version string
	timeout time.Duration
}

func (q *h1Question) Key() engine.Key  { return engine.Key{} }
func (q *h1Question) Preimage() []byte { return nil }

func (q *h1Question) Do(ctx context.Context, _ func(engine.Event)) (*engine.Result, error) {
	ctx, done := withTimeout(ctx, q.timeout)
	h1, err := q.reg.H1(ctx, q.address)
	if engine.ClassOf(err) == engine.ClassUnavailable && err != nil {
		err = q.unknown(ctx, err)
	}
	if err := done(err); err != nil {
		return nil, err
	}
	return &engine.Result{Facts: map[string]string{"h1": h1}}, nil
}

// unknown returns the error for a version that is not there, with those that are and resemble it.
func (q *h1Question) unknown(ctx context.Context, cause error) error {
	text := fmt.Sprintf("no Go toolchain %s for %s/%s", q.version, runtime.GOOS, runtime.GOARCH)
	if all, err := q.reg.Versions(ctx, goToolchain); err == nil {
		if near := nearVersions(all, q.version); len(near) > 0 {
			text += "; there are " + strings.Join(near, ", ")
		}
	}
	return &engine.UnavailableError{Err: fmt.Errorf("%s: %w", text, cause)}
}

// nearVersions returns up to five of the toolchains for this machine that resemble version, the latest last: those with the longest
// common beginning.
func nearVersions(all []string, version string) []string {
	var here []string
	for _, v := range all {
		v, ok := strings.CutPrefix(v, "v0.0.1-go")
		v, ok2 := strings.CutSuffix(v, "."+runtime.GOOS+"-"+runtime.GOARCH)
		if ok && ok2 {
			here = append(here, v)
		}
	}
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
