package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"cbuild/engine"
	"cbuild/rules/download"
)

// maxInRelease is the greatest size of an InRelease file. Debian's has some 150 KB.
const maxInRelease = 16 << 20

// A release says which indexes a suite has.
type release struct {
	sha256 string // of the InRelease file
	base   string // of the archive that it came from
	byHash bool
	files  map[string]releaseFile // by path beneath the release
	// unsigned says why nobody knows whether it is what the publisher made; "" if the signature is good.
	unsigned string
}

// A releaseFile is what a release says of a file.
type releaseFile struct {
	sha256 string
	size   int64
}

// release asks for the release of a suite, once in a build.
func (d *Debian) release(ctx context.Context, i debianIndex) (*release, error) {
	name := i.suite + " " + i.snapshot
	d.mu.Lock()
	r := d.releases[name]
	d.mu.Unlock()
	if r != nil {
		return r, nil
	}
	bases, err := d.bases(ctx, i.suite, i.snapshot)
	if err != nil {
		return nil, err
	}
	var mirrors []Mirror
	for _, b := range bases {
		mirrors = append(mirrors, Mirror{URL: b + "/dists/" + escapePath(i.suite) + "/InRelease"})
	}
	var body []byte
	at := -1
	err = Try(ctx, mirrors, func(address string) error {
		at++
		body, err = d.opts.Client.Bytes(ctx, download.Request{URL: address, Max: maxInRelease, Local: true})
		return err
	})
	if missing(err) {
		return nil, &engine.UnavailableError{Err: fmt.Errorf("there is no suite %s: %w", i.suite, err)}
	}
	if err != nil {
		return nil, err
	}
	r, err = d.open(body, bases[at])
	if err != nil {
		return nil, fmt.Errorf("the release %s: %w", i.suite, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if first := d.releases[name]; first != nil {
		return first, nil // who asked at the same time must not mix two of them
	}
	d.releases[name] = r
	return r, nil
}

// open checks who signed an InRelease file and reads it.
func (d *Debian) open(body []byte, base string) (*release, error) {
	text, unsigned, err := d.verified(body, base)
	if err != nil {
		return nil, err
	}
	r, err := parseRelease(text)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	r.sha256, r.base, r.unsigned = hex.EncodeToString(sum[:]), base, unsigned
	return r, nil
}

var errSignature = errors.New("its signature is not by any of the keys that apt has for it: somebody may have changed it on its way")

// verified returns what was signed. Without keys nobody can tell by whom: unsigned says so.
func (d *Debian) verified(body []byte, base string) (text []byte, unsigned string, err error) {
	block, _ := clearsign.Decode(body)
	if block == nil {
		return nil, "", errors.New("it is not signed text")
	}
	ring, err := d.keyring(base)
	if err != nil {
		return nil, "", err
	}
	if len(ring) == 0 {
		return block.Plaintext, "no keyring of Debian is at hand (package debian-archive-keyring), so the signature of the release was not checked", nil
	}
	if _, err := block.VerifySignature(ring, nil); err != nil {
		return nil, "", fmt.Errorf("%w (%w)", errSignature, err)
	}
	return block.Plaintext, "", nil
}

// keyring reads the keys for an archive. A key that can't be read counts only where there is no other.
func (d *Debian) keyring(base string) (ring openpgp.EntityList, err error) {
	names, err := d.keys(base)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, name := range names {
		text := name
		if !strings.Contains(name, "BEGIN PGP") {
			if text, err = d.opts.Machine.read(name); err != nil {
				failed = err
				continue
			}
			if text == "" {
				failed = fmt.Errorf("%s: no keys", name) //nolint:err113 // nobody decides on it
				continue
			}
		}
		some, err := openpgp.ReadArmoredKeyRing(strings.NewReader(text))
		if err != nil {
			some, err = openpgp.ReadKeyRing(strings.NewReader(text))
		}
		if err != nil {
			failed = fmt.Errorf("%s: %w", name, err)
		}
		ring = append(ring, some...)
	}
	if len(ring) > 0 {
		failed = nil
	}
	return ring, failed
}

// parseRelease reads the fields Acquire-By-Hash and SHA256 of a release.
func parseRelease(text []byte) (*release, error) {
	for p, err := range paragraphs(bytes.NewReader(text)) {
		if err != nil {
			return nil, err
		}
		r := &release{byHash: strings.EqualFold(strings.TrimSpace(p["Acquire-By-Hash"]), "yes"), files: map[string]releaseFile{}}
		for line := range strings.Lines(p["SHA256"]) {
			words := strings.Fields(line)
			if len(words) != 3 || !isSHA256(words[0]) || !cleanPath("/"+words[2]) {
				continue
			}
			size, err := strconv.ParseInt(words[1], 10, 64)
			if err == nil && size >= 0 {
				r.files[words[2]] = releaseFile{sha256: words[0], size: size}
			}
		}
		if len(r.files) == 0 {
			return nil, errors.New("it names no files with SHA-256")
		}
		return r, nil
	}
	return nil, io.ErrUnexpectedEOF
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && strings.ToLower(s) == s
}
