// Package download gets bytes over HTTP, once: it never retries, but says of every failure whether it may pass, in the engine's
// error types. One Client is shared by all that ask the network, since it holds what is known of each host. Make it with New, then
// call Client.Copy or Client.Bytes. It does not know what it downloads, and keeps nothing on disk.
package download

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"golang.org/x/time/rate"

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
	// PerHost is the greatest number of requests to one host at a time; 0 means 16.
	PerHost int
	// Timeout is the longest time from the start of a request to the end of its body; 0 means 5 minutes. Waiting for a turn does
	// not count.
	Timeout time.Duration
	// Stall is the time in which at least 1 KiB per second must come; 0 means one minute.
	Stall time.Duration
	// FirstByte is the longest wait for an answer to begin; 0 means 30 seconds. Connect is the one for a connection, and for the TLS
	// handshake; 0 means 10 seconds.
	FirstByte, Connect time.Duration
	// Netrc is a file with names and passwords for hosts, "" for none.
	Netrc string
	// Tell, if set, is called when a host begins to rest, and now and then while more and more waits for it. It must not block.
	Tell func(HostState)

	// Proxy says through which proxy a request goes; nil means what the environment says.
	Proxy func(*http.Request) (*url.URL, error)
	// Resolver looks up names, and TLS configures connections; nil means the system's.
	Resolver *net.Resolver
	TLS      *tls.Config
	// Transport is what requests go through, for tests; nil means one of its own.
	Transport http.RoundTripper
}

// A Client gets bytes over HTTP. All methods may be called concurrently.
type Client struct {
	opts     Options
	http     *http.Client
	hosts    hosts
	declared declared
	netrc    netrc
	logins   logins
}

// keepAlive is how often an idle connection is checked.
const keepAlive = 30 * time.Second

// New returns a Client.
func New(o Options) *Client {
	setDefault(&o.PerHost, 16)
	setDefault(&o.Timeout, 5*time.Minute)
	setDefault(&o.Stall, time.Minute)
	setDefault(&o.FirstByte, 30*time.Second)
	setDefault(&o.Connect, 10*time.Second)
	setDefault(&o.Version, "dev")
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	c := &Client{opts: o, netrc: netrc{name: o.Netrc}}
	c.hosts.limit, c.hosts.tell = o.PerHost, o.Tell
	if o.Transport == nil {
		o.Transport = c.transport()
	}
	c.http = &http.Client{Transport: o.Transport, CheckRedirect: c.checkRedirect}
	return c
}

func setDefault[T comparable](p *T, v T) {
	if *p == *new(T) {
		*p = v
	}
}

func (c *Client) transport() *http.Transport {
	return &http.Transport{
		Proxy:                  c.proxy,
		OnProxyConnectResponse: proxyRefusal,
		DialContext:            c.dial,
		TLSClientConfig:        c.opts.TLS,
		TLSHandshakeTimeout:    c.opts.Connect,
		ResponseHeaderTimeout:  c.opts.FirstByte,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    c.opts.PerHost,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true, // a body is hashed as it is served
		ForceAttemptHTTP2:      true,
	}
}

// Offline reports whether every request fails with ErrOffline.
func (c *Client) Offline() bool { return c.opts.Offline }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Hosts returns how those hosts are doing that something waits for, or that were given up.
func (c *Client) Hosts() []HostState { return c.hosts.states() }

// Host returns how a host is doing.
func (c *Client) Host(id string) HostState {
	h := c.hosts.host(id)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state()
}

// Limit asks a host no more often than perSecond, after a first burst: for registries that say how often they want to be asked.
func (c *Client) Limit(id string, perSecond float64, burst int) {
	h := c.hosts.host(id)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rate = rate.NewLimiter(rate.Limit(perSecond), burst)
}

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
	// Park makes a request that can't begin soon end with an *engine.TroubleError that has Wait set, whatever it is that it waits for; else
	// only a host that rests does that. It is for what asks only once and so can be begun anew without asking anything twice.
	Park bool
	// Wants reports whether the body of an answer other than 200 is wanted, too; nil wants none.
	Wants func(code int) bool
	// Head, if set, is called with the status, the headers and the final address of the answer, before its body is written.
	Head func(code int, header http.Header, final *url.URL)
}

// Bytes returns the body of r, which must have a Max.
func (c *Client) Bytes(ctx context.Context, r Request) ([]byte, error) {
	var b bytes.Buffer
	if r.Max <= 0 {
		r.Max = 1 << 20
	}
	if _, err := c.Copy(ctx, &b, r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Copy gets r and writes its body to w, waiting first until the host has a turn. It returns the number of bytes written. A failure is
// an *engine.UnavailableError where the host does not have or give it (both wrap a *StatusError), an *engine.TroubleError where it may
// pass or was not even tried, because the host wants to be left alone, ctx's error, or another error, which is final.
func (c *Client) Copy(ctx context.Context, w io.Writer, r Request) (n int64, err error) {
	u, err := c.address(r)
	if err != nil {
		return 0, err
	}
	if u.Scheme == "file" {
		return copyFile(w, u, r.Max)
	}
	err = c.exchange(ctx, u, r, func(e *exchange) error {
		if code := e.resp.StatusCode; code != http.StatusOK && (r.Wants == nil || !r.Wants(code)) {
			return c.refused(e.resp)
		}
		if r.Head != nil {
			r.Head(e.resp.StatusCode, e.resp.Header, e.resp.Request.URL)
		}
		n, err = copyBody(w, e.body(), r.Max, e.resp.ContentLength)
		return err
	})
	return n, err
}

// address checks the address of r.
func (c *Client) address(r Request) (*url.URL, error) {
	u, err := url.Parse(r.URL)
	switch {
	case err != nil:
		return nil, errors.New("not an address") // err shows passwords
	case u.Scheme == "file" && r.Local:
		return u, nil
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, &url.Error{Op: "Get", URL: u.Redacted(), Err: errors.New("not an http or https address")}
	case c.opts.Offline:
		return nil, &engine.TroubleError{Err: &url.Error{Op: "Get", URL: u.Redacted(), Err: ErrOffline}}
	}
	return u, nil
}

// An exchange is a request that has an answer.
type exchange struct {
	resp  *http.Response
	watch *watchdog
	bytes int64 // of the body that came
}

// body is the body of the answer; reading it is watched.
func (e *exchange) body() io.Reader {
	e.watch.start()
	return io.TeeReader(e.watch.reader(e.resp.Body), (*counter)(&e.bytes))
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// leastProgress is how many bytes a body must have brought before it broke off to count as progress.
const leastProgress = 16 << 10

// exchange takes a turn, performs the request within its time, hands the answer to use, and notes what that says of the host.
func (c *Client) exchange(ctx context.Context, u *url.URL, r Request, use func(*exchange) error) error {
	t, err := c.hosts.host(u.Host).take(ctx, u.String(), r.Park)
	if err != nil {
		return err
	}
	e := &exchange{}
	at, err := c.once(ctx, u, r, e, use)
	if at.Host == u.Host {
		t.done(err, e.bytes >= leastProgress)
		return err
	}
	t.done(nil, false) // it was not this host that failed
	if trouble, ok := errors.AsType[*engine.TroubleError](err); !ok || !trouble.Wait {
		other := c.hosts.host(at.Host)
		other.mu.Lock()
		other.inflight++
		other.mu.Unlock()
		(&turn{host: other, address: at.String(), began: t.began}).done(err, e.bytes >= leastProgress)
	}
	return err
}

// once performs the request within its time. It returns the address that answered, or did not: another than u after a redirect.
func (c *Client) once(parent context.Context, u *url.URL, r Request, e *exchange, use func(*exchange) error) (at *url.URL, err error) {
	timeout := r.Timeout
	setDefault(&timeout, c.opts.Timeout)
	ctx, cancel := context.WithTimeoutCause(parent, timeout, &timeoutError{timeout})
	defer cancel()
	e.watch, ctx = newWatchdog(ctx, c.opts.Stall)
	defer e.watch.stop()

	req, err := http.NewRequestWithContext(withHeaders(ctx, r.Headers), http.MethodGet, u.String(), nil)
	if err != nil {
		return u, errors.New("not an address")
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("User-Agent", "cbuild/"+c.opts.Version+" (+https://cbuild.example)")
	req.Header.Set("Accept-Encoding", "identity")
	c.authorize(req)
	e.resp, err = c.http.Do(req)
	if err != nil {
		at := lastAddress(u, err)
		return at, classify(parent, ctx, at, err)
	}
	defer e.resp.Body.Close()
	at = e.resp.Request.URL
	if err := use(e); err != nil {
		return at, classify(parent, ctx, at, err)
	}
	return at, nil
}

// lastAddress returns the address at which http.Client.Do, asked for u, met err.
func lastAddress(u *url.URL, err error) *url.URL {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		if at, perr := url.Parse(inner.URL); perr == nil && at.Host != "" {
			return at
		}
	}
	return u
}

// refused returns the error for an answer that is not wanted, and pauses the host if it asks for that.
func (c *Client) refused(resp *http.Response) error {
	u := resp.Request.URL
	s := &StatusError{URL: u.Redacted(), Code: resp.StatusCode}
	switch {
	case s.Code == http.StatusProxyAuthRequired:
		proxy := "of this network"
		if p, err := c.opts.Proxy(resp.Request); err == nil && p != nil {
			proxy = p.Host
		}
		return proxyError(proxy, s.Code)
	case retryable(s.Code):
		s.After = retry.RetryAfter(resp.Header.Get("Retry-After"), time.Now())
		c.hosts.host(u.Host).pause(s.After)
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
