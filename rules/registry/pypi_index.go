package registry

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"cbuild/rules/download"
)

const (
	// pypiIndex is where PyPI has its index.
	pypiIndex = "https://pypi.org/simple"
	// simpleJSON is the form of an index that is read (PEP 691).
	simpleJSON = "application/vnd.pypi.simple.v1+json"
	// maxProject is the greatest size of what an index has about a package. The largest have some tens of megabytes.
	maxProject = 128 << 20
)

// index returns the address of the index: PIP_INDEX_URL, what a configuration of pip says, or PyPI's own. A name and password in
// it are sent to it, and shown nowhere.
func (p *PyPI) index() (string, error) { return p.base.get(p.opts.Client, p.configured) }

func (p *PyPI) configured() (string, error) {
	m := p.opts.Machine
	address := m.env("PIP_INDEX_URL")
	for _, name := range p.configFiles() {
		if address != "" || !filepath.IsAbs(name) {
			continue
		}
		text, err := m.read(name)
		if err != nil {
			return "", fmt.Errorf("pip's configuration: %w", err)
		}
		address = pipIndex(text)
	}
	if address == "" {
		address = pypiIndex
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("pip's index is not an address") // err shows passwords
	}
	login := u.User
	u.User = nil
	b, err := base("pip's index", u.String())
	if err != nil {
		return "", err
	}
	p.opts.Client.Declare(b)
	if login != nil {
		password, _ := login.Password()
		value := "Basic " + base64.StdEncoding.EncodeToString([]byte(login.Username()+":"+password))
		p.opts.Client.Authorize(u.Host+u.Path, value)
	}
	return b, nil
}

// configFiles are the names of pip's files of configuration, those that count more first.
func (p *PyPI) configFiles() []string {
	m := p.opts.Machine
	if name := m.env("PIP_CONFIG_FILE"); name != "" {
		return []string{name}
	}
	config := m.env("XDG_CONFIG_HOME")
	if config == "" {
		config = m.home(".config")
	}
	return []string{filepath.Join(m.env("VIRTUAL_ENV"), "pip.conf"), filepath.Join(config, "pip", "pip.conf"), m.home(".pip", "pip.conf"), "/etc/xdg/pip/pip.conf", "/etc/pip.conf"}
}

// pipIndex returns the value of index-url in the section global or install of a configuration of pip.
func pipIndex(text string) string {
	section, found := "", map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.ContainsAny(line[:1], "#;") {
			continue
		}
		if line[0] == '[' {
			section = strings.Trim(line, "[]")
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		if n := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "_", "-"); n == "index-url" {
			found[section] = strings.TrimSpace(value)
		}
	}
	return cmp.Or(found["install"], found["global"])
}

// A pyFile is a file of a package as the index has it.
type pyFile struct {
	Filename, URL  string
	Hashes         map[string]string
	RequiresPython string `json:"requires-python"`
	// Yanked is false, or why nobody should use it, or true.
	Yanked any
}

func (f pyFile) yanked() bool { return f.Yanked != nil && f.Yanked != false }

func (f pyFile) sum() string {
	if sum := strings.ToLower(f.Hashes["sha256"]); isSHA256(sum) {
		return sum
	}
	return ""
}

// A pyRelease is a version with its files, in the order of their names.
type pyRelease struct {
	version pyVersion
	files   []pyFile
}

// yanked reports whether all files are.
func (r pyRelease) yanked() bool {
	return !slices.ContainsFunc(r.files, func(f pyFile) bool { return !f.yanked() })
}

// best returns the file of a kind. Of sources, tar.gz is what all build; of wheels, that for any machine is the one for most.
func (r pyRelease) best(kind string) (best pyFile, ok bool) {
	rank := func(f pyFile) int {
		switch {
		case kind == "sdist" && strings.HasSuffix(f.Filename, ".tar.gz"), kind == "wheel" && strings.HasSuffix(f.Filename, "py3-none-any.whl"):
			return 2
		case kind == "sdist" && !strings.HasSuffix(f.Filename, ".whl"), kind == "wheel" && strings.HasSuffix(f.Filename, ".whl"):
			return 1
		}
		return 0
	}
	for _, f := range r.files {
		if n := rank(f); n > 0 && (!ok || n > rank(best)) {
			best, ok = f, true
		}
	}
	return best, ok
}

// project asks the index for a package and returns its versions, ascending.
func (p *PyPI) project(ctx context.Context, name string) ([]pyRelease, error) {
	index, err := p.index()
	if err != nil {
		return nil, err
	}
	address := index + "/" + name + "/"
	var body []byte
	err = Try(ctx, []Mirror{{URL: address}}, func(address string) error {
		body, err = p.cache.get(ctx, p.opts.Client, download.Request{URL: address, Headers: map[string]string{"Accept": simpleJSON}, Max: maxProject})
		return err
	})
	if err != nil {
		return nil, err
	}
	return parseProject(body, name, address)
}

// parseProject reads what an index has about the package name at address. Files whose names do not say a version of it are left out.
func parseProject(body []byte, name, address string) ([]pyRelease, error) {
	var said struct{ Files []pyFile }
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, fmt.Errorf("the index's answer is no JSON, as PEP 691 has it: %w", err)
	}
	at, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	found := map[string]*pyRelease{}
	for _, f := range said.Files {
		v, ok := fileVersion(f.Filename, name)
		u, err := at.Parse(f.URL)
		if !ok || err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			continue
		}
		u.Fragment, u.RawFragment = "", ""
		f.URL = u.String()
		r := found[v.key()] // a sdist of 1.0 may have a wheel of 1.0.0
		if r == nil {
			r = &pyRelease{version: v}
			found[v.key()] = r
		}
		r.version.text = min(r.version.text, v.text)
		r.files = append(r.files, f)
	}
	var all []pyRelease
	for _, r := range found {
		slices.SortFunc(r.files, func(a, b pyFile) int { return strings.Compare(a.Filename, b.Filename) })
		r.files = slices.CompactFunc(r.files, func(a, b pyFile) bool { return a.Filename == b.Filename })
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b pyRelease) int {
		return cmp.Or(comparePy(a.version, b.version), strings.Compare(a.version.text, b.version.text))
	})
	return all, nil
}

// fileVersion returns the version that the name of a file says: NAME-VERSION.tar.gz, or NAME-VERSION-…whl.
func fileVersion(file, name string) (pyVersion, bool) {
	if !cleanPath("/"+file) || strings.ContainsRune(file, '/') {
		return pyVersion{}, false
	}
	stem, wheel := strings.CutSuffix(file, ".whl")
	if wheel {
		parts := strings.Split(stem, "-")
		if len(parts) < 5 || normalPyName(parts[0]) != name {
			return pyVersion{}, false
		}
		return parsePyVersion(parts[1])
	}
	for _, suffix := range []string{".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz"} {
		if s, ok := strings.CutSuffix(file, suffix); ok {
			for i := range s { // old names may hold hyphens, and so may versions
				if s[i] == '-' && normalPyName(s[:i]) == name {
					if v, ok := parsePyVersion(s[i+1:]); ok {
						return v, true
					}
				}
			}
		}
	}
	return pyVersion{}, false
}
