// Package fakes are package registries for tests, over packages that are made up: npm, Debian, and so on, each at a path of its own of one
// World. It answers in the shapes in which the real ones do, counts requests and misbehaves as it is told. Make a World with New, Add
// packages, Serve it, and hand Env to whoever is to use it. The registry of Go modules is in package fakeproxy.
package fakes

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Package is one version of a package. Which of the fields count depends on the registry.
type Package struct {
	Name, Version string
	// Files are what is in it, by name.
	Files map[string]string
	// Yanked, or deprecated, says why nobody should use it; "" if nothing is said against it.
	Yanked string
	// Unchecked leaves out the checksum, as the oldest packages have none.
	Unchecked bool
	// Section, Arch, and Depends are control fields of a Debian package.
	Section, Arch, Depends string
	// Wheel makes a wheel of a Python package beside its sdist.
	Wheel bool
	// NoSource leaves out the sdist.
	NoSource bool
	// Downloads is how often a crate was downloaded.
	Downloads int64
	// Tag is a dist-tag of npm that leads to it, besides latest.
	Tag string
}

// Published is when all packages were published.
var Published = time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)

// A World is an http.Handler. All methods may be called concurrently.
type World struct {
	// Place, if set, is the address that answers name for downloads; else it is the one that was asked.
	Place string

	debian *signer

	mu       sync.Mutex
	packages map[string][]Package // guarded by mu; by registry, in the order in which they were added
	counts   map[string]int       // guarded by mu; by request path
	status   map[string]int       // guarded by mu; what is answered, by request path or pattern
	headers  map[string]string    // guarded by mu; what goes with a status
	bodies   map[string]string    // guarded by mu; what is said in place of the truth, by request path or pattern
	sent     []http.Header        // guarded by mu
	token    string               // guarded by mu; must be sent with every request to npm and GitHub, if it is set
}

// New returns a world without packages.
func New() *World {
	return &World{debian: newSigner(), packages: map[string][]Package{}, counts: map[string]int{}, status: map[string]int{}, bodies: map[string]string{}}
}

// SetToken makes a token one that must be sent with every request to npm and GitHub; "" lets everybody in.
func (w *World) SetToken(token string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.token = token
}

// admits reports whether a request has the token, if there is one.
func (w *World) admits(r *http.Request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.token == "" || r.Header.Get("Authorization") == "Bearer "+w.token
}

// Add adds packages to a registry.
func (w *World) Add(registry string, packages ...Package) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packages[registry] = append(w.packages[registry], packages...)
}

// Env returns the variables with which the ecosystems' programs and cbuild use w, served at base, and nothing else.
func (w *World) Env(base string) []string {
	return []string{
		"npm_config_registry=" + base + "/npm/", "DEBIAN_MIRROR=" + base + "/debian",
		"CARGO_REGISTRIES_CRATES_IO_INDEX=sparse+" + base + "/crates/index/", "GITHUB_API_URL=" + base + "/github", "GITHUB_SERVER_URL=" + base + "/github", "GITHUB_TOKEN=", "GH_TOKEN=",
		"PIP_INDEX_URL=" + base + "/pypi/simple/", "DEBIAN_SNAPSHOTS=" + base + "/snapshots/@SNAPSHOTID@",
	}
}

// Serve starts w on a loopback port; close the server when done.
func (w *World) Serve() *httptest.Server { return httptest.NewServer(w) }

// Answer makes requests for pattern, a path or a pattern of path.Match, end with a status, with headers NAME, VALUE…; 0 makes them work again.
func (w *World) Answer(pattern string, status int, headers ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.headers = map[string]string{}
	for i := 0; i+1 < len(headers); i += 2 {
		w.headers[headers[i]] = headers[i+1]
	}
	w.status[pattern] = status
}

// Say makes requests for pattern be answered with body.
func (w *World) Say(pattern, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bodies[pattern] = body
}

// said returns the body that Say has for a path.
func (w *World) said(name string) (body string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for pattern, body := range w.bodies {
		if ok, _ := path.Match(pattern, name); ok || pattern == name {
			return body, true
		}
	}
	return "", false
}

// Count returns how many requests for pattern there were.
func (w *World) Count(pattern string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, c := range w.counts {
		if ok, _ := path.Match(pattern, name); ok || name == pattern || pattern == "*" {
			n += c
		}
	}
	return n
}

// Asked lists the paths that were asked for, sorted.
func (w *World) Asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.counts))
}

// Sent returns the headers of all requests.
func (w *World) Sent() []http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sent)
}

// Reset forgets what was asked.
func (w *World) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.counts)
	w.sent = nil
}

// An answer is what a registry says.
type answer struct {
	body    []byte
	kind    string
	headers map[string]string
}

// ServeHTTP implements http.Handler.
func (w *World) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if status := w.arrived(r, rw.Header()); status != 0 {
		http.Error(rw, http.StatusText(status), status)
		return
	}
	if body, ok := w.said(r.URL.Path); ok {
		_, _ = rw.Write([]byte(body))
		return
	}
	registry, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	place := w.Place
	if place == "" {
		place = "http://" + r.Host
	}
	var a *answer
	switch registry {
	case "npm":
		if !w.admits(r) {
			http.Error(rw, "who are you?", http.StatusUnauthorized)
			return
		}
		a = w.npm(rest, place+"/npm")
	case "crates":
		a = w.crates(rest, place+"/crates")
	case "github":
		if strings.HasPrefix(rest, "repos/") && !w.admits(r) {
			http.Error(rw, "who are you?", http.StatusUnauthorized)
			return
		}
		a = w.github(rest, r.URL.Query(), place+"/github")
	case "pypi":
		a = w.pypi(rest)
	case "debian":
		a = w.debianArchive(rest)
	case "snapshots":
		_, rest, _ = strings.Cut(rest, "/")
		a = w.debianArchive(rest)
	}
	if a == nil {
		http.NotFound(rw, r)
		return
	}
	for name, value := range a.headers {
		rw.Header().Set(name, value)
	}
	if a.kind != "" {
		rw.Header().Set("Content-Type", a.kind)
	}
	if etag := rw.Header().Get("ETag"); etag != "" && r.Header.Get("If-None-Match") == etag {
		rw.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = rw.Write(a.body)
}

// arrived counts a request and returns the status that it must end with, with its headers, 0 if it may be answered.
func (w *World) arrived(r *http.Request, headers http.Header) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[r.URL.Path]++
	w.sent = append(w.sent, r.Header.Clone())
	for pattern, status := range w.status {
		if ok, _ := path.Match(pattern, r.URL.Path); ok || pattern == r.URL.Path {
			for name, value := range w.headers {
				headers.Set(name, value)
			}
			return status
		}
	}
	return 0
}

// of returns the packages of a registry.
func (w *World) of(registry string) []Package {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.packages[registry])
}

// named returns the packages of a registry with a name.
func (w *World) named(registry, name string) []Package {
	return slices.DeleteFunc(w.of(registry), func(p Package) bool { return p.Name != name })
}

// tarball is a tar.gz file with the files of p in dir. A file whose text begins with #! is executable.
func tarball(p Package, dir string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		text, mode := p.Files[name], int64(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		_ = t.WriteHeader(&tar.Header{Name: dir + "/" + name, Mode: mode, Size: int64(len(text)), Typeflag: tar.TypeReg}) // into memory
		_, _ = t.Write([]byte(text))
	}
	_ = t.Close()
	_ = z.Close()
	return b.Bytes()
}
