package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"cbuild/engine"
)

const (
	// maxPieces is in how many pieces a body may come within one attempt, and maxRestarts how often what came may turn out to be
	// useless.
	maxPieces   = 200
	maxRestarts = 3
)

// errRestart says that what is there can't be continued, and was dropped.
var errRestart = errors.New("starting over")

// Download gets r into p, going on where p ends. A body that breaks off after it brought something is continued at once; the failures are
// those of Copy. What p holds after a failure is good for another attempt.
func (c *Client) Download(ctx context.Context, p *Part, r Request) error {
	u, err := c.address(r)
	if err != nil {
		return err
	}
	timeout := r.Timeout
	setDefault(&timeout, c.opts.Timeout)
	if u.Scheme == "file" {
		if err := p.Reset(); err != nil {
			return err
		}
		_, err := copyFile(p, u, r.Max)
		return err
	}
	d := &piece{client: c, part: p, request: r}
	var spent time.Duration
	for n, restarts := 1, 0; ; n++ {
		had := p.Size()
		d.request.Timeout = max(timeout-spent, time.Second)
		err := c.exchange(ctx, u, d.ask(u.String()), func(e *exchange) error {
			began := time.Now()
			defer func() { spent += time.Since(began) }()
			return d.use(e, u.String())
		})
		switch {
		case errors.Is(err, errRestart) && restarts < maxRestarts:
			restarts++
			d.whole = true
		case errors.Is(err, errRestart):
			return engine.Transient(fmt.Errorf("GET %s: the answers do not fit together", u.Redacted()))
		case err != nil && n < maxPieces && passes(err) && p.Size()-had >= leastProgress && d.more(u.String()):
		default:
			return err
		}
	}
}

// passes reports whether err is trouble that may pass, met on the way.
func passes(err error) bool {
	trouble, ok := errors.AsType[*engine.TroubleError](err)
	return ok && trouble.Retry && !trouble.Wait && !isA[*timeoutError](err)
}

// A piece is what Download asks for next.
type piece struct {
	client  *Client
	part    *Part
	request Request
	// whole is set once a piece did not fit: then no range is asked for.
	whole bool
	// from is where the piece begins that was asked for.
	from int64
}

func (d *piece) more(url string) bool {
	_, ok := d.part.resumable(url)
	return ok && !d.whole
}

// ask returns the request for what is missing.
func (d *piece) ask(url string) Request {
	r := d.request
	d.from = 0
	etag, ok := d.part.resumable(url)
	if !ok || d.whole {
		return r
	}
	d.from = d.part.Size()
	r.Headers = make(map[string]string, len(d.request.Headers)+2)
	for name, value := range d.request.Headers {
		r.Headers[name] = value
	}
	r.Headers["Range"] = fmt.Sprintf("bytes=%d-", d.from)
	if etag != "" {
		r.Headers["If-Range"] = etag
	}
	return r
}

// use takes the answer: all, the rest, or neither.
func (d *piece) use(e *exchange, url string) error {
	switch code := e.resp.StatusCode; {
	case code == http.StatusOK:
		return d.all(e, url)
	case code == http.StatusPartialContent && d.from > 0:
		return d.rest(e)
	case code == http.StatusRequestedRangeNotSatisfiable && d.from > 0:
		// Either all of it is there already, or it became shorter.
		if r, ok := parseContentRange(e.resp.Header.Get("Content-Range")); ok && r.total == d.from && d.part.known {
			return nil
		}
		return d.restart()
	}
	return d.client.refused(e.resp)
}

func (d *piece) restart() error {
	if err := d.part.Reset(); err != nil {
		return &writeError{err}
	}
	return errRestart
}

// all takes a whole body. What there was before goes: the server does not know ranges, or the file is another.
func (d *piece) all(e *exchange, url string) error {
	if err := d.part.Reset(); err != nil {
		return &writeError{err}
	}
	d.part.begins(url, e.resp.Header.Get("ETag"), e.resp.ContentLength)
	_, err := copyBody(d.part, e.body(), d.request.Max, e.resp.ContentLength)
	return err
}

// rest takes the end of a body, if it is the one that was asked for.
func (d *piece) rest(e *exchange) error {
	r, ok := parseContentRange(e.resp.Header.Get("Content-Range"))
	etag, _ := d.part.resumable(d.part.meta.URL)
	switch {
	case !ok || r.first != d.from, r.total >= 0 && d.part.meta.Total > 0 && r.total != d.part.meta.Total:
		return d.restart()
	case etag != "" && e.resp.Header.Get("ETag") != etag:
		return d.restart() // a server that knows If-Range repeats the tag; another may have sent the end of another file
	case d.request.Max > 0 && (r.total > d.request.Max || r.last >= d.request.Max):
		return &tooLargeError{d.request.Max}
	case e.resp.ContentLength >= 0 && e.resp.ContentLength != r.last-r.first+1:
		return d.restart()
	}
	want := r.last - r.first + 1
	n, err := io.Copy(&markWriter{d.part}, io.LimitReader(e.body(), want))
	switch {
	case err != nil:
		return err
	case n < want:
		return io.ErrUnexpectedEOF
	case r.total >= 0 && r.last+1 < r.total:
		return io.ErrUnexpectedEOF // the server gave less than the rest: the next piece is another request
	}
	return nil
}
