package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const token = "s3cret/T0ken+with=odd&bytes\"ä"

// written are texts in which token stands in some form.
func written() map[string]string {
	quoted, _ := json.Marshal(token)
	all := map[string]string{
		"plain":       "a" + token + "b",
		"twice":       token + token,
		"query":       "?t=" + url.QueryEscape(token) + "&",
		"query lower": "?t=" + lowerEscapes(url.QueryEscape(token)),
		"path":        "/" + url.PathEscape(token) + "/",
		"json":        `{"t":` + string(quoted) + `}`,
	}
	for n := range 7 {
		all[fmt.Sprintf("base64 %d", n)] = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("u", n) + token + ":more"))
		all[fmt.Sprintf("base64 URL %d", n)] = base64.URLEncoding.EncodeToString([]byte(strings.Repeat("u", n) + token))
	}
	return all
}

// However the text is cut into pieces, no form of the secret passes, and everything around it does.
func TestSecretsAreMaskedAcrossPieces(t *testing.T) {
	p := New([]string{token, "other-secret"})
	for name, text := range written() {
		for size := 1; size <= len(text); size += 1 + size/3 {
			var out bytes.Buffer
			w, f := p.Writer(&out), p.Finder()
			for rest := "before " + text + " after"; rest != ""; {
				n := min(size, len(rest))
				for _, to := range []interface{ Write([]byte) (int, error) }{w, f} {
					if m, err := to.Write([]byte(rest[:n])); m != n || err != nil {
						t.Fatal(m, err)
					}
				}
				rest = rest[n:]
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got := out.String()
			if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") || !strings.Contains(got, Stars) || !f.Found() {
				t.Errorf("%s in pieces of %d: %q, found %v", name, size, got, f.Found())
			}
			left := p.Finder()
			if _, _ = left.Write([]byte(got)); left.Found() {
				t.Errorf("%s in pieces of %d: %q", name, size, got)
			}
		}
	}
}

func TestLinesOfAKeyAreSecretsToo(t *testing.T) {
	p := New([]string{"-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\r\nabc\n-----END KEY-----"})
	var out bytes.Buffer
	w := p.Writer(&out)
	_, _ = w.Write([]byte("line 2: MIIEowIBAAKCAQEA, line 3: abc\n"))
	_ = w.Close()
	if out.String() != "line 2: ***, line 3: abc\n" {
		t.Errorf("%q", out.String())
	}
}

// base64 and openssl cut what they print into lines, wherever the pieces end that are written.
func TestBase64InLines(t *testing.T) {
	secret := strings.Repeat("long-token/0123456789", 12)
	p := New([]string{secret})
	for _, width := range []int{60, 64, 76} {
		for before := range 80 {
			text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("u", before) + secret))
			for _, end := range []string{"\n", "\r\n"} {
				var lines strings.Builder
				for line := range slices.Chunk([]byte(text), width) {
					lines.Write(line)
					lines.WriteString(end)
				}
				var out bytes.Buffer
				w, f := p.Writer(&out), p.Finder()
				for piece := range slices.Chunk([]byte(lines.String()), 1+before) {
					_, _ = w.Write(piece)
					_, _ = f.Write(piece)
				}
				_ = w.Close()
				// The digits in the middle of the text are those of the secret.
				if middle := text[len(text)/2 : len(text)/2+20]; !f.Found() || strings.Contains(strings.ReplaceAll(out.String(), end, ""), middle) {
					t.Fatalf("%d columns after %d bytes: found %v, %q", width, before, f.Found(), out.String())
				}
			}
		}
	}
}

func TestWhatIsNoSecretPasses(t *testing.T) {
	for _, values := range [][]string{nil, {""}, {"abc"}, {token}} {
		p := New(values)
		var out bytes.Buffer
		w, f := p.Writer(&out), p.Finder()
		text := strings.Repeat("abc s3cret/T0ken plain text\n", 1000)
		_, _ = w.Write([]byte(text))
		_, _ = f.Write([]byte(text))
		if err := w.Close(); err != nil || out.String() != text || f.Found() {
			t.Errorf("%q changed the text, or found something: %v", values, f.Found())
		}
	}
}

func FuzzNothingPasses(f *testing.F) {
	f.Add("secret", "a secret", 3)
	f.Add("\x00\xff\x00\xff", "\x00\xff\x00\xff\x00\xff", 1)
	f.Fuzz(func(t *testing.T, secret, text string, size int) {
		if len(secret) < MinLength || len(secret) > 100 {
			return
		}
		size = 1 + size&15
		p := New([]string{secret})
		var out bytes.Buffer
		w := p.Writer(&out)
		rest := text + secret + text
		for rest != "" {
			n := min(size, len(rest))
			_, _ = w.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		// Stars are not part of what was there: what stands beside them can't be a secret by accident.
		for part := range strings.SplitSeq(out.String(), Stars) {
			if strings.Contains(part, secret) && !strings.Contains(secret, Stars) {
				t.Errorf("%q passed in %q", secret, out.String())
			}
		}
	})
}
