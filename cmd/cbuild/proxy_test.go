package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cbuild/rules/registry/fakeproxy"
)

// fakeNetwork is a module proxy and what a script keeps back of its answers.
type fakeNetwork struct {
	proxy  *fakeproxy.Proxy
	server *httptest.Server
	holds  map[string]func() // by name

	mu    sync.Mutex
	asked map[string][]time.Time // guarded by mu; when there were requests, by path
}

func newFakeNetwork() *fakeNetwork {
	n := &fakeNetwork{proxy: fakeproxy.New(), holds: map[string]func(){}, asked: map[string][]time.Time{}}
	n.server = httptest.NewServer(n)
	return n
}

// ServeHTTP notes when the request came and passes it on.
func (n *fakeNetwork) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.asked[r.URL.Path] = append(n.asked[r.URL.Path], time.Now())
	n.mu.Unlock()
	n.proxy.ServeHTTP(w, r)
}

func (n *fakeNetwork) close() {
	for _, release := range n.holds {
		release()
	}
	n.server.CloseClientConnections()
	n.server.Close()
}

type networkCommand = func(ts *testscript.TestScript, n *fakeNetwork, args []string)

// proxyCommands control the fake proxy of a script.
var proxyCommands = map[string]func(*testscript.TestScript, bool, []string){
	"proxy-add":       proxyCommand(1, proxyAdd),
	"proxy-many":      proxyCommand(2, proxyMany),
	"proxy-toolchain": proxyCommand(2, proxyToolchain),
	"proxy-fault":     proxyCommand(2, proxyFault),
	"proxy-heal":      proxyCommand(0, func(_ *testscript.TestScript, n *fakeNetwork, _ []string) { n.proxy.Heal() }),
	"proxy-reset":     proxyCommand(0, func(_ *testscript.TestScript, n *fakeNetwork, _ []string) { n.proxy.Reset() }),
	"proxy-count":     proxyCommand(2, proxyCount),
	"proxy-waited":    proxyCommand(2, proxyWaited),
	"proxy-hold": proxyCommand(2, func(_ *testscript.TestScript, n *fakeNetwork, args []string) {
		n.holds[args[0]] = n.proxy.Hold(args[1])
	}),
	"proxy-release": proxyCommand(1, func(_ *testscript.TestScript, n *fakeNetwork, args []string) { n.holds[args[0]]() }),
}

// proxyCommand is a command of a script that takes at least so many arguments.
func proxyCommand(least int, do networkCommand) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < least {
			ts.Fatalf("want at least %d arguments, and no !", least)
		}
		do(ts, ts.Value(networkKey{}).(*fakeNetwork), args)
	}
}

// proxyAdd adds versions of modules, each with a Go file of its own: proxy-add MODULE@VERSION….
func proxyAdd(ts *testscript.TestScript, n *fakeNetwork, args []string) {
	for _, a := range args {
		path, version, ok := strings.Cut(a, "@")
		if !ok {
			ts.Fatalf("%s: want MODULE@VERSION", a)
		}
		n.proxy.Add(testModule(path, version))
	}
}

func testModule(path, version string) fakeproxy.Module {
	return fakeproxy.Module{Path: path, Version: version, Files: map[string]string{
		"go.mod": "module " + path + "\n",
		"a.go":   "package a // " + path + "@" + version + "\n",
	}}
}

// proxyMany adds the modules example.com/m001 … and appends their names to a file: proxy-many N FILE.
func proxyMany(ts *testscript.TestScript, n *fakeNetwork, args []string) {
	count, err := strconv.Atoi(args[0])
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[1]), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	ts.Check(err)
	defer f.Close()
	for i := range count {
		m := testModule(fmt.Sprintf("example.com/m%03d", i), "v1.0.0")
		n.proxy.Add(m)
		fmt.Fprintln(f, m.Path)
	}
}

// proxyToolchain adds a Go toolchain whose gofmt is a shell script: proxy-toolchain VERSION FILE.
func proxyToolchain(ts *testscript.TestScript, n *fakeNetwork, args []string) {
	n.proxy.Add(fakeproxy.Toolchain(args[0], runtime.GOOS, runtime.GOARCH, map[string]string{"bin/gofmt": ts.ReadFile(args[1])}))
}

// proxyFault makes answers go wrong: proxy-fault PATTERN WORD…, where a WORD is status=N, retry-after=S, cut=reset|short, at=N, body=FILE,
// times=N or always. Without times or always the fault is good for one request.
func proxyFault(ts *testscript.TestScript, n *fakeNetwork, args []string) {
	var f fakeproxy.Fault
	times := 1
	for _, word := range args[1:] {
		name, value, _ := strings.Cut(word, "=")
		number, err := strconv.Atoi(value)
		switch name {
		case "status":
			f.Status = number
		case "retry-after":
			f.RetryAfter = value
		case "at":
			f.At = number
		case "times":
			times = number
		case "always":
			f.Always, err = true, nil
		case "cut":
			f.Cut, err = map[string]fakeproxy.Cut{"reset": fakeproxy.Reset, "short": fakeproxy.Short}[value], nil
		case "module":
			path, version, _ := strings.Cut(value, "@")
			m := testModule(path, version)
			m.Files["a.go"] = "package evil\n"
			f.Body, err = fakeproxy.Zip(m), nil
		default:
			ts.Fatalf("unknown word %s", word)
		}
		ts.Check(err)
	}
	for range times {
		n.proxy.Fault(args[0], f)
	}
}

// proxyCount checks how many requests there were since the last proxy-reset: proxy-count PATTERN N; "*" counts all.
func proxyCount(ts *testscript.TestScript, n *fakeNetwork, args []string) {
	got := n.proxy.Count(args[0])
	if args[0] == "*" {
		got = n.proxy.Total()
	}
	if strconv.Itoa(got) != args[1] {
		ts.Fatalf("%d requests for %s, want %s", got, args[0], args[1])
	}
}

// proxyWaited checks that the last two requests for a path were at least so long apart: proxy-waited PATH DURATION.
func proxyWaited(ts *testscript.TestScript, n *fakeNetwork, args []string) {
	least, err := time.ParseDuration(args[1])
	ts.Check(err)
	n.mu.Lock()
	defer n.mu.Unlock()
	when := n.asked[args[0]]
	if len(when) < 2 || when[len(when)-1].Sub(when[len(when)-2]) < least {
		ts.Fatalf("requests for %s came at %v, want %v between the last two", args[0], when, least)
	}
}
