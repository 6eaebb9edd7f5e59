package download

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"

	"cbuild/engine"
)

// An addressError says that an answer of a server named a host that is not on the public internet and that nobody declared.
type addressError struct {
	host string
	ip   netip.Addr
}

func (e *addressError) Error() string {
	what := "an address of a private network"
	switch {
	case e.ip.IsLoopback(), e.ip.IsUnspecified():
		what = "this machine"
	case e.ip.IsLinkLocalUnicast():
		what = "a link-local address, where clouds keep their metadata"
	}
	where := ""
	if e.ip.String() != strings.Trim(e.host, "[]") {
		where = fmt.Sprintf(" (%v)", e.ip)
	}
	return fmt.Sprintf("refused: %s is %s%s, and only an answer of a server names it. To allow it, write its address in BUILD.hcl, for example as the default of a variable", e.host, what, where)
}

// declared are the hosts that users named themselves: in their files, on the command line or in the configuration of their registries. They
// may be anywhere. Other hosts are named by answers of servers, which must not make us talk to what is near.
type declared struct {
	mu    sync.RWMutex
	hosts map[string]bool // guarded by mu; as hostPort writes them
}

// Declare permits the host of address, which may also be written without a scheme, to be on this machine or a private network. It is for
// addresses that users wrote, not for those in answers.
func (c *Client) Declare(address string) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return
	}
	c.declared.mu.Lock()
	defer c.declared.mu.Unlock()
	if c.declared.hosts == nil {
		c.declared.hosts = map[string]bool{}
	}
	c.declared.hosts[hostPort(u.Hostname(), u.Port())] = true
}

// has reports whether a host was declared, with its port. The ports of http and https are one.
func (d *declared) has(host, port string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.hosts[hostPort(host, port)]
}

func hostPort(host, port string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if port == "" || port == "443" {
		port = "80"
	}
	return net.JoinHostPort(host, port)
}

// dial connects to addr, which is a host or a proxy. What was not declared is refused by the address that is really dialled: after the
// look-up of its name, so that no name can stand for something near.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: c.opts.Connect, KeepAlive: keepAlive, Resolver: c.opts.Resolver}
	if !c.declared.has(host, port) {
		d.Control = func(_, real string, _ syscall.RawConn) error { return refuse(host, real) }
	}
	return d.DialContext(ctx, network, addr)
}

// refuse returns an error if real, an address with its port, is not public.
func refuse(host, real string) error {
	ap, err := netip.ParseAddrPort(real)
	if err != nil {
		return fmt.Errorf("%s: %w", real, err)
	}
	if !public(ap.Addr()) {
		return &addressError{host: host, ip: ap.Addr().Unmap().WithZone("")}
	}
	return nil
}

// proxy returns the proxy for a request. The addresses of proxies are the user's. Behind one it dials the proxy only, so that of the
// target no more than an address that stands in the URL itself can be checked.
func (c *Client) proxy(req *http.Request) (*url.URL, error) {
	p, err := c.opts.Proxy(req)
	if err != nil || p == nil {
		return p, err
	}
	port := p.Port()
	if port == "" && p.Scheme == "socks5" {
		port = "1080"
	}
	c.Declare("http://" + net.JoinHostPort(p.Hostname(), port))
	if ip, err := netip.ParseAddr(req.URL.Hostname()); err == nil && !public(ip) && !c.declared.has(req.URL.Hostname(), req.URL.Port()) {
		return nil, &addressError{host: req.URL.Host, ip: ip.Unmap()}
	}
	return p, nil
}

// proxyRefusal says what it means that a proxy does not make a tunnel.
func proxyRefusal(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return proxyError(proxy.Host, resp.StatusCode)
}

// proxyError is an answer of a proxy in place of the host.
func proxyError(proxy string, code int) error {
	text := fmt.Sprintf("the proxy %s answers %d %s", proxy, code, http.StatusText(code))
	if code == http.StatusProxyAuthRequired {
		text += ": give it a name and password, as in HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT"
	}
	return &engine.TroubleError{Err: fmt.Errorf("%s", text), Retry: retryable(code)} //nolint:err113 // nobody decides on it
}

// near are the networks that netip has no word for: this network, shared by carriers (where some clouds keep their metadata), protocol
// assignments, benchmarks, reserved.
var near = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("fec0::/10"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
}

// inside are the networks whose addresses hold another of version 4, with the place of its first byte.
var inside = map[netip.Prefix]int{netip.MustParsePrefix("64:ff9b::/96"): 12, netip.MustParsePrefix("2002::/16"): 2, netip.MustParsePrefix("::/96"): 12}

// public reports whether ip is an address of the public internet.
func public(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if ip.IsPrivate() || !ip.IsGlobalUnicast() {
		return false
	}
	for _, p := range near {
		if p.Contains(ip) {
			return false
		}
	}
	for p, at := range inside {
		if p.Contains(ip) {
			b := ip.As16()
			return public(netip.AddrFrom4([4]byte(b[at : at+4])))
		}
	}
	return true
}
