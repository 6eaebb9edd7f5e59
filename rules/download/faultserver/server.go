// Package faultserver is a server for tests that does whatever goes wrong on the way from a registry, byte by byte. New starts one on
// loopback; Serve says what a path holds, and Fault what happens to the next requests for it. What is not told to go wrong is answered as a
// good server does, with entity tags and ranges. It speaks HTTP/1.1 by hand, so that it can break every rule, also over TLS with broken
// certificates; h2.go does the same for HTTP/2, proxy.go is a proxy, dns.go a name server.
package faultserver

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Server serves files, and faults.
type Server struct {
	// URL is its address, without a slash at the end.
	URL string

	listener net.Listener
	done     chan struct{}
	serving  sync.WaitGroup

	mu       sync.Mutex
	files    map[string][]byte  // guarded by mu; by path
	faults   map[string][]Fault // guarded by mu; by path
	requests []*http.Request    // guarded by mu; in their order, without bodies
	conns    map[net.Conn]bool  // guarded by mu
	sent     map[string]int64   // guarded by mu; bytes of bodies, by path
}

// A Fault answers one request. It writes to the connection whatever it likes; when it returns, the connection is closed.
type Fault func(x *Exchange)

// An Exchange is a request and the connection on which it came.
type Exchange struct {
	net.Conn
	Request *http.Request
	// Content is what the path holds.
	Content []byte
	// Over is closed when the server is.
	Over <-chan struct{}

	server *Server
}

// New starts a server. Close ends it.
func New() *Server { return start(nil) }

// NewTLS starts a server that speaks HTTP/1.1 over TLS.
func NewTLS(config *tls.Config) *Server { return start(config) }

func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // for tests
	if err != nil {
		panic("faultserver: " + err.Error())
	}
	return l
}

func start(config *tls.Config) *Server {
	s := &Server{
		listener: listen(), done: make(chan struct{}), files: map[string][]byte{}, faults: map[string][]Fault{},
		conns: map[net.Conn]bool{}, sent: map[string]int64{},
	}
	s.URL = "http://" + s.listener.Addr().String()
	if config != nil {
		s.URL = "https://" + s.listener.Addr().String()
		s.listener = tls.NewListener(s.listener, config)
	}
	s.serving.Go(func() { s.accept(s.serve) })
	return s
}

// Host is the server's host and port.
func (s *Server) Host() string { _, host, _ := strings.Cut(s.URL, "://"); return host }

// Close ends the server and all its connections.
func (s *Server) Close() {
	close(s.done)
	_ = s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// Serve says what path holds.
func (s *Server) Serve(path string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = content
}

// Fault makes the next requests for path go wrong, one after the other.
func (s *Server) Fault(path string, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[path] = append(s.faults[path], faults...)
}

// Always makes all requests for path go wrong.
func (s *Server) Always(path string, f Fault) { s.Fault(path, f, nil) }

// Heal makes nothing go wrong with path any more.
func (s *Server) Heal(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, path)
}

// next takes the fault for a request; nil if there is none. A nil in the list repeats the one before it.
func (s *Server) next(path string) Fault {
	list := s.faults[path]
	if len(list) == 0 {
		return nil
	}
	if len(list) == 1 || list[1] != nil {
		s.faults[path] = list[1:]
	}
	return list[0]
}

// Requests returns the requests so far, in their order, without bodies.
func (s *Server) Requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.requests...)
}

// Sent returns how many bytes of the content of path were sent.
func (s *Server) Sent(path string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[path]
}

// accept calls serve with each connection, and closes it afterwards, until the server is closed.
func (s *Server) accept(serve func(net.Conn)) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.serving.Go(func() {
			serve(c)
			_ = c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// serve answers the requests of a connection until one of them goes wrong.
func (s *Server) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.requests = append(s.requests, req)
		content, ok := s.files[req.URL.Path]
		fault := s.next(req.URL.Path)
		s.mu.Unlock()
		x := &Exchange{Conn: c, Request: req, Content: content, Over: s.done, server: s}
		switch {
		case fault != nil:
			fault(x)
			return
		case !ok:
			x.head(http.StatusNotFound, "Content-Length: 0")
		default:
			x.Good()
		}
	}
}

// ETag is the entity tag of content: a strong one.
func ETag(content []byte) string {
	sum := sha256.Sum256(content)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

// head writes the beginning of an answer.
func (x *Exchange) head(code int, lines ...string) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", code, http.StatusText(code))
	for _, l := range lines {
		b.WriteString(l + "\r\n")
	}
	b.WriteString("\r\n")
	_, _ = x.Write(b.Bytes())
}

// send writes bytes of the content and counts them.
func (x *Exchange) send(p []byte) {
	n, _ := x.Write(p)
	x.server.mu.Lock()
	x.server.sent[x.Request.URL.Path] += int64(n)
	x.server.mu.Unlock()
}

// Good answers as a good server does: with the whole content, the range that is asked for, or that it did not change.
func (x *Exchange) Good() { x.ranged(ETag(x.Content)) }

func (x *Exchange) ranged(etag string) {
	from, ok := x.From()
	if cond := x.Request.Header.Get("If-Range"); cond != "" && cond != etag {
		ok = false
	}
	size := len(x.Content)
	switch {
	case x.Request.Header.Get("If-None-Match") == etag:
		x.head(http.StatusNotModified, "ETag: "+etag)
	case !ok:
		x.head(http.StatusOK, "Content-Length: "+strconv.Itoa(size), "ETag: "+etag, "Accept-Ranges: bytes")
		x.send(x.Content)
	case from >= size:
		x.head(http.StatusRequestedRangeNotSatisfiable, fmt.Sprintf("Content-Range: bytes */%d", size), "Content-Length: 0")
	default:
		x.head(http.StatusPartialContent, fmt.Sprintf("Content-Range: bytes %d-%d/%d", from, size-1, size),
			"Content-Length: "+strconv.Itoa(size-from), "ETag: "+etag)
		x.send(x.Content[from:])
	}
}

// From returns the first byte that a request for an open range asks for.
func (x *Exchange) From() (from int, ok bool) {
	text, ok := strings.CutPrefix(x.Request.Header.Get("Range"), "bytes=")
	text, ok2 := strings.CutSuffix(text, "-")
	from, err := strconv.Atoi(text)
	return from, ok && ok2 && err == nil
}

// wait waits for a time, and reports whether the server goes on.
func (x *Exchange) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-x.Over:
		return false
	}
}

// gone waits until the client has left or the server ends.
func (x *Exchange) gone() {
	go func() {
		<-x.Over
		_ = x.Close()
	}()
	var b [1]byte
	for {
		if _, err := x.Read(b[:]); err != nil && !errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			return
		}
	}
}

// Refused is an address of this machine at which nobody listens: the port of a service that is not in use any more.
const Refused = "http://127.0.0.1:1"
