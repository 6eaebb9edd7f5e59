package registry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"cbuild/engine"

	"github.com/Masterminds/semver/v3"
)

// npmAbbreviated asks for the document of a package with what is needed to install it only. Registries may answer with the whole one.
const npmAbbreviated = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"

// An npmVersion is what is read of the document of a version.
type npmVersion struct {
	Name    string
	Version string
	Dist    struct{ Tarball, Integrity string }
	// Deprecated is a message, or true in old documents.
	Deprecated any
}

// A packument is what is read of the document of a package.
type packument struct {
	tags     map[string]string
	versions []version // ascending
	found    map[string]npmVersion
	times    map[string]string
}

func parseNPMVersion(body []byte) (npmVersion, error) {
	var v npmVersion
	if err := json.Unmarshal(body, &v); err != nil {
		return v, fmt.Errorf("the registry's answer is not what it should be: %w", err)
	}
	if _, err := semver.StrictNewVersion(v.Version); err != nil || len(v.Version) > 256 || !validNPMName(v.Name) {
		return v, fmt.Errorf("the registry's answer is about %q@%q, which is no version of a package", v.Name, v.Version)
	}
	return v, nil
}

// parsePackument reads the document of the package name. Versions that are none are left out.
func parsePackument(body []byte, name string) (packument, error) {
	var doc struct {
		Name     string
		Tags     map[string]string `json:"dist-tags"`
		Versions map[string]npmVersion
		Time     map[string]any
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return packument{}, fmt.Errorf("the registry's answer is not what it should be: %w", err)
	}
	if doc.Name != name {
		return packument{}, fmt.Errorf("the registry answered for %q", doc.Name)
	}
	p := packument{tags: doc.Tags, found: doc.Versions, times: map[string]string{}}
	var texts []string
	for text, v := range doc.Versions {
		if v.Name == name && v.Version == text {
			texts = append(texts, text)
		}
		if when, ok := doc.Time[text].(string); ok {
			if _, err := time.Parse(time.RFC3339, when); err == nil {
				p.times[text] = when
			}
		}
	}
	p.versions = semverVersions(texts)
	return p, nil
}

// items returns those versions that pick wants, ascending, as the registry at base has them.
func (p packument) items(pick npmPick, base string) []engine.Item {
	var items []engine.Item
	for _, v := range p.pick(pick) {
		items = append(items, p.found[v.text].item(p.times[v.text], base))
	}
	return items
}

func (p packument) pick(pick npmPick) []version {
	want := pick.text
	switch {
	case pick.text == "all" && pick.many:
		return p.versions
	case pick.allowed == nil && !pick.exact:
		want = p.tags[pick.text]
	}
	var found []version
	for _, v := range p.versions {
		if pick.allowed != nil && pick.allowed.Check(v.Version) || pick.allowed == nil && v.text == want {
			found = append(found, v)
		}
	}
	if !pick.many && len(found) > 1 {
		found = p.install(found)
	}
	return found
}

// install returns the one of the versions that npm installs: that with the tag latest, else the highest which is not deprecated, else the
// highest.
func (p packument) install(found []version) []version {
	best := found[len(found)-1]
	for _, v := range found {
		if !deprecated(p.found[v.text]) {
			best = v
		}
	}
	if i := slices.IndexFunc(found, func(v version) bool { return v.text == p.tags["latest"] && !deprecated(p.found[v.text]) }); i >= 0 {
		best = found[i]
	}
	return []version{best}
}

func deprecated(v npmVersion) bool { return v.deprecation() != nil }

// deprecation returns why nobody should use v, nil if nothing is said against it.
func (v npmVersion) deprecation() engine.Value {
	switch d := v.Deprecated.(type) {
	case string:
		return orNull(d)
	case bool:
		if d {
			return "deprecated"
		}
	}
	return nil
}

func (v npmVersion) item(time, base string) engine.Item {
	return engine.Item{Key: v.Name + "@" + v.Version, Value: engine.Object{
		"name": v.Name, "version": v.Version, "url": v.address(base), "integrity": orNull(integrity(v.Dist.Integrity)), "time": orNull(time), "deprecated": v.deprecation(),
	}}
}

// address returns where the archive of v is. One beneath a path that all registries have it at is meant to be had from whichever registry
// is asked: mirrors serve documents in which the original is named. Elsewhere in the registry at base, or on its host, it has an address
// relative to that, too; on other hosts it is where the document says.
func (v npmVersion) address(base string) engine.Value {
	u, err := url.Parse(v.Dist.Tarball)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil:
		return nil
	case strings.HasSuffix(u.Path, usualPlace(v.Name, v.Version)):
		return npmAddress(v.Name, v.Version, "", "")
	}
	own, err := url.Parse(base)
	if err != nil || own.Host != u.Host || u.RawQuery != "" || !cleanPath(u.Path) {
		return u.String()
	}
	if place, ok := strings.CutPrefix(u.Path, own.Path); ok && cleanPath(place) {
		return npmAddress(v.Name, v.Version, place, "")
	}
	return npmAddress(v.Name, v.Version, "", u.Path)
}

// integrity returns those of the digests in s that can be checked.
func integrity(s string) string {
	var good []string
	for token := range strings.FieldsSeq(s) {
		function, value, _ := strings.Cut(token, "-")
		b, err := base64.StdEncoding.DecodeString(value)
		if size := map[string]int{"sha256": 32, "sha384": 48, "sha512": 64}[function]; err == nil && size > 0 && len(b) == size {
			good = append(good, token)
		}
	}
	return strings.Join(good, " ")
}
