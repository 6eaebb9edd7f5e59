package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cbuild/engine"
)

// Debian is the registry of Debian packages, and of those that are published the same way, where apt is configured to look for them. A
// start is an index of packages: those of a suite, a component and an architecture.
type Debian struct {
	opts    Options
	sources kept[[]aptSource]

	mu       sync.Mutex
	releases map[string]*release // guarded by mu; by suite and snapshot, as they were in this build
}

// NewDebian returns the registry of Debian packages. It asks nothing yet.
func NewDebian(o Options) *Debian { return &Debian{opts: o, releases: map[string]*release{}} }

var debianFields = []string{"depends", "name", "section", "sha256", "size", "url", "version"}

// Fields implements Registry.
func (d *Debian) Fields() []string { return debianFields }

var (
	debianWord     = regexp.MustCompile(`^[a-z0-9][a-zA-Z0-9./+_-]*$`)
	debianSnapshot = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z$`)
)

// Starts implements Registry. Args are suite, component ("main" is the default) and arch, each a string or a list of strings, of which
// every combination is asked for; and snapshot, a time such as "20250520T000000Z" at which the archive is looked at.
func (d *Debian) Starts(args engine.Object) ([]Start, error) {
	if err := knownArgs("debian", args, "suite", "component", "arch", "snapshot"); err != nil {
		return nil, err
	}
	words := map[string][]string{}
	for _, name := range []string{"suite", "component", "arch"} {
		all, err := texts(args, name)
		if err != nil {
			return nil, err
		}
		if args[name] == nil && name == "component" {
			all = []string{"main"}
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("%s is missing", name)
		}
		for _, w := range all {
			if !debianWord.MatchString(w) || strings.Contains(w, "..") {
				return nil, fmt.Errorf("%s: %q is none", name, w)
			}
		}
		words[name] = all
	}
	snapshot, err := text(args, "snapshot")
	if err != nil || snapshot != "" && !debianSnapshot.MatchString(snapshot) {
		return nil, errors.New(`snapshot: want a time such as "20250520T000000Z"`)
	}
	var starts []Start
	for _, suite := range words["suite"] {
		for _, component := range words["component"] {
			for _, arch := range words["arch"] {
				starts = append(starts, d.start(debianIndex{suite, component, arch, snapshot}))
			}
		}
	}
	return distinct(starts), nil
}

// A debianIndex names an index of packages.
type debianIndex struct{ suite, component, arch, snapshot string }

// request identifies i without a host.
func (i debianIndex) request() string {
	s := "debian:" + i.suite + "/" + i.component + "/" + i.arch
	if i.snapshot != "" {
		s += " at " + i.snapshot
	}
	return s
}

// path is that of the index in a release, without the suffix for its compression.
func (i debianIndex) path() string { return i.component + "/binary-" + i.arch + "/Packages" }

// debianPage is how many packages a page holds.
const debianPage = 1000

// start yields the packages of i. The first page has none: it says which release it is.
func (d *Debian) start(i debianIndex) Start {
	pages := func(ctx context.Context) iter.Seq2[Page, error] {
		return func(yield func(Page, error) bool) {
			fail := func(err error) { yield(Page{}, fmt.Errorf("%s: %w", i.request(), err)) }
			r, err := d.release(ctx, i)
			if err != nil {
				fail(err)
				return
			}
			if !yield(Page{Request: "debian:dists/" + i.suite + "/InRelease sha256:" + r.sha256, Note: r.unsigned}, nil) {
				return
			}
			index, err := d.index(ctx, r, i)
			if err != nil {
				fail(err)
				return
			}
			defer index.close()
			page := Page{Request: i.request()}
			for p, err := range packages(index, i.snapshot) {
				if err != nil {
					fail(err)
					return
				}
				page.Items = append(page.Items, p)
				if len(page.Items) == debianPage {
					if !yield(page, nil) {
						return
					}
					page.Items = nil
				}
			}
			if err := index.check(); err != nil {
				fail(err)
				return
			}
			yield(page, nil)
		}
	}
	return Start{Request: i.request(), Pages: pages}
}

// debianAddress is the registry-relative address of a file of an archive, as it was at snapshot if that is not empty.
func debianAddress(file, snapshot string) string {
	if snapshot != "" {
		file = snapshot + "/" + file
	}
	return "debian:" + file
}

// Mirrors implements Resolver for the files of packages: the places that apt has them from, in the order in which apt has them. A pool is
// shared by the suites of an archive, and apt may know several archives.
func (d *Debian) Mirrors(ctx context.Context, address string) ([]Mirror, error) {
	file := strings.TrimPrefix(address, "debian:")
	snapshot, rest, ok := strings.Cut(file, "/")
	if ok && debianSnapshot.MatchString(snapshot) {
		file = rest
	} else {
		snapshot = ""
	}
	if !cleanPath("/" + file) {
		return nil, &engine.InvalidError{Err: fmt.Errorf("%q: want debian:pool/…", address)}
	}
	bases, err := d.bases(ctx, "", snapshot)
	if err != nil {
		return nil, err
	}
	var mirrors []Mirror
	for _, b := range bases {
		m := Mirror{URL: b + "/" + escapePath(file)}
		if !slices.Contains(mirrors, m) {
			mirrors = append(mirrors, m)
		}
	}
	return mirrors, nil
}
