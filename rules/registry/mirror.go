package registry

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"cbuild/engine"
	"cbuild/rules/download"
)

// A Resolver is a Registry whose items carry registry-relative addresses.
type Resolver interface {
	Registry
	// Mirrors returns the places that may serve address, such as "go:github.com/google/uuid@v1.6.0.zip", in the order in which
	// they are to be tried. An address that means nothing is an *engine.InvalidError.
	Mirrors(ctx context.Context, address string) ([]Mirror, error)
}

// A Mirror is one place that may serve something.
type Mirror struct {
	// URL is an http, https or file address. It names a host, so it goes nowhere but into requests and messages.
	URL string
	// Any is set if the next place is tried whatever goes wrong here; else it is tried only if this one says that it has no such
	// thing (404, 410).
	Any bool
	// Own is set if the address stands in the target itself, so that everybody may read it.
	Own bool
	// Stop, if it is not nil, says in place of a URL why the list ends here.
	Stop error
}

// Try calls get for the mirrors in order until one succeeds, and returns what is most telling of their errors: what may pass before a host
// that wants to be left alone, that before other trouble, that before "no such thing", and the reason why the list ends only if nothing was
// asked at all. So as long as one mirror may still bring it, all are tried again.
func Try(ctx context.Context, mirrors []Mirror, get func(address string) error) error {
	var best error
	for _, m := range mirrors {
		if m.Stop != nil {
			if best == nil {
				best = m.Stop
			}
			break
		}
		err := get(m.URL)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !m.Own {
			err = &mirrorError{url: m.URL, err: err}
		}
		if best == nil || rank(err) > rank(best) || rank(err) == rank(best) && rank(err) != rankWait {
			best = err
		}
		if !m.Any && !gone(err) {
			break
		}
	}
	if best == nil {
		best = errors.New("no mirror to ask")
	}
	return best
}

// The ranks of errors, ascending.
const (
	rankGone = iota
	rankFinal
	rankWait
	rankPasses
)

func rank(err error) int {
	trouble, ok := errors.AsType[*engine.TroubleError](err)
	switch {
	case gone(err):
		return rankGone
	case ok && trouble.Wait:
		return rankWait
	case ok && trouble.Retry:
		return rankPasses
	}
	return rankFinal
}

// A mirrorError is an error of a mirror. Which one it was is for the person at the console; reports name no mirror.
type mirrorError struct {
	url string
	err error
}

func (e *mirrorError) Error() string { return e.err.Error() }
func (e *mirrorError) Unwrap() error { return e.err }

// Public is what engine.PublicText takes.
func (e *mirrorError) Public() string {
	text := strings.ReplaceAll(e.err.Error(), e.url, "the mirror")
	if u, err := url.Parse(e.url); err == nil && u.Host != "" {
		text = strings.ReplaceAll(text, u.Host, "the mirror")
		text = strings.ReplaceAll(text, u.Hostname(), "the mirror")
	}
	return text
}

// gone reports whether err says that the place has no such thing, so that the next one may be asked.
func gone(err error) bool {
	code := download.Status(err)
	return code == http.StatusNotFound || code == http.StatusGone
}

// missing reports whether err says that the registry has no such package or version.
func missing(err error) bool {
	if _, trouble := errors.AsType[*engine.TroubleError](err); trouble {
		return false
	}
	return slices.Contains([]int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusGone}, download.Status(err))
}
