package rules_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/rules"
	"cbuild/rules/download"
	"cbuild/rules/registry"
	"cbuild/rules/registry/fakeproxy"
)

// pins are rules.Pins in memory.
type pins struct {
	mu     sync.Mutex
	byID   map[string]string // guarded by mu
	locked bool
}

func (p *pins) Pin(l engine.Label, request string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.byID[l.String()+" "+request]
	return a, ok
}

func (p *pins) SetPin(l engine.Label, request, answer string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.locked {
		return fmt.Errorf("the lock would change: %s", request)
	}
	if p.byID == nil {
		p.byID = map[string]string{}
	}
	p.byID[l.String()+" "+request] = answer
	return nil
}

// network is a workspace whose modules come from a fake proxy, with everything that lasts from one build to the next.
type network struct {
	*fakeproxy.Proxy
	t     *testing.T
	base  string
	env   []string
	store *castest.Memory
	cache engine.ActionCache
	pins  *pins
	temp  string
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	p := fakeproxy.New()
	srv := p.Serve()
	t.Cleanup(srv.Close)
	n := &network{Proxy: p, t: t, base: srv.URL, env: p.Env(srv.URL), store: castest.NewMemory(), cache: keeping{castest.NewMemoryActionCache()}, pins: &pins{}, temp: t.TempDir()}
	t.Cleanup(func() {
		if left, _ := os.ReadDir(n.temp); len(left) > 0 {
			t.Errorf("left behind in the temporary directory: %v", left)
		}
	})
	return n
}

// keeping is an action cache that is never told to withdraw anything.
type keeping struct{ *castest.MemoryActionCache }

func (keeping) Withdraw(context.Context, engine.Key) error {
	return errors.New("nothing is to be withdrawn here")
}

func (n *network) runtime(offline bool) *rules.Runtime {
	client := download.New(download.Options{Offline: offline})
	n.t.Cleanup(client.Close)
	env := func(name string) (string, bool) {
		for _, e := range slices.Backward(n.env) {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				return v, true
			}
		}
		return "", false
	}
	return &rules.Runtime{
		Store: n.store, Pins: n.pins, Temp: n.temp, Client: client, Offline: offline,
		Registries: map[string]registry.Registry{"go": registry.NewGo(registry.GoOptions{Client: client, Env: env})},
	}
}

func values(list ...string) []engine.Value {
	var all []engine.Value
	for _, s := range list {
		all = append(all, s)
	}
	return all
}

// queryOf is a target that asks for modules.
func queryOf(rt *rules.Runtime, modules ...string) *engine.Target {
	t := &engine.Target{Label: engine.Label{Name: "modules"}, Rule: "query", Repeated: true}
	t.Query = func(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] {
		q := &rules.Query{Registry: "go", Args: engine.Object{"modules": values(modules...), "versions": "latest"}}
		return q.Query(ctx, rt, rules.Self{Instance: engine.Instance{Target: t}, View: v, Where: "BUILD.hcl:3"})
	}
	return t
}

// fetchOf is a target that downloads and unpacks what over yields, as the sample of the language does.
func fetchOf(rt *rules.Runtime, over *engine.Target) *engine.Target {
	t := &engine.Target{Label: engine.Label{Name: "source"}, Rule: "fetch", Repeated: true, Over: &over.Label, Needs: []engine.Need{{Label: over.Label, Mode: engine.StreamMode}}}
	t.Plan = func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
		value := i.Value
		if row, ok := value.(*engine.Row); ok {
			value = row.Value
		}
		item := value.(engine.Object)
		f := &rules.Fetch{URL: item["url"], Unpack: true, Strip: i.Key}
		if h1, ok := item["h1"].(string); ok {
			f.Integrity = &h1
		}
		return f.Plan(ctx, rt, rules.Self{Instance: i, View: v, Where: "BUILD.hcl:9"})
	}
	return t
}

// build runs the targets and returns the rows of the last one by key, and the texts of all diagnostics.
func (n *network) build(targets ...*engine.Target) (map[string]*engine.Row, []string) {
	n.t.Helper()
	var diagnostics texts
	last := targets[len(targets)-1]
	b := engine.New(engine.Options{Targets: targets, Cache: n.cache, Observer: &diagnostics, Jobs: 2, Connections: 4, Window: 8, DiskAhead: 1 << 30})
	if err := b.Run(n.t.Context(), []engine.Want{{Label: last.Label}}); err != nil {
		n.t.Fatal(err)
	}
	rows := map[string]*engine.Row{}
	for row, err := range b.Whole(n.t.Context(), last.Label) {
		if err != nil {
			diagnostics.add("error: " + err.Error())
			continue
		}
		rows[row.Key] = row
	}
	return rows, diagnostics.list
}

// texts is an observer that keeps diagnostics.
type texts struct {
	mu   sync.Mutex
	list []string // guarded by mu
}

func (d *texts) add(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, s)
}

func (d *texts) Observe(e engine.Event) {
	if e.Type == engine.EventDiagnostic {
		d.add(e.Severity + ": " + e.Text)
	}
}

// files returns the contents of the tree a by path, executables marked with a star.
func (n *network) files(a engine.Artifact) map[string]string {
	n.t.Helper()
	all := map[string]string{}
	for e, err := range cas.Walk(n.t.Context(), n.store, a.Digest) {
		if err != nil {
			n.t.Fatal(err)
		}
		if e.Kind != cas.FileEntry {
			continue
		}
		data, err := cas.ReadAll(n.t.Context(), n.store, e.Digest, 1<<20)
		if err != nil {
			n.t.Fatal(err)
		}
		if e.Executable {
			e.Path += "*"
		}
		all[e.Path] = string(data)
	}
	return all
}

func aModule(path, version string) fakeproxy.Module {
	return fakeproxy.Module{Path: path, Version: version, Files: map[string]string{"go.mod": "module " + path + "\n", "sub/a.go": "package a // " + path + "\n"}}
}

func TestModulesAreAskedForDownloadedAndUnpackedOnce(t *testing.T) {
	n := newNetwork(t)
	n.Add(aModule("example.com/One", "v1.0.0"), aModule("example.com/two", "v1.2.0"))
	names := []string{"example.com/One", "example.com/two", "example.com/none"}
	first := n.runtime(false)
	query := queryOf(first, names...)
	rows, diagnostics := n.build(query, fetchOf(first, query))
	if len(rows) != 3 || len(diagnostics) != 0 {
		t.Fatalf("rows %v, diagnostics %v", rows, diagnostics)
	}
	one := rows["example.com/One@v1.0.0"].Cells[0]
	if !one.OK() {
		t.Fatal(one.Err)
	}
	got := n.files(one.Result.Outs[0].Artifact)
	if len(got) != 2 || got["sub/a.go"] != "package a // example.com/One\n" {
		t.Errorf("unpacked %v", got)
	}
	if a := one.Result.Outs[0].Artifact; a.Kind != engine.TreeKind || a.Name != "tree" {
		t.Errorf("artifact %+v", a)
	}
	none := rows["example.com/none"].Cells[0]
	if none.Class() != engine.ClassUnavailable || none.Err.Error() != "example.com/none: the registry does not have it" {
		t.Errorf("missing module: %v", none.Err)
	}

	// Again, in another process: pins and records answer everything.
	n.Reset()
	again := n.runtime(true)
	query = queryOf(again, names...)
	rows, diagnostics = n.build(query, fetchOf(again, query))
	if len(rows) != 3 || len(diagnostics) != 0 || n.Total() != 0 {
		t.Errorf("second build: %d rows, diagnostics %v, %d requests", len(rows), diagnostics, n.Total())
	}
	if c := rows["example.com/two@v1.2.0"].Cells[0].Cached; c != engine.CachedLocal {
		t.Errorf("second build: cached %v", c)
	}

	// One more module asks for itself only.
	n.Add(aModule("example.com/three", "v1.0.0"))
	more := n.runtime(false)
	query = queryOf(more, append(names, "example.com/three")...)
	n.build(query, fetchOf(more, query))
	if zips, latest := n.Count("/example.com/*/@v/*.zip"), n.Count("/example.com/*/@latest"); zips != 1 || latest != 1 {
		t.Errorf("one more module: %d downloads, %d questions", zips, latest)
	}
}

func TestPinsNameNoHost(t *testing.T) {
	n := newNetwork(t)
	n.Add(aModule("example.com/one", "v1.0.0"))
	rt := n.runtime(false)
	query := queryOf(rt, "example.com/one", "example.com/none")
	n.build(query, fetchOf(rt, query))
	if len(n.pins.byID) != 2 {
		t.Errorf("pins %v", n.pins.byID)
	}
	for request, answer := range n.pins.byID {
		if strings.Contains(request+answer, "127.0.0.1") || strings.Contains(request+answer, "sum-") {
			t.Errorf("a host in the pin %s = %s", request, answer)
		}
		if !json.Valid([]byte(answer)) {
			t.Errorf("answer %s", answer)
		}
	}
}

func TestTheOthersAreAskedWhenOneFails(t *testing.T) {
	n := newNetwork(t)
	n.Add(aModule("example.com/one", "v1.0.0"), aModule("example.com/two", "v1.0.0"))
	n.Fault("/example.com/two/@latest", fakeproxy.Fault{Status: 418, Always: true})
	rt := n.runtime(false)
	rows, diagnostics := n.build(queryOf(rt, "example.com/two", "example.com/one"))
	if rows["example.com/one@v1.0.0"] == nil {
		t.Errorf("rows %v", rows)
	}
	if !strings.Contains(strings.Join(diagnostics, "\n"), "418") {
		t.Errorf("diagnostics %v, want the failure", diagnostics)
	}
}

// planned is the action of a fetch, planned outside of a build.
func (n *network) planned(rt *rules.Runtime, f rules.Spec) (*engine.Plan, error) {
	target := &engine.Target{Label: engine.Label{Name: "source"}, Rule: "fetch"}
	return f.Plan(n.t.Context(), rt, rules.Self{Instance: engine.Instance{Target: target}, View: direct{}, Where: "BUILD.hcl:21"})
}

// direct is a View that does a plan once, on the spot.
type direct struct{ engine.View }

func (direct) Perform(ctx context.Context, _ string, p *engine.Plan) *engine.Outcome {
	r, err := p.Action.Do(ctx, func(engine.Event) {})
	return &engine.Outcome{Result: r, Err: err}
}

func (n *network) do(rt *rules.Runtime, f rules.Spec) (*engine.Result, error) {
	p, err := n.planned(rt, f)
	if err != nil {
		return nil, err
	}
	return p.Action.Do(n.t.Context(), func(engine.Event) {})
}

// moduleFetch is a fetch of the zip file of m with its true checksum.
func (n *network) moduleFetch(rt *rules.Runtime, m fakeproxy.Module) *rules.Fetch {
	n.t.Helper()
	h1, err := rt.Registries["go"].(*registry.Go).H1(n.t.Context(), "go:"+m.Path+"@"+m.Version+".zip")
	if err != nil {
		n.t.Fatal(err)
	}
	return &rules.Fetch{URL: "go:" + m.Path + "@" + m.Version + ".zip", Integrity: &h1, Unpack: true, Strip: m.Path + "@" + m.Version}
}

func TestFaultsOfDownloads(t *testing.T) {
	const zip = "/example.com/one/@v/v1.0.0.zip"
	m := aModule("example.com/one", "v1.0.0")
	size := len(fakeproxy.Zip(m))
	other := fakeproxy.Zip(aModule("example.com/other", "v1.0.0"))
	type want struct {
		class engine.Class
		retry bool
	}
	passing, final, unavailable := want{engine.ClassError, true}, want{engine.ClassError, false}, want{engine.ClassUnavailable, false}
	cases := map[string]struct {
		fault fakeproxy.Fault
		want
	}{
		"wrong zip":              {fakeproxy.Fault{Body: other}, final},
		"captive portal":         {fakeproxy.Fault{Body: []byte("<html>please log in</html>")}, final},
		"empty":                  {fakeproxy.Fault{Body: []byte{}}, final},
		"reset before header":    {fakeproxy.Fault{Cut: fakeproxy.Reset, At: -1}, passing},
		"shorter than announced": {fakeproxy.Fault{Length: size + 1}, passing},
	}
	for _, code := range []int{400, 401, 403, 404, 410, 451} {
		cases[fmt.Sprint(code)] = struct {
			fault fakeproxy.Fault
			want
		}{fakeproxy.Fault{Status: code}, unavailable}
	}
	for _, code := range []int{408, 425, 429, 500, 502, 503, 504} {
		cases[fmt.Sprint(code)] = struct {
			fault fakeproxy.Fault
			want
		}{fakeproxy.Fault{Status: code, RetryAfter: "0"}, passing}
	}
	for _, code := range []int{204, 206, 304, 402, 405, 418, 501, 505} {
		cases[fmt.Sprint(code)] = struct {
			fault fakeproxy.Fault
			want
		}{fakeproxy.Fault{Status: code}, final}
	}
	for at, point := range map[int]string{0: "first", size / 2: "middle", size - 1: "last"} {
		cases["reset at the "+point+" byte"] = struct {
			fault fakeproxy.Fault
			want
		}{fakeproxy.Fault{Cut: fakeproxy.Reset, At: at}, passing}
		cases["short at the "+point+" byte"] = struct {
			fault fakeproxy.Fault
			want
		}{fakeproxy.Fault{Cut: fakeproxy.Short, At: at}, passing}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			n.Add(m)
			rt := n.runtime(false)
			f := n.moduleFetch(rt, m)
			c.fault.Always = true
			n.Fault(zip, c.fault)
			_, err := n.do(rt, f)
			if engine.ClassOf(err) != c.class || err == nil {
				t.Fatalf("class %v, want %v: %v", engine.ClassOf(err), c.class, err)
			}
			trouble, ok := errors.AsType[*engine.TroubleError](err)
			if (ok && trouble.Retry) != c.retry {
				t.Errorf("retried: %v, want %v: %v", !c.retry, c.retry, err)
			}
			n.Heal()
			if _, err := n.do(rt, f); err != nil {
				t.Errorf("after it passed: %v", err)
			}
		})
	}
}

func TestWrongZipIsTriedTwiceAndNamed(t *testing.T) {
	n := newNetwork(t)
	m := aModule("example.com/one", "v1.0.0")
	n.Add(m)
	rt := n.runtime(false)
	f := n.moduleFetch(rt, m)
	const zip = "/example.com/one/@v/v1.0.0.zip"
	bad := fakeproxy.Fault{Body: fakeproxy.Zip(aModule("example.com/other", "v1.0.0"))}
	n.Fault(zip, bad)
	if _, err := n.do(rt, f); err != nil {
		t.Errorf("wrong once: %v", err)
	}
	n.Reset()
	n.Fault(zip, bad, bad)
	_, err := n.do(rt, f)
	if err == nil || n.Count(zip) != 2 {
		t.Fatalf("wrong twice: error %v after %d requests", err, n.Count(zip))
	}
	for _, part := range []string{"checksum mismatch for go:example.com/one@v1.0.0.zip\n", "\n  expected h1 " + strings.TrimPrefix(*f.Integrity, "h1:") + "  (BUILD.hcl:21)\n", "\n  received h1 ", " bytes)\n", "if a query brought it: cbuild update"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("error %q names a host", err)
	}
}

func TestRetryAfterReachesTheEngine(t *testing.T) {
	n := newNetwork(t)
	m := aModule("example.com/one", "v1.0.0")
	n.Add(m)
	rt := n.runtime(false)
	f := n.moduleFetch(rt, m)
	n.Fault("/example.com/one/@v/v1.0.0.zip", fakeproxy.Fault{Status: 429, RetryAfter: "17"})
	_, err := n.do(rt, f)
	if trouble, ok := errors.AsType[*engine.TroubleError](err); !ok || trouble.After.Seconds() != 17 {
		t.Errorf("error %#v", err)
	}
}

func TestDownloadWithoutChecksumIsPinned(t *testing.T) {
	n := newNetwork(t)
	m := aModule("example.com/one", "v1.0.0")
	n.Add(m)
	rt := n.runtime(false)
	address := "go:example.com/one@v1.0.0.zip"
	url := n.base + "/example.com/one/@v/v1.0.0.zip"
	for request, function := range map[string]string{address: "h1:", url: "sha256:"} {
		f := &rules.Fetch{URL: request}
		n.Reset()
		p, err := n.planned(rt, f)
		if err != nil || p.Action.Key().IsZero() {
			t.Fatalf("the first plan has no key (%v)", err)
		}
		key := p.Action.Key()
		first, err := p.Action.Do(t.Context(), func(engine.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Count("/example.com/one/@v/v1.0.0.zip"); got != 1 {
			t.Errorf("%s: %d downloads for what is kept and recorded, want 1", request, got)
		}
		pin, ok := n.pins.Pin(engine.Label{Name: "source"}, request)
		if !ok || !strings.HasPrefix(pin, function) {
			t.Errorf("pin of %s: %q", request, pin)
		}
		if first.Outs[0].Artifact.Name == "" || first.Facts["size"] != fmt.Sprint(len(fakeproxy.Zip(m))) || first.Facts["url"] != request {
			t.Errorf("result %+v", first)
		}
		p, err = n.planned(rt, f)
		if err != nil || p.Action.Key() != key {
			t.Errorf("the second plan has the key %v, the first one %v (%v)", p.Action.Key(), key, err)
		}
		// What was pinned is what must come.
		n.Fault("/example.com/one/@v/v1.0.0.zip", fakeproxy.Fault{Body: fakeproxy.Zip(aModule("example.com/x", "v1.0.0"))}, fakeproxy.Fault{Body: []byte("x")})
		if _, err := p.Action.Do(t.Context(), func(engine.Event) {}); err == nil || !strings.Contains(err.Error(), "checksum mismatch") {
			t.Errorf("another file: %v", err)
		}
	}
	n.pins.locked = true
	if _, err := n.do(rt, &rules.Fetch{URL: n.base + "/example.com/one/@v/v1.0.0.mod"}); err == nil || !strings.Contains(err.Error(), "the lock would change") {
		t.Errorf("with a locked lock: %v", err)
	}
}

func TestKeyOfAFetch(t *testing.T) {
	n := newNetwork(t)
	rt := n.runtime(false)
	sum := strings.Repeat("ab", 32)
	key := func(f *rules.Fetch) engine.Key {
		t.Helper()
		p, err := n.planned(rt, f)
		if err != nil {
			t.Fatal(err)
		}
		return p.Action.Key()
	}
	base := key(&rules.Fetch{URL: "https://one.example/a.zip", SHA256: &sum, Unpack: true})
	for name, same := range map[string]*rules.Fetch{
		"another host":     {URL: "https://two.example/b.zip", SHA256: &sum, Unpack: true},
		"a format":         {URL: "https://two.example/b", SHA256: &sum, Unpack: "zip"},
		"mirrors":          {URL: values("https://one.example/a.zip", "https://two.example/b.zip"), SHA256: &sum, Unpack: true},
		"headers":          {URL: "https://one.example/a.zip", SHA256: &sum, Unpack: true, Headers: map[string]engine.Confidential{"A": engine.Plain("b")}},
		"a prefix's slash": nil,
	} {
		if same != nil && key(same) != base {
			t.Errorf("%s: another key", name)
		}
	}
	seen := map[engine.Key]string{base: "base"}
	for name, other := range map[string]*rules.Fetch{
		"not unpacked": {URL: "https://one.example/a.zip", SHA256: &sum},
		"another name": {URL: "https://one.example/b.zip", SHA256: &sum},
		"other hash":   {URL: "https://one.example/a.zip", BLAKE3: &sum, Unpack: true},
		"strip":        {URL: "https://one.example/a.zip", SHA256: &sum, Unpack: true, Strip: int64(1)},
		"prefix":       {URL: "https://one.example/a.zip", SHA256: &sum, Unpack: true, Strip: "1"},
		"executable":   {URL: "https://one.example/a.zip", SHA256: &sum, Unpack: true, Executable: []string{"bin/*"}},
		"format":       {URL: "https://one.example/a.tar", SHA256: &sum, Unpack: true},
	} {
		k := key(other)
		if old, ok := seen[k]; ok {
			t.Errorf("%s has the key of %s", name, old)
		}
		seen[k] = name
	}
}

func TestMistakesInAFetch(t *testing.T) {
	n := newNetwork(t)
	rt := n.runtime(false)
	rt.Sources = files{n, map[string]string{"dir/": ""}}
	short, sri := "abc", "md5-abc"
	sum := strings.Repeat("ab", 32)
	for want, f := range map[string]*rules.Fetch{
		"url: want a string":       {URL: int64(1)},
		"url: \"ftp":               {URL: "ftp://a.example/x"},
		"names no host":            {URL: "https:///x"},
		"is not in the workspace":  {URL: "file:/etc/passwd"},
		"not in the workspace: wr": {URL: "file:///etc/passwd"},
		"there is no nope":         {URL: "file:nope"},
		"is a directory":           {URL: "file:dir"},
		"no glob matches x":        {URL: "https://a.example/x", Executable: []string{"bin/*"}},
		"is not a glob":            {URL: "https://a.example/x", Executable: []string{"["}},
		"sha256: ":                 {URL: "https://a.example/x", SHA256: &short},
		"integrity: ":              {URL: "https://a.example/x", Integrity: &sri},
		"one of":                   {URL: "https://a.example/x", SHA256: &sum, BLAKE3: &sum},
		"can't be told":            {URL: "https://a.example/x", Unpack: true},
		"unknown archive format":   {URL: "https://a.example/x", Unpack: "rar"},
		"unpack: want":             {URL: "https://a.example/x", Unpack: int64(1)},
		"add unpack":               {URL: "https://a.example/x", Strip: int64(1)},
		"strip: want a number":     {URL: "https://a.example/x.zip", Unpack: true, Strip: true},
		"strip: want a whole":      {URL: "https://a.example/x.zip", Unpack: true, Strip: 1.5},
	} {
		_, err := n.planned(rt, f)
		if engine.ClassOf(err) != engine.ClassInvalid || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("error %v, want invalid with %q", err, want)
		}
	}
}

func TestMirrorsOfAFetch(t *testing.T) {
	n := newNetwork(t)
	n.Add(aModule("example.com/one", "v1.0.0"))
	rt := n.runtime(false)
	good := n.base + "/example.com/one/@v/v1.0.0.zip"
	for _, code := range []int{403, 404, 418, 503} {
		n.Fault("/bad.zip", fakeproxy.Fault{Status: code})
		if _, err := n.do(rt, &rules.Fetch{URL: append(values(n.base+"/bad.zip", good), nil)}); err != nil {
			t.Errorf("a mirror with %d: %v", code, err)
		}
	}
}

func TestGoToolchain(t *testing.T) {
	n := newNetwork(t)
	for _, v := range []string{"1.24.1", "1.25.0", "1.25.3"} {
		n.Add(fakeproxy.Toolchain(v, runtime.GOOS, runtime.GOARCH, map[string]string{
			"bin/gofmt": "#!/bin/sh\necho gofmt " + v + "\n", "pkg/tool/x/vet": "#!/bin/sh\n", "lib/wasm/go_js_wasm_exec": "#!/bin/sh\n", "lib/time/zip": "data", "src/a.go": "package a\n",
		}))
	}
	rt := n.runtime(false)
	p, err := n.planned(rt, &rules.Toolchain{Kind: "go", Version: "1.25.0"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Action.Key().IsZero() {
		t.Error("the plan has no key although the checksum is known")
	}
	r, err := p.Action.Do(t.Context(), func(engine.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	a := r.Outs[0].Artifact
	if !a.Tool || a.Kind != engine.TreeKind || a.Name != "tree" {
		t.Errorf("artifact %+v", a)
	}
	got := n.files(a)
	want := []string{"VERSION", "bin/gofmt*", "lib/time/zip", "lib/wasm/go_js_wasm_exec*", "pkg/tool/x/vet*", "src/_go.mod", "src/a.go", "src/cmd/_go.mod", "src/cmd/go.mod", "src/go.mod"}
	var names []string
	for name := range got {
		names = append(names, name)
	}
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
	if got["src/cmd/go.mod"] != "module cmd\n" || r.Facts["version"] != "1.25.0" || r.Facts["bin"] != "bin" || !strings.Contains(r.Facts["env"], `"GOROOT":"${ROOT}"`) {
		t.Errorf("facts %v", r.Facts)
	}
	if _, ok := n.pins.Pin(engine.Label{Name: "source"}, "go:golang.org/toolchain@v0.0.1-go1.25.0."+runtime.GOOS+"-"+runtime.GOARCH+".zip"); !ok {
		t.Errorf("not pinned: %v", n.pins.byID)
	}

	_, err = n.planned(rt, &rules.Toolchain{Kind: "go", Version: "1.25.9"})
	if engine.ClassOf(err) != engine.ClassUnavailable || !strings.Contains(fmt.Sprint(err), "there are 1.25.0, 1.25.3") {
		t.Errorf("an unknown version: %v", err)
	}
	_, err = n.planned(rt, &rules.Toolchain{Kind: "rust", Version: "1"})
	if engine.ClassOf(err) != engine.ClassInvalid {
		t.Errorf("an unknown kind: %v", err)
	}
	n.env = append(n.env, "GOSUMDB=off")
	if _, err = n.planned(n.runtime(false), &rules.Toolchain{Kind: "go", Version: "1.24.1"}); err == nil || !strings.Contains(err.Error(), "GOSUMDB=off") {
		t.Errorf("without a checksum database: %v", err)
	}
}

// made is a registry that answers as a test says: the pages of each start.
type made map[string][]registry.Page

func (made) Fields() []string { return []string{"n"} }

func (m made) Starts(args engine.Object) ([]registry.Start, error) {
	var starts []registry.Start
	for _, name := range args["starts"].([]engine.Value) {
		starts = append(starts, registry.Start{Request: name.(string), Pages: func(context.Context) iter.Seq2[registry.Page, error] {
			return func(yield func(registry.Page, error) bool) {
				for _, p := range m[name.(string)] {
					if !yield(p, nil) {
						return
					}
				}
			}
		}})
	}
	return starts, nil
}

func TestDuplicateKeysAreOneItem(t *testing.T) {
	n := newNetwork(t)
	rt := n.runtime(false)
	item := func(key string, v engine.Value) engine.Item {
		return engine.Item{Key: key, Value: engine.Object{"n": v, "s": "<&>"}}
	}
	rt.Registries["made"] = made{"all": {
		{Request: "page 1", Items: []engine.Item{item("a", int64(1)), item("b", 2.5), item("a", int64(1))}},
		{Request: "page 2", Items: []engine.Item{item("b", 2.5), item("a", nil), item("c", nil)}},
	}}
	ask := func() (map[string]*engine.Row, []string) {
		target := &engine.Target{Label: engine.Label{Name: "q"}, Rule: "query", Repeated: true}
		target.Query = func(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] {
			q := &rules.Query{Registry: "made", Args: engine.Object{"starts": values("all")}}
			return q.Query(ctx, rt, rules.Self{Instance: engine.Instance{Target: target}, View: v})
		}
		return n.build(target)
	}
	for _, when := range []string{"asked", "pinned"} {
		rows, diagnostics := ask()
		if len(rows) != 3 || rows["a"].Value.(engine.Object)["n"] != int64(1) || rows["b"].Value.(engine.Object)["n"] != 2.5 || rows["c"].Value.(engine.Object)["n"] != nil {
			t.Errorf("%s: rows %v", when, rows)
		}
		if len(diagnostics) != 1 || !strings.HasPrefix(diagnostics[0], "warning: ") || !strings.Contains(diagnostics[0], `item "a" of "page 2" differs from the one of "page 1"`) {
			t.Errorf("%s: diagnostics %q", when, diagnostics)
		}
	}
}

// What is there is worked on while other answers are still awaited.
func TestItemsComeAsTheAnswersDo(t *testing.T) {
	n := newNetwork(t)
	n.Add(aModule("example.com/one", "v1.0.0"), aModule("example.com/two", "v1.0.0"))
	release := n.Hold("/example.com/one/@latest")
	defer release()
	rt := n.runtime(false)
	query := queryOf(rt, "example.com/one", "example.com/two")
	source := fetchOf(rt, query)
	plan := source.Plan
	source.Plan = func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
		release() // the first fetch lets the first answer go
		return plan(ctx, v, i)
	}
	rows, diagnostics := n.build(query, source)
	if len(rows) != 2 || len(diagnostics) != 0 {
		t.Errorf("rows %v, diagnostics %v", rows, diagnostics)
	}
}

// Trouble that passes leaves no trace in the result.
func TestTroubleIsRetriedInABuild(t *testing.T) {
	n := newNetwork(t)
	n.Add(aModule("example.com/one", "v1.0.0"))
	n.Fault("/example.com/one/@latest", fakeproxy.Fault{Status: 503})
	n.Fault("/example.com/one/@v/v1.0.0.zip", fakeproxy.Fault{Cut: fakeproxy.Reset, At: 20})
	rt := n.runtime(false)
	query := queryOf(rt, "example.com/one")
	rows, diagnostics := n.build(query, fetchOf(rt, query))
	if len(diagnostics) != 0 || !rows["example.com/one@v1.0.0"].Cells[0].OK() {
		t.Errorf("rows %v, diagnostics %v", rows, diagnostics)
	}
	if zips, latest := n.Count("/example.com/one/@v/v1.0.0.zip"), n.Count("/example.com/one/@latest"); zips != 2 || latest != 2 {
		t.Errorf("%d downloads, %d questions; want 2 each", zips, latest)
	}
}

func TestOfflineSaysSo(t *testing.T) {
	n := newNetwork(t)
	rt := n.runtime(true)
	_, err := n.do(rt, &rules.Fetch{URL: "go:example.com/one@v1.0.0.zip"})
	if !errors.Is(err, download.ErrOffline) || engine.ClassOf(err) != engine.ClassError {
		t.Errorf("error %v", err)
	}
	_, diagnostics := n.build(queryOf(rt, "example.com/one"))
	if !strings.Contains(strings.Join(diagnostics, "\n"), "--offline") || n.Total() != 0 {
		t.Errorf("diagnostics %v, %d requests", diagnostics, n.Total())
	}
}
