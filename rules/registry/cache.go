package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"cbuild/rules/download"
)

// A cache keeps small answers with the entity tags that their servers gave them, so that what did not change is not sent again. It is no
// pin: a server is asked each time. An empty dir keeps nothing.
type cache struct{ dir string }

// get returns the answer to r, whose body is small enough for memory.
func (c cache) get(ctx context.Context, client *download.Client, r download.Request) ([]byte, error) {
	name := c.name(r.URL)
	etag, old := c.load(name)
	headers := map[string]string{}
	for k, v := range r.Headers {
		headers[k] = v
	}
	if etag != "" {
		headers["If-None-Match"] = etag
	}
	code, now := 0, ""
	r.Headers = headers
	r.Wants = func(code int) bool { return code == http.StatusNotModified && etag != "" }
	r.Head = func(status int, h http.Header, _ *url.URL) { code, now = status, h.Get("ETag") }
	var body bytes.Buffer
	if _, err := client.Copy(ctx, &body, r); err != nil {
		return nil, err
	}
	if code == http.StatusNotModified {
		return old, nil
	}
	c.store(name, now, body.Bytes())
	return body.Bytes(), nil
}

func (c cache) name(address string) string {
	if c.dir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(address))
	text := hex.EncodeToString(sum[:16])
	return filepath.Join(c.dir, text[:2], text)
}

// load returns what is kept under name: the entity tag, a line end, the SHA-256 of what follows, a line end, the body. What is damaged is
// not there.
func (c cache) load(name string) (etag string, body []byte) {
	if name == "" {
		return "", nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", nil
	}
	tag, rest, _ := bytes.Cut(data, []byte("\n"))
	sum, body, ok := bytes.Cut(rest, []byte("\n"))
	if have := sha256.Sum256(body); !ok || hex.EncodeToString(have[:]) != string(sum) {
		return "", nil
	}
	return string(tag), body
}

// store keeps body. That it can't be kept costs a transfer, no more.
func (c cache) store(name, etag string, body []byte) {
	if name == "" || etag == "" || strings.ContainsAny(etag, "\r\n") {
		return
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return
	}
	sum := sha256.Sum256(body)
	data := append([]byte(etag+"\n"+hex.EncodeToString(sum[:])+"\n"), body...)
	_ = renameio.WriteFile(name, data, 0o600)
}
