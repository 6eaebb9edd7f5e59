package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"cbuild/engine"
	"cbuild/rules/download"

	"github.com/Masterminds/semver/v3"
	"golang.org/x/mod/module"
)

// GoOptions say what a Go registry works with.
type GoOptions struct {
	Client *download.Client
	// Env looks up a variable of the environment.
	Env func(name string) (string, bool)
	// GoEnv returns what `go env` says about the named variables. It is called when the environment leaves something open, not
	// before the first request. Nil means that there is no go command.
	GoEnv func(ctx context.Context, names []string) (map[string]string, error)
	// CacheDir keeps what the checksum database was seen to hold, from one build to the next; "" keeps it in memory.
	CacheDir string
}

// Go is the registry of Go modules: module proxies, as the go command is configured to use them, and the checksum database. A page is
// what there is about one element of the argument modules.
type Go struct {
	opts   GoOptions
	sums   sums
	config kept[*goConfig]
}

// NewGo returns the registry of Go modules. It asks nothing yet.
func NewGo(o GoOptions) *Go { return &Go{opts: o, sums: sums{dir: o.CacheDir}} }

var goFields = []string{"h1", "module", "retracted", "time", "url", "version"}

// Fields implements Registry.
func (g *Go) Fields() []string { return goFields }

// Starts implements Registry. Args are modules, a list of `path` or `path@version`, and versions: "latest" (the default), "all" or a
// range such as ">= 1.2, < 2". Or index, true or the address of a module index, with since and limit: what a proxy saw since then.
func (g *Go) Starts(args engine.Object) ([]Start, error) {
	if err := knownArgs("go", args, "modules", "versions", "index", "since", "limit"); err != nil {
		return nil, err
	}
	if args["index"] != nil && args["index"] != false {
		return g.indexed(args)
	}
	names, err := moduleNames(args["modules"])
	if err != nil {
		return nil, err
	}
	pick, err := parsePick(args["versions"])
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var starts []Start
	for _, name := range names {
		q := newGoQuery(name, pick)
		if seen[q.request()] {
			continue
		}
		seen[q.request()] = true
		starts = append(starts, Start{Request: q.request(), Pages: func(ctx context.Context) iter.Seq2[Page, error] { return g.pages(ctx, q) }})
	}
	return starts, nil
}

func moduleNames(v engine.Value) ([]string, error) {
	list, ok := v.([]engine.Value)
	if !ok {
		return nil, errors.New("modules: want a list of module paths, each with or without @version")
	}
	names := make([]string, len(list))
	for i, e := range list {
		s, ok := e.(string)
		if !ok || s == "" {
			return nil, fmt.Errorf("modules[%d]: want a module path, with or without @version", i)
		}
		names[i] = s
	}
	return names, nil
}

// A pick says which versions of a module are wanted.
type pick struct {
	// text is "latest", "all", or the range as it was written.
	text    string
	allowed *semver.Constraints // nil but for a range
}

func parsePick(v engine.Value) (pick, error) {
	s, ok := v.(string)
	switch {
	case v == nil || v == "":
		return pick{text: "latest"}, nil
	case !ok:
		return pick{}, errors.New(`versions: want "latest", "all" or a range such as ">= 1.2, < 2"`)
	case s == "latest" || s == "all":
		return pick{text: s}, nil
	}
	c, err := semver.NewConstraint(s)
	if err != nil {
		return pick{}, fmt.Errorf(`versions: %q is not "latest", "all" or a range: %w`, s, err)
	}
	return pick{text: s, allowed: c}, nil
}

// A goQuery is one element of modules.
type goQuery struct {
	name    string // as it was written
	path    string
	version string // asked for by the element itself; "" leaves it to pick
	pick    pick
}

func newGoQuery(name string, p pick) goQuery {
	path, version, _ := strings.Cut(name, "@")
	if version == "latest" {
		version, p = "", pick{text: "latest"}
	}
	return goQuery{name: name, path: path, version: version, pick: p}
}

// request identifies q without a host.
func (q goQuery) request() string {
	if q.version != "" {
		return "go:" + q.path + "@" + q.version
	}
	return "go:" + q.path + " " + q.pick.text
}

// goPage is how many versions of a module are described at a time: some have thousands.
const goPage = 100

// pages asks for q. What the registry does not have is one item without version and url.
func (g *Go) pages(ctx context.Context, q goQuery) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		var found []goVersion
		var err error
		if module.CheckPath(q.path) == nil { // else no registry can have it
			found, err = g.versions(ctx, q)
		}
		if missing(err) || err == nil && len(found) == 0 {
			yield(Page{Request: q.request(), Items: []engine.Item{missingItem(q)}}, nil)
			return
		}
		for len(found) > 0 && err == nil {
			n := min(goPage, len(found))
			page := Page{Request: q.request()}
			if page.Items, err = g.describe(ctx, q.path, found[:n]); err == nil && !yield(page, nil) {
				return
			}
			found = found[n:]
		}
		if err != nil {
			yield(Page{}, fmt.Errorf("%s: %w", q.name, err))
		}
	}
}

func missingItem(q goQuery) engine.Item {
	value := engine.Object{"module": q.path}
	for _, f := range goFields {
		if f != "module" {
			value[f] = nil
		}
	}
	return engine.Item{Key: q.name, Value: value}
}

// goAddress is the registry-relative address of a module's zip file.
func goAddress(path, version string) string { return "go:" + path + "@" + version + ".zip" }

// parseGoAddress reads what goAddress writes.
func parseGoAddress(address string) (path, version string, err error) {
	rest, ok := strings.CutPrefix(address, "go:")
	rest, ok2 := strings.CutSuffix(rest, ".zip")
	path, version, ok3 := strings.Cut(rest, "@")
	if !ok || !ok2 || !ok3 {
		return "", "", fmt.Errorf("%q: want go:MODULE@VERSION.zip", address)
	}
	if err := module.CheckPath(path); err != nil {
		return "", "", fmt.Errorf("%q: %w", address, err)
	}
	if _, err := module.EscapeVersion(version); err != nil {
		return "", "", fmt.Errorf("%q: %w", address, err)
	}
	return path, version, nil
}

// Mirrors implements Resolver for the zip files of modules.
func (g *Go) Mirrors(ctx context.Context, address string) ([]Mirror, error) {
	path, version, err := parseGoAddress(address)
	if err != nil {
		return nil, &engine.InvalidError{Err: err}
	}
	return g.mirrors(ctx, path, "/@v/"+escapeVersion(version)+".zip")
}
