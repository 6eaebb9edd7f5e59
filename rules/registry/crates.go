package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strings"

	"cbuild/engine"

	"github.com/Masterminds/semver/v3"
)

// Crates is the registry crates.io, or what cargo is configured to use in its place. A page is what there is about one element of the
// argument crates; with census, there is one start over all of them.
type Crates struct {
	opts   Options
	cache  cache
	config kept[*cratesConfig]
}

// NewCrates returns the registry of crates. It asks nothing yet.
func NewCrates(o Options) *Crates { return &Crates{opts: o, cache: cache{o.dir("crates.io")}} }

var cratesFields = []string{"downloads", "name", "sha256", "url", "version", "yanked"}

// Fields implements Registry.
func (c *Crates) Fields() []string { return cratesFields }

// Starts implements Registry. Args are crates, a list of `name`, `name@version` or `name@requirement`, where a requirement stands for the
// highest version that it allows; and versions, for those that name none: "latest" (the default), "all", or a requirement, which stands
// for all that it allows. Or census = true, the latest version of every crate, perhaps only of those with at least min_downloads, or the
// top ones by downloads.
func (c *Crates) Starts(args engine.Object) ([]Start, error) {
	if err := knownArgs("crates.io", args, "crates", "versions", "census", "min_downloads", "top"); err != nil {
		return nil, err
	}
	if args["census"] != nil && args["census"] != false {
		return c.census(args)
	}
	if args["min_downloads"] != nil || args["top"] != nil {
		return nil, errors.New("min_downloads and top need census = true")
	}
	names, err := required(args, "crates")
	if err != nil {
		return nil, err
	}
	versions, err := text(args, "versions")
	if err != nil {
		return nil, err
	}
	every, err := parseCratesPick(versions)
	if err != nil {
		return nil, fmt.Errorf(`versions: %q is not "latest", "all" or a requirement such as "^1.2"`, versions)
	}
	every.many = every.allowed != nil || every.text == "all"
	starts := make([]Start, len(names))
	for i, written := range names {
		q := cratesQuery{written: written, name: written, cratesPick: every}
		if name, want, ok := strings.Cut(written, "@"); ok {
			q.name = name
			if q.cratesPick, err = parseCratesPick(want); err != nil || want == "" || want == "all" {
				return nil, fmt.Errorf("crates[%d]: %q is not a version or a requirement", i, want)
			}
		}
		starts[i] = once(q.request(), written, func(ctx context.Context) ([]engine.Item, error) { return c.items(ctx, q) })
	}
	return distinct(starts), nil
}

// A cratesPick says which versions of a crate are wanted.
type cratesPick struct {
	text    string
	exact   bool
	allowed *semver.Constraints
	many    bool
}

func parseCratesPick(s string) (cratesPick, error) {
	s = strings.TrimSpace(s)
	if s == "" || s == "latest" {
		return cratesPick{text: "latest"}, nil
	}
	if s == "all" {
		return cratesPick{text: s}, nil
	}
	if _, err := semver.StrictNewVersion(s); err == nil {
		return cratesPick{text: s, exact: true}, nil
	}
	// A bare version of a requirement means ^ to cargo.
	parts := strings.Split(s, ",")
	for i, p := range parts {
		p = strings.TrimSpace(p)
		if p != "" && p[0] >= '0' && p[0] <= '9' && !strings.ContainsAny(p, "*") {
			p = "^" + p
		}
		parts[i] = p
	}
	c, err := semver.NewConstraint(strings.Join(parts, ", "))
	return cratesPick{text: s, allowed: c}, err
}

// A cratesQuery is one element of crates.
type cratesQuery struct {
	cratesPick
	written, name string
}

func (q cratesQuery) request() string {
	if q.many {
		return "crates.io:" + q.name + " " + q.text
	}
	return "crates.io:" + q.name + "@" + q.text
}

var crateName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// items asks for q. What the registry does not have is one item without version and url.
func (c *Crates) items(ctx context.Context, q cratesQuery) ([]engine.Item, error) {
	missingItem := []engine.Item{absent(q.written, cratesFields, engine.Object{"name": q.name})}
	if !crateName.MatchString(q.name) {
		return missingItem, nil // no registry can have it
	}
	body, err := c.index(ctx, q.name)
	if missing(err) {
		return missingItem, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := parseCrate(body, q.name)
	if err != nil {
		return nil, err
	}
	var items []engine.Item
	for _, v := range q.of(all) {
		items = append(items, v.item())
	}
	if len(items) == 0 {
		return missingItem, nil
	}
	return items, nil
}

// of returns those of the versions, which are ascending, that q wants. A yanked one is taken only where it is named, or all are.
func (q cratesPick) of(all []crateVersion) (found []crateVersion) {
	for _, v := range all {
		switch {
		case q.text == "all", q.exact && v.Vers == q.text, q.allowed != nil && q.allowed.Check(v.parsed) && (q.many || !v.Yanked), q.text == "latest" && !v.Yanked:
			found = append(found, v)
		}
	}
	if q.many || q.exact || len(found) < 2 {
		return found
	}
	best := found[len(found)-1]
	for _, v := range found {
		if q.text == "latest" && v.parsed.Prerelease() == "" {
			best = v
		}
	}
	return []crateVersion{best}
}

// crateAddress is the registry-relative address of a crate's file.
func crateAddress(name, version string) string { return "crates.io:" + name + "-" + version + ".crate" }

// Mirrors implements Resolver for the files of crates.
func (c *Crates) Mirrors(ctx context.Context, address string) ([]Mirror, error) {
	rest, ok := strings.CutSuffix(strings.TrimPrefix(address, "crates.io:"), ".crate")
	// No name holds a dot, so the version begins behind the last hyphen before the first.
	dot := strings.IndexByte(rest, '.')
	at := strings.LastIndexByte(rest[:max(dot, 0)], '-')
	if !ok || at <= 0 || !crateName.MatchString(rest[:at]) {
		return nil, &engine.InvalidError{Err: fmt.Errorf("%q: want crates.io:NAME-VERSION.crate", address)}
	}
	name, version := rest[:at], rest[at+1:]
	if _, err := semver.StrictNewVersion(version); err != nil {
		return nil, &engine.InvalidError{Err: fmt.Errorf("%q: %w", address, err)}
	}
	config, err := c.configuration(ctx)
	if err != nil {
		return nil, err
	}
	place, err := config.download(name, version)
	if err != nil {
		return nil, err
	}
	return []Mirror{{URL: place}}, nil
}

// pagesOf yields the items in pages of a thousand.
func pagesOf(request string, items iter.Seq[engine.Item]) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		page := Page{Request: request}
		for item := range items {
			page.Items = append(page.Items, item)
			if len(page.Items) == debianPage {
				if !yield(page, nil) {
					return
				}
				page.Items = nil
			}
		}
		yield(page, nil)
	}
}
