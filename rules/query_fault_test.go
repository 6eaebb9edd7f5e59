package rules_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/rules"
	"cbuild/rules/download"
	"cbuild/rules/download/faultserver"
)

// A paged is a query of a server whose pages are JSON objects with items and next, and all that lasts from one build to the next.
type paged struct {
	t      *testing.T
	server *faultserver.Server
	pins   *pins
	store  *castest.Memory
	maxAge time.Duration
	// silent is set if the server stops talking. All others have time: a busy machine must not decide how often it is asked.
	silent bool
}

func newPaged(t *testing.T) *paged {
	t.Helper()
	s := faultserver.New()
	t.Cleanup(s.Close)
	return &paged{t: t, server: s, pins: &pins{}, store: castest.NewMemory()}
}

func pageJSON(p *rules.Page) (engine.Object, error) {
	v, err := p.Read("json")
	if err != nil {
		return nil, &engine.InvalidError{Err: err}
	}
	o, ok := v.(engine.Object)
	if !ok {
		return nil, &engine.InvalidError{Err: errors.New("no object")}
	}
	return o, nil
}

func pageItems(_ context.Context, p *rules.Page) iter.Seq2[engine.Item, error] {
	return func(yield func(engine.Item, error) bool) {
		o, err := pageJSON(p)
		if err != nil {
			yield(engine.Item{}, err)
			return
		}
		items, _ := o["items"].(engine.Object)
		for _, key := range slices.Sorted(maps.Keys(items)) {
			if !yield(engine.Item{Key: key, Value: items[key]}, nil) {
				return
			}
		}
	}
}

func pageNext(_ context.Context, p *rules.Page) (engine.Value, error) {
	o, err := pageJSON(p)
	if err != nil {
		return nil, err
	}
	return o["next"], nil
}

// ask runs the query in a build of its own and returns the items, as key=value, the texts of diagnostics, and what ended it.
func (p *paged) ask() (items, told []string, err error) {
	p.t.Helper()
	var o download.Options
	if p.silent {
		o.Stall, o.FirstByte = 5*time.Second, 5*time.Second
	}
	client := download.New(o)
	defer client.Close()
	rt := &rules.Runtime{Store: p.store, Pins: p.pins, Temp: p.t.TempDir(), Client: client}
	t := &engine.Target{Label: engine.Label{Name: "q"}, Rule: "query", Repeated: true}
	t.Query = func(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] {
		retries := 2
		q := &rules.Query{
			Common: rules.Common{Retries: &retries}, URL: p.server.URL + "/1", MaxAge: p.maxAge,
			Items: rules.PageExpr{Items: pageItems, Value: pageNext}, Next: rules.PageExpr{Value: pageNext},
		}
		return q.Query(ctx, rt, rules.Self{Instance: engine.Instance{Target: t}, View: v, Where: "BUILD.hcl:1"})
	}
	var seen texts
	b := engine.New(engine.Options{Targets: []*engine.Target{t}, Cache: keeping{castest.NewMemoryActionCache()}, Observer: &seen, Jobs: 1, Connections: 2, Window: 4, DiskAhead: 1 << 30})
	if err := b.Run(p.t.Context(), []engine.Want{{Label: t.Label}}); err != nil {
		p.t.Fatal(err)
	}
	for row, rerr := range b.Whole(p.t.Context(), t.Label) {
		if rerr != nil {
			err = rerr
			continue
		}
		items = append(items, fmt.Sprintf("%s=%v", row.Key, row.Value))
	}
	return items, seen.list, err
}

// page serves a page.
func (p *paged) page(path, next string, keys ...string) {
	p.server.Serve(path, pageText(next, keys...))
}

func pageText(next string, keys ...string) []byte {
	items := map[string]string{}
	for _, k := range keys {
		items[k] = "v"
	}
	o := map[string]any{"items": items}
	if next != "" {
		o["next"] = next
	}
	text, _ := json.Marshal(o)
	return text
}

func (p *paged) asked() (paths []string) {
	for _, r := range p.server.Requests() {
		paths = append(paths, r.URL.Path)
	}
	return paths
}

// Whatever goes wrong with a page, in the end there are the right items, or a failure that says what it is, and then nothing wrong is
// pinned: when the server is itself again, the same query brings all.
func TestFaultsOfPages(t *testing.T) {
	whole := []string{"a=v", "b=v", "c=v"}
	for name, c := range map[string]struct {
		faults []faultserver.Fault
		always bool
		want   string
	}{
		"reset":                {faults: []faultserver.Fault{faultserver.Reset(faultserver.Middle)}},
		"early end":            {faults: []faultserver.Fault{faultserver.Finish(faultserver.Last)}},
		"cut chunk":            {faults: []faultserver.Fault{faultserver.CutChunk(faultserver.Last)}},
		"silence":              {faults: []faultserver.Fault{faultserver.Silence(faultserver.Middle)}},
		"503":                  {faults: []faultserver.Fault{faultserver.Status(503), faultserver.Status(503)}},
		"503, always":          {faults: []faultserver.Fault{faultserver.Status(503)}, always: true, want: "error: 503"},
		"404":                  {faults: []faultserver.Fault{faultserver.Status(404)}, want: "unavailable: 404"},
		"304 unasked":          {faults: []faultserver.Fault{faultserver.Status(304)}, want: "error: 304"},
		"206 unasked":          {faults: []faultserver.Fault{faultserver.PieceOf("bytes 0-1/2")}, want: "error: 206"},
		"truncated":            {faults: []faultserver.Fault{faultserver.Shorter()}, want: "invalid: is no JSON"},
		"padded":               {faults: []faultserver.Fault{faultserver.Padded()}, want: "invalid: is no JSON"},
		"a captive portal":     {faults: []faultserver.Fault{faultserver.Portal()}, want: "invalid: is no JSON"},
		"compressed":           {faults: []faultserver.Fault{faultserver.GzipBomb()}, want: "error: is not UTF-8"},
		"redirect loop":        {faults: []faultserver.Fault{faultserver.Redirect("/2")}, always: true, want: "error: more than 10 redirects"},
		"redirect to near":     {faults: []faultserver.Fault{faultserver.Redirect("http://127.0.0.1:1/")}, want: "error: this machine"},
		"next is near":         {faults: []faultserver.Fault{faultserver.Then(pageText("http://10.0.0.1/", "b"), nil)}, want: "error: private network"},
		"next is no address":   {faults: []faultserver.Fault{faultserver.Then(pageText("file:///etc/passwd", "b"), nil)}, want: "invalid: not an http or https address"},
		"next is the same":     {faults: []faultserver.Fault{faultserver.Then(pageText("/2", "b"), nil)}, always: true, want: "invalid: page 1 leads back to page 1"},
		"next leads back":      {faults: []faultserver.Fault{faultserver.Then(pageText("/1", "b"), nil)}, always: true, want: "invalid: page 1 leads back to page 0"},
		"duplicates":           {faults: []faultserver.Fault{faultserver.Then(pageText("/3", "a", "b"), nil)}},
		"another byte in JSON": {faults: []faultserver.Fault{faultserver.Then([]byte(`{"items": {"b": "v"}, "next": /3"}`), nil)}, want: "invalid: is no JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPaged(t)
			p.silent = name == "silence"
			p.page("/1", "/2", "a")
			p.page("/2", "/3", "b")
			p.page("/3", "", "c")
			if c.always {
				p.server.Always("/2", c.faults[0])
			} else {
				p.server.Fault("/2", c.faults...)
			}
			items, _, err := p.ask()
			got := "right"
			if err != nil {
				got = string(engine.ClassOf(err)) + ": " + err.Error()
			}
			if c.want == "" && (err != nil || !slices.Equal(items, whole)) || c.want != "" && (err == nil || !matches(got, c.want)) {
				t.Fatalf("%s, items %v, want %s", got, items, c.want)
			}
			if c.want == "" || strings.HasPrefix(name, "next") && !strings.Contains(c.want, "leads back") {
				return // an answer that can be used is pinned, even if what follows turns out to be worth nothing
			}
			p.server.Heal("/2")
			if items, _, err = p.ask(); err != nil || !slices.Equal(items, whole) {
				t.Errorf("when the server is itself again: %v, %v", items, err)
			}
		})
	}
}

// Pages that go on for ever, each under another address, are noticed.
func TestPagesThatLeadInACircle(t *testing.T) {
	for name, keys := range map[string]func(n int) []string{
		"the same items":          func(int) []string { return []string{"a", "b"} },
		"two pages, turn by turn": func(n int) []string { return []string{fmt.Sprint("k", n%2)} },
	} {
		p := newPaged(t)
		for n := 1; n < 200; n++ {
			p.page(fmt.Sprintf("/%d", n), fmt.Sprintf("/%d", n+1), keys(n)...)
		}
		_, _, err := p.ask()
		if err == nil || engine.ClassOf(err) != engine.ClassInvalid || !strings.Contains(err.Error(), "leads in a circle") {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(p.asked()); n > 25 {
			t.Errorf("%s: %d pages were read before it was noticed", name, n)
		}
	}
	// The same answer, whose next is relative to where it stands, so that the addresses differ.
	deep := newPaged(t)
	for n, at := 0, "/1"; n < 100; n++ {
		deep.server.Serve(at, pageText("./d/1"))
		at = strings.TrimSuffix(at, "1") + "d/1"
	}
	_, _, err := deep.ask()
	if err == nil || !strings.Contains(err.Error(), "leads in a circle") || len(deep.asked()) > 25 {
		t.Errorf("the same answer: %v after %d pages", err, len(deep.asked()))
	}
}

// A list that shifts while it is read, as one item comes in at its front after each page, has every item once all the same.
func TestPagesThatShift(t *testing.T) {
	p := newPaged(t)
	const size, pages = 3, 30
	list := make([]string, 0, size*pages)
	for i := range size * pages {
		list = append(list, fmt.Sprintf("old%03d", i))
	}
	for n := range pages {
		next := ""
		if n < pages-1 {
			next = fmt.Sprintf("/%d", n+2)
		}
		p.page(fmt.Sprintf("/%d", n+1), next, list[n*size:min((n+1)*size, len(list))]...)
		list = append([]string{fmt.Sprintf("new%03d", n)}, list...)
	}
	items, told, err := p.ask()
	var keys []string
	for _, i := range items {
		keys = append(keys, strings.TrimSuffix(i, "=v"))
	}
	if err != nil || len(told) != 0 || !slices.IsSorted(keys) || len(slices.Compact(slices.Clone(keys))) != len(keys) {
		t.Errorf("%d items, %v, told %v", len(items), err, told)
	}
	for i := range size*pages - pages { // what was pushed beyond the last page nobody can know
		if !slices.Contains(keys, fmt.Sprintf("old%03d", i)) {
			t.Errorf("old%03d is missing", i)
		}
	}
}

// What may have aged is asked for again, but only brought if it changed.
func TestAgedPagesAreAskedForConditionally(t *testing.T) {
	p := newPaged(t)
	p.maxAge = 1 // at once
	p.page("/1", "/2", "a")
	p.page("/2", "", "b")
	unchanged := func(header, want string) faultserver.Fault {
		return func(x *faultserver.Exchange) {
			if got := x.Request.Header.Get(header); got != want {
				t.Errorf("%s is %q, want %q", header, got, want)
			}
			faultserver.Status(http.StatusNotModified)(x)
		}
	}
	check := func(want ...string) {
		t.Helper()
		if items, told, err := p.ask(); err != nil || !slices.Equal(items, want) || len(told) > 0 {
			t.Errorf("items %v, want %v; %v %v", items, want, err, told)
		}
	}
	check("a=v", "b=v")
	etag := faultserver.ETag(pageText("/2", "a"))
	p.server.Fault("/1", unchanged("If-None-Match", etag))
	p.server.Fault("/2", unchanged("If-None-Match", faultserver.ETag(pageText("", "b"))))
	check("a=v", "b=v")
	before := maps.Clone(p.pins.byID)
	p.server.Fault("/1", unchanged("If-None-Match", etag))
	p.page("/2", "", "b", "c")
	check("a=v", "b=v", "c=v") // the second has changed
	if n := len(p.asked()); n != 6 {
		t.Errorf("%d requests, want 6", n)
	}
	same := 0
	for request, answer := range p.pins.byID {
		_, now := rules.SplitAsked(answer)
		if _, was := rules.SplitAsked(before[request]); now == was {
			same++
		}
	}
	if same != 1 {
		t.Errorf("%d of 2 pins are what they were, want 1", same)
	}
	// A server that has only dates is asked by date.
	date := "Wed, 04 Mar 2026 05:06:37 GMT"
	p.server.Fault("/1", faultserver.Then(pageText("/2", "a"), faultserver.Dated(date)), unchanged("If-Modified-Since", date))
	check("a=v", "b=v", "c=v")
	check("a=v", "b=v", "c=v")
}

// A build that ends in the middle of a query leaves its pages to the next, which asks only for the others.
func TestQueriesGoOnWhereTheyEnded(t *testing.T) {
	p := newPaged(t)
	const pages = 200
	for n := 1; n <= pages; n++ {
		next := fmt.Sprintf("/%d", n+1)
		if n == pages {
			next = ""
		}
		p.page(fmt.Sprintf("/%d", n), next, fmt.Sprintf("k%03d", n))
	}
	p.server.Fault("/120", faultserver.Status(404))
	if items, _, err := p.ask(); len(items) != 119 || err == nil {
		t.Errorf("%d items, %v", len(items), err)
	}
	if items, _, err := p.ask(); len(items) != pages || err != nil {
		t.Errorf("%d items, %v", len(items), err)
	}
	if n := len(p.asked()); n != pages+1 {
		t.Errorf("%d requests, want %d", n, pages+1)
	}
	if items, _, err := p.ask(); len(items) != pages || err != nil || len(p.asked()) != pages+1 {
		t.Errorf("again: %d items, %v, %d requests", len(items), err, len(p.asked()))
	}
}

// Where a page really came from decides what its next page is relative to; the signature in that address is nobody's business.
func TestSignaturesOfRedirectsAreNotPinned(t *testing.T) {
	p := newPaged(t)
	p.server.Always("/1", faultserver.Redirect("/deep/1?X-Signature=s3cret"))
	p.page("/deep/1", "2", "a")
	p.page("/deep/2", "", "b", "c")
	items, _, err := p.ask()
	if err != nil || !slices.Equal(items, []string{"a=v", "b=v", "c=v"}) {
		t.Fatalf("%v, %v", items, err)
	}
	if pinned := fmt.Sprint(p.pins.byID); strings.Contains(pinned, "s3cret") || !strings.Contains(pinned, "/deep/1") {
		t.Errorf("pinned: %s", pinned)
	}
}
