package registry

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"strconv"
	"strings"

	"cbuild/engine"
	"cbuild/rules/archive"
	"cbuild/rules/download"
)

// maxIndex is the greatest size of an index, and of what is in it. That of Debian has 9 MB, and 50 MB.
const (
	maxIndex    = 1 << 30
	maxUnpacked = 4 << 30
)

// A packagesIndex is the text of an index while it is unpacked. Its hash must be known before anybody believes its end: check tells.
type packagesIndex struct {
	io.Reader
	name  string
	want  releaseFile // of the text; zero if the release does not say
	hash  hash.Hash
	bytes int64
	close func()
}

// index downloads the index i of r and begins to unpack it.
func (d *Debian) index(ctx context.Context, r *release, i debianIndex) (*packagesIndex, error) {
	var gone error
	for _, suffix := range []string{".xz", ".gz", ""} {
		f, ok := r.files[i.path()+suffix]
		if !ok || f.size > maxIndex {
			continue
		}
		body, err := d.indexFile(ctx, r, i, suffix, f)
		if missing(err) {
			gone = err // not all mirrors have all forms
			continue
		}
		if err != nil {
			return nil, err
		}
		return unpacked(body, suffix, r.files[i.path()], i.path())
	}
	if gone == nil {
		gone = errors.New("the release does not name it")
	}
	return nil, &engine.UnavailableError{Err: fmt.Errorf("there is no index %s: %w", i.path(), gone)}
}

// indexFile downloads one form of an index, by its hash where the archive has that: it can't change meanwhile.
func (d *Debian) indexFile(ctx context.Context, r *release, i debianIndex, suffix string, f releaseFile) ([]byte, error) {
	dir := r.base + "/dists/" + escapePath(i.suite) + "/"
	place := escapePath(i.path() + suffix)
	mirrors := []Mirror{{URL: dir + place}}
	if r.byHash {
		byHash := dir + place[:strings.LastIndexByte(place, '/')] + "/by-hash/SHA256/" + f.sha256
		mirrors = append([]Mirror{{URL: byHash}}, mirrors...)
	}
	var body []byte
	err := Try(ctx, mirrors, func(address string) error {
		var b bytes.Buffer
		b.Grow(int(min(f.size, 64<<20)))
		if _, err := d.opts.Client.Copy(ctx, &b, download.Request{URL: address, Max: f.size + 1, Local: true}); err != nil {
			return err
		}
		if sum := sha256.Sum256(b.Bytes()); hex.EncodeToString(sum[:]) != f.sha256 {
			// A mirror in the middle of an update has an index of another release.
			return engine.Transient(fmt.Errorf("%s is not what the release says", i.path()+suffix))
		}
		body = b.Bytes()
		return nil
	})
	return body, err
}

func unpacked(body []byte, suffix string, want releaseFile, name string) (*packagesIndex, error) {
	x := &packagesIndex{Reader: bytes.NewReader(body), name: name, want: want, hash: sha256.New(), close: func() {}}
	switch suffix {
	case ".xz":
		x.Reader = archive.NewXZReader(x.Reader, int64(len(body)))
	case ".gz":
		r, err := gzip.NewReader(x.Reader)
		if err != nil {
			return nil, fmt.Errorf("%s.gz: %w", name, err)
		}
		x.Reader = r
	}
	limit := int64(maxUnpacked)
	if want.sha256 != "" {
		limit = want.size
	}
	x.Reader = bufio.NewReaderSize(io.TeeReader(io.LimitReader(x.Reader, limit+1), x), 64<<10)
	return x, nil
}

// Write counts and hashes what is read.
func (x *packagesIndex) Write(p []byte) (int, error) {
	x.bytes += int64(len(p))
	return x.hash.Write(p)
}

// check reads to the end and reports whether the text is what the release says.
func (x *packagesIndex) check() error {
	if _, err := io.Copy(io.Discard, x.Reader); err != nil {
		return fmt.Errorf("%s: %w", x.name, err)
	}
	switch {
	case x.want.sha256 == "" && x.bytes > maxUnpacked, x.want.sha256 != "" && (x.bytes != x.want.size || hex.EncodeToString(x.hash.Sum(nil)) != x.want.sha256):
		return fmt.Errorf("%s, unpacked, is not what the release says", x.name)
	}
	return nil
}

// packages yields the packages of an index as items. Those that lack a name, a version, a hash or a place are left out: apt can't install
// them either.
func packages(r io.Reader, snapshot string) iter.Seq2[engine.Item, error] {
	return func(yield func(engine.Item, error) bool) {
		for p, err := range paragraphs(r) {
			if err != nil {
				yield(engine.Item{}, err)
				return
			}
			if item, ok := packageItem(p, snapshot); ok && !yield(item, nil) {
				return
			}
		}
	}
}

func packageItem(p map[string]string, snapshot string) (engine.Item, bool) {
	name, version, sum, file := p["Package"], p["Version"], p["SHA256"], strings.TrimPrefix(p["Filename"], "./")
	if name == "" || version == "" || strings.ContainsAny(name+version, " \t\n") || !isSHA256(sum) || !cleanPath("/"+file) {
		return engine.Item{}, false
	}
	var size engine.Value
	if n, err := strconv.ParseInt(p["Size"], 10, 64); err == nil && n >= 0 {
		size = n
	}
	return engine.Item{Key: name + "_" + version, Value: engine.Object{
		"name": name, "version": version, "url": debianAddress(file, snapshot), "sha256": sum,
		"section": orNull(p["Section"]), "size": size, "depends": orNull(p["Depends"]),
	}}, true
}

// maxLine is the greatest length of a line of control data.
const maxLine = 1 << 20

// paragraphs yields the paragraphs of control data: fields by name, lines of one value joined with line ends. Comments are left out. The
// map is the caller's.
func paragraphs(r io.Reader) iter.Seq2[map[string]string, error] {
	return func(yield func(map[string]string, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 64<<10), maxLine)
		p := map[string]string{}
		field := ""
		var more strings.Builder // of the value of field, from its second line
		end := func() {
			if more.Len() > 0 {
				p[field] += more.String()
				more.Reset()
			}
		}
		for lines.Scan() {
			line := strings.TrimRight(lines.Text(), " \t\r")
			switch {
			case line == "":
				end()
				if len(p) > 0 && !yield(p, nil) {
					return
				}
				p, field = map[string]string{}, ""
			case line[0] == '#':
			case line[0] == ' ' || line[0] == '\t':
				if field != "" && more.Len() < maxLine*16 {
					more.WriteString("\n" + strings.TrimSpace(line))
				}
			default:
				end()
				name, value, ok := strings.Cut(line, ":")
				if !ok {
					yield(nil, fmt.Errorf("%q is no field", name[:min(len(name), 80)]))
					return
				}
				field = name
				p[field] = strings.TrimSpace(value)
			}
		}
		end()
		if err := lines.Err(); err != nil {
			yield(nil, err)
			return
		}
		if len(p) > 0 {
			yield(p, nil)
		}
	}
}
