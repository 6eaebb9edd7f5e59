package registry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"cbuild/engine"
)

// PyPI is the registry of Python packages, or the index that pip is configured to use in its place. A page is what there is about one
// element of the argument packages.
type PyPI struct {
	opts  Options
	cache cache
	base  kept[string] // of the index

	mu     sync.Mutex
	places map[string]string // guarded by mu; of files that items of this build name, by address
}

// NewPyPI returns the registry of Python packages. It asks nothing yet.
func NewPyPI(o Options) *PyPI {
	return &PyPI{opts: o, cache: cache{o.dir("pypi")}, places: map[string]string{}}
}

var pypiFields = []string{"name", "requires_python", "sha256", "url", "version", "yanked"}

// Fields implements Registry.
func (p *PyPI) Fields() []string { return pypiFields }

// Starts implements Registry. Args are packages, a list of `name` or `name==version`; versions, for those that name none: "latest" (the
// default), "all", or a specifier such as ">=1.2, <2", which stands for all that it allows; and files: "sdist" (the default), the source of
// each version, "wheel", the one of its wheels that suits most machines, or "all", every file by its name.
func (p *PyPI) Starts(args engine.Object) ([]Start, error) {
	if err := knownArgs("pypi", args, "packages", "versions", "files"); err != nil {
		return nil, err
	}
	names, err := required(args, "packages")
	if err != nil {
		return nil, err
	}
	versions, err := text(args, "versions")
	if err != nil {
		return nil, err
	}
	files, err := text(args, "files")
	if err != nil {
		return nil, err
	}
	if files == "" {
		files = "sdist"
	}
	if files != "sdist" && files != "wheel" && files != "all" {
		return nil, fmt.Errorf(`files: %q is not "sdist", "wheel" or "all"`, files)
	}
	every := pypiQuery{versions: versions, files: files}
	if versions == "" {
		every.versions = "latest"
	}
	if every.versions != "latest" && every.versions != "all" {
		if every.allowed, err = parsePyRange(versions); err != nil {
			return nil, fmt.Errorf(`versions: %q is not "latest", "all" or a specifier: %w`, versions, err)
		}
	}
	starts := make([]Start, len(names))
	for i, written := range names {
		q := every
		q.written = written
		name, want, exact := strings.Cut(written, "==")
		q.name = normalPyName(name)
		if exact {
			v, ok := parsePyVersion(want)
			if !ok {
				return nil, fmt.Errorf("packages[%d]: %q is not a version", i, want)
			}
			q.exact, q.versions, q.allowed = &v, "=="+strings.TrimSpace(want), nil
		}
		starts[i] = once(q.request(), written, func(ctx context.Context) ([]engine.Item, error) { return p.items(ctx, q) })
	}
	return distinct(starts), nil
}

// A pypiQuery is one element of packages.
type pypiQuery struct {
	written, name string
	versions      string
	exact         *pyVersion
	allowed       pyRange
	files         string
}

func (q pypiQuery) request() string {
	s := "pypi:" + q.name + " " + q.versions
	if q.exact != nil {
		s = "pypi:" + q.name + q.versions
	}
	if q.files != "sdist" {
		s += " " + q.files
	}
	return s
}

var (
	pyName       = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	pySeparators = regexp.MustCompile(`[-_.]+`)
)

// normalPyName returns the one of the names of a package that indexes know.
func normalPyName(name string) string {
	return strings.ToLower(pySeparators.ReplaceAllString(strings.TrimSpace(name), "-"))
}

// items asks for q. What the index does not have is one item without version and url.
func (p *PyPI) items(ctx context.Context, q pypiQuery) ([]engine.Item, error) {
	missingItem := []engine.Item{absent(q.written, pypiFields, engine.Object{"name": q.name})}
	if !pyName.MatchString(q.name) || len(q.name) > 256 {
		return missingItem, nil // no index can have it
	}
	project, err := p.project(ctx, q.name)
	if missing(err) {
		return missingItem, nil
	}
	if err != nil {
		return nil, err
	}
	var items []engine.Item
	for _, r := range q.of(project) {
		items = append(items, p.release(q, r)...)
	}
	if len(items) == 0 {
		return missingItem, nil
	}
	return items, nil
}

// of returns those of the releases, which are ascending, that q wants.
func (q pypiQuery) of(all []pyRelease) (found []pyRelease) {
	for _, r := range all {
		switch {
		case q.exact != nil && comparePy(r.version, *q.exact) == 0, q.exact == nil && q.versions == "all", q.allowed != nil && q.allowed.allows(r.version):
			found = append(found, r)
		}
	}
	if q.exact != nil || q.versions != "latest" {
		return found
	}
	for _, final := range []bool{true, false} {
		for i := len(all) - 1; i >= 0; i-- {
			if !all[i].yanked() && all[i].version.final() == final {
				return all[i : i+1]
			}
		}
	}
	return nil
}

// release returns the items for a version: one, or as many as it has files. A version that has no file of the kind has an item without url.
func (p *PyPI) release(q pypiQuery, r pyRelease) (items []engine.Item) {
	key := q.name + "-" + r.version.text
	if q.files != "all" {
		f, ok := r.best(q.files)
		if !ok {
			return []engine.Item{absent(key, pypiFields, engine.Object{"name": q.name, "version": r.version.text, "yanked": r.yanked()})}
		}
		return []engine.Item{p.item(q, r, f, key)}
	}
	for _, f := range r.files {
		items = append(items, p.item(q, r, f, f.Filename))
	}
	return items
}

func (p *PyPI) item(q pypiQuery, r pyRelease, f pyFile, key string) engine.Item {
	address := "pypi:" + q.name + "/" + f.Filename
	p.mu.Lock()
	p.places[address] = f.URL
	p.mu.Unlock()
	return engine.Item{Key: key, Value: engine.Object{
		"name": q.name, "version": r.version.text, "url": address, "sha256": orNull(f.sum()), "yanked": f.yanked(), "requires_python": orNull(f.RequiresPython),
	}}
}

// Mirrors implements Resolver for the files of packages: the index says where they are.
func (p *PyPI) Mirrors(ctx context.Context, address string) ([]Mirror, error) {
	name, file, ok := strings.Cut(strings.TrimPrefix(address, "pypi:"), "/")
	if !ok || !pyName.MatchString(name) || !cleanPath("/"+file) || strings.ContainsRune(file, '/') {
		return nil, &engine.InvalidError{Err: fmt.Errorf("%q: want pypi:NAME/FILE", address)}
	}
	p.mu.Lock()
	place := p.places[address]
	p.mu.Unlock()
	if place != "" {
		return []Mirror{{URL: place}}, nil
	}
	project, err := p.project(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, r := range project {
		for _, f := range r.files {
			if f.Filename == file {
				return []Mirror{{URL: f.URL}}, nil
			}
		}
	}
	return nil, &engine.UnavailableError{Err: fmt.Errorf("%s: %w", address, errNoFile)}
}

var errNoFile = errors.New("the index does not have it any more")
