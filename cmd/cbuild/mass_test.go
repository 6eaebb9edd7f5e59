package main_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A massRegistry has many small packages, an index in pages, some latency, and if it is told so a fault here and there.
type massRegistry struct {
	*httptest.Server
	packages [][]byte // archives with a file of words each
	latency  time.Duration
	// faulty is how many of 1,000 requests go wrong.
	faulty int

	mu       sync.Mutex
	rand     *rand.Rand     // guarded by mu
	requests map[string]int // guarded by mu; by path
	faults   map[string]int // guarded by mu; by path
}

// newMassRegistry starts one with n packages of some 20 KB.
func newMassRegistry(t testing.TB, n int, latency time.Duration, faulty int) *massRegistry {
	t.Helper()
	r := &massRegistry{latency: latency, faulty: faulty, rand: rand.New(rand.NewPCG(1, uint64(n))), requests: map[string]int{}, faults: map[string]int{}}
	content := rand.New(rand.NewPCG(7, 7))
	for i := range n {
		r.packages = append(r.packages, massPackage(t, i, content))
	}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// massPackage returns an archive with a file that has i%10 lines which say "finding", and some that can't be compressed.
func massPackage(t testing.TB, i int, content *rand.Rand) []byte {
	t.Helper()
	var text bytes.Buffer
	for range i % 10 {
		text.WriteString("finding\n")
	}
	for text.Len() < 25_000 {
		fmt.Fprintf(&text, "%x\n", content.Uint64())
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	for name, data := range map[string][]byte{"words.txt": text.Bytes()} {
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("p%05d/%s", i, name), Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(data)
	}
	if w.Close() != nil || z.Close() != nil {
		t.Fatal("an archive can't be written")
	}
	return packed.Bytes()
}

const massPage = 100

// ServeHTTP answers /index/N with a page and /p/NNNNN.tar.gz with a package.
func (r *massRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	time.Sleep(r.latency)
	body, ok := r.content(req.URL.Path)
	if !ok {
		http.NotFound(w, req)
		return
	}
	r.mu.Lock()
	r.requests[req.URL.Path]++
	fault := -1
	if r.rand.IntN(1000) < r.faulty {
		kinds := len(massFaults)
		if strings.HasPrefix(req.URL.Path, "/index/") {
			kinds -= unchecked
		}
		fault = r.rand.IntN(kinds)
		r.faults[req.URL.Path]++
	}
	r.mu.Unlock()
	if fault >= 0 {
		massFaults[fault](w, body)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// unchecked is how many of massFaults, the last ones, nobody could notice in a page of an index: it has no checksum.
const unchecked = 2

// massFaults are what goes wrong.
var massFaults = []func(w http.ResponseWriter, body []byte){
	func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusServiceUnavailable) },
	func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusBadGateway) },
	func(w http.ResponseWriter, _ []byte) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	},
	func(http.ResponseWriter, []byte) { panic(http.ErrAbortHandler) },
	func(w http.ResponseWriter, body []byte) { // breaks off in the middle
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	},
	func(w http.ResponseWriter, body []byte) { // one byte is wrong
		wrong := bytes.Clone(body)
		wrong[len(wrong)/2] ^= 1
		_, _ = w.Write(wrong)
	},
	func(w http.ResponseWriter, _ []byte) { _, _ = w.Write([]byte("<html>please log in</html>")) },
}

func (r *massRegistry) content(path string) ([]byte, bool) {
	if n, ok := massNumber(path, "/p/", ".tar.gz"); ok && n < len(r.packages) {
		return r.packages[n], true
	}
	n, ok := massNumber(path, "/index/", "")
	if !ok || n*massPage > len(r.packages) {
		return nil, false
	}
	page := struct {
		Items []map[string]string `json:"items"`
		Next  *string             `json:"next"`
	}{Items: []map[string]string{}}
	for i := n * massPage; i < min(len(r.packages), (n+1)*massPage); i++ {
		sum := sha256.Sum256(r.packages[i])
		page.Items = append(page.Items, map[string]string{"name": fmt.Sprintf("p%05d", i), "url": fmt.Sprintf("%s/p/%05d.tar.gz", r.URL, i), "sha256": hex.EncodeToString(sum[:])})
	}
	if (n+1)*massPage < len(r.packages) {
		next := fmt.Sprintf("/index/%d", n+1)
		page.Next = &next
	}
	body, err := json.Marshal(page)
	return body, err == nil
}

func massNumber(path, prefix, suffix string) (int, bool) {
	rest, ok := strings.CutPrefix(path, prefix)
	rest, end := strings.CutSuffix(rest, suffix)
	n, err := strconv.Atoi(rest)
	return n, ok && end && err == nil && n >= 0
}

// massFiles is an experiment on every package, after the others have been asked for.
func massFiles(r *massRegistry) map[string]string {
	return map[string]string{"BUILD.hcl": `
query "packages" {
  url   = "` + r.URL + `/index/0"
  items = { for p in page.json.items : p.name => p }
  next  = page.json.next
}

fetch "source" {
  for_each = query.packages

  url    = each.value.url
  sha256 = each.value.sha256
  unpack = true
}

run "search" {
  for_each = fetch.source

  inputs        = { src = each.value.out }
  command       = ["awk", "/^finding$/ { n++ } END { print n + 0; exit n > 4 }", "src/${each.key}/words.txt"]
  stdout        = "findings"
  allow_failure = true
}

collate "report" {
  rows    = run.search
  columns = { outcome = each.value.outcome, findings = each.value.partial == null ? "" : each.value.text }
}
`}
}

// massSize is how many packages the test takes.
func massSize(t testing.TB, name string, otherwise int) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		return otherwise
	}
	return n
}

// Thousands of packages come from a registry in which one of a hundred requests goes wrong. Every package is right, none is asked for more
// often than it failed, and again nothing is asked at all. CBUILD_MASS=5000 takes that many packages.
func TestMassOfPackagesWithFaults(t *testing.T) {
	n := massSize(t, "CBUILD_MASS", 300)
	r := newMassRegistry(t, n, 0, 10)
	defer func(p time.Duration) { patience = p }(patience)
	patience += time.Duration(n) * 50 * time.Millisecond
	w := newWorld(t, nil, massFiles(r))
	p, all := w.build(0, "report", "--connections", "64")
	failed := 0
	for i := range n {
		if i%10 > 4 {
			failed++
		}
	}
	counts := map[string]int{}
	for _, e := range all {
		if e.Type == "finished" {
			counts[e.Target+" "+e.Outcome]++
		}
	}
	if counts["//:source pass"] != n || counts["//:search pass"] != n-failed || counts["//:search fail"] != failed {
		t.Errorf("%d packages, of which %d have many findings: %v\n%s", n, failed, counts, p.said())
	}
	r.mu.Lock()
	faults := 0
	for path, asked := range r.requests {
		faults += r.faults[path]
		if asked > 1+r.faults[path] {
			t.Errorf("%s was asked for %d times, and went wrong %d times", path, asked, r.faults[path])
		}
	}
	r.requests = map[string]int{}
	r.mu.Unlock()
	if faults == 0 {
		t.Error("nothing went wrong: the test shows nothing")
	}
	t.Logf("%d packages, %d faults", n, faults)
	if _, all := w.build(0, "report"); len(all) == 0 || len(r.requests) != 0 {
		t.Errorf("again: %d requests", len(r.requests))
	}
}

// TestMassAgainstOthers downloads the same packages with cbuild and with what else there is, in one run, and tells the times. It runs
// with CBUILD_COMPARE=N for N packages.
func TestMassAgainstOthers(t *testing.T) {
	n := massSize(t, "CBUILD_COMPARE", 0)
	if n == 0 {
		t.Skip("SKIPPED: a comparison, not a test: CBUILD_COMPARE=5000 runs it")
	}
	const connections = 64
	r := newMassRegistry(t, n, 50*time.Millisecond, 0)
	var list, checked strings.Builder
	for i, p := range r.packages {
		sum := sha256.Sum256(p)
		fmt.Fprintf(&list, "%s/p/%05d.tar.gz\n", r.URL, i)
		fmt.Fprintf(&checked, "%s/p/%05d.tar.gz\n  out=%05d.tar.gz\n  checksum=sha-256=%s\n", r.URL, i, i, hex.EncodeToString(sum[:]))
	}
	shell := func(script string) func(dir string) *exec.Cmd {
		return func(dir string) *exec.Cmd {
			for name, text := range map[string]string{"list": list.String(), "checked": checked.String()} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("bash", "-ec", fmt.Sprintf("N=%d; mkdir -p dl; %s", connections, script))
			cmd.Dir = dir
			return cmd
		}
	}
	ours := func(targets ...string) func(dir string) *exec.Cmd {
		return func(string) *exec.Cmd {
			w := newWorld(t, nil, massFiles(r))
			cmd := exec.Command(binary, append([]string{"--progress", "none", "--connections", fmt.Sprint(connections)}, targets...)...)
			cmd.Dir, cmd.Env = w.dir, w.environ()
			return cmd
		}
	}
	type contender struct {
		name string
		cmd  func(dir string) *exec.Cmd
	}
	contests := map[string][]contender{
		"download": {
			{"cbuild (verified, unpacked, stored)", ours("source")},
			{"xargs -P curl", shell("xargs -P $N -n 1 sh -c 'curl -sf -o dl/$(basename $0) $0' < list")},
			{"xargs -P curl, 20 addresses each", shell("cd dl; xargs -P $N -n 20 curl -sf --remote-name-all < ../list")},
			{"aria2c", shell("aria2c -q -j $N -x 1 -i checked -d dl --file-allocation=none")},
		},
		"download, unpack, search, collate": {
			{"cbuild", ours("report")},
			{"xargs -P sh", shell("xargs -P $N -n 1 sh -c 'n=$(basename $0 .tar.gz); curl -sf $0 | tar xz -C dl && awk \"/^finding\\$/ { n++ } END { print n + 0 }\" dl/p$n/words.txt > dl/$n.count' < list; cat dl/*.count | sort | uniq -c > report")},
		},
	}
	for _, contest := range []string{"download", "download, unpack, search, collate"} {
		times := map[string][]time.Duration{}
		for range 3 {
			for _, c := range contests[contest] {
				cmd := c.cmd(t.TempDir())
				if _, err := exec.LookPath(strings.Fields(c.name)[0]); err != nil && c.name == "aria2c" {
					t.Log("SKIPPED: there is no aria2c")
					continue
				}
				began := time.Now()
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%.2000s", c.name, err, out)
				}
				times[c.name] = append(times[c.name], time.Since(began))
			}
		}
		for _, c := range contests[contest] {
			if all := slices.Sorted(slices.Values(times[c.name])); len(all) > 0 {
				t.Logf("%-40s %-36s median %6.2f s of %v", contest, c.name, all[len(all)/2].Seconds(), all)
			}
		}
	}
}
