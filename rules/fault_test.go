package rules_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/http2"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/rules"
	"cbuild/rules/download"
	"cbuild/rules/download/faultserver"
)

// A cell is one way in which a download goes wrong, and what must become of it.
type cell struct {
	name string
	// faults are met by the first requests; with always, all others meet the last of them, too.
	faults []faultserver.Fault
	always bool
	// want is "right": the content is what it should be; or a class and a part of its message, as in "error: checksum mismatch".
	want string
	// unchecked is a download without a checksum. Then the content must be then, if that is set.
	unchecked bool
	then      []byte
	// asked, if not 0, is how many requests there must have been.
	asked int
	// silent is set if the server stops talking. All other cells have time: a busy machine must not decide what becomes of them.
	silent bool
	// spared is set if what had come before the fault must not be sent again.
	spared bool
	// server, if set, makes the server, and perhaps the address and the options of the client.
	server func(c *world) string
}

// world is what a cell runs in.
type world struct {
	server  *faultserver.Server
	opts    download.Options
	closers []func()
	mirrors []string
}

// faultContent is large enough to be worth continuing.
var faultContent = func() []byte {
	b := make([]byte, 200_000)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}()

const faultPath = "/file"

// run downloads, through the engine, and says what came of it.
func (c cell) run(t *testing.T) {
	w := &world{opts: download.Options{Connect: 20 * time.Second, Timeout: time.Minute}}
	if c.silent {
		w.opts.Stall, w.opts.FirstByte = 5*time.Second, 5*time.Second
	}
	defer func() {
		for _, f := range w.closers {
			f()
		}
	}()
	address := ""
	if c.server != nil {
		address = c.server(w)
	}
	if w.server == nil {
		w.server = faultserver.New()
		w.closers = append(w.closers, w.server.Close)
	}
	w.server.Serve(faultPath, faultContent)
	for i, f := range c.faults {
		if c.always && i == len(c.faults)-1 {
			w.server.Always(faultPath, f)
		} else {
			w.server.Fault(faultPath, f)
		}
	}
	if c.then != nil {
		w.server.Serve(faultPath, c.then)
	}
	if address == "" {
		address = w.server.URL + faultPath
	}
	client := download.New(w.opts)
	defer client.Close()
	store := castest.NewMemory()
	rt := &rules.Runtime{Store: store, Pins: &pins{}, Temp: t.TempDir(), Parts: download.OpenParts(t.TempDir()), Client: client}
	o := c.fetch(t, rt, append([]string{address}, w.mirrors...))

	got := string(o.Class())
	var content []byte
	if o.Err != nil {
		got += ": " + o.Err.Error()
	} else {
		var err error
		if content, err = cas.ReadAll(t.Context(), store, o.Result.Outs[0].Digest, 64<<20); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	right := faultContent
	if c.then != nil {
		right = c.then
	}
	switch {
	case o.Err == nil && string(content) != string(right) && c.want != "any":
		t.Errorf("%s: WRONG CONTENT of %d bytes was accepted", c.name, len(content))
	case c.want == "any":
	case c.want == "right" && o.Err != nil, c.want != "right" && (o.Err == nil || !matches(got, c.want)):
		t.Errorf("%s: %s, want %s", c.name, got, c.want)
	}
	if n := len(w.server.Requests()); c.asked != 0 && n != c.asked {
		t.Errorf("%s: %d requests, want %d", c.name, n, c.asked)
	}
	if sent := w.server.Sent(faultPath); c.spared && sent > int64(len(faultContent)) {
		t.Errorf("%s: %d bytes were sent of %d: what had come was not continued", c.name, sent, len(faultContent))
	}
}

// matches reports whether got has the class and the words of want.
func matches(got, want string) bool {
	class, words, _ := strings.Cut(want, ": ")
	return strings.HasPrefix(got, class+":") && strings.Contains(got, words)
}

// fetch performs a fetch and returns its outcome.
func (c cell) fetch(t *testing.T, rt *rules.Runtime, addresses []string) *engine.Outcome {
	retries := 3
	if c.always {
		retries = 1
	}
	f := &rules.Fetch{Common: rules.Common{Retries: &retries, Disk: 1 << 20}}
	if f.URL = addresses[0]; len(addresses) > 1 {
		f.URL = values(addresses...)
	}
	if !c.unchecked {
		sum := sha256.Sum256(faultContent)
		text := hex.EncodeToString(sum[:])
		f.SHA256 = &text
	}
	target := &engine.Target{Label: engine.Label{Name: "x"}, Rule: "fetch"}
	target.Plan = func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
		return f.Plan(ctx, rt, rules.Self{Instance: i, View: v, Where: "BUILD.hcl:1"})
	}
	b := engine.New(engine.Options{Targets: []*engine.Target{target}, Cache: keeping{castest.NewMemoryActionCache()}, Jobs: 1, Connections: 2, Window: 4, DiskAhead: 1 << 30})
	if err := b.Run(t.Context(), []engine.Want{{Label: target.Label}}); err != nil {
		t.Fatal(err)
	}
	for row, err := range b.Whole(t.Context(), target.Label) {
		if err != nil {
			return &engine.Outcome{Err: err}
		}
		return row.Cells[0]
	}
	return &engine.Outcome{Err: fmt.Errorf("no row")}
}

// cells are all of them.
func cells(authority *faultserver.Authority) (all []cell) {
	add := func(name, want string, c cell) {
		c.name, c.want = name, want
		c.silent = strings.HasPrefix(name, "silen") || strings.HasPrefix(name, "trickle")
		all = append(all, c)
	}
	changed := append([]byte("changed "), faultContent...)
	// What breaks off passes, whether or not there is a checksum.
	for name, fault := range map[string]func(faultserver.Place) faultserver.Fault{
		"reset": faultserver.Reset, "finish": faultserver.Finish, "cut chunk": faultserver.CutChunk, "silence": faultserver.Silence,
		"trickle": func(p faultserver.Place) faultserver.Fault { return faultserver.Trickle(p, 20*time.Millisecond) },
	} {
		for _, place := range faultserver.Places {
			for _, unchecked := range []bool{false, true} {
				where := fmt.Sprintf("%s at the %v byte, unchecked=%v", name, place, unchecked)
				f := fault(place)
				if name == "trickle" && place == faultserver.Last {
					add(where+", once", "right", cell{faults: []faultserver.Fault{f}, unchecked: unchecked}) // one slow byte is no trouble
					continue
				}
				spared := name != "cut chunk" && name != "reset" // a reset drops what is on its way
				add(where+", once", "right", cell{faults: []faultserver.Fault{f}, unchecked: unchecked, spared: spared})
				add(where+", twice", "right", cell{faults: []faultserver.Fault{f, f}, unchecked: unchecked})
				if place != faultserver.First {
					// The file changes while it is on its way: never is it half of each.
					add(where+", then another file", "right", cell{faults: []faultserver.Fault{faultserver.Then(faultContent, f)}, unchecked: true, then: changed})
					add(where+", and ranges are ignored", "right", cell{faults: []faultserver.Fault{f, faultserver.Unranged()}, unchecked: unchecked})
				}
				if name != "trickle" && (!unchecked || place == faultserver.First) {
					want := "error: "
					if name == "cut chunk" && place == faultserver.Last && !unchecked {
						want = "right" // only the end of the body is missing, and the checksum says that all of it came
					}
					add(where+", always", want, cell{faults: []faultserver.Fault{faultserver.Then(faultContent, unranged(f))}, always: true, unchecked: unchecked})
				}
			}
		}
	}
	// What comes instead of the rest.
	for name, second := range map[string]faultserver.Fault{
		"a byte late": faultserver.Piece(1, 0, 0), "a byte early": faultserver.Piece(-1, 0, 0), "another total": faultserver.Piece(0, 0, 7), "a smaller total": faultserver.Piece(0, -1, -1),
		"without a range": faultserver.PieceOf(""), "a range of nonsense": faultserver.PieceOf("bytes x-y/z"), "another unit": faultserver.PieceOf("lines 1-2/3"),
		"from the beginning": faultserver.PieceOf("bytes 0-199999/200000"), "416": faultserver.Status(416), "416 with another size": faultserver.Status(416, "Content-Range: bytes */5"),
		"304": faultserver.Status(304), "404": faultserver.Status(404),
	} {
		want := "right"
		switch name {
		case "304":
			want = "error: 304"
		case "404":
			want = "unavailable: 404"
		}
		for _, unchecked := range []bool{false, true} {
			for _, place := range []faultserver.Place{faultserver.Middle, faultserver.Last} {
				add(fmt.Sprintf("the rest after the %v byte is %s, unchecked=%v", place, name, unchecked), want, cell{faults: []faultserver.Fault{faultserver.Finish(place), second}, unchecked: unchecked})
			}
		}
	}
	add("the rest is other bytes", "right", cell{faults: []faultserver.Fault{faultserver.Finish(faultserver.Middle), faultserver.PieceLies()}})
	add("the rest is less than that", "right", cell{faults: []faultserver.Fault{faultserver.Finish(faultserver.Middle), faultserver.Piece(0, -5, 0)}, spared: true})
	add("the rest never fits", "error: ", cell{faults: []faultserver.Fault{faultserver.Finish(faultserver.Middle), faultserver.Piece(1, 0, 0)}, always: true})
	add("a range that nobody asked for", "error: 206", cell{faults: []faultserver.Fault{faultserver.PieceOf("bytes 0-199999/200000")}, always: true})
	// Wrong content.
	for _, place := range faultserver.Places {
		add(fmt.Sprintf("another %v byte, once", place), "right", cell{faults: []faultserver.Fault{faultserver.Flipped(place)}, asked: 2})
		add(fmt.Sprintf("another %v byte, always", place), "error: checksum mismatch", cell{faults: []faultserver.Fault{faultserver.Flipped(place)}, always: true, asked: 2})
	}
	for name, f := range map[string]faultserver.Fault{"shorter": faultserver.Shorter(), "padded": faultserver.Padded(), "portal": faultserver.Portal(), "compressed": faultserver.GzipBomb()} {
		add(name+", once", "right", cell{faults: []faultserver.Fault{f}, asked: 2})
		add(name+", always", "error: checksum mismatch", cell{faults: []faultserver.Fault{f}, always: true, asked: 2})
	}
	add("longer than announced", "right", cell{faults: []faultserver.Fault{faultserver.Longer()}, asked: 1})
	// What has no end, and what never begins.
	add("endless body", "error: more than 1048576 bytes", cell{faults: []faultserver.Fault{faultserver.EndlessBody()}, always: true, unchecked: true})
	add("endless header, once", "right", cell{faults: []faultserver.Fault{faultserver.EndlessHeader()}})
	add("endless header, always", "error: ", cell{faults: []faultserver.Fault{faultserver.EndlessHeader()}, always: true})
	for name, f := range map[string]faultserver.Fault{"reset at once": faultserver.ResetAtOnce(), "closed at once": faultserver.CloseAtOnce(), "cut header": faultserver.CutHeader(), "silent": faultserver.Silent()} {
		add(name+", once", "right", cell{faults: []faultserver.Fault{f}})
		add(name+", always", "error: ", cell{faults: []faultserver.Fault{f}, always: true})
	}
	// Answers that are none.
	for _, code := range []int{408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524} {
		add(fmt.Sprint(code)+", once", "right", cell{faults: []faultserver.Fault{faultserver.Status(code)}, asked: 2})
		add(fmt.Sprint(code)+", always", "error: "+fmt.Sprint(code), cell{faults: []faultserver.Fault{faultserver.Status(code)}, always: true, asked: 2})
	}
	past := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
	soon := time.Now().Add(time.Second).UTC().Format(http.TimeFormat)
	for _, after := range []string{"0", "1", "-1", "+1", "1.5", "soon", "", past, soon, "Thu, 99 Foo 2026 99:99:99 GMT", strings.Repeat("x", 5000)} {
		for _, code := range []int{429, 503} {
			add(fmt.Sprintf("%d with Retry-After %.40q", code, after), "right", cell{faults: []faultserver.Fault{faultserver.Status(code, "Retry-After: "+after)}, asked: 2})
		}
	}
	for _, code := range []int{400, 401, 403, 404, 410, 451} {
		add(fmt.Sprint(code), "unavailable: "+fmt.Sprint(code), cell{faults: []faultserver.Fault{faultserver.Status(code)}, asked: 1})
	}
	for _, code := range []int{201, 204, 205, 304, 405, 406, 409, 412, 413, 418, 431, 501, 505, 511} {
		add(fmt.Sprint(code), "error: "+fmt.Sprint(code), cell{faults: []faultserver.Fault{faultserver.Status(code)}, asked: 1})
	}
	add("416 that nobody asked for", "error: 416", cell{faults: []faultserver.Fault{faultserver.Status(416)}, asked: 1})
	// Redirects.
	other := func(w *world) string {
		s := faultserver.New()
		s.Serve(faultPath, faultContent)
		w.closers = append(w.closers, s.Close)
		return s.URL + faultPath
	}
	add("redirect loop", "error: more than 10 redirects", cell{faults: []faultserver.Fault{faultserver.Redirect(faultPath)}, always: true, asked: 11})
	for to, want := range map[string]string{
		"file:///etc/passwd": "redirect to file:", "gopher://a.example/": "redirect to gopher:", "http://169.254.169.254/latest/meta-data/": "link-local address, where clouds keep",
		"http://[fe80::1]/": "link-local", "http://10.0.0.1/": "private network", "http://192.168.1.1/": "private network", "http://[fd00::1]/": "private network",
		"http://127.0.0.1:1/": "this machine", "http://localhost:1/": "this machine", "http://[::1]:1/": "this machine", "http://0.0.0.0:1/": "this machine",
		"http://[::ffff:127.0.0.1]:1/": "this machine", "http://2130706433:1/": "", "http://100.100.100.200/": "private network",
		"/elsewhere": "404", "http:///": "", "": "",
	} {
		class := "error: "
		if want == "404" {
			class = "unavailable: "
		}
		add("redirect to "+to, class+want, cell{faults: []faultserver.Fault{faultserver.Redirect(to)}, always: true})
	}
	add("redirect to another server of this machine", "error: To allow it, write its address in BUILD.hcl", cell{server: func(w *world) string {
		w.server = faultserver.New()
		w.closers = append(w.closers, w.server.Close)
		w.server.Always(faultPath, faultserver.Redirect(other(w)))
		return ""
	}})
	add("redirect to what is there", "right", cell{faults: []faultserver.Fault{faultserver.Redirect("/file?again")}, asked: 2})
	// TLS.
	secure := func(config *tls.Config, trusted bool) func(w *world) string {
		return func(w *world) string {
			w.server = faultserver.NewTLS(config)
			w.closers = append(w.closers, w.server.Close)
			if trusted {
				w.opts.TLS = &tls.Config{RootCAs: authority.Pool}
			}
			return ""
		}
	}
	add("TLS", "right", cell{server: secure(authority.Good(), true), asked: 1})
	add("TLS, reset in the body", "right", cell{server: secure(authority.Good(), true), faults: []faultserver.Fault{faultserver.Reset(faultserver.Middle)}, asked: 2})
	add("TLS, expired", "error: expired", cell{server: secure(authority.Expired(), true)})
	add("TLS, another host", "error: valid for 192.0.2.1", cell{server: secure(authority.Other(), true)})
	add("TLS, unknown authority", "error: unknown authority", cell{server: secure(authority.Good(), false)})
	add("TLS, too old", "error: ", cell{server: secure(func() *tls.Config {
		c := authority.Good()
		c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		return c
	}(), true)})
	add("no TLS", "error: ", cell{server: func(w *world) string {
		w.server = faultserver.New()
		w.closers = append(w.closers, w.server.Close)
		return "https://" + w.server.Host() + faultPath
	}})
	add("redirect out of TLS", "error: redirect from https to http", cell{server: func(w *world) string {
		secure(authority.Good(), true)(w)
		w.server.Always(faultPath, faultserver.Redirect("http://"+w.server.Host()+faultPath))
		return ""
	}, asked: 1})
	all = append(all, h2Cells(authority)...)
	all = append(all, routeCells()...)
	return all
}

// unranged makes a fault ignore ranges.
func unranged(f faultserver.Fault) faultserver.Fault {
	return func(x *faultserver.Exchange) {
		x.Request.Header.Del("Range")
		f(x)
	}
}

func h2Cells(authority *faultserver.Authority) (all []cell) {
	config := authority.Good()
	add := func(name, want string, always bool, faults ...faultserver.H2Fault) {
		all = append(all, cell{name: "HTTP/2, " + name, want: want, always: always, server: func(w *world) string {
			h := faultserver.NewH2(config, faultContent, always, faults...)
			w.server = faultserver.New() // for what a cell looks at; nobody asks it
			w.closers = append(w.closers, h.Close, w.server.Close)
			w.opts.TLS = &tls.Config{RootCAs: authority.Pool}
			return h.URL + faultPath
		}})
	}
	add("good", "right", false)
	for _, place := range faultserver.Places {
		for _, code := range []http2.ErrCode{http2.ErrCodeNo, http2.ErrCodeInternal, http2.ErrCodeRefusedStream, http2.ErrCodeCancel, http2.ErrCodeEnhanceYourCalm, http2.ErrCodeProtocol} {
			add(fmt.Sprintf("RST_STREAM %v at the %v byte, once", code, place), "right", false, faultserver.H2Fault{Place: place, Code: code})
		}
		add(fmt.Sprintf("GOAWAY at the %v byte, once", place), "right", false, faultserver.H2Fault{Place: place, GoAway: true})
		add(fmt.Sprintf("GOAWAY with an error at the %v byte, once", place), "right", false, faultserver.H2Fault{Place: place, GoAway: true, Code: http2.ErrCodeInternal})
		add(fmt.Sprintf("end at the %v byte, once", place), "right", false, faultserver.H2Fault{Place: place, Drop: true})
		add(fmt.Sprintf("end at the %v byte, always", place), "error: ", true, faultserver.H2Fault{Place: place, Drop: true})
		add(fmt.Sprintf("RST_STREAM at the %v byte, always", place), "error: ", true, faultserver.H2Fault{Place: place, Code: http2.ErrCodeInternal})
	}
	return all
}

// routeCells are about the way to the server: names, proxies, mirrors.
func routeCells() (all []cell) {
	names := faultserver.Names{
		"near.example": {Addresses: []string{"127.0.0.1"}}, "cloud.example": {Addresses: []string{"169.254.169.254"}}, "office.example": {Addresses: []string{"10.1.2.3"}},
		"broken.example": {Code: dnsmessage.RCodeServerFailure}, "both.example": {Addresses: []string{"10.1.2.3", "fd00::1"}}, "mapped.example": {Addresses: []string{"::ffff:10.0.0.1"}},
	}
	add := func(name, want string, server func(w *world) string) {
		all = append(all, cell{name: name, want: want, always: true, server: server})
	}
	serve := func(w *world) *faultserver.Server {
		w.server = faultserver.New()
		w.closers = append(w.closers, w.server.Close)
		return w.server
	}
	add("nobody listens", "error: cannot reach 127.0.0.1:", func(*world) string { return faultserver.Refused + faultPath })
	for name, want := range map[string]string{"nowhere.example": "error: cannot reach nowhere.example (no such host)", "broken.example": "error: cannot reach broken.example (server misbehaving)"} {
		add(name, want, func(w *world) string {
			w.opts.Resolver = names.Resolver()
			return "http://" + name + faultPath
		})
	}
	// The address stands in the user's own file: it may be near.
	add("a near host that the user named", "right", func(w *world) string {
		w.opts.Resolver = names.Resolver()
		_, port, _ := net.SplitHostPort(serve(w).Host())
		return "http://near.example:" + port + faultPath
	})
	for name, want := range map[string]string{"near.example": "this machine (127.0.0.1)", "cloud.example": "169.254.169.254", "office.example": "private network (10.1.2.3)", "both.example": "private network", "mapped.example": "private network"} {
		add("a redirect to the name of something near, "+name, "error: "+want, func(w *world) string {
			w.opts.Resolver = names.Resolver()
			serve(w).Always(faultPath, faultserver.Redirect("http://"+name+":1/"))
			return ""
		})
	}
	add("first mirror down", "right", func(w *world) string {
		s := serve(w)
		w.mirrors = []string{s.URL + faultPath}
		return faultserver.Refused + faultPath
	})
	add("first mirror wrong", "right", func(w *world) string {
		s := serve(w)
		s.Serve("/wrong", []byte("something else"))
		w.mirrors = []string{s.URL + faultPath}
		return s.URL + "/wrong"
	})
	add("first mirror passes, second is broken for good", "right", func(w *world) string {
		s := serve(w)
		s.Fault("/first", faultserver.Status(503))
		s.Serve("/first", faultContent)
		w.mirrors = []string{s.URL + "/missing"}
		return s.URL + "/first"
	})
	add("a mirror goes on where another broke off", "right", func(w *world) string {
		s := serve(w)
		s.Always("/first", faultserver.Then(faultContent, faultserver.Finish(faultserver.Middle)))
		w.mirrors = []string{s.URL + faultPath}
		return s.URL + "/first"
	})
	through := func(user string, known bool, refuses int) func(w *world) string {
		return func(w *world) string {
			s := serve(w)
			_, port, _ := net.SplitHostPort(s.Host())
			p := faultserver.NewProxy(user, "secret", map[string]string{"files.example:80": "127.0.0.1:" + port})
			p.Refuses = refuses
			w.closers = append(w.closers, p.Close)
			w.opts.Proxy = p.Through(known)
			return "http://files.example" + faultPath
		}
	}
	add("through a proxy", "right", through("", false, 0))
	add("through a proxy with a password", "right", through("me", true, 0))
	add("a proxy that wants a password", "error: 407 Proxy Authentication Required: give it a name and password", through("me", false, 0))
	add("a proxy that is down", "error: 502", through("", false, 502))
	for _, code := range []int{407, 403, 502} {
		add(fmt.Sprintf("a proxy answers %d to CONNECT", code), fmt.Sprintf("error: answers %d", code), func(w *world) string {
			through("me", true, code)(w)
			return "https://files.example" + faultPath
		})
	}
	add("an address of something near through a proxy", "error: this machine", func(w *world) string {
		through("", false, 0)(w)
		s := w.server
		s.Always(faultPath, faultserver.Redirect("http://127.0.0.1:1/"))
		return ""
	})
	add("no proxy at that address", "error: ", func(w *world) string {
		u, _ := url.Parse(faultserver.Refused)
		w.opts.Proxy = http.ProxyURL(u)
		return "http://files.example" + faultPath
	})
	return all
}

// Every way in which a download can go wrong has its outcome: what is right, or a failure that says what it is. Never is anything else
// taken for what was asked for.
func TestEveryFaultHasItsOutcome(t *testing.T) {
	all := cells(faultserver.NewAuthority())
	seen := map[string]bool{}
	var running sync.WaitGroup
	turn := make(chan struct{}, 96)
	for _, c := range all {
		if seen[c.name] {
			t.Fatalf("two cells are called %q", c.name)
		}
		seen[c.name] = true
		turn <- struct{}{}
		running.Go(func() {
			defer func() { <-turn }()
			c.run(t)
		})
	}
	running.Wait()
	t.Logf("%d cells", len(all))
}

// What was downloaded whole before something else went wrong is not downloaded again.
func TestAWholePartIsNotAskedFor(t *testing.T) {
	s := faultserver.New()
	defer s.Close()
	s.Serve(faultPath, faultContent)
	client := download.New(download.Options{})
	defer client.Close()
	dir := t.TempDir()
	sum := sha256.Sum256(faultContent)
	part, err := download.OpenParts(dir).Open("content sha256:"+hex.EncodeToString(sum[:]), true, t.TempDir(), nothingElse{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(faultContent); err != nil {
		t.Fatal(err)
	}
	_ = part.Close()
	rt := &rules.Runtime{Store: castest.NewMemory(), Pins: &pins{}, Temp: t.TempDir(), Parts: download.OpenParts(dir), Client: client}
	if o := (cell{}).fetch(t, rt, []string{s.URL + faultPath}); o.Err != nil || len(s.Requests()) != 0 {
		t.Errorf("%v, %d requests", o.Err, len(s.Requests()))
	}
}

// nothingElse is a Tee that keeps nothing.
type nothingElse struct{}

func (nothingElse) Write(p []byte) (int, error) { return len(p), nil }
func (nothingElse) Reset()                      {}
