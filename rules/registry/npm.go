package registry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"cbuild/engine"

	"github.com/Masterminds/semver/v3"
)

// NPM is the registry of npm packages, where npm is configured to look for them. A page is what there is about one element of the
// argument packages.
type NPM struct {
	opts   Options
	config kept[*npmConfig]
}

// NewNPM returns the registry of npm packages. It asks nothing yet.
func NewNPM(o Options) *NPM { return &NPM{opts: o} }

var npmFields = []string{"deprecated", "integrity", "name", "time", "url", "version"}

// Fields implements Registry.
func (n *NPM) Fields() []string { return npmFields }

// Starts implements Registry. Args are packages, a list of `name`, `name@version`, `name@tag` or `name@range`, where a range stands for
// the highest version that it allows; and versions, for those that name none: a tag ("latest" is the default), "all", or a range, which
// stands for all that it allows.
func (n *NPM) Starts(args engine.Object) ([]Start, error) {
	if err := knownArgs("npm", args, "packages", "versions"); err != nil {
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
	every, err := parseNPMPick(versions)
	if err != nil {
		return nil, fmt.Errorf(`versions: %q is not a tag, "all" or a range`, versions)
	}
	every.many = every.allowed != nil || every.text == "all"
	starts := make([]Start, len(names))
	for i, written := range names {
		q := npmQuery{written: written, name: written, npmPick: every}
		if at := strings.LastIndexByte(written, '@'); at > 0 {
			q.name = written[:at]
			if q.npmPick, err = parseNPMPick(written[at+1:]); err != nil {
				return nil, fmt.Errorf("packages[%d]: %q is not a version, a tag or a range", i, written[at+1:])
			}
		}
		starts[i] = once(q.request(), written, func(ctx context.Context) ([]engine.Item, error) { return n.items(ctx, q) })
	}
	return distinct(starts), nil
}

// An npmPick says which versions of a package are wanted: the exact one, one with a tag, or those that allowed allows.
type npmPick struct {
	text    string
	exact   bool
	allowed *semver.Constraints
	many    bool // all that are allowed, not the highest of them
}

var npmTag = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*$`)

func parseNPMPick(s string) (npmPick, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return npmPick{text: "latest"}, nil
	}
	if _, err := semver.StrictNewVersion(s); err == nil {
		return npmPick{text: s, exact: true}, nil
	}
	c, err := semver.NewConstraint(s)
	if err == nil {
		return npmPick{text: s, allowed: c}, nil
	}
	if npmTag.MatchString(s) {
		return npmPick{text: s}, nil
	}
	return npmPick{}, err
}

// An npmQuery is one element of packages.
type npmQuery struct {
	npmPick
	written string
	name    string
}

// request identifies q without a host.
func (q npmQuery) request() string {
	if q.many {
		return "npm:" + q.name + " " + q.text
	}
	return "npm:" + q.name + "@" + q.text
}

// npmName are the names that packages have, or had before there were rules.
var npmName = regexp.MustCompile(`^(@[A-Za-z0-9~_-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]*$`)

func validNPMName(name string) bool { return len(name) <= 214 && npmName.MatchString(name) }

// items asks for q. What the registry does not have is one item without version and url.
func (n *NPM) items(ctx context.Context, q npmQuery) ([]engine.Item, error) {
	missingItem := []engine.Item{absent(q.written, npmFields, engine.Object{"name": q.name})}
	if !validNPMName(q.name) {
		return missingItem, nil // no registry can have it
	}
	items, err := n.find(ctx, q)
	if missing(err) || err == nil && len(items) == 0 {
		return missingItem, nil
	}
	return items, err
}

// find asks for the one document that says all about a version, where only one is wanted; a registry that has none such has the document
// of the whole package.
func (n *NPM) find(ctx context.Context, q npmQuery) ([]engine.Item, error) {
	if q.allowed == nil && !q.many {
		item, err := n.one(ctx, q)
		if err == nil || !missing(err) {
			return item, err
		}
	}
	body, base, err := n.get(ctx, q.name, "", npmAbbreviated)
	if err != nil {
		return nil, err
	}
	p, err := parsePackument(body, q.name)
	if err != nil {
		return nil, err
	}
	return p.items(q.npmPick, base), nil
}

func (n *NPM) one(ctx context.Context, q npmQuery) ([]engine.Item, error) {
	body, base, err := n.get(ctx, q.name, "/"+url.PathEscape(q.text), "application/json")
	if err != nil {
		return nil, err
	}
	v, err := parseNPMVersion(body)
	if err != nil {
		return nil, err
	}
	if v.Name != q.name || q.exact && v.Version != q.text {
		return nil, fmt.Errorf("asked for %s, but the registry answered for %s@%s", q.written, v.Name, v.Version)
	}
	return []engine.Item{v.item("", base)}, nil
}

// npmAddress is the registry-relative address of a package's archive. Where that is not in the usual place, at is its path in the registry, or
// host its path on the registry's host.
func npmAddress(name, version, at, host string) string {
	a := "npm:" + name + "@" + version + ".tgz"
	switch {
	case at != "":
		a += "?at=" + url.QueryEscape(at)
	case host != "":
		a += "?host=" + url.QueryEscape(host)
	}
	return a
}

// usualPlace is where a registry has the archive of a version, beneath its own address.
func usualPlace(name, version string) string {
	_, last, ok := strings.Cut(name, "/")
	if !ok {
		last = name
	}
	return "/" + name + "/-/" + last + "-" + version + ".tgz"
}

// Mirrors implements Resolver for the archives of packages.
func (n *NPM) Mirrors(ctx context.Context, address string) ([]Mirror, error) {
	rest, query, _ := strings.Cut(strings.TrimPrefix(address, "npm:"), "?")
	name, ok := strings.CutSuffix(rest, ".tgz")
	at := strings.LastIndexByte(name, '@')
	if !ok || at <= 0 || !validNPMName(name[:at]) {
		return nil, &engine.InvalidError{Err: fmt.Errorf("%q: want npm:NAME@VERSION.tgz", address)}
	}
	name, version := name[:at], name[at+1:]
	if _, err := semver.StrictNewVersion(version); err != nil {
		return nil, &engine.InvalidError{Err: fmt.Errorf("%q: %w", address, err)}
	}
	where, escaped, _ := strings.Cut(query, "=")
	place, err := url.QueryUnescape(escaped)
	if query == "" {
		place = usualPlace(name, version)
	} else if err != nil || where != "at" && where != "host" || !cleanPath(place) {
		return nil, &engine.InvalidError{Err: fmt.Errorf("%q: the path of the archive is none", address)}
	}
	c, err := n.configuration(ctx)
	if err != nil {
		return nil, err
	}
	base := c.registry(name)
	if where == "host" {
		u, err := url.Parse(base)
		if err != nil {
			return nil, err
		}
		base = u.Scheme + "://" + u.Host
	}
	return []Mirror{{URL: base + (&url.URL{Path: place}).EscapedPath()}}, nil
}

// cleanPath reports whether p is an absolute path that stays where it is.
func cleanPath(p string) bool {
	if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "\\?#\x00") {
		return false
	}
	for element := range strings.SplitSeq(p[1:], "/") {
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return true
}

var errNoNPM = errors.New("where are npm packages? Set npm_config_registry, write registry=… in .npmrc, or install npm")
