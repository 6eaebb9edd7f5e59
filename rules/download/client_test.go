package download_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/engine"
	"cbuild/rules/download"
	"cbuild/rules/download/faultserver"
)

// serve starts a server and returns its address.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func client(t *testing.T, o download.Options) *download.Client {
	t.Helper()
	c := download.New(o)
	c.Anywhere()
	t.Cleanup(c.Close)
	return c
}

// kind is what an error means for the build: "ok", "unavailable", "retry" or "final".
func kind(err error) string {
	trouble, ok := errors.AsType[*engine.TroubleError](err)
	switch {
	case err == nil:
		return "ok"
	case engine.ClassOf(err) == engine.ClassUnavailable:
		return "unavailable"
	case ok && trouble.Retry:
		return "retry"
	}
	return "final"
}

func get(ctx context.Context, c *download.Client, url string) (string, error) {
	b, err := c.Bytes(ctx, download.Request{URL: url, Max: 1 << 20})
	return string(b), err
}

func TestEveryStatusHasItsClass(t *testing.T) {
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.WriteHeader(code)
	})
	c := client(t, download.Options{})
	want := map[int]string{200: "ok"}
	for _, code := range []int{400, 401, 403, 404, 410, 451} {
		want[code] = "unavailable"
	}
	for _, code := range []int{408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524} {
		want[code] = "retry"
	}
	for code := 200; code < 600; code++ {
		if code/100 == 3 && code != 304 {
			continue
		}
		k := want[code]
		if k == "" {
			k = "final"
		}
		_, err := get(t.Context(), c, fmt.Sprintf("%s/%d", base, code))
		if kind(err) != k {
			t.Errorf("%d is %s, want %s: %v", code, kind(err), k, err)
		}
		if err != nil && code != 407 && (download.Status(err) != code || !strings.Contains(err.Error(), fmt.Sprint(code))) {
			t.Errorf("%d: error %v", code, err)
		}
	}
}

func TestConnectionTroublePasses(t *testing.T) {
	hijack := func(answer string, linger int) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, answer)
			_ = conn.(*net.TCPConn).SetLinger(linger)
			_ = conn.Close()
		})
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n"
	c := client(t, download.Options{})
	for name, base := range map[string]string{
		"refused":             faultserver.Refused,
		"no such host":        "http://no-such-host.invalid",
		"reset before header": hijack("", 0),
		"end before header":   hijack("", -1),
		"reset in the header": hijack(head, 0),
		"end in the header":   hijack(head, -1),
		"end in the body":     hijack(head+"\r\n12345", -1),
		"end in a chunk":      hijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n12345", -1),
		"end between chunks":  hijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", -1),
	} {
		if _, err := get(t.Context(), c, base); kind(err) != "retry" {
			t.Errorf("%s is %s, want retry: %v", name, kind(err), err)
		}
	}
}

// In virtual time, with connections that are pipes: how fast this machine is must not decide what a stall is.
func TestSilenceAndTricklesAreStalls(t *testing.T) {
	ask := func(h http.HandlerFunc) (body string, err error) {
		synctest.Test(t, func(t *testing.T) {
			srv, dial := piped(h)
			defer time.Sleep(time.Hour) // as time is virtual, whoever still answers ends meanwhile
			defer srv.Close()
			c := download.New(download.Options{Stall: 10 * time.Second, FirstByte: 10 * time.Second})
			c.Dial(dial)
			defer c.Close()
			began := time.Now()
			body, err = get(t.Context(), c, "http://a.example/")
			if took := time.Since(began); err != nil && took > 25*time.Second {
				t.Errorf("noticed after %v: %v", took, err)
			}
		})
		return body, err
	}
	for name, h := range map[string]http.HandlerFunc{
		"no header": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"no body": func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"a trickle": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Second)
			}
		},
	} {
		if _, err := ask(h); kind(err) != "retry" {
			t.Errorf("%s is %s, want retry: %v", name, kind(err), err)
		}
	}
	body, err := ask(func(w http.ResponseWriter, _ *http.Request) {
		for range 20 {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 6000))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(3 * time.Second)
		}
	})
	if err != nil || len(body) != 120_000 {
		t.Errorf("slow but steady: %d bytes, %v", len(body), err)
	}
}

// piped starts a server whose connections are pipes, and returns what connects to it.
func piped(h http.Handler) (srv *http.Server, dial func(context.Context, string, string) (net.Conn, error)) {
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv = &http.Server{Handler: h} //nolint:gosec // for tests
	go srv.Serve(l)                //nolint:errcheck // it ends when it is closed
	return srv, func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case l.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pipes is a listener without a network.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func TestTimeout(t *testing.T) {
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := client(t, download.Options{})
	_, err := c.Copy(t.Context(), io.Discard, download.Request{URL: base, Timeout: 50 * time.Millisecond})
	if kind(err) != "retry" || !strings.Contains(err.Error(), "not done after 50ms") {
		t.Errorf("%s: %v", kind(err), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := get(ctx, c, base); !errors.Is(err, context.DeadlineExceeded) || kind(err) != "final" {
		t.Errorf("the caller's own end: %v", err)
	}
}

func TestTLSErrorsAreFinal(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	t.Cleanup(srv.Close)
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS10} //nolint:gosec // that is the point
	old.StartTLS()
	t.Cleanup(old.Close)
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := client(t, download.Options{})
	for name, u := range map[string]string{"unknown authority": srv.URL, "old protocol": old.URL, "no TLS": strings.Replace(plain, "http:", "https:", 1)} {
		if _, err := get(t.Context(), c, u); kind(err) != "final" {
			t.Errorf("%s is %s, want final: %v", name, kind(err), err)
		}
	}
}

func TestRedirects(t *testing.T) {
	var secret atomic.Value
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		secret.Store(r.Header.Get("X-Token") + r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, "there")
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/other", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/hops/{n}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("n") != "" {
			http.Redirect(w, r, "/hops/"+r.PathValue("n")[1:], http.StatusFound)
		}
	})
	mux.HandleFunc("/hops/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "end") })
	base := serve(t, mux.ServeHTTP)
	c := client(t, download.Options{})

	if body, err := c.Bytes(t.Context(), download.Request{URL: base + "/other", Headers: map[string]string{"X-Token": "s3cret", "Authorization": "s3cret"}}); err != nil || string(body) != "there" {
		t.Errorf("to another host: %q, %v", body, err)
	}
	if got := secret.Load(); got != "" {
		t.Errorf("another host was sent the headers: %q", got)
	}
	for path, want := range map[string]string{"/loop": "final", "/file": "final", "/hops/" + strings.Repeat("x", 10): "ok", "/hops/" + strings.Repeat("x", 11): "final"} {
		if _, err := get(t.Context(), c, base+path); kind(err) != want {
			t.Errorf("%s is %s, want %s: %v", path, kind(err), want, err)
		}
	}
}

func TestNoRedirectOutOfTLS(t *testing.T) {
	plain := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "clear text") })
	srv := httptest.NewTLSServer(http.RedirectHandler(plain, http.StatusFound))
	t.Cleanup(srv.Close)
	c := client(t, download.Options{Transport: srv.Client().Transport})
	if _, err := get(t.Context(), c, srv.URL); kind(err) != "final" || !strings.Contains(err.Error(), "https to http") {
		t.Errorf("%s: %v", kind(err), err)
	}
}

func TestLimitsOfAnAnswer(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) })
	mux.HandleFunc("/ten", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "0123456789") })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 1<<16))
		}
	})
	base := serve(t, mux.ServeHTTP)
	c := client(t, download.Options{})
	if _, err := get(t.Context(), c, base+"/header"); err == nil {
		t.Error("a header of 1 MiB")
	}
	for limit, want := range map[int64]string{9: "final", 10: "ok", 11: "ok"} {
		if _, err := c.Copy(t.Context(), io.Discard, download.Request{URL: base + "/ten", Max: limit}); kind(err) != want {
			t.Errorf("10 bytes, at most %d: %v", limit, err)
		}
	}
	if n, err := c.Copy(t.Context(), io.Discard, download.Request{URL: base + "/endless", Max: 1 << 20}); kind(err) != "final" || n > 1<<20+1 {
		t.Errorf("endless: %d bytes, %v", n, err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestAWriterThatFailsIsNotTheNetwork(t *testing.T) {
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	if _, err := client(t, download.Options{}).Copy(t.Context(), full{}, download.Request{URL: base}); kind(err) != "final" || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%s: %v", kind(err), err)
	}
}

func TestWhatIsSent(t *testing.T) {
	var got http.Header
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
	c := client(t, download.Options{Version: "1.2.3"})
	if _, err := c.Bytes(t.Context(), download.Request{URL: base, Headers: map[string]string{"Accept": "text/x"}}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.Get("User-Agent"), "cbuild/1.2.3 (+https://") || got.Get("Accept-Encoding") != "identity" || got.Get("Accept") != "text/x" {
		t.Errorf("header %v", got)
	}
}

func TestConnectionsPerHost(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0 // guarded by mu
	full := make(chan struct{})
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		if most = max(most, now); most == 3 && now == 3 {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		select {
		case <-full: // the first three are there together, however long that takes
		case <-r.Context().Done():
		}
		time.Sleep(20 * time.Millisecond) // a fourth could come
		mu.Lock()
		now--
		mu.Unlock()
	})
	c := client(t, download.Options{PerHost: 3})
	done := make(chan error)
	for range 12 {
		go func() {
			_, err := get(t.Context(), c, base)
			done <- err
		}()
	}
	for range 12 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most != 3 {
		t.Errorf("%d requests at a time, want 3", most)
	}
}

// A roundTrip answers requests without a network, so that time can be virtual.
type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func answer(r *http.Request, code int, header http.Header) *http.Response {
	return &http.Response{StatusCode: code, Header: header, Body: http.NoBody, Request: r, ContentLength: 0}
}

func TestRetryAfterPausesTheHost(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"30": 30 * time.Second, "86400": 10 * time.Minute, "soon": 0, "": 0, "Sat, 01 Jan 2000 00:02:00 GMT": 2 * time.Minute, "Fri, 31 Dec 1999 00:00:00 GMT": 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			refuse := true
			c := download.New(download.Options{Transport: roundTrip(func(r *http.Request) *http.Response {
				if refuse {
					refuse = false
					return answer(r, 429, http.Header{"Retry-After": {value}})
				}
				return answer(r, 200, nil)
			})})
			began := time.Now() // a bubble begins at 2000-01-01
			_, err := get(t.Context(), c, "https://a.example/1")
			if trouble, ok := errors.AsType[*engine.TroubleError](err); !ok || trouble.After != want {
				t.Errorf("Retry-After %q: %v", value, err)
			}
			if _, err := get(t.Context(), c, "https://b.example/"); err != nil || time.Since(began) != 0 {
				t.Errorf("Retry-After %q: another host waited %v, %v", value, time.Since(began), err)
			}
			_, err = get(t.Context(), c, "https://a.example/2")
			if trouble, ok := errors.AsType[*engine.TroubleError](err); want > 0 && (!ok || !trouble.Wait || trouble.After != want) || want == 0 && err != nil {
				t.Errorf("Retry-After %q: another download of the host is told %v", value, err)
			}
			time.Sleep(want)
			if _, err := get(t.Context(), c, "https://a.example/3"); err != nil {
				t.Errorf("Retry-After %q: after the pause: %v", value, err)
			}
		})
	}
}

func TestOffline(t *testing.T) {
	asked := false
	base := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
	_, err := get(t.Context(), client(t, download.Options{Offline: true}), base)
	if !errors.Is(err, download.ErrOffline) || kind(err) != "final" || !strings.Contains(err.Error(), "--offline") || asked {
		t.Errorf("%s: %v, asked: %v", kind(err), err, asked)
	}
}

func TestAddresses(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a b")
	if err := os.WriteFile(name, []byte("local"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := client(t, download.Options{Offline: true})
	local := (&url.URL{Scheme: "file", Path: name}).String()
	if b, err := c.Bytes(t.Context(), download.Request{URL: local, Local: true}); err != nil || string(b) != "local" {
		t.Errorf("a file: %q, %v", b, err)
	}
	if _, err := c.Bytes(t.Context(), download.Request{URL: local + "x", Local: true}); kind(err) != "unavailable" {
		t.Errorf("no file: %v", err)
	}
	for _, u := range []string{local, "ftp://a.example/", "http://", "x", "", "http://a b/", ":"} {
		if _, err := get(t.Context(), c, u); kind(err) != "final" || errors.Is(err, download.ErrOffline) {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	_, err := get(t.Context(), client(t, download.Options{}), strings.Replace(base, "http://", "http://me:s3cret@", 1))
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}
