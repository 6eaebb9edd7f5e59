package rules_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules"
)

// files are the sources of a workspace: contents by path, directories with a trailing slash.
type files struct {
	n    *network
	text map[string]string
}

func (files) Restore(context.Context, cas.Digest) error { return errors.New("nothing is lost here") }

func (f files) Source(ctx context.Context, dir, name string) (engine.Artifact, error) {
	rest, abs := strings.CutPrefix(name, "//")
	if !abs {
		rest = path.Join(dir, name)
	}
	if _, ok := f.text[rest+"/"]; ok {
		return engine.Artifact{Kind: engine.TreeKind, Name: name}, nil
	}
	text, ok := f.text[rest]
	if !ok {
		return engine.Artifact{}, &engine.InvalidError{Err: fmt.Errorf("there is no %s", name)}
	}
	d, err := cas.PutBytes(ctx, f.n.store, []byte(text))
	return engine.Artifact{Digest: d, Name: rest, Source: true}, err
}

func (n *network) content(a engine.Artifact) string {
	n.t.Helper()
	data, err := cas.ReadAll(n.t.Context(), n.store, a.Digest, 1<<20)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(data)
}

func sha(text string) *string {
	sum := sha256.Sum256([]byte(text))
	s := hex.EncodeToString(sum[:])
	return &s
}

// The address of a download is pinned and stored: a password has no place in it.
func TestPasswordInAnAddress(t *testing.T) {
	n := newNetwork(t)
	for _, f := range []*rules.Fetch{{URL: "https://me:s3cret@a.example/x"}, {URL: "https://me:s3cret@a.example/x", SHA256: sha("x")}} {
		_, err := n.planned(n.runtime(true), f)
		if !errors.As(err, new(*engine.InvalidError)) || !strings.Contains(err.Error(), "password") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error %v", err)
		}
	}
	if _, err := n.planned(n.runtime(true), &rules.Fetch{URL: "https://me@a.example/x", SHA256: sha("x")}); err != nil {
		t.Errorf("a name: %v", err)
	}
}

func TestFetchOfAFileInTheWorkspace(t *testing.T) {
	n := newNetwork(t)
	rt := n.runtime(true) // a file needs no network
	ws := files{n, map[string]string{"data/a b.csv": "a,b\n", "root.csv": "c"}}
	rt.Sources = ws
	for address, want := range map[string]string{"file:data/a%20b.csv": "a b.csv a,b\n", "file:data/a b.csv": "a b.csv a,b\n", "file://data/a%20b.csv": "a b.csv a,b\n", "file://root.csv": "root.csv c"} {
		p, err := n.planned(rt, &rules.Fetch{URL: address})
		if err != nil || p.Action.Key().IsZero() || !p.Trivial || p.Pool != engine.NoPool {
			t.Fatalf("%s: plan %+v, %v", address, p, err)
		}
		r, err := p.Action.Do(t.Context(), nil)
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		a := r.Outs[0].Artifact
		if got := a.Name + " " + n.content(a); got != want || r.Facts["url"] != address {
			t.Errorf("%s: %q, facts %v", address, got, r.Facts)
		}
	}
	if len(n.pins.byID) != 0 {
		t.Errorf("pins %v: the file is its own pin", n.pins.byID)
	}
	key := func(f *rules.Fetch) engine.Key {
		t.Helper()
		p, err := n.planned(rt, f)
		if err != nil {
			t.Fatal(err)
		}
		return p.Action.Key()
	}
	before := key(&rules.Fetch{URL: "file:root.csv"})
	ws.text["other/root.csv"] = "c"
	if key(&rules.Fetch{URL: "file:other/root.csv"}) != before {
		t.Error("equal content of equal name, another key")
	}
	ws.text["root.csv"] = "d"
	if key(&rules.Fetch{URL: "file:root.csv"}) == before {
		t.Error("other content, the same key")
	}
	if _, err := n.do(rt, &rules.Fetch{URL: "file:root.csv", SHA256: sha("c")}); err == nil || !strings.Contains(err.Error(), "checksum mismatch") {
		t.Errorf("with another checksum: %v", err)
	}
}

// served answers with bodies by path, and notes the header Token of each request.
func served(t *testing.T, bodies map[string]string) (base string, tokens *[]string) {
	tokens = new([]string)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := bodies[r.URL.Path]
		*tokens = append(*tokens, r.URL.Path+" "+r.Header.Get("Token"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, tokens
}

func TestMirrorsAndHeaders(t *testing.T) {
	n := newNetwork(t)
	rt := n.runtime(false)
	rt.Sources = files{n, map[string]string{"here.txt": "text"}}
	base, asked := served(t, map[string]string{"/good.txt": "text", "/wrong.txt": "other"})
	for name, c := range map[string]struct {
		urls  []string
		sum   *string
		asked string
		err   string
	}{
		"the first that has it":      {[]string{base + "/none.txt", base + "/good.txt", base + "/wrong.txt"}, nil, "/none.txt secret, /good.txt secret", ""},
		"a file of the workspace":    {[]string{"file:here.txt", base + "/good.txt"}, nil, "", ""},
		"no such file":               {[]string{"file:nope.txt", base + "/good.txt"}, nil, "/good.txt secret", ""},
		"a file behind an address":   {[]string{base + "/none.txt", "file:here.txt"}, nil, "/none.txt secret", ""},
		"what is wrong is not taken": {[]string{base + "/wrong.txt", base + "/good.txt"}, sha("text"), "/wrong.txt secret, /wrong.txt secret, /good.txt secret", ""},
		"nobody has it":              {[]string{base + "/none.txt", base + "/nor.txt"}, nil, "/none.txt secret, /nor.txt secret", "404"},
	} {
		t.Run(name, func(t *testing.T) {
			*asked = nil
			n.pins.byID = nil
			r, err := n.do(rt, &rules.Fetch{URL: values(c.urls...), SHA256: c.sum, Headers: map[string]engine.Confidential{"Token": engine.Plain("secret")}})
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v", err)
			}
			if err == nil && n.content(r.Outs[0].Artifact) != "text" {
				t.Errorf("result %+v", r)
			}
			if got := strings.Join(*asked, ", "); got != c.asked {
				t.Errorf("asked %s, want %s", got, c.asked)
			}
		})
	}
	// Another header is another request, so that it has a pin of its own.
	n.pins.byID = nil
	for _, token := range []string{"a", "b"} {
		if _, err := n.do(rt, &rules.Fetch{URL: base + "/good.txt", Headers: map[string]engine.Confidential{"Token": engine.Plain(token)}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(n.pins.byID) != 2 {
		t.Errorf("pins %v", n.pins.byID)
	}
}

// archives returns the files as an archive of each format.
func archives(t *testing.T, files map[string]string) map[string]string {
	t.Helper()
	var z, plain, gz, zst bytes.Buffer
	zw := zip.NewWriter(&z)
	tw := tar.NewWriter(&plain)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := zw.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, files[name])
		if err := tw.WriteHeader(&tar.Header{Name: name, Size: int64(len(files[name])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(tw, files[name])
	}
	gw := gzip.NewWriter(&gz)
	sw, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.Closer{zw, tw} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range []io.WriteCloser{gw, sw} {
		_, _ = w.Write(plain.Bytes())
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{"zip": z.String(), "tar": plain.String(), "tar.gz": gz.String(), "tar.zst": zst.String()}
}

func TestUnpackingADownload(t *testing.T) {
	n := newNetwork(t)
	rt := n.runtime(false)
	bodies := map[string]string{}
	for format, body := range archives(t, map[string]string{"top/a.txt": "a", "top/bin/run": "r", "top/lib/x/y.c": "y"}) {
		bodies["/x."+format], bodies["/"+format] = body, body
	}
	bodies["/x.tgz"], bodies["/x.crate"], bodies["/x.whl"] = bodies["/x.tar.gz"], bodies["/x.tar.gz"], bodies["/x.zip"]
	base, _ := served(t, bodies)
	whole := "top/a.txt top/bin/run top/lib/x/y.c"
	for name, c := range map[string]struct {
		fetch rules.Fetch
		want  string
		err   string
	}{
		"zip":                  {rules.Fetch{URL: base + "/x.zip", Unpack: true}, whole, ""},
		"tar":                  {rules.Fetch{URL: base + "/x.tar", Unpack: true}, whole, ""},
		"tar.gz":               {rules.Fetch{URL: base + "/x.tar.gz", Unpack: true}, whole, ""},
		"tar.zst":              {rules.Fetch{URL: base + "/x.tar.zst", Unpack: true}, whole, ""},
		"tgz":                  {rules.Fetch{URL: base + "/x.tgz", Unpack: true}, whole, ""},
		"crate":                {rules.Fetch{URL: base + "/x.crate", Unpack: true}, whole, ""},
		"whl":                  {rules.Fetch{URL: base + "/x.whl", Unpack: true}, whole, ""},
		"a named format":       {rules.Fetch{URL: base + "/tar.gz", Unpack: "tar.gz"}, whole, ""},
		"not the named format": {rules.Fetch{URL: base + "/tar.gz", Unpack: "zip"}, "", "unpacking"},
		"strip 1":              {rules.Fetch{URL: base + "/x.zip", Unpack: true, Strip: int64(1)}, "a.txt bin/run lib/x/y.c", ""},
		"strip 2":              {rules.Fetch{URL: base + "/x.tar", Unpack: true, Strip: int64(2)}, "run x/y.c", ""},
		"strip 0":              {rules.Fetch{URL: base + "/x.tar", Unpack: true, Strip: int64(0)}, whole, ""},
		"a prefix":             {rules.Fetch{URL: base + "/x.tar", Unpack: true, Strip: "top"}, "a.txt bin/run lib/x/y.c", ""},
		"a prefix with slash":  {rules.Fetch{URL: base + "/x.zip", Unpack: true, Strip: "top/"}, "a.txt bin/run lib/x/y.c", ""},
		"not everyone's":       {rules.Fetch{URL: base + "/x.zip", Unpack: true, Strip: "top/lib"}, "", "top/a.txt"},
		"executable":           {rules.Fetch{URL: base + "/x.zip", Unpack: true, Strip: "top", Executable: []string{"bin/*", "**/*.c"}}, "a.txt bin/run* lib/x/y.c*", ""},
		"not unpacked":         {rules.Fetch{URL: base + "/x.zip", Unpack: false}, "x.zip", ""},
		"an executable file":   {rules.Fetch{URL: base + "/x.zip", Executable: []string{"*"}}, "x.zip*", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := n.do(rt, &c.fetch)
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			a := r.Outs[0].Artifact
			got := a.Name
			if a.Executable {
				got += "*"
			}
			if a.Kind == engine.TreeKind {
				got = strings.Join(slices.Sorted(maps.Keys(n.files(a))), " ")
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
