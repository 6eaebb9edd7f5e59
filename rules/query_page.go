package rules

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"cbuild/engine"
	"cbuild/internal/mask"
	"cbuild/rules/download"
	"cbuild/rules/registry"
)

// A Page is one answer of a query by url. It is for one goroutine.
type Page struct {
	// URL is the address that was asked, Key that of the start in an object of starts, else nil, and Index counts the pages of a
	// start from 0.
	URL    string
	Key    engine.Value
	Index  int
	Status int
	// Headers are those of the answer by lower-case name, several of one name joined with ", ". What differs from one equal
	// answer to the next, such as date, is left out.
	Headers map[string]string
	Text    string

	final  string // the address that answered, if it is another
	parsed bool
	json   engine.Value
	err    error
}

// PageAttributes are the names of what a Page shows, sorted.
var PageAttributes = []string{"headers", "index", "json", "key", "status", "text", "url"}

// Read returns the attribute name of p.
func (p *Page) Read(name string) (engine.Value, error) {
	switch name {
	case "url":
		return p.URL, nil
	case "key":
		return p.Key, nil
	case "index":
		return int64(p.Index), nil
	case "status":
		return int64(p.Status), nil
	case "headers":
		o := make(engine.Object, len(p.Headers))
		for k, v := range p.Headers {
			o[k] = v
		}
		return o, nil
	case "text":
		return p.Text, nil
	case "json":
		if !p.parsed {
			p.parsed = true
			if p.json, p.err = ParseJSON([]byte(p.Text)); p.err != nil {
				p.err = fmt.Errorf("%s is no JSON: %w", p.URL, p.err)
			}
		}
		return p.json, p.err
	}
	return nil, fmt.Errorf("a page has no %s", name)
}

// maxPage is the longest body of a page in bytes, and chunk how many items of a page are handed over at a time.
const (
	maxPage = 256 << 20
	chunk   = 256
)

// addresses returns a part for each start of a query by url.
func (a *asker) addresses() ([]part, error) {
	switch {
	case a.Items.Value == nil:
		return nil, errors.New("items is missing: what are the items of a page?")
	case a.Args != nil:
		return nil, errors.New("args is for registries")
	}
	named, ok := a.URL.(engine.Object)
	if !ok {
		named = engine.Object{"": a.URL}
	}
	own := len(a.self.Instance.Target.Needs) == 0 // then the addresses are made of nothing but the user's words
	var parts []part
	for _, key := range slices.Sorted(maps.Keys(named)) {
		if named[key] == nil && ok {
			continue
		}
		address, err := pageAddress(named[key])
		if err != nil {
			return nil, fmt.Errorf("url: %w", err)
		}
		if own {
			a.rt.Client.Declare(address)
		}
		first := &Page{URL: address}
		if ok {
			first.Key = key
		}
		parts = append(parts, func(ctx context.Context, deliver func(registry.Page) bool) error {
			return a.follow(ctx, first, deliver)
		})
	}
	return parts, nil
}

func pageAddress(v engine.Value) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", errors.New("want an address, or an object of addresses")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", fmt.Errorf("%q is not an http or https address", s)
	case u.User != nil:
		return "", errors.New("a password would stand in the lock file: send it in headers")
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String(), nil
}

// follow asks for the page p and those that come after it, one after the other.
func (a *asker) follow(ctx context.Context, p *Page, deliver func(registry.Page) bool) error {
	trail := newTrail()
	home := hostOf(p.URL)
	for {
		if err := trail.step(p); err != nil {
			return &engine.InvalidError{Err: err}
		}
		settle, err := a.page(ctx, p, home)
		if err != nil {
			return err
		}
		next, more, err := a.items(ctx, p, trail, settle, deliver)
		if err != nil || !more || next == "" {
			return err
		}
		if err := trail.brought(p); err != nil {
			return &engine.InvalidError{Err: err}
		}
		p = &Page{URL: next, Key: p.Key, Index: p.Index + 1}
	}
}

// items hands over the items of p and reports whether more are wanted, and where they are. The answer is settled as soon as it is known to
// have items, or none, and a next page, or none; before anybody sees them.
func (a *asker) items(ctx context.Context, p *Page, trail *trail, settle func() error, deliver func(registry.Page) bool) (next string, more bool, err error) {
	some, settled := registry.Page{Request: p.URL}, false
	flush := func() (bool, error) {
		if !settled {
			settled = true
			if next, err = a.next(ctx, p); err != nil {
				return false, err
			}
			if err := trail.leads(p.Index, next); err != nil {
				return false, &engine.InvalidError{Err: err}
			}
			if err := settle(); err != nil {
				return false, err
			}
		}
		items := some
		some.Items = nil
		return len(items.Items) == 0 || deliver(items), nil
	}
	for item, err := range a.Items.Items(ctx, p) {
		if err != nil {
			return "", false, err
		}
		trail.item(item.Key)
		if some.Items = append(some.Items, item); len(some.Items) == chunk {
			if more, err := flush(); err != nil || !more {
				return "", false, err
			}
		}
	}
	more, err = flush()
	return next, more, err
}

// next returns the address of the page after p, "" if it is the last.
func (a *asker) next(ctx context.Context, p *Page) (string, error) {
	written := linkNext(p.Headers["link"])
	if a.Next.Value != nil {
		v, err := a.Next.Value(ctx, p)
		if err != nil {
			return "", err
		}
		var ok bool
		if written, ok = v.(string); !ok && v != nil {
			return "", &engine.InvalidError{Err: fmt.Errorf("next: want an address or null, for page %d of %s", p.Index, p.URL)}
		}
	}
	if written == "" {
		return "", nil
	}
	base, err := url.Parse(p.base())
	if err != nil {
		return "", err
	}
	u, err := base.Parse(written)
	if err != nil {
		return "", &engine.InvalidError{Err: fmt.Errorf("next: %w", err)}
	}
	address, err := pageAddress(u.String())
	if err != nil {
		return "", &engine.InvalidError{Err: fmt.Errorf("next: %w", err)}
	}
	return address, nil
}

// base is what the address of the next page is relative to.
func (p *Page) base() string {
	if p.final != "" {
		return p.final
	}
	return p.URL
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// linkNext returns the target of the first link with the relation next in a Link header (RFC 8288), or "".
func linkNext(header string) string {
	for header != "" {
		_, rest, ok := strings.Cut(header, "<")
		if !ok {
			return ""
		}
		target, params, ok := strings.Cut(rest, ">")
		if !ok {
			return ""
		}
		params, header = cutUnquoted(params, ',')
		for params != "" {
			var param string
			param, params = cutUnquoted(params, ';')
			name, value, _ := strings.Cut(param, "=")
			value = strings.Trim(strings.TrimSpace(value), `"`)
			if strings.EqualFold(strings.TrimSpace(name), "rel") && slices.Contains(strings.Fields(strings.ToLower(value)), "next") {
				return strings.TrimSpace(target)
			}
		}
	}
	return ""
}

// cutUnquoted cuts s at the first sep outside quotes.
func cutUnquoted(s string, sep byte) (before, after string) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// pageAnswer is the canonical form of a page's answer: members in the order of their names.
type pageAnswer struct {
	Headers map[string]string `json:"headers,omitempty"`
	Status  int               `json:"status"`
	Text    string            `json:"text"`
	URL     string            `json:"url,omitempty"`
}

// page fills p with the answer to its address, pinned or asked, and returns what pins it. Home is the origin that the headers are meant
// for: no other gets them.
func (a *asker) page(ctx context.Context, p *Page, home string) (settle func() error, err error) {
	headers := a.Headers
	if hostOf(p.URL) != home {
		headers = nil
	}
	wants := func(int) bool { return false }
	if a.Items.Status || a.Next.Status {
		wants = download.Unavailable
	}
	text, settle, err := a.answer(ctx, pageRequest(p.URL, headers), func(ctx context.Context, emit func(engine.Event), old []byte) ([]byte, error) {
		emit(engine.Event{Type: engine.EventQueryPage, Text: p.URL})
		return a.get(ctx, p.URL, headers, wants, old)
	})
	if err != nil {
		return nil, err
	}
	var got pageAnswer
	if err := json.Unmarshal(text, &got); err != nil {
		return nil, fmt.Errorf("the pinned answer of %s: %w", p.URL, err)
	}
	if got.Status != http.StatusOK && !wants(got.Status) {
		return nil, &engine.UnavailableError{Err: &download.StatusError{URL: p.URL, Code: got.Status}} // pinned when page.status was mentioned
	}
	p.Headers, p.Status, p.Text, p.final = got.Headers, got.Status, got.Text, got.URL
	return settle, nil
}

// pageRequest identifies what is asked: the address and the headers.
func pageRequest(address string, headers map[string]engine.Confidential) string {
	lines := []string{address}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		lines = append(lines, name+": "+headers[name].String())
	}
	return strings.Join(lines, "\n")
}

// get asks for address and returns the answer in its canonical form. Where there is an old one, the server may say that it still holds.
func (a *asker) get(ctx context.Context, address string, headers map[string]engine.Confidential, wants func(int) bool, old []byte) ([]byte, error) {
	var body bytes.Buffer
	var got pageAnswer
	texts, secrets, err := engine.RevealAll(ctx, headers)
	if err != nil {
		return nil, err
	}
	conditions := conditional(old, texts)
	sent := make(map[string]string, len(texts)+len(conditions))
	maps.Copy(sent, texts)
	maps.Copy(sent, conditions)
	_, err = a.rt.Client.Copy(ctx, &body, download.Request{
		URL: address, Headers: sent, Max: maxPage, Timeout: a.Timeout, Park: true,
		Wants: func(code int) bool { return wants(code) || code == http.StatusNotModified && len(conditions) > 0 },
		Head: func(code int, h http.Header, final *url.URL) {
			got.Status, got.Headers = code, keptHeaders(h)
			if final.String() != address {
				// What the next page is relative to. Its query may be a signature that is good for an hour, and would stand in the lock file.
				got.URL = (&url.URL{Scheme: final.Scheme, Host: final.Host, Path: final.Path, RawPath: final.RawPath}).String()
			}
		},
	})
	switch {
	case err != nil:
		return nil, err
	case got.Status == http.StatusNotModified:
		return old, nil
	case !utf8.Valid(body.Bytes()):
		return nil, fmt.Errorf("%s is not UTF-8 text", address)
	}
	got.Text = body.String()
	answer, err := encodeJSON(got)
	finder := mask.New(secrets).Finder()
	if _, _ = finder.Write(answer); finder.Found() {
		return nil, fmt.Errorf("%s: %w", address, errEcho)
	}
	return answer, err
}

// conditional returns the headers that ask for an answer only if it is not old any more. Where the user asks for something of the kind, that
// holds.
func conditional(old []byte, headers map[string]string) map[string]string {
	var had pageAnswer
	if old == nil || json.Unmarshal(old, &had) != nil || had.Status != http.StatusOK {
		return nil
	}
	for name := range headers {
		if strings.HasPrefix(strings.ToLower(name), "if-") {
			return nil
		}
	}
	conditions := map[string]string{}
	if etag := had.Headers["etag"]; etag != "" {
		conditions["If-None-Match"] = etag
	}
	if modified := had.Headers["last-modified"]; modified != "" {
		conditions["If-Modified-Since"] = modified
	}
	return conditions
}

// passingHeaders differ between equal answers, or are nobody's business. Those that begin with one of passingPrefixes, too.
var (
	passingHeaders = []string{
		"age", "alt-svc", "cf-cache-status", "cf-ray", "connection", "content-length", "content-security-policy", "date", "expires",
		"keep-alive", "nel", "report-to", "reporting-endpoints", "retry-after", "server-timing", "set-cookie", "set-cookie2",
		"strict-transport-security", "traceparent", "transfer-encoding", "via", "x-amz-cf-id", "x-amz-cf-pop", "x-request-id",
		"x-github-request-id", "x-runtime", "x-served-by", "x-timer", "x-trace-id",
	}
	passingPrefixes = []string{"ratelimit", "x-ratelimit-", "x-rate-limit-", "x-cache", "x-b3-", "x-amzn-"}
)

func keptHeaders(h http.Header) map[string]string {
	kept := make(map[string]string, len(h))
	for name, values := range h {
		name = strings.ToLower(name)
		begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
		if !slices.Contains(passingHeaders, name) && !slices.ContainsFunc(passingPrefixes, begins) {
			kept[name] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
		}
	}
	return kept
}
