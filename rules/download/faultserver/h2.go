package faultserver

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An H2Fault is what happens to a stream of HTTP/2 at a place of its body.
type H2Fault struct {
	Place Place
	// Code is that of the RST_STREAM frame, or of the GOAWAY frame if GoAway is set.
	Code   http2.ErrCode
	GoAway bool
	// Drop ends the connection without a word.
	Drop bool
}

// An H2 speaks HTTP/2 over TLS, one stream at a time. All paths hold the same content.
type H2 struct {
	*Server
	content []byte
	always  bool
}

// NewH2 starts a server for which the first requests meet faults, one each; with always, the last of them is met by all others, too.
func NewH2(config *tls.Config, content []byte, always bool, faults ...H2Fault) *H2 {
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	s := &Server{listener: tls.NewListener(listen(), config), done: make(chan struct{}), conns: map[net.Conn]bool{}}
	s.URL = "https://" + s.listener.Addr().String()
	h := &H2{Server: s, content: content, always: always}
	left := make(chan H2Fault, len(faults)+1)
	for _, f := range faults {
		left <- f
	}
	s.serving.Go(func() { s.accept(func(c net.Conn) { h.serve(c, left) }) })
	return h
}

// serve answers streams until one of them ends the connection.
func (h *H2) serve(c net.Conn, left chan H2Fault) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	framer := http2.NewFramer(c, c)
	_ = framer.WriteSettings()
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = framer.WritePing(true, f.Data)
			}
		case *http2.HeadersFrame:
			h.mu.Lock()
			h.requests = append(h.requests, &http.Request{})
			h.mu.Unlock()
			if !h.answer(framer, f.StreamID, h.take(left)) {
				return
			}
		}
	}
}

func (h *H2) take(left chan H2Fault) *H2Fault {
	select {
	case f := <-left:
		if h.always && len(left) == 0 {
			left <- f
		}
		return &f
	default:
		return nil
	}
}

// answer writes one answer and reports whether the connection goes on.
func (h *H2) answer(framer *http2.Framer, stream uint32, f *H2Fault) bool {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	_ = e.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = e.WriteField(hpack.HeaderField{Name: "content-length", Value: strconv.Itoa(len(h.content))})
	end := len(h.content)
	if f != nil {
		end = f.Place.of(end)
	}
	if f == nil || f.Place != First {
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
		for at := 0; at < end; at += 16 << 10 {
			next := min(at+16<<10, end)
			_ = framer.WriteData(stream, f == nil && next == end, h.content[at:next])
		}
	}
	switch {
	case f == nil:
		return true
	case f.Drop:
		return false
	case f.GoAway:
		_ = framer.WriteGoAway(stream-1, f.Code, nil)
		return false
	}
	_ = framer.WriteRSTStream(stream, f.Code)
	return true
}
