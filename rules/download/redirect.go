package download

import (
	"context"
	"net/http"
	"net/textproto"

	"cbuild/engine"
)

// authorize adds what was given to Authorize, else the name and password that a netrc has for the host, unless the user gave others. They
// are sent in the clear only to hosts that the user named.
func (c *Client) authorize(req *http.Request) {
	if req.URL.User != nil || req.Header.Get("Authorization") != "" || req.URL.Scheme != "https" && !c.declared.has(req.URL.Hostname(), req.URL.Port()) {
		return
	}
	if value := c.logins.of(req.URL); value != "" {
		req.Header.Set("Authorization", value)
		return
	}
	if l, ok := c.netrc.of(req.URL.Hostname()); ok {
		req.SetBasicAuth(l.name, l.password)
	}
}

type headersKey struct{}

// withHeaders remembers the names of the user's headers, for checkRedirect.
func withHeaders(ctx context.Context, headers map[string]string) context.Context {
	return context.WithValue(ctx, headersKey{}, headers)
}

// given reports whether the user's headers have one of that name.
func given(ctx context.Context, canonical string) bool {
	headers, _ := ctx.Value(headersKey{}).(map[string]string)
	for name := range headers {
		if textproto.CanonicalMIMEHeaderKey(name) == canonical {
			return true
		}
	}
	return false
}

// checkRedirect bounds redirects, refuses to leave TLS, and keeps what is meant for one host from others: net/http drops only the
// well-known headers, and not for sub-domains. A host that rests is not bothered by way of another either.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	last := via[len(via)-1]
	switch {
	case len(via) > 10:
		return &redirectError{"more than 10 redirects"}
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return &redirectError{"redirect to " + req.URL.Scheme + ":"}
	case last.URL.Scheme == "https" && req.URL.Scheme == "http":
		return &redirectError{"redirect from https to http"}
	}
	if req.URL.Host != via[0].URL.Host {
		headers, _ := req.Context().Value(headersKey{}).(map[string]string)
		for name := range headers {
			switch textproto.CanonicalMIMEHeaderKey(name) {
			case "Accept", "Range", "If-Range":
			default:
				req.Header.Del(name)
			}
		}
		for _, name := range []string{"Authorization", "Cookie", "Referer"} {
			req.Header.Del(name)
		}
		c.authorize(req)
	} else if !given(req.Context(), "Authorization") {
		req.Header.Del("Authorization") // what is meant for one place is not for another of the same host
		c.authorize(req)
	}
	if req.URL.Host == last.URL.Host {
		return nil
	}
	after, err := c.hosts.host(req.URL.Host).resting()
	if err == nil && after > 0 {
		err = &engine.TroubleError{Err: &waitError{req.URL.Host, "it rests"}, Retry: true, After: after, Wait: true}
	}
	return err
}
