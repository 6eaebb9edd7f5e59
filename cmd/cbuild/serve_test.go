package main_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// A web serves the files of a directory of a script, and counts what is asked. A file NAME.headers beside NAME holds lines of headers for
// it; a line "status: N" among them is the status. A file NAME.wants holds headers without which it is forbidden.
type web struct {
	dir   string
	mu    sync.Mutex
	asked map[string]int // guarded by mu
}

func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.RequestURI(), "/")
	w.mu.Lock()
	w.asked[name]++
	w.mu.Unlock()
	name = strings.NewReplacer("?", "_", "&", "_", "=", "_").Replace(name)
	data, err := os.ReadFile(filepath.Join(w.dir, filepath.FromSlash(name)))
	if err != nil {
		http.NotFound(rw, r)
		return
	}
	wants, _ := os.ReadFile(filepath.Join(w.dir, filepath.FromSlash(name)) + ".wants")
	for line := range strings.Lines(string(wants)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ": "); r.Header.Get(name) != value {
			http.Error(rw, "not without "+name, http.StatusForbidden)
			return
		}
	}
	status := http.StatusOK
	headers, _ := os.ReadFile(filepath.Join(w.dir, filepath.FromSlash(name)) + ".headers")
	for line := range strings.Lines(string(headers)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name == "status" {
			status, _ = strconv.Atoi(value)
		} else if name != "" {
			rw.Header().Set(name, value)
		}
	}
	rw.WriteHeader(status)
	_, _ = rw.Write(data)
}

var webCommands = map[string]func(*testscript.TestScript, bool, []string){
	"serve":  serve,
	"served": served,
}

// serve serves a directory on loopback, at the address $WEB: serve DIR. What its files say can be changed meanwhile.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve DIR")
	}
	w := &web{dir: ts.MkAbs(args[0]), asked: make(map[string]int)}
	server := httptest.NewServer(w)
	ts.Defer(server.Close)
	ts.Setenv("WEB", server.URL)
	webs.Store(ts, w)
}

// webs finds the web of a script.
var webs sync.Map

// served checks how often a path was asked for since the last time: served PATH N. "*" counts all.
func served(ts *testscript.TestScript, neg bool, args []string) {
	found, ok := webs.Load(ts)
	if neg || len(args) != 2 || !ok {
		ts.Fatalf("usage: served PATH N, behind serve")
	}
	w := found.(*web)
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.asked[args[0]]
	if args[0] == "*" {
		n = 0
		for v := range maps.Values(w.asked) {
			n += v
		}
	}
	if strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s was asked for %d times, want %s: %v", args[0], n, args[1], w.asked)
	}
	clear(w.asked)
}
