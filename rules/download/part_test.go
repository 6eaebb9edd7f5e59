package download_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cbuild/rules/download"
	"cbuild/rules/download/faultserver"
)

// sum is a Tee.
type sum struct{ hash.Hash }

func newSum() *sum { return &sum{sha256.New()} }

var long = bytes.Repeat([]byte("0123456789abcdef"), 20_000)

// open opens the part of id.
func open(t *testing.T, p *download.Parts, id string, known bool) (*download.Part, *sum) {
	t.Helper()
	s := newSum()
	part, err := p.Open(id, known, t.TempDir(), s)
	if err != nil {
		t.Fatal(err)
	}
	return part, s
}

// check says that a part holds long, and so has its hash.
func check(t *testing.T, part *download.Part, s *sum) {
	t.Helper()
	got, err := os.ReadFile(part.File().Name())
	want := sha256.Sum256(long)
	if err != nil || !bytes.Equal(got, long) || !bytes.Equal(s.Sum(nil), want[:]) || part.Size() != int64(len(long)) {
		t.Errorf("%d bytes, %v, with the right hash: %v", len(got), err, bytes.Equal(s.Sum(nil), want[:]))
	}
}

func faults(t *testing.T) (*faultserver.Server, *download.Client) {
	t.Helper()
	s := faultserver.New()
	t.Cleanup(s.Close)
	s.Serve("/f", long)
	return s, client(t, download.Options{})
}

// A part lasts from one process to the next: what is there is not asked for again.
func TestPartsLast(t *testing.T) {
	for _, known := range []bool{true, false} {
		s, c := faults(t)
		dir := t.TempDir()
		s.Fault("/f", faultserver.Finish(faultserver.Middle), faultserver.ResetAtOnce())
		part, _ := open(t, download.OpenParts(dir), "x", known)
		if err := c.Download(t.Context(), part, download.Request{URL: s.URL + "/f"}); kind(err) != "retry" {
			t.Fatal(err)
		}
		_ = part.Close()
		part, sum := open(t, download.OpenParts(dir), "x", known)
		if part.Size() != int64(len(long)/2) {
			t.Errorf("known=%v: %d bytes were kept", known, part.Size())
		}
		if err := c.Download(t.Context(), part, download.Request{URL: s.URL + "/f"}); err != nil {
			t.Fatal(err)
		}
		check(t, part, sum)
		all := s.Requests()
		last := all[len(all)-1].Header
		if last.Get("Range") != "bytes=160000-" || (last.Get("If-Range") != "") == known {
			t.Errorf("known=%v: the last request had %v", known, last)
		}
		if err := part.Remove(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// Without a checksum, nothing is continued that the server does not vouch for, or that a power cut may have torn.
func TestPartsThatNothingVouchesFor(t *testing.T) {
	weak := func(x *faultserver.Exchange) {
		_, _ = io.WriteString(x, "HTTP/1.1 200 OK\r\nContent-Length: 320000\r\nETag: W/\"1\"\r\n\r\n")
		_, _ = x.Write(long[:200_000])
	}
	for name, c := range map[string]struct {
		fault faultserver.Fault
		spoil func(dir string)
	}{
		"a weak tag": {weak, nil},
		"no tag":     {faultserver.CutChunk(faultserver.Middle), nil},
		"another start of the machine": {faultserver.Finish(faultserver.Middle), func(dir string) {
			for _, name := range glob(dir, "*.json") {
				data, _ := os.ReadFile(name)
				at := bytes.Index(data, []byte(`"boot":"`)) + len(`"boot":"`)
				data[at] ^= 1
				_ = os.WriteFile(name, data, 0o600)
			}
		}},
		"a note that is damaged": {faultserver.Finish(faultserver.Middle), func(dir string) {
			for _, name := range glob(dir, "*.json") {
				_ = os.WriteFile(name, []byte("{"), 0o600)
			}
		}},
		"no note": {faultserver.Finish(faultserver.Middle), func(dir string) {
			for _, name := range glob(dir, "*.json") {
				_ = os.Remove(name)
			}
		}},
	} {
		s, client := faults(t)
		dir := t.TempDir()
		s.Fault("/f", c.fault, faultserver.ResetAtOnce())
		part, _ := open(t, download.OpenParts(dir), "x", false)
		if err := client.Download(t.Context(), part, download.Request{URL: s.URL + "/f"}); kind(err) != "retry" {
			t.Fatalf("%s: %v", name, err)
		}
		_ = part.Close()
		if c.spoil != nil {
			if len(glob(dir, "*.json")) == 0 {
				t.Fatalf("%s: nothing was noted", name)
			}
			c.spoil(dir)
		}
		s.Heal("/f")
		part, sum := open(t, download.OpenParts(dir), "x", false)
		if part.Size() != 0 {
			t.Errorf("%s: %d bytes were kept", name, part.Size())
		}
		if err := client.Download(t.Context(), part, download.Request{URL: s.URL + "/f"}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		check(t, part, sum)
		_ = part.Remove()
	}
}

// A server that knows ranges but not If-Range sends the end of whatever the file is by now, without its tag: that vouches for nothing.
func TestRestWithoutATag(t *testing.T) {
	for _, known := range []bool{true, false} {
		s, c := faults(t)
		s.Fault("/f", faultserver.Finish(faultserver.Middle), func(x *faultserver.Exchange) {
			rest := bytes.Clone(long[len(long)/2:])
			if !known {
				rest[0] ^= 1
			}
			_, _ = fmt.Fprintf(x, "HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nContent-Range: bytes %d-%d/%d\r\n\r\n", len(rest), len(long)/2, len(long)-1, len(long))
			_, _ = x.Write(rest)
		})
		part, sum := open(t, download.OpenParts(t.TempDir()), "x", known)
		if err := c.Download(t.Context(), part, download.Request{URL: s.URL + "/f"}); err != nil {
			t.Fatal(err)
		}
		check(t, part, sum)
		want := 2 // with a checksum, the whole is checked anyway
		if !known {
			want = 3
		}
		if n := len(s.Requests()); n != want {
			t.Errorf("known=%v: %d requests, want %d", known, n, want)
		}
	}
}

func glob(dir, pattern string) []string {
	all, _ := filepath.Glob(filepath.Join(dir, pattern))
	return all
}

// Two that download the same at the same time write to two files.
func TestOneWriterForEachPart(t *testing.T) {
	parts := download.OpenParts(t.TempDir())
	one, _ := open(t, parts, "x", true)
	two, _ := open(t, parts, "x", true)
	if one.File().Name() == two.File().Name() {
		t.Error("both write to one file")
	}
	_ = one.Remove()
	_ = two.Remove()
	// Without a directory there are only files of one's own.
	none, _ := open(t, nil, "x", true)
	name := none.File().Name()
	_, _ = none.Write(long)
	if err := none.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Error("a file that nobody can continue was kept")
	}
}

// A file that is removed while another process waits to lock it is not what that one gets: what it writes would be nowhere.
func TestAPartIsWhereItsNameIs(t *testing.T) {
	dir := t.TempDir()
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			parts := download.OpenParts(dir)
			for range 300 {
				p, err := parts.Open("x", true, dir, &sink{})
				if err != nil {
					t.Error(err)
					return
				}
				ours, err := p.File().Stat()
				there, terr := os.Stat(p.File().Name())
				if err != nil || terr != nil || !os.SameFile(ours, there) {
					t.Errorf("%v, %v: it is not there any more", err, terr)
				}
				_ = p.Remove()
			}
		})
	}
	writers.Wait()
}

type sink struct{}

func (sink) Write(p []byte) (int, error) { return len(p), nil }
func (sink) Reset()                      {}

// What came to little is not kept.
func TestSmallPartsAreNotKept(t *testing.T) {
	dir := t.TempDir()
	part, _ := open(t, download.OpenParts(dir), "x", true)
	_, _ = part.Write([]byte("little"))
	if err := part.Close(); err != nil || len(glob(dir, "*")) > 0 {
		t.Errorf("%v, %v", err, glob(dir, "*"))
	}
}

func TestPartsAreCleanedUp(t *testing.T) {
	dir := t.TempDir()
	parts := download.OpenParts(dir)
	if err := download.OpenParts(filepath.Join(dir, "nowhere")).Clean(time.Now(), time.Hour, 1); err != nil {
		t.Error(err)
	}
	now := time.Now()
	ages := map[string]time.Duration{"old": 8 * 24 * time.Hour, "older": 9 * 24 * time.Hour, "new": time.Hour, "newer": time.Minute, "busy": 10 * 24 * time.Hour}
	var busy *download.Part
	for id, age := range ages {
		part, _ := open(t, parts, id, true)
		_, _ = part.Write(long)
		name := part.File().Name()
		if id == "busy" {
			busy = part
		} else if err := part.Close(); err != nil {
			t.Fatal(err)
		}
		_ = os.Chtimes(name, now.Add(-age), now.Add(-age))
	}
	if err := parts.Clean(now, 7*24*time.Hour, 1<<30); err != nil || len(glob(dir, "*")) != 3 {
		t.Errorf("%v, left %v: want those of less than a week, and the one that is written to", err, glob(dir, "*"))
	}
	if err := parts.Clean(now, 7*24*time.Hour, int64(len(long))); err != nil || len(glob(dir, "*")) != 2 && len(glob(dir, "*")) != 1 {
		t.Errorf("%v, left %v: want no more than one, beside the one that is written to", err, glob(dir, "*"))
	}
	check(t, busy, func() *sum { s := newSum(); _, _ = s.Write(long); return s }())
	_ = busy.Remove()
}

// A server that gives a little at a time is asked as often as it takes, within an attempt; one that gives next to nothing is not.
func TestManyPieces(t *testing.T) {
	s, c := faults(t)
	some := func(n int) faultserver.Fault {
		return func(x *faultserver.Exchange) {
			from, ok := x.From()
			if !ok {
				from = 0
				_, _ = io.WriteString(x, "HTTP/1.1 200 OK\r\nContent-Length: 320000\r\nETag: "+faultserver.ETag(long)+"\r\n\r\n")
			} else {
				_, _ = io.WriteString(x, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes "+strconv.Itoa(from)+"-319999/320000\r\n\r\n")
			}
			_, _ = x.Write(long[from:min(from+n, len(long))])
		}
	}
	s.Always("/f", some(17_000))
	part, sum := open(t, nil, "x", true)
	if err := c.Download(t.Context(), part, download.Request{URL: s.URL + "/f"}); err != nil {
		t.Fatal(err)
	}
	check(t, part, sum)
	_ = part.Remove()
	if n := len(s.Requests()); n != 19 {
		t.Errorf("%d requests, want 19", n)
	}
	s.Heal("/f")
	s.Always("/f", some(100))
	part, _ = open(t, nil, "y", true)
	if err := c.Download(t.Context(), part, download.Request{URL: s.URL + "/f"}); kind(err) != "retry" || len(s.Requests()) != 20 {
		t.Errorf("%v after %d requests", err, len(s.Requests())-19)
	}
	_ = part.Remove()
}

// Names and passwords of a netrc go to their hosts and nowhere else: not with a redirect, not in the clear to a host that only an answer names,
// not into messages.
func TestLoginsOfANetrc(t *testing.T) {
	name := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(name, []byte("machine 127.0.0.1 login me password s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		got[r.URL.Path] = user + ":" + password
		if r.URL.Path == "/away" {
			http.Redirect(w, r, strings.Replace("http://"+r.Host, "127.0.0.1", "localhost", 1)+"/there", http.StatusFound)
			return
		}
		w.WriteHeader(http.StatusForbidden)
	})
	c := client(t, download.Options{Netrc: name})
	ask := func(address string, headers map[string]string) {
		_, err := c.Bytes(t.Context(), download.Request{URL: address, Headers: headers})
		if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "0ther") {
			t.Errorf("%s: %v", address, err)
		}
	}
	ask(s+"/undeclared", nil)
	c.Declare(s)
	ask(s+"/declared", nil)
	ask(s+"/own", map[string]string{"Authorization": "Basic b3duOjB0aGVy"})
	ask(strings.Replace(s, "http://", "http://you:0ther@", 1)+"/url", nil)
	ask(s+"/away", nil)
	for path, want := range map[string]string{"/undeclared": ":", "/declared": "me:s3cret", "/own": "own:0ther", "/url": "you:0ther", "/away": "me:s3cret", "/there": ":"} {
		if got[path] != want {
			t.Errorf("%s was sent %q, want %q", path, got[path], want)
		}
	}
}

// A body goes through: it is nowhere in memory as a whole.
func TestMemoryIsFlat(t *testing.T) {
	const size = 64 << 20
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		junk := make([]byte, 1<<16)
		for range size / len(junk) {
			_, _ = w.Write(junk)
		}
	})
	c := client(t, download.Options{})
	part, _ := open(t, nil, "x", true)
	defer part.Remove() //nolint:errcheck // a temporary file
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := c.Download(t.Context(), part, download.Request{URL: base}); err != nil || part.Size() != size {
		t.Fatalf("%d bytes, %v", part.Size(), err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > size/4 {
		t.Errorf("%d bytes of memory were used in all, for a body of %d", used, size)
	}
}
