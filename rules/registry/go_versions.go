package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"cbuild/engine"
	"cbuild/rules/download"

	mm "github.com/Masterminds/semver/v3"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/sync/errgroup"
)

// A goVersion is what is known about one version of a module.
type goVersion struct {
	version string
	time    string // as the proxy writes it; "" if it was not asked yet or is unknown
	// retracted is nil if it is unknown.
	retracted engine.Value
}

// versions returns what q asks for, in ascending order. An error for which missing holds says that there is nothing.
func (g *Go) versions(ctx context.Context, q goQuery) ([]goVersion, error) {
	switch {
	case q.version != "":
		return g.exact(ctx, q)
	case q.pick.text == "latest":
		return g.latest(ctx, q.path)
	}
	body, err := g.get(ctx, q.path, "/@v/list")
	if err != nil {
		return nil, err
	}
	all := parseList(body)
	if len(all) == 0 {
		return nil, nil
	}
	retracted, err := g.retractions(ctx, q.path, preferred(all)[0])
	if err != nil {
		return nil, err
	}
	var found []goVersion
	for _, v := range all {
		if q.pick.allows(v) {
			found = append(found, goVersion{version: v, retracted: retracted.of(v)})
		}
	}
	return found, nil
}

// allows reports whether version is among those wanted.
func (p pick) allows(version string) bool {
	if p.allowed == nil {
		return true
	}
	v, err := mm.NewVersion(version)
	return err == nil && p.allowed.Check(v)
}

// exact asks for the version that q names, which may be a branch or the like.
func (g *Go) exact(ctx context.Context, q goQuery) ([]goVersion, error) {
	escaped, err := module.EscapeVersion(q.version)
	if err != nil {
		return nil, nil // no registry can have it
	}
	body, err := g.get(ctx, q.path, "/@v/"+escaped+".info")
	if err != nil {
		return nil, err
	}
	v, err := parseInfo(body)
	if err == nil && semver.Canonical(q.version) == strings.TrimSuffix(q.version, "+incompatible") && v.version != q.version {
		err = fmt.Errorf("asked for %s, but the proxy answered for %s", q.version, v.version)
	}
	return []goVersion{v}, err
}

// latest asks proxy by proxy: for @latest, which not all have, else for the list.
func (g *Go) latest(ctx context.Context, path string) ([]goVersion, error) {
	mirrors, err := g.mirrors(ctx, path, "")
	if err != nil {
		return nil, err
	}
	var found goVersion
	err = Try(ctx, mirrors, func(base string) (err error) {
		found, err = g.latestAt(ctx, path, base)
		return err
	})
	return []goVersion{found}, err
}

func (g *Go) latestAt(ctx context.Context, path, base string) (goVersion, error) {
	body, err := g.fetch(ctx, base+"/@latest")
	if err == nil {
		v, err := parseInfo(body)
		if err != nil {
			return v, err
		}
		retracted, err := g.retractions(ctx, path, v.version)
		v.retracted = retracted.of(v.version)
		return v, err
	}
	if !missing(err) {
		return goVersion{}, err
	}
	body, err = g.fetch(ctx, base+"/@v/list")
	if err != nil {
		return goVersion{}, err
	}
	order := preferred(parseList(body))
	if len(order) == 0 {
		return goVersion{}, &engine.UnavailableError{Err: &download.StatusError{URL: base + "/@v/list (no versions)", Code: http.StatusNotFound}}
	}
	retracted, err := g.retractions(ctx, path, order[0])
	if err != nil {
		return goVersion{}, err
	}
	best := order[0]
	if i := slices.IndexFunc(order, func(v string) bool { return retracted.of(v) != true }); i >= 0 {
		best = order[i]
	}
	return goVersion{version: best, retracted: retracted.of(best)}, nil
}

// parseInfo reads the answer to .info and @latest.
func parseInfo(body []byte) (goVersion, error) {
	var info struct{ Version, Time string }
	if err := json.Unmarshal(body, &info); err != nil {
		return goVersion{}, fmt.Errorf("the proxy's answer is not what it should be: %w", err)
	}
	if !validVersion(info.Version) {
		return goVersion{}, fmt.Errorf("the proxy's answer has the version %q, which is none", info.Version)
	}
	if _, err := time.Parse(time.RFC3339, info.Time); err != nil {
		info.Time = ""
	}
	return goVersion{version: info.Version, time: info.Time}, nil
}

// validVersion reports whether v is a full version, as each of a proxy is.
func validVersion(v string) bool {
	if len(v) > 256 || !semver.IsValid(v) || semver.Canonical(v)+semver.Build(v) != v {
		return false
	}
	b := semver.Build(v)
	_, err := module.EscapeVersion(v)
	return err == nil && (b == "" || b == "+incompatible")
}

// parseList reads the answer to @v/list: a version on each line, perhaps with more after it. What is no version is left out; the
// result is in ascending order without duplicates.
func parseList(body []byte) []string {
	var list []string
	for line := range strings.Lines(string(body)) {
		if f := strings.Fields(line); len(f) > 0 && validVersion(f[0]) {
			list = append(list, f[0])
		}
	}
	slices.SortFunc(list, compareVersions)
	return slices.Compact(list)
}

func compareVersions(a, b string) int {
	if c := semver.Compare(a, b); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// preferred returns the versions in the order in which one of them would be the latest: releases before pre-releases before
// pseudo-versions, each from the highest.
func preferred(versions []string) []string {
	rank := func(v string) int {
		switch {
		case module.IsPseudoVersion(v):
			return 2
		case semver.Prerelease(v) != "":
			return 1
		}
		return 0
	}
	order := slices.Clone(versions)
	slices.SortFunc(order, func(a, b string) int {
		if c := rank(a) - rank(b); c != 0 {
			return c
		}
		return compareVersions(b, a)
	})
	return order
}

// retractions are those that a go.mod file declares.
type retractions struct {
	known bool
	list  []*modfile.Retract
}

// retractions reads them from the go.mod file of version, which must be the latest one. Without that file nothing is known.
func (g *Go) retractions(ctx context.Context, path, version string) (retractions, error) {
	body, err := g.get(ctx, path, "/@v/"+escapeVersion(version)+".mod")
	if missing(err) {
		return retractions{}, nil
	}
	if err != nil {
		return retractions{}, err
	}
	f, err := modfile.ParseLax("go.mod", body, nil)
	if err != nil {
		return retractions{}, nil //nolint:nilerr // nobody can read it: nothing is known
	}
	return retractions{known: true, list: f.Retract}, nil
}

// of returns whether version is retracted; nil if it is unknown.
func (r retractions) of(version string) engine.Value {
	if !r.known {
		return nil
	}
	for _, i := range r.list {
		if semver.Compare(i.Low, version) <= 0 && semver.Compare(version, i.High) <= 0 {
			return true
		}
	}
	return false
}

// describe asks for what is still unknown about the versions and makes items of them.
func (g *Go) describe(ctx context.Context, path string, found []goVersion) ([]engine.Item, error) {
	items := make([]engine.Item, len(found))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, v := range found {
		group.Go(func() (err error) {
			items[i], err = g.describeOne(ctx, path, v)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return items, nil
}

func (g *Go) describeOne(ctx context.Context, path string, v goVersion) (engine.Item, error) {
	if v.time == "" {
		body, err := g.get(ctx, path, "/@v/"+escapeVersion(v.version)+".info")
		if err == nil {
			info, perr := parseInfo(body)
			v.time, err = info.time, perr
		}
		if err != nil && !missing(err) {
			return engine.Item{}, err
		}
	}
	h1, err := g.h1(ctx, path, v.version)
	if err != nil {
		return engine.Item{}, err
	}
	return engine.Item{Key: path + "@" + v.version, Value: engine.Object{
		"module": path, "version": v.version, "url": goAddress(path, v.version), "h1": orNull(h1), "time": orNull(v.time), "retracted": v.retracted,
	}}, nil
}

func orNull(s string) engine.Value {
	if s == "" {
		return nil
	}
	return s
}

// Versions returns the versions of a module that its list names, ascending.
func (g *Go) Versions(ctx context.Context, path string) ([]string, error) {
	body, err := g.get(ctx, path, "/@v/list")
	if err != nil {
		return nil, err
	}
	return parseList(body), nil
}
