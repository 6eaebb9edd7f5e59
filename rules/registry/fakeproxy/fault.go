package fakeproxy

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"time"
)

// A Fault is how an answer goes wrong. The fields combine: it waits for Hold and Latency first, then answers with Status or Body if they
// are set, else as it should, and breaks off where Reset, Short or Stall say.
type Fault struct {
	// Hold keeps the answer back until it is closed, or the client goes away.
	Hold <-chan struct{}
	// Latency is waited before the answer.
	Latency time.Duration
	// Status replaces the answer, with a Retry-After header if that is set.
	Status     int
	RetryAfter string
	// Body replaces the content.
	Body []byte
	// Length is announced in place of the true length, if it is not 0.
	Length int
	// Cut says how the answer breaks off after At bytes of its body.
	Cut Cut
	At  int
	// Always keeps the fault for all later requests; else it is good for one.
	Always bool
}

// Cut is a way in which an answer breaks off.
type Cut uint8

// The ways to break off.
const (
	NoCut Cut = iota
	// Reset resets the connection; before the header if At is negative.
	Reset
	// Short ends the connection in good order.
	Short
	// Stall keeps the connection and sends nothing more until the client goes away.
	Stall
)

// Fault adds faults for requests whose path is pattern or matches it by path.Match. Each is good for one request, in their order, unless
// it is Always.
func (p *Proxy) Fault(pattern string, faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.faults[pattern]; !ok {
		p.order = append(p.order, pattern)
	}
	p.faults[pattern] = append(p.faults[pattern], faults...)
}

// Heal removes all faults.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.faults)
	p.order = nil
}

// Hold keeps back answers to pattern until release is called, which may be done more than once.
func (p *Proxy) Hold(pattern string) (release func()) {
	held := make(chan struct{})
	p.Fault(pattern, Fault{Hold: held, Always: true})
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		select {
		case <-held:
		default:
			close(held)
		}
	}
}

// nextFault takes the fault for a request. The caller holds mu.
func (p *Proxy) nextFault(name string) *Fault {
	for _, pattern := range p.order {
		list := p.faults[pattern]
		if ok, _ := path.Match(pattern, name); len(list) == 0 || !ok && pattern != name {
			continue
		}
		f := list[0]
		if !f.Always {
			p.faults[pattern] = list[1:]
		}
		return &f
	}
	return nil
}

func (f *Fault) apply(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	if !f.wait(r) {
		return
	}
	answer := httptest.NewRecorder()
	switch {
	case f.Status != 0:
		answer.Code = f.Status
		answer.Body.WriteString(http.StatusText(f.Status))
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
	case f.Body != nil:
		answer.Body.Write(f.Body)
	default:
		serve(answer, r)
	}
	body := answer.Body.Bytes()
	if f.Cut == Reset && f.At < 0 {
		reset(w)
		return
	}
	length := len(body)
	if f.Length != 0 {
		length = f.Length
	}
	w.Header().Set("Content-Length", fmt.Sprint(length))
	w.WriteHeader(answer.Code)
	if f.Cut == NoCut {
		_, _ = w.Write(body)
		return
	}
	_, _ = w.Write(body[:min(f.At, len(body))])
	_ = http.NewResponseController(w).Flush()
	switch f.Cut {
	case Reset:
		reset(w)
	case Stall:
		<-r.Context().Done()
	}
	// Short: net/http closes the connection when a handler wrote less than it announced.
}

// wait reports whether the client is still there after Hold and Latency.
func (f *Fault) wait(r *http.Request) bool {
	if f.Hold != nil {
		select {
		case <-f.Hold:
		case <-r.Context().Done():
			return false
		}
	}
	t := time.NewTimer(f.Latency)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// reset closes the connection so that the other side sees a reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
