package faultserver

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Place is where in a body something happens.
type Place int

// The places: before the first byte, in the middle, before the last byte.
const (
	First Place = iota
	Middle
	Last
)

// Places are all of them.
var Places = []Place{First, Middle, Last}

func (p Place) String() string { return [...]string{"first", "middle", "last"}[p] }

// of returns the place in a body of n bytes.
func (p Place) of(n int) int { return [...]int{0, n / 2, max(n-1, 0)}[p] }

// begin writes the head of an answer that announces the content, and the content up to p.
func (x *Exchange) begin(p Place) {
	x.head(http.StatusOK, "Content-Length: "+strconv.Itoa(len(x.Content)), "ETag: "+ETag(x.Content))
	x.send(x.Content[:p.of(len(x.Content))])
}

// reset ends the connection so that the other side sees a reset.
func (x *Exchange) reset() {
	c := x.Conn
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = x.Close()
}

// ResetAtOnce resets the connection before it answers.
func ResetAtOnce() Fault { return func(x *Exchange) { x.reset() } }

// CloseAtOnce ends the connection before it answers.
func CloseAtOnce() Fault { return func(*Exchange) {} }

// CutHeader ends the connection inside the header.
func CutHeader() Fault {
	return func(x *Exchange) { _, _ = x.Write([]byte("HTTP/1.1 200 OK\r\nContent-Le")) }
}

// Reset resets the connection in the body.
func Reset(p Place) Fault {
	return func(x *Exchange) {
		x.begin(p)
		x.wait(5 * time.Millisecond) // else the reset may overtake the bytes
		x.reset()
	}
}

// Finish ends the connection in good order in the body, whose length it announced rightly.
func Finish(p Place) Fault { return func(x *Exchange) { x.begin(p) } }

// Shorter sends, and announces, less than there is. Without a checksum nobody can tell.
func Shorter() Fault {
	return func(x *Exchange) {
		x.Content = x.Content[:len(x.Content)-1]
		x.begin(Last)
		x.send(x.Content[len(x.Content)-1:])
	}
}

// Longer sends more than it announces.
func Longer() Fault {
	return func(x *Exchange) {
		x.begin(Last)
		x.send(x.Content[len(x.Content)-1:])
		x.send([]byte("and more"))
	}
}

// Padded sends, and announces, more than there is.
func Padded() Fault {
	return func(x *Exchange) {
		x.Content = append(bytes.Clone(x.Content), "and more"...)
		x.Good()
	}
}

// CutChunk ends the connection in a chunk; at First before any, at Last where the last chunk, the empty one, is missing.
func CutChunk(p Place) Fault {
	return func(x *Exchange) {
		x.head(http.StatusOK, "Transfer-Encoding: chunked")
		n := len(x.Content)
		switch p {
		case Middle:
			_, _ = fmt.Fprintf(x, "%x\r\n", n)
			x.send(x.Content[:n/2])
		case Last:
			_, _ = fmt.Fprintf(x, "%x\r\n", n)
			x.send(x.Content)
			_, _ = x.Write([]byte("\r\n"))
		}
	}
}

// Trickle sends a byte now and then, from p on.
func Trickle(p Place, every time.Duration) Fault {
	return func(x *Exchange) {
		x.begin(p)
		for _, b := range x.Content[p.of(len(x.Content)):] {
			if !x.wait(every) {
				return
			}
			if _, err := x.Write([]byte{b}); err != nil {
				return
			}
		}
	}
}

// Silent says nothing at all; Silence says nothing more from p on.
func Silent() Fault { return func(x *Exchange) { x.gone() } }

// Silence says nothing more from p on.
func Silence(p Place) Fault {
	return func(x *Exchange) {
		x.begin(p)
		x.gone()
	}
}

// EndlessBody sends as long as somebody takes it.
func EndlessBody() Fault {
	return func(x *Exchange) {
		x.head(http.StatusOK)
		for junk := make([]byte, 32<<10); ; {
			if _, err := x.Write(junk); err != nil {
				return
			}
		}
	}
}

// EndlessHeader sends lines of header as long as somebody takes them.
func EndlessHeader() Fault {
	return func(x *Exchange) {
		_, _ = x.Write([]byte("HTTP/1.1 200 OK\r\n"))
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(x, "X-%d: %s\r\n", i, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	}
}

// GzipBomb sends a compressed body nobody asked for, that becomes a thousand times as large.
func GzipBomb() Fault {
	body := bomb()
	return func(x *Exchange) {
		x.head(http.StatusOK, "Content-Encoding: gzip", "Content-Length: "+strconv.Itoa(len(body)))
		_, _ = x.Write(body)
	}
}

var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range 64 {
		_, _ = w.Write(make([]byte, 1<<20))
	}
	_ = w.Close()
	return b.Bytes()
})

// Flipped sends the content with another byte at p.
func Flipped(p Place) Fault {
	return func(x *Exchange) {
		x.Content = bytes.Clone(x.Content)
		x.Content[p.of(len(x.Content))] ^= 0x20
		x.Good()
	}
}

// Portal is the page of a network that wants a click first.
func Portal() Fault {
	return func(x *Exchange) {
		page := "<html><body>Welcome! Please accept our terms.</body></html>"
		x.head(http.StatusOK, "Content-Type: text/html", "Content-Length: "+strconv.Itoa(len(page)))
		_, _ = x.Write([]byte(page))
	}
}

// Status answers with code and lines of header.
func Status(code int, lines ...string) Fault {
	return func(x *Exchange) { x.head(code, append(lines, "Content-Length: 0")...) }
}

// Dated answers with a date of modification, and no entity tag.
func Dated(date string) Fault {
	return func(x *Exchange) {
		x.head(http.StatusOK, "Last-Modified: "+date, "Content-Length: "+strconv.Itoa(len(x.Content)))
		x.send(x.Content)
	}
}

// Redirect leads elsewhere.
func Redirect(to string) Fault { return Status(http.StatusFound, "Location: "+to) }

// Unranged ignores ranges.
func Unranged() Fault {
	return func(x *Exchange) {
		x.Request.Header.Del("Range")
		x.Good()
	}
}

// Piece answers 206 with a Content-Range of the given first byte, last byte and total, relative to what was asked for, whether or not
// anything was: as Piece(1, 0, 0) begins one byte late.
func Piece(first, last, total int) Fault {
	return func(x *Exchange) {
		from, _ := x.From()
		size := len(x.Content)
		body := x.Content[min(max(from+first, 0), size+last) : size+last]
		x.head(http.StatusPartialContent, fmt.Sprintf("Content-Range: bytes %d-%d/%d", from+first, size-1+last, size+total), "Content-Length: "+strconv.Itoa(len(body)))
		x.send(body)
	}
}

// PieceLies answers 206 for the range that was asked for, and sends the beginning of the content instead.
func PieceLies() Fault {
	return func(x *Exchange) {
		from, _ := x.From()
		size := len(x.Content)
		x.head(http.StatusPartialContent, fmt.Sprintf("Content-Range: bytes %d-%d/%d", from, size-1, size), "Content-Length: "+strconv.Itoa(size-from))
		x.send(x.Content[:size-from])
	}
}

// PieceOf answers 206 with a Content-Range that says what you like.
func PieceOf(contentRange string) Fault {
	return func(x *Exchange) {
		lines := []string{"Content-Length: " + strconv.Itoa(len(x.Content))}
		if contentRange != "" {
			lines = append(lines, "Content-Range: "+contentRange)
		}
		x.head(http.StatusPartialContent, lines...)
		x.send(x.Content)
	}
}

// Then does one fault with another content: the file changes on the server.
func Then(content []byte, f Fault) Fault {
	return func(x *Exchange) {
		x.Content = content
		if f == nil {
			x.Good()
			return
		}
		f(x)
	}
}
