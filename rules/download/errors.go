package download

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"cbuild/engine"
)

// A StatusError is an answer other than 200.
type StatusError struct {
	// URL holds no password.
	URL  string
	Code int
	// After is how long the host asked to wait.
	After time.Duration
}

func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("GET %s: %d %s", e.URL, e.Code, http.StatusText(e.Code)))
}

var (
	unavailable = []int{400, 401, 403, 404, 410, 451}
	passing     = []int{408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524} // from 520 on: proxies of a content network that can't reach the host
)

// Unavailable reports whether code says that a host does not have, or does not give, what was asked for.
func Unavailable(code int) bool { return slices.Contains(unavailable, code) }

func retryable(code int) bool { return slices.Contains(passing, code) }

// classified wraps e as what it means for the build.
func (e *StatusError) classified() error {
	switch {
	case slices.Contains(unavailable, e.Code):
		return &engine.UnavailableError{Err: e}
	case retryable(e.Code):
		return &engine.TroubleError{Err: e, Retry: true, After: e.After}
	}
	return e
}

// Status returns the status code of the answer that caused err, or 0.
func Status(err error) int {
	if s, ok := errors.AsType[*StatusError](err); ok {
		return s.Code
	}
	return 0
}

type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("not done after %v", e.after) }

type stallError struct{ window time.Duration }

func (e *stallError) Error() string { return fmt.Sprintf("less than 1 KiB/s for %v", e.window) }

type tooLargeError struct{ limit int64 }

func (e *tooLargeError) Error() string { return fmt.Sprintf("more than %d bytes", e.limit) }

type redirectError struct{ text string }

func (e *redirectError) Error() string { return e.text }

// A HostError says that a host can't be reached or was given up, whatever is asked of it: it concerns all that is asked, so it need be told
// only once.
type HostError struct {
	// Host is its name, with a port if that is unusual, and Why says what it does instead of answering.
	Host, Why string
	Err       error
}

func (e *HostError) Error() string { return fmt.Sprintf("cannot reach %s (%s)", e.Host, e.Why) }
func (e *HostError) Unwrap() error { return e.Err }

// Unreachable returns the host, for those that do not know this package.
func (e *HostError) Unreachable() (host, why string) { return e.Host, e.Why }

// A waitError says that nothing was asked: a host wants to be left alone.
type waitError struct{ host, why string }

func (e *waitError) Error() string { return fmt.Sprintf("waiting for %s: %s", e.host, e.why) }

// why says in a few words what err is about.
func why(err error) string {
	if h, ok := errors.AsType[*HostError](err); ok {
		return h.Why
	}
	if s, ok := errors.AsType[*StatusError](err); ok {
		return strings.TrimSpace(fmt.Sprintf("%d %s", s.Code, http.StatusText(s.Code)))
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.Err
	}
	for err != nil {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
	return "no answer"
}

// A writeError is trouble of the place that a body is written to, not of the network.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// A markWriter marks the errors of w as its own.
type markWriter struct{ w io.Writer }

func (m *markWriter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}

// classify says what err, met on the way to or from u, means. Parent is the caller's context, ctx the request's.
func classify(parent, ctx context.Context, u *url.URL, err error) error {
	if parent.Err() != nil {
		return parent.Err()
	}
	if isA[*engine.TroubleError](err) || isA[*engine.UnavailableError](err) || isA[*StatusError](err) || errors.Is(err, errRestart) {
		return unwrapped(err) // it was classified where it arose
	}
	if cause := context.Cause(ctx); cause != nil {
		return engine.Transient(fmt.Errorf("GET %s: %w", u.Redacted(), cause))
	}
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	if refused, ok := errors.AsType[*addressError](err); ok {
		return fmt.Errorf("GET %s: %w", u.Redacted(), refused)
	}
	switch {
	case final(err):
		return fmt.Errorf("GET %s: %w", u.Redacted(), err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return engine.Transient(fmt.Errorf("GET %s: the connection ended too early: %w", u.Redacted(), err))
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return engine.Transient(&HostError{Host: u.Host, Why: why(op), Err: op})
	}
	return engine.Transient(fmt.Errorf("GET %s: %w", u.Redacted(), err))
}

// unwrapped returns err without what net/http says of the request, which repeats what it wraps.
func unwrapped(err error) error {
	if inner, ok := errors.AsType[*url.Error](err); ok && errors.Unwrap(inner) != nil {
		return inner.Err
	}
	return err
}

// final reports whether asking again is pointless: TLS, which an attacker or a wrong clock breaks, not a busy host; the rules of
// checkRedirect; limits; and the writer.
func final(err error) bool {
	return isA[*tls.CertificateVerificationError](err) || isA[tls.RecordHeaderError](err) || isA[tls.AlertError](err) ||
		isA[x509.UnknownAuthorityError](err) || isA[x509.HostnameError](err) || isA[x509.CertificateInvalidError](err) ||
		isA[*redirectError](err) || isA[*tooLargeError](err) || isA[*writeError](err) || isRemoteAlert(err) ||
		errors.Is(err, http.ErrSchemeMismatch)
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// isRemoteAlert reports whether the other side ended the TLS handshake with an alert; crypto/tls has an unexported type for it.
func isRemoteAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}
