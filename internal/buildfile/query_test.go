package buildfile

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/rules"
	"cbuild/rules/download"
)

// A web is a server on the loopback interface and everything that lasts from one build to the next.
type web struct {
	t     *testing.T
	srv   *httptest.Server
	dir   string
	host  *fakeHost
	cache engine.ActionCache
	// locked and offline are those of the next build.
	locked, offline bool

	mu    sync.Mutex
	asked []string // guarded by mu
	pages map[string]http.HandlerFunc
}

func newWeb(t *testing.T) *web {
	w := &web{t: t, dir: t.TempDir(), host: &fakeHost{store: castest.NewMemory()}, cache: castest.NewMemoryActionCache(), pages: map[string]http.HandlerFunc{}}
	w.srv = httptest.NewServer(w)
	t.Cleanup(w.srv.Close)
	return w
}

func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	at := r.URL.RequestURI()
	w.asked = append(w.asked, at)
	h := w.pages[at]
	w.mu.Unlock()
	if h == nil {
		http.NotFound(rw, r)
		return
	}
	h(rw, r)
}

// serve makes the page at hold text, with headers given as name, value, ….
func (w *web) serve(at, text string, headers ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[at] = func(rw http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			rw.Header().Add(headers[i], headers[i+1])
		}
		fmt.Fprint(rw, text)
	}
}

// requests returns what was asked for since the last call, sorted.
func (w *web) requests() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.asked)
	s := strings.Join(w.asked, " ")
	w.asked = nil
	return s
}

// watcher keeps events.
type watcher struct {
	mu     sync.Mutex
	events []engine.Event
}

func (o *watcher) Observe(e engine.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
}

// lines returns the diagnostics, and what is not a pass, sorted.
func (o *watcher) lines() string {
	var out []string
	for _, e := range o.events {
		switch {
		case e.Type == engine.EventDiagnostic:
			out = append(out, e.Severity+": "+e.Text)
		case e.Type == engine.EventFinished && e.Outcome.Class() != engine.ClassPass:
			out = append(out, fmt.Sprintf("%s%v %s: %s", e.Target.Label.Name, e.Instance, e.Outcome.Class(), e.Why))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// build builds everything in text, in which URL stands for the server, and returns what happened.
func (w *web) build(text string) (*engine.Build, *watcher) {
	w.t.Helper()
	files := map[string]string{FileName: strings.ReplaceAll(text, "URL", w.srv.URL)}
	dir := write(w.t, files)
	space, diags := Load(Options{Dir: dir, Kinds: rules.Kinds()})
	if diags.HasErrors() {
		w.t.Fatal(diags.Error())
	}
	lock, diags := OpenLock(w.dir, LockOptions{Locked: w.locked})
	if diags.HasErrors() {
		w.t.Fatal(diags.Error())
	}
	client := download.New(download.Options{Offline: w.offline})
	defer client.Close()
	for _, address := range space.Addresses() {
		client.Declare(address)
	}
	space.Bind(&rules.Runtime{
		Store: w.host.store, Executor: w.host, Sources: w.host, System: w.host, Pins: lock, Client: client, Offline: w.offline, Temp: w.t.TempDir(),
	})
	targets, diags := space.Resolve([]string{"//..."})
	if diags.HasErrors() {
		w.t.Fatal(diags.Error())
	}
	var wants []engine.Want
	for _, e := range targets {
		wants = append(wants, engine.Want{Label: e.Label})
	}
	seen := new(watcher)
	b := engine.New(engine.Options{Targets: space.Targets, Cache: w.cache, Observer: seen, Jobs: 2, Connections: 4, Window: 8, DiskAhead: 1 << 30})
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer cancel()
	if err := b.Run(ctx, wants); err != nil {
		w.t.Fatal(err)
	}
	if !w.locked {
		if err := lock.Save(); err != nil {
			w.t.Fatal(err)
		}
	}
	return b, seen
}

// items returns the items of query name as JSON.
func itemsOf(t *testing.T, b *engine.Build, name string) string {
	t.Helper()
	all := map[string]any{}
	for row, err := range b.Whole(t.Context(), engine.Label{Name: name}) {
		if err != nil {
			return "error: " + string(engine.ClassOf(err))
		}
		all[row.Key] = row.Value
		if row.Err != nil {
			all[row.Key] = string(engine.ClassOf(row.Err))
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readText(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const pagedQuery = `query "q" {
  url   = "URL/list?page=1"
  items = { for i, m in page.json.modules : m.name => { version = m.version, place = "${page.index}/${i}" } }
  next  = page.json.next
}
`

func TestQueryFollowsPages(t *testing.T) {
	w := newWeb(t)
	w.serve("/list?page=1", `{"modules": [{"name": "a", "version": "1", "much": {"more": []}}, {"name": "b", "version": "2"}], "next": "?page=2"}`, "Date", "today")
	w.serve("/list?page=2", `{"modules": [{"name": "c", "version": "3"}], "next": null}`)
	const want = `{"a":{"place":"0/0","version":"1"},"b":{"place":"0/1","version":"2"},"c":{"place":"1/0","version":"3"}}`
	b, seen := w.build(pagedQuery)
	if got := itemsOf(t, b, "q"); got != want || seen.lines() != "" {
		t.Errorf("items %s\n%s", got, seen.lines())
	}
	if got := w.requests(); got != "/list?page=1 /list?page=2" {
		t.Errorf("asked %s", got)
	}
	n := 0
	for _, e := range seen.events {
		if e.Type == engine.EventQueryPage {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d events of pages", n)
	}
	// Other items and another filter need no request.
	w.offline, w.locked = true, true
	b, seen = w.build(strings.Replace(pagedQuery, "  next", "  where = each.key != \"b\"\n  next", 1))
	if got := itemsOf(t, b, "q"); got != strings.Replace(want, `"b":{"place":"0/1","version":"2"},`, "", 1) || seen.lines() != "" || w.requests() != "" {
		t.Errorf("pinned: items %s\n%s", got, seen.lines())
	}
}

func TestQueryForms(t *testing.T) {
	for name, c := range map[string]struct{ text, want, lines, asked string }{
		"several starts": {
			`query "q" {
			  url   = { x = "URL/x", y = "URL/y", z = null }
			  items = { for k, v in page.json : "${page.key}-${k}" => { v = v } }
			}`, `{"x-a":{"v":1},"x-n":{"v":2},"y-a":{"v":3}}`, "", "/x /x2 /y",
		},
		"an object as it is":  {`query "q" { url = "URL/y", items = page.json }`, `{"a":3}`, "", "/y"},
		"a list of strings":   {`query "q" { url = "URL/names", items = page.json }`, `{"p":"p","q":"q"}`, "", "/names"},
		"any expression":      {`query "q" { url = "URL/lines", items = toset(lines(page.text)) }`, `{"l1":"l1","l2":"l2"}`, "", "/lines"},
		"status and headers":  {`query "q" { url = "URL/y", items = { (page.headers["x-thing"]) = page.status } }`, `{"here":200}`, "", "/y"},
		"a filter":            {`query "q" { url = "URL/x", items = { for k, v in page.json : k => v if v > 1 } }`, `{"n":2}`, "", "/x /x2"},
		"elements of members": {`query "q" { url = "URL/deep", items = { for m in page.json.a[1].list : m.id => m } }`, `{"i":{"id":"i","n":null}}`, "", "/deep"},
		"not there": {
			`query "q" { url = "URL/none", items = page.json }`, "error: unavailable", "q[] unavailable: GET URL/none: 404 Not Found", "/none",
		},
		"not there, minded": {`query "q" { url = "URL/none", items = page.status == 404 ? {} : page.json }`, `{}`, "", "/none"},
		"others go on": {
			`query "q" { url = { n = "URL/none", y = "URL/y" }, items = page.json }`, "error: unavailable", "q[] unavailable: GET URL/none: 404 Not Found", "/none /y",
		},
		"duplicate keys": {
			`query "q" {
			  url   = "URL/x"
			  items = { for k, v in page.json : "same" => v }
			}`, `{"same":1}`, `warning: query.q: item "same" of "URL/x2" differs from the one of "URL/x", which is kept`, "/x /x2",
		},
		"a circle": {
			`query "q" { url = "URL/y", items = page.json, next = "y" }`, "error: invalid", "q[] invalid: Invalid next\n  on BUILD.hcl line 4, in query \"q\":\n  4:  next = \"y\"\nPage 0 leads back to page 0, URL/y.", "/y",
		},
		"not JSON": {
			`query "q" { url = "URL/lines", items = page.json }`, "error: invalid",
			"q[] invalid: page 0, URL/lines: Unusable page\n  on BUILD.hcl line 1, in query \"q\":\n" +
				"  1: query \"q\" { url = \"URL/lines\", items = page.json }\nURL/lines is no JSON: invalid character 'l' looking for beginning of value.", "/lines",
		},
		"no key": {
			`query "q" { url = "URL/deep", items = { for m in page.json.a : m.id => m } }`, "error: invalid",
			"q[] invalid: page 0, URL/deep: No attribute \"id\"\n  on BUILD.hcl line 1, in query \"q\":\n" +
				"  1: query \"q\" { url = \"URL/deep\", items = { for m in page.json.a : m.id => m } }\nThe object is empty.", "/deep",
		},
		"a bad next": {
			`query "q" { url = "URL/y", items = page.json, next = 1 }`, "error: invalid", "q[] invalid: Invalid next\n  on BUILD.hcl line 4, in query \"q\":\n  4:  next = 1\nWant an address or null, for page 0 of URL/y.", "/y",
		},
		"next to a file": {
			`query "q" { url = "URL/y", items = page.json, next = "file:///etc/passwd" }`, "error: invalid",
			"q[] invalid: Invalid next\n  on BUILD.hcl line 4, in query \"q\":\n  4:  next = \"file:///etc/passwd\"\n\"file:///etc/passwd\" is not an http or https address.", "/y",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t)
			w.serve("/x", `{"a": 1}`, "Link", `</z>; rel="prev"; title="a, <b>", </x2>; rel="last next"`)
			w.serve("/x2", `{"n": 2}`)
			w.serve("/y", `{"a": 3}`, "X-Thing", "here")
			w.serve("/names", `["p", "q"]`)
			w.serve("/lines", "l1\n\nl2\n")
			w.serve("/deep", `{"a": [{}, {"list": [{"id": "i", "n": null}]}]}`)
			text := strings.ReplaceAll(strings.ReplaceAll(c.text, ", items", "\n items"), ", next", "\n next")
			text = strings.ReplaceAll(strings.ReplaceAll(text, "{ url", "{\n url"), "}\n}", "}\n}\n")
			if strings.HasSuffix(text, " }") && !strings.HasSuffix(text, "\n}") {
				text = text[:len(text)-2] + "\n}\n"
			}
			b, seen := w.build(text)
			lines := strings.ReplaceAll(seen.lines(), w.srv.URL, "URL")
			if got := itemsOf(t, b, "q"); got != c.want {
				t.Errorf("items %s, want %s", got, c.want)
			}
			if i := strings.Index(c.lines, "\n  on "); i > 0 { // where it stands is for the diagnostics' own tests
				if !strings.HasPrefix(lines, c.lines[:i]) || !strings.HasSuffix(lines, c.lines[strings.LastIndexByte(c.lines, '\n'):]) {
					t.Errorf("happened\n%s\nwant\n%s", lines, c.lines)
				}
			} else if lines != c.lines {
				t.Errorf("happened\n%s\nwant\n%s", lines, c.lines)
			}
			if got := w.requests(); got != c.asked {
				t.Errorf("asked %s, want %s", got, c.asked)
			}
		})
	}
}

// Pages that were read are not asked for again when what comes after them failed.
func TestQueryResumes(t *testing.T) {
	w := newWeb(t)
	w.serve("/list?page=1", `{"modules": [{"name": "a", "version": "1"}], "next": "?page=2"}`)
	b, _ := w.build(pagedQuery)
	if got := itemsOf(t, b, "q"); got != "error: unavailable" {
		t.Fatalf("items %s", got)
	}
	w.serve("/list?page=2", `{"modules": [], "next": null}`)
	w.requests()
	if b, _ = w.build(pagedQuery); itemsOf(t, b, "q") != `{"a":{"place":"0/0","version":"1"}}` {
		t.Errorf("items %s", itemsOf(t, b, "q"))
	}
	if got := w.requests(); got != "/list?page=2" {
		t.Errorf("asked %s", got)
	}
}

func TestQueryHeaders(t *testing.T) {
	other := newWeb(t)
	w := newWeb(t)
	got := map[string]string{}
	answer := func(next string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			got[r.URL.Path] = r.Header.Get("X-Token")
			fmt.Fprintf(rw, `{"next": %q}`, next)
		}
	}
	w.pages["/1"], w.pages["/2"], other.pages["/3"] = answer("/2"), answer(other.srv.URL+"/3"), answer("")
	text := "locals { other = \"" + other.srv.URL + "\" }\n" + `query "q" {
	  url     = "URL/1"
	  headers = { x-token = "secret" }
	  items   = {}
	  next    = page.json.next
	}`
	if _, seen := w.build(text); seen.lines() != "" {
		t.Fatal(seen.lines())
	}
	want(t, "headers", got, map[string]string{"/1": "secret", "/2": "secret", "/3": ""})
	// They are in the request's identity.
	w.requests()
	w.build(strings.Replace(text, `"secret"`, `"other"`, 1))
	if got := w.requests(); got != "/1 /2" {
		t.Errorf("asked %s with another header", got)
	}
}

func TestQueryPinsDigests(t *testing.T) {
	text := strings.Replace(pagedQuery, "  next", "  pin = \"digest\"\n  next", 1)
	w := newWeb(t)
	w.serve("/list?page=1", `{"modules": [{"name": "a", "version": "1"}], "next": null}`)
	w.build(text)
	l, _ := OpenLock(w.dir, LockOptions{})
	pin, ok := l.Pin(engine.Label{Name: "q"}, w.srv.URL+"/list?page=1")
	if _, err := cas.ParseDigest(pin); !ok || err != nil {
		t.Errorf("pin %q", pin)
	}
	w.requests()
	if b, _ := w.build(text); itemsOf(t, b, "q") != `{"a":{"place":"0/0","version":"1"}}` || w.requests() != "" {
		t.Errorf("from the store: items %s", itemsOf(t, b, "q"))
	}
	// An answer that is nowhere is asked for again; that it differs is told, and the lock follows.
	w.host.store = castest.NewMemory()
	w.serve("/list?page=1", `{"modules": [{"name": "a", "version": "2"}], "next": null}`)
	w.locked = true
	b, seen := w.build(text)
	if got := itemsOf(t, b, "q"); !strings.HasPrefix(got, "error") || !strings.Contains(seen.lines(), "--locked") {
		t.Errorf("--locked: items %s\n%s", got, seen.lines())
	}
	w.host.store = castest.NewMemory()
	w.locked = false
	b, seen = w.build(text)
	if got := itemsOf(t, b, "q"); got != `{"a":{"place":"0/0","version":"2"}}` || !strings.Contains(seen.lines(), "is not the pinned one any more") {
		t.Errorf("items %s\n%s", got, seen.lines())
	}
	l, _ = OpenLock(w.dir, LockOptions{})
	if now, _ := l.Pin(engine.Label{Name: "q"}, w.srv.URL+"/list?page=1"); now == pin {
		t.Error("the lock did not follow")
	}
}

func TestQueryMaxAge(t *testing.T) {
	text := strings.Replace(pagedQuery, "  next", "  max_age = \"24h\"\n  next", 1)
	w := newWeb(t)
	w.serve("/list?page=1", `{"modules": [{"name": "a", "version": "1"}], "next": null}`)
	w.build(text)
	w.requests()
	if w.build(text); w.requests() != "" {
		t.Error("a fresh answer was asked for again")
	}
	age := func() {
		l, _ := OpenLock(w.dir, LockOptions{})
		request := w.srv.URL + "/list?page=1"
		pin, _ := l.Pin(engine.Label{Name: "q"}, request)
		asked, answer := rules.SplitAsked(pin)
		if time.Since(asked) > time.Hour || answer == pin {
			t.Fatalf("pin %q", pin)
		}
		if err := l.SetPin(engine.Label{Name: "q"}, request, "asked "+asked.Add(-25*time.Hour).Format(time.RFC3339)+"\n"+answer); err != nil {
			t.Fatal(err)
		}
		if d := l.Diff(); len(d) != 0 {
			t.Errorf("a new date alone is told as a difference: %v", d)
		}
		if err := l.Save(); err != nil {
			t.Fatal(err)
		}
	}
	age()
	w.serve("/list?page=1", `{"modules": [{"name": "a", "version": "2"}], "next": null}`)
	for _, c := range []struct {
		locked, offline bool
		asked, version  string
	}{{true, false, "", "1"}, {false, true, "", "1"}, {false, false, "/list?page=1", "2"}, {false, false, "", "2"}} {
		w.locked, w.offline = c.locked, c.offline
		b, seen := w.build(text)
		if got := w.requests(); got != c.asked || !strings.Contains(itemsOf(t, b, "q"), `"version":"`+c.version+`"`) {
			t.Errorf("%+v: asked %q, items %s\n%s", c, got, itemsOf(t, b, "q"), seen.lines())
		}
	}
	if data := readText(t, filepath.Join(w.dir, LockDir, "q.ndjson")); !strings.Contains(data, `"asked":"20`) {
		t.Errorf("answers:\n%s", data)
	}
}

func TestQueryFilterFailsForOneItem(t *testing.T) {
	w := newWeb(t)
	w.serve("/x", `{"a": {"n": 1}, "b": {"n": "many"}, "c": {"n": 0}}`)
	b, seen := w.build(`
query "q" {
  url   = "URL/x"
  items = page.json
  where = each.value.n > 0
}
run "each" {
  for_each = query.q
  command  = ["x", each.key]
}
run "filtered" {
  for_each = { for k, v in query.q : k => v }
  command  = ["x", each.key]
}
run "one" { command = ["x", query.q["b"].n] }
run "other" { command = ["x", query.q["a"].n] }
run "all" { command = keys(query.q) }
collate "report" {
  rows    = query.q
  columns = { n = each.value.n }
  formats = ["json"]
}
`)
	for row, err := range b.Whole(t.Context(), engine.Label{Name: "report"}) {
		if err != nil || row.Cells[0].Result == nil {
			t.Fatalf("report: %v %v", err, row)
		}
		if got := row.Cells[0].Result.Facts["summary"]; got != `{"invalid":1,"item":1}` || row.Cells[0].Result.Facts["incomplete"] != "yes" {
			t.Errorf("facts %v", row.Cells[0].Result.Facts)
		}
	}
	var got []string
	for line := range strings.SplitSeq(seen.lines(), "\n") {
		if before, _, ok := strings.Cut(line, ": "); ok && strings.Contains(before, "[") {
			got = append(got, before)
		}
	}
	want(t, "not a pass", got, []string{"all[] skipped", "each[b] invalid", "filtered[b] invalid", "one[] skipped", "q[b] invalid"})
	if !strings.Contains(seen.lines(), `query.q["b"]: Invalid operand`) && !strings.Contains(seen.lines(), `query.q["b"]`) {
		t.Error(seen.lines())
	}
}
