package rules

import (
	"archive/zip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"

	"cbuild/cas"

	"golang.org/x/mod/sumdb/dirhash"
)

// A checksum is what a download must have: the name of a hash function and its value in the form in which publishers write it.
type checksum struct {
	// function is sha256, sha384, sha512, blake3, or h1, which is over the files in the zip file of a Go module.
	function string
	// value is hexadecimal, and base64 for h1.
	value string
}

func (c checksum) isZero() bool { return c == checksum{} }

// String writes c as it is pinned and as parseChecksum reads it.
func (c checksum) String() string { return c.function + ":" + c.value }

func parseChecksum(s string) (checksum, error) {
	function, value, _ := strings.Cut(s, ":")
	if function == "h1" {
		return h1Checksum(value)
	}
	return hexChecksum(function, value)
}

var hashSizes = map[string]int{"sha256": 32, "sha384": 48, "sha512": 64, "blake3": 32}

func hexChecksum(function, value string) (checksum, error) {
	value = strings.ToLower(strings.TrimSpace(value))
	b, err := hex.DecodeString(value)
	if err != nil || len(b) != hashSizes[function] || len(b) == 0 {
		return checksum{}, fmt.Errorf("%s: %q is not a checksum of %d hexadecimal digits", function, value, 2*hashSizes[function])
	}
	return checksum{function, value}, nil
}

func h1Checksum(value string) (checksum, error) {
	if b, err := base64.StdEncoding.DecodeString(value); err != nil || len(b) != sha256.Size {
		return checksum{}, fmt.Errorf("integrity: %q is not h1: and 44 digits of base64", "h1:"+value)
	}
	return checksum{"h1", value}, nil
}

// parseIntegrity reads "h1:…" or the W3C's integrity metadata: digests separated by spaces, of which the strongest counts.
func parseIntegrity(s string) (checksum, error) {
	if value, ok := strings.CutPrefix(s, "h1:"); ok {
		return h1Checksum(value)
	}
	var best checksum
	for token := range strings.FieldsSeq(s) {
		token, _, _ = strings.Cut(token, "?") // options have no meaning yet
		function, value, _ := strings.Cut(token, "-")
		b, err := base64.StdEncoding.DecodeString(value)
		if !strings.HasPrefix(function, "sha") || err != nil || len(b) != hashSizes[function] || len(b) == 0 {
			continue
		}
		if len(b) > hashSizes[best.function] {
			best = checksum{function, hex.EncodeToString(b)}
		}
	}
	if best.isZero() {
		return checksum{}, fmt.Errorf(`integrity: %q holds no sha256-…, sha384-…, sha512-… or h1:… that can be checked`, s)
	}
	return best, nil
}

// checksum returns the one that the attributes give; the zero checksum if there is none.
func (r *Fetch) checksum() (checksum, error) {
	var given []checksum
	for _, a := range []struct {
		value *string
		parse func(string) (checksum, error)
	}{
		{r.SHA256, func(s string) (checksum, error) { return hexChecksum("sha256", strings.TrimPrefix(s, "sha256:")) }},
		{r.BLAKE3, func(s string) (checksum, error) { return hexChecksum("blake3", strings.TrimPrefix(s, "b3:")) }},
		{r.Integrity, parseIntegrity},
	} {
		if a.value == nil {
			continue
		}
		c, err := a.parse(*a.value)
		if err != nil {
			return checksum{}, err
		}
		given = append(given, c)
	}
	if len(given) > 1 {
		return checksum{}, errors.New("give one of sha256, blake3 and integrity")
	}
	return slices.Concat(given, []checksum{{}})[0], nil
}

// hashes are the running hashes of a download: those that can be read afterwards, and the one that is expected.
type hashes struct {
	sha256, blake3, other hash.Hash
}

func newHashes(want checksum) *hashes {
	h := &hashes{sha256: sha256.New(), blake3: cas.BLAKE3.New()}
	switch want.function {
	case "sha384":
		h.other = sha512.New384()
	case "sha512":
		h.other = sha512.New()
	}
	return h
}

func (h *hashes) Write(p []byte) (int, error) {
	h.sha256.Write(p)
	h.blake3.Write(p)
	if h.other != nil {
		h.other.Write(p)
	}
	return len(p), nil
}

// Reset implements download.Tee.
func (h *hashes) Reset() {
	h.sha256.Reset()
	h.blake3.Reset()
	if h.other != nil {
		h.other.Reset()
	}
}

// of returns the checksum of the given function that the download in f has.
func (h *hashes) of(function string, f *os.File) (checksum, error) {
	sum := h.other
	switch function {
	case "sha256":
		sum = h.sha256
	case "blake3":
		sum = h.blake3
	case "h1":
		return moduleHash(f)
	}
	return checksum{function, hex.EncodeToString(sum.Sum(nil))}, nil
}

// moduleHash returns the h1: checksum of the zip file f. What is no zip file has one, too, which nothing else has.
func moduleHash(f *os.File) (checksum, error) {
	info, err := f.Stat()
	if err != nil {
		return checksum{}, err
	}
	value, err := hashZip(f, info.Size())
	if err != nil {
		return checksum{"h1", fmt.Sprintf("none, for it is no zip file (%v)", err)}, nil
	}
	return checksum{"h1", strings.TrimPrefix(value, "h1:")}, nil
}

// hashZip is dirhash.HashZip for a file that is open: its name may be gone.
func hashZip(f io.ReaderAt, size int64) (string, error) {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return "", err
	}
	var names []string
	files := make(map[string]*zip.File)
	for _, file := range z.File {
		names = append(names, file.Name)
		files[file.Name] = file
	}
	return dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return files[name].Open() })
}

// A mismatchError says that a download is not what it should be.
type mismatchError struct {
	url       string
	want, got checksum
	size      int64
	where     string // of the target, file:line
	target    string // its name
	pinned    bool   // whether the lock says what it should be
}

func (e *mismatchError) Error() string {
	where := ""
	if e.where != "" {
		where = "  (" + e.where + ")"
	}
	advice := ": cbuild update " + e.target
	if !e.pinned {
		advice = ", change the checksum where it is written; if a query brought it: cbuild update"
	}
	return fmt.Sprintf("checksum mismatch for %s\n  expected %s %s%s\n  received %s %s  (%s bytes)\n"+
		"The download was discarded. If the publisher really changed the file%s",
		e.url, e.want.function, e.want.value, where, e.got.function, e.got.value, grouped(e.size), advice)
}

// grouped writes n with commas between groups of three digits.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
