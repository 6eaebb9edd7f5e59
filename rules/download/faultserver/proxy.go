package faultserver

import (
	"bufio"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// A Proxy forwards requests and makes tunnels, for those that know its password if it has one.
type Proxy struct {
	*Server
	user, password string
	// Refuses, if set, is the status with which it answers everything.
	Refuses int
	hosts   map[string]string
}

// NewProxy starts a proxy. Hosts maps names to the addresses at which it finds them.
func NewProxy(user, password string, hosts map[string]string) *Proxy {
	s := &Server{listener: listen(), done: make(chan struct{}), conns: map[net.Conn]bool{}}
	s.URL = "http://" + s.listener.Addr().String()
	p := &Proxy{Server: s, user: user, password: password, hosts: hosts}
	s.serving.Go(func() { s.accept(p.serve) })
	return p
}

// Through returns what http.Transport takes as Proxy, with the password or without.
func (p *Proxy) Through(known bool) func(*http.Request) (*url.URL, error) {
	u := &url.URL{Scheme: "http", Host: p.Host()}
	if known {
		u.User = url.UserPassword(p.user, p.password)
	}
	return http.ProxyURL(u)
}

func (p *Proxy) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.requests = append(p.requests, req)
		p.mu.Unlock()
		x := &Exchange{Conn: c, Request: req, server: p.Server}
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.password))
		switch {
		case p.Refuses != 0:
			x.head(p.Refuses, "Content-Length: 0")
			return
		case p.user != "" && req.Header.Get("Proxy-Authorization") != want:
			x.head(http.StatusProxyAuthRequired, "Proxy-Authenticate: Basic", "Content-Length: 0")
		case req.Method == http.MethodConnect:
			p.tunnel(x, r)
			return
		default:
			if !p.forward(x) {
				return
			}
		}
	}
}

func (p *Proxy) dial(host string) (net.Conn, error) {
	if to, ok := p.hosts[host]; ok {
		host = to
	}
	return net.Dial("tcp", host) //nolint:noctx // for tests
}

func (p *Proxy) tunnel(x *Exchange, r *bufio.Reader) {
	to, err := p.dial(x.Request.Host)
	if err != nil {
		x.head(http.StatusBadGateway, "Content-Length: 0")
		return
	}
	defer to.Close()
	x.head(http.StatusOK)
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(to, r)
		_ = to.Close()
	})
	_, _ = io.Copy(x.Conn, to)
	_ = x.Close()
	both.Wait()
}

func (p *Proxy) forward(x *Exchange) bool {
	host := x.Request.URL.Host
	if x.Request.URL.Port() == "" {
		host = net.JoinHostPort(host, "80")
	}
	to, err := p.dial(host)
	if err != nil {
		x.head(http.StatusBadGateway, "Content-Length: 0")
		return false
	}
	defer to.Close()
	if x.Request.Write(to) != nil {
		return false
	}
	resp, err := http.ReadResponse(bufio.NewReader(to), x.Request)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.Write(x.Conn) == nil
}
