// Package fakeproxy is a module proxy and checksum database for tests, over modules that are made up. It counts requests and misbehaves
// as it is told. Make one with New, Add modules (or set Generate for many), serve it over HTTP, and hand Env to whoever is to use it.
//
// A checksum database never forgets: whoever keeps what it saw must not meet two databases of one name. So each Proxy has a name and a
// key of its own.
package fakeproxy

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

// A Proxy is an http.Handler. All methods may be called concurrently.
type Proxy struct {
	// NoLatest makes @latest a 404, as mirrors do. Set it before the first request.
	NoLatest bool
	// Generate returns the modules that were not added, all versions of one path; nil if there is no such path.
	Generate func(path string) []Module

	name     string
	signer   string
	verifier string
	sums     http.Handler

	mu      sync.Mutex
	modules map[string][]Module   // guarded by mu; by path
	made    map[string]*artifacts // guarded by mu; by path@version
	counts  map[string]int        // guarded by mu; by request path
	faults  map[string][]Fault    // guarded by mu; by request path or pattern
	order   []string              // guarded by mu; the keys of faults as they were first given
}

// New returns a proxy without modules.
func New() *Proxy {
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	name := "sum-" + hex.EncodeToString(id[:]) + ".example"
	signer, verifier, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		panic(err) // the name is a constant form
	}
	return newProxy(name, signer, verifier)
}

func newProxy(name, signer, verifier string) *Proxy {
	p := &Proxy{
		name: name, signer: signer, verifier: verifier,
		modules: map[string][]Module{}, made: map[string]*artifacts{}, counts: map[string]int{}, faults: map[string][]Fault{},
	}
	p.sums = sumdb.NewServer(sumdb.NewTestServer(signer, p.goSum))
	return p
}

// Forked returns a proxy without modules whose checksum database has the name and key of p's but another history: a lie.
func (p *Proxy) Forked() *Proxy { return newProxy(p.name, p.signer, p.verifier) }

// Serve starts p on a loopback port; close the server when done.
func (p *Proxy) Serve() *httptest.Server { return httptest.NewServer(p) }

// Env returns the variables with which the go command and cbuild use p, served at base, and nothing else. The checksum database is
// reached through the proxy.
func (p *Proxy) Env(base string) []string {
	return []string{"GOPROXY=" + base, "GOSUMDB=" + p.verifier, "GONOPROXY=none", "GONOSUMDB=none", "GOPRIVATE=none", "GOFLAGS=", "GOINSECURE="}
}

// SumDB returns the value of GOSUMDB for p, served at base, that asks it without regard to GOPROXY.
func (p *Proxy) SumDB(base string) string { return p.verifier + " " + base + "/sumdb" }

// SumDBName returns the name of the checksum database.
func (p *Proxy) SumDBName() string { return p.name }

// Add adds modules.
func (p *Proxy) Add(modules ...Module) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range modules {
		p.modules[m.Path] = append(p.modules[m.Path], m)
		delete(p.made, m.Path+"@"+m.Version)
	}
}

// Count returns how many requests for path there were; path may be a pattern of path.Match.
func (p *Proxy) Count(pattern string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for name, c := range p.counts {
		if ok, _ := path.Match(pattern, name); ok || name == pattern {
			n += c
		}
	}
	return n
}

// Total returns the number of requests.
func (p *Proxy) Total() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.counts {
		n += c
	}
	return n
}

// Reset forgets the counts.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.counts)
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.arrived(r.URL.Path)
	if f == nil {
		p.serve(w, r)
		return
	}
	f.apply(w, r, p.serve)
}

// arrived counts a request and returns its fault, if any.
func (p *Proxy) arrived(name string) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[name]++
	return p.nextFault(name)
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/sumdb/"); ok {
		rest = strings.TrimPrefix(rest, p.name+"/")
		if rest == "supported" {
			return
		}
		r.URL.Path = "/" + rest
		p.sums.ServeHTTP(w, r)
		return
	}
	body, err := p.answer(r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body)
}

// answer returns the body for a request of the module proxy protocol.
func (p *Proxy) answer(name string) ([]byte, error) {
	name = strings.TrimPrefix(name, "/")
	escaped, file, inV := strings.Cut(name, "/@v/")
	if !inV {
		escaped, inV = strings.CutSuffix(name, "/@latest")
		if !inV || p.NoLatest {
			return nil, fmt.Errorf("not found: %s", name)
		}
		file = "@latest"
	}
	modulePath, err := module.UnescapePath(escaped)
	if err != nil {
		return nil, err
	}
	versions := p.versions(modulePath)
	switch {
	case len(versions) == 0:
		return nil, fmt.Errorf("not found: module %s", modulePath)
	case file == "list":
		return list(versions), nil
	case file == "@latest":
		return info(latest(versions)), nil
	}
	version, err := module.UnescapeVersion(strings.TrimSuffix(file, path.Ext(file)))
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(versions, func(m Module) bool { return m.Version == version })
	if i < 0 {
		return nil, fmt.Errorf("not found: %s@%s: unknown revision", modulePath, version)
	}
	switch path.Ext(file) {
	case ".info":
		return info(versions[i]), nil
	case ".mod":
		return []byte(versions[i].goMod()), nil
	case ".zip":
		a, err := p.artifacts(versions[i])
		if err != nil {
			return nil, err
		}
		return a.zip, nil
	}
	return nil, fmt.Errorf("not found: %s", name)
}

func (p *Proxy) versions(modulePath string) []Module {
	p.mu.Lock()
	added := slices.Clone(p.modules[modulePath])
	p.mu.Unlock()
	if len(added) == 0 && p.Generate != nil {
		return p.Generate(modulePath)
	}
	return added
}

func info(m Module) []byte {
	t := m.Time
	if t.IsZero() {
		t = time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	b, _ := json.Marshal(map[string]any{"Version": m.Version, "Time": t.Format(time.RFC3339)}) //nolint:errchkjson // two strings
	return b
}
