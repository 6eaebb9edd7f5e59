// Package download gets bytes over HTTP, once: it never retries, but says of every failure whether it may pass, in the engine's
// error types. One Client is shared by all that ask the network, since it holds what is known of each host. Make it with New, then
// call Client.Copy or Client.Bytes. It does not know what it downloads, and keeps nothing on disk.
package download

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"time"

	"cbuild/engine"
	"cbuild/internal/retry"
)

// ErrOffline is wrapped by the error of every request of a Client that is offline.
var ErrOffline = errors.New("no network with --offline: run again without it")

// Options say how a Client behaves. The zero value holds the defaults.
type Options struct {
	// Version is the version of cbuild, for the User-Agent.
	Version string
	// Offline makes every request fail.
	Offline bool
	// PerHost is the greatest number of requests to one host at a time; 0 means 8.
	PerHost int
	// Timeout is the longest time from the start of a request to the end of its body; 0 means 5 minutes. Waiting for a turn does
	// not count.
	Timeout time.Duration
	// Stall is the time in which at least 1 KiB per second must come; 0 means one minute.
	Stall time.Duration
	// FirstByte is the longest wait for an answer to begin; 0 means 30 seconds.
	FirstByte time.Duration
	// Transport is what requests go through, for tests; nil means one of its own that takes proxies from the environment.
	Transport http.RoundTripper
}

// A Client gets bytes over HTTP. All methods may be called concurrently.
type Client struct {
	opts  Options
	http  *http.Client
	hosts hosts
}

// New returns a Client.
func New(o Options) *Client {
	setDefault(&o.PerHost, 8)
	setDefault(&o.Timeout, 5*time.Minute)
	setDefault(&o.Stall, time.Minute)
	setDefault(&o.FirstByte, 30*time.Second)
	setDefault(&o.Version, "dev")
	if o.Transport == nil {
		o.Transport = transport(o)
	}
	c := &Client{opts: o, http: &http.Client{Transport: o.Transport, CheckRedirect: checkRedirect}}
	c.hosts.limit = o.PerHost
	return c
}

func setDefault[T comparable](p *T, v T) {
	if *p == *new(T) {
		*p = v
	}
}

func transport(o Options) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  o.FirstByte,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    o.PerHost,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true, // a body is hashed as it is served
		ForceAttemptHTTP2:      true,
	}
}

// Offline reports whether every request fails with ErrOffline.
func (c *Client) Offline() bool { return c.opts.Offline }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// A Request is what to get.
type Request struct {
	// URL is http or https, or file if Local is set.
	URL string
	// Headers are added to the request. They are not sent on to another host.
	Headers map[string]string
	// Max is the greatest number of bytes that the body may have; 0 means no limit.
	Max int64
	// Timeout replaces the Client's, if it is not 0.
	Timeout time.Duration
	// Local permits the scheme file.
	Local bool
	// Wants reports whether the body of an answer other than 200 is wanted, too; nil wants none.
	Wants func(code int) bool
	// Head, if set, is called with the status, the headers and the final address of the answer, before its body is written.
	Head func(code int, header http.Header, final *url.URL)
}

// Bytes returns the body of r, which must have a Max.
func (c *Client) Bytes(ctx context.Context, r Request) ([]byte, error) {
	var b strings.Builder
	if r.Max <= 0 {
		r.Max = 1 << 20
	}
	if _, err := c.Copy(ctx, &b, r); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// Copy gets r and writes its body to w, waiting first until the host has a turn and is not paused. It returns the number of bytes
// written. A failure is an *engine.UnavailableError where the host does not have or give it (both wrap a *StatusError), an
// *engine.TroubleError where it may pass, ctx's error, or another error, which is final.
func (c *Client) Copy(ctx context.Context, w io.Writer, r Request) (int64, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return 0, err
	}
	switch {
	case u.Scheme == "file" && r.Local:
		return copyFile(w, u, r.Max)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return 0, &url.Error{Op: "Get", URL: u.Redacted(), Err: errors.New("not an http or https address")}
	case c.opts.Offline:
		return 0, &engine.TroubleError{Err: &url.Error{Op: "Get", URL: u.Redacted(), Err: ErrOffline}}
	}
	release, err := c.hosts.acquire(ctx, u.Host)
	if err != nil {
		return 0, err
	}
	defer release()
	return c.once(ctx, w, u, r)
}

// once performs the request within its time.
func (c *Client) once(parent context.Context, w io.Writer, u *url.URL, r Request) (int64, error) {
	timeout := r.Timeout
	setDefault(&timeout, c.opts.Timeout)
	ctx, cancel := context.WithTimeoutCause(parent, timeout, &timeoutError{timeout})
	defer cancel()
	watch, ctx := newWatchdog(ctx, c.opts.Stall)
	defer watch.stop()

	req, err := http.NewRequestWithContext(withHeaders(ctx, r.Headers), http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, err
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", "cbuild/"+c.opts.Version+" (+https://cbuild.example)")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, classify(parent, ctx, u, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && (r.Wants == nil || !r.Wants(resp.StatusCode)) {
		return 0, c.refused(u, resp)
	}
	if r.Head != nil {
		r.Head(resp.StatusCode, resp.Header, resp.Request.URL)
	}
	watch.start()
	n, err := copyBody(w, watch.reader(resp.Body), r.Max, resp.ContentLength)
	if err != nil {
		return n, classify(parent, ctx, u, err)
	}
	return n, nil
}

// refused returns the error for an answer that is not 200, and pauses the host if it asks for that.
func (c *Client) refused(u *url.URL, resp *http.Response) error {
	s := &StatusError{URL: u.Redacted(), Code: resp.StatusCode}
	if retryable(s.Code) {
		s.After = retry.RetryAfter(resp.Header.Get("Retry-After"), time.Now())
		c.hosts.pause(u.Host, s.After)
	}
	return s.classified()
}

// copyFile copies the file that u names. A file that is not there is like a 404.
func copyFile(w io.Writer, u *url.URL, limit int64) (int64, error) {
	f, err := os.Open(u.Path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, (&StatusError{URL: u.String(), Code: http.StatusNotFound}).classified()
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return copyBody(w, f, limit, -1)
}

// copyBody copies r, of which length bytes are announced (-1 if unknown). Errors of w are wrapped in a writeError.
func copyBody(w io.Writer, r io.Reader, limit, length int64) (int64, error) {
	if limit > 0 && length > limit {
		return 0, &tooLargeError{limit}
	}
	if limit > 0 {
		r = io.LimitReader(r, limit+1)
	}
	n, err := io.Copy(&markWriter{w}, r)
	if err == nil && limit > 0 && n > limit {
		err = &tooLargeError{limit}
	}
	return n, err
}

type headersKey struct{}

// withHeaders remembers the names of the user's headers, for checkRedirect.
func withHeaders(ctx context.Context, headers map[string]string) context.Context {
	return context.WithValue(ctx, headersKey{}, headers)
}

// checkRedirect bounds redirects, refuses to leave TLS, and keeps the user's headers from other hosts: net/http drops only the
// well-known ones.
func checkRedirect(req *http.Request, via []*http.Request) error {
	last := via[len(via)-1]
	switch {
	case len(via) > 10:
		return &redirectError{"more than 10 redirects"}
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return &redirectError{"redirect to " + req.URL.Scheme + ":"}
	case last.URL.Scheme == "https" && req.URL.Scheme == "http":
		return &redirectError{"redirect from https to http"}
	}
	if req.URL.Host != via[0].URL.Host {
		headers, _ := req.Context().Value(headersKey{}).(map[string]string)
		for name := range headers {
			if textproto.CanonicalMIMEHeaderKey(name) != "Accept" {
				req.Header.Del(name)
			}
		}
	}
	return nil
}
