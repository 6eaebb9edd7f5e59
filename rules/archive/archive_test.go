package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/rules/archive"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// An entry is one entry of an archive that a test makes.
type entry struct {
	name, body, link string
	mode             fs.FileMode
	// kind is the type of a tar entry if mode can't say it.
	kind byte
}

func file(name, body string) entry { return entry{name: name, body: body, mode: 0o644} }
func link(name, to string) entry   { return entry{name: name, link: to, mode: 0o777 | fs.ModeSymlink} }
func dir(name string) entry        { return entry{name: name + "/", mode: 0o755 | fs.ModeDir} }
func hard(name, to string) entry   { return entry{name: name, link: to, mode: 0o644, kind: tar.TypeLink} }

func makeZip(entries []entry) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode)
		w, err := z.CreateHeader(h)
		if err == nil && e.mode&fs.ModeDir == 0 {
			_, err = io.WriteString(w, e.body+e.link)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func makeTar(entries []entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: int64(e.mode.Perm()), Size: int64(len(e.body)), Linkname: e.link, Typeflag: tar.TypeReg}
		switch {
		case e.kind != 0:
			h.Typeflag = e.kind
		case e.mode&fs.ModeSymlink != 0:
			h.Typeflag = tar.TypeSymlink
		case e.mode&fs.ModeDir != 0:
			h.Typeflag = tar.TypeDir
		}
		if e.mode&fs.ModeSetuid != 0 {
			h.Mode |= 0o4000
		}
		if !isASCII(e.name + e.link) {
			h.Format = tar.FormatGNU // the only one that takes every byte
		}
		if err := w.WriteHeader(h); err != nil {
			panic(fmt.Sprintf("%q: %v", e.name, err))
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 126 || r < 32 })
}

func gz(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

func zst(data []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(data, nil)
}

func xzip(data []byte) []byte {
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 20, CheckSum: xz.SHA256}.NewWriter(&b)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// ar makes an archive of Debian's kind of names and contents in turn.
func ar(members ...string) []byte {
	b := bytes.NewBufferString("!<arch>\n")
	for i := 0; i < len(members); i += 2 {
		fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n%s", members[i], 0, 0, 0, 0o100644, len(members[i+1]), members[i+1])
		if len(members[i+1])%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func deb(name string, data []byte) []byte {
	return ar("debian-binary", "2.0\n", "control.tar.gz", string(gz(makeTar([]entry{file("./control", "Package: x\n")}))), name, string(data))
}

func gem(data []byte) []byte {
	return makeTar([]entry{file("metadata.gz", "---"), file("data.tar.gz", string(data)), file("checksums.yaml.gz", "---")})
}

// formats make an archive in each format.
var formats = map[archive.Format]func([]entry) []byte{
	archive.Zip:    makeZip,
	archive.Tar:    makeTar,
	archive.TarGz:  func(e []entry) []byte { return gz(makeTar(e)) },
	archive.TarZst: func(e []entry) []byte { return zst(makeTar(e)) },
	archive.TarXz:  func(e []entry) []byte { return xzip(makeTar(e)) },
	archive.Deb:    func(e []entry) []byte { return deb("data.tar.zst", zst(makeTar(e))) },
	archive.Gem:    func(e []entry) []byte { return gem(gz(makeTar(e))) },
}

func unpack(data []byte, o archive.Options) (*castest.Memory, []cas.Entry, error) {
	s := castest.NewMemory()
	entries, err := archive.Unpack(context.Background(), s, bytes.NewReader(data), int64(len(data)), o)
	return s, entries, err
}

// listing writes entries as "path=content", "path*=content" for an executable, "path/" and "path->target".
func listing(s cas.Store, entries []cas.Entry) []string {
	var list []string
	for _, e := range entries {
		switch e.Kind {
		case cas.DirEntry:
			list = append(list, e.Path+"/")
		case cas.SymlinkEntry:
			list = append(list, e.Path+"->"+e.Target)
		default:
			data, err := cas.ReadAll(context.Background(), s, e.Digest, 1<<20)
			if err != nil {
				data = []byte(err.Error())
			}
			star := ""
			if e.Executable {
				star = "*"
			}
			list = append(list, e.Path+star+"="+string(data))
		}
	}
	slices.Sort(list)
	return list
}

func TestUnpack(t *testing.T) {
	in := []entry{
		dir("p"), file("p/a.txt", "A"),
		{name: "p/bin/x", body: "X", mode: 0o755},
		dir("p/empty"), link("p/l", "bin/x"), link("p/bin/up", "../a.txt"),
		link("p/dangling", "nowhere/at/all"), link("p/loop", "loop"), file("p/ünï cödé", "U"), file(`p/back\slash`, "B"), file("p/CON.", "C"),
		{name: "p/setuid", body: "S", mode: 0o755 | fs.ModeSetuid},
		{name: "p/mode0", body: "M"},
		file("./p//b/./c", "D"), dir("p"),
	}
	want := []string{
		"a.txt=A", `back\slash=B`, "bin/up->../a.txt", "bin/x*=X", "b/c=D", "CON.=C", "dangling->nowhere/at/all", "empty/", "l->bin/x", "loop->loop",
		"mode0=M", "setuid*=S", "ünï cödé=U",
	}
	slices.Sort(want)
	for format, pack := range formats {
		s, entries, err := unpack(pack(in), archive.Options{Format: format, Prefix: "p"})
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if got := listing(s, entries); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", format, got, want)
		}
		if _, err := cas.PutTree(t.Context(), s, entries); err != nil {
			t.Errorf("%s: the entries are no tree: %v", format, err)
		}
	}
}

func TestStripAndExecutable(t *testing.T) {
	in := []entry{file("top", "T"), file("a/one", "1"), file("a/b/two.sh", "2"), dir("a")}
	for name, c := range map[string]struct {
		options archive.Options
		want    string
		refused string
	}{
		"nothing":        {archive.Options{}, "a/ a/b/two.sh=2 a/one=1 top=T", ""},
		"1":              {archive.Options{Strip: 1}, "b/two.sh=2 one=1", ""},
		"2":              {archive.Options{Strip: 2}, "two.sh=2", ""},
		"3":              {archive.Options{Strip: 3}, "", ""},
		"prefix":         {archive.Options{Prefix: "a"}, "", `"top"`},
		"glob":           {archive.Options{Executable: []string{"**/*.sh", "top"}}, "a/ a/b/two.sh*=2 a/one=1 top*=T", ""},
		"glob and strip": {archive.Options{Strip: 1, Executable: []string{"b/*"}}, "b/two.sh*=2 one=1", ""},
		"bad glob":       {archive.Options{Executable: []string{"[a"}}, "", "is not a glob"},
	} {
		for format, pack := range formats {
			c.options.Format = format
			s, entries, err := unpack(pack(in), c.options)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%s, %s: error %v, want one with %s", name, format, err, c.refused)
				}
				continue
			}
			if got := strings.Join(listing(s, entries), " "); err != nil || got != c.want {
				t.Errorf("%s, %s: %q, %v; want %q", name, format, got, err, c.want)
			}
		}
	}
}

func TestHardLinks(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	in := []entry{file("p/a", "A"), hard("p/b", "p/a"), hard("p/c", "p/b"), file("p/big", big), hard("p/big2", "p/big"), file("p/d", "D")}
	s, entries, err := unpack(makeTar(in), archive.Options{Format: archive.Tar, Strip: 1})
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]cas.Digest{}
	for _, e := range entries {
		digests[e.Path] = e.Digest
	}
	if digests["a"] != cas.Of([]byte("A")) || digests["b"] != digests["a"] || digests["c"] != digests["a"] || digests["big2"] != cas.Of([]byte(big)) {
		t.Errorf("entries %v", digests)
	}
	if missing, _ := s.Missing(t.Context(), []cas.Digest{digests["a"], digests["big"]}); len(missing) > 0 {
		t.Errorf("missing %v", missing)
	}
}

func TestLimits(t *testing.T) {
	many := make([]entry, 100)
	for i := range many {
		many[i] = file(fmt.Sprintf("f%d", i), "x")
	}
	zeros := file("z", strings.Repeat("\x00", 80<<20))
	for format, pack := range formats {
		for what, c := range map[string]struct {
			entries []entry
			limits  archive.Limits
		}{
			"entries": {many, archive.Limits{Entries: 99}},
			"bytes":   {[]entry{file("a", "12345"), file("b", "67890")}, archive.Limits{Bytes: 9}},
			"depth":   {[]entry{file("a/b/c", "")}, archive.Limits{Depth: 2}},
			"ratio":   {[]entry{zeros}, archive.Limits{Ratio: 1}},
		} {
			if what == "ratio" && format != archive.TarZst && (format != archive.Zip || raceEnabled) {
				continue // not compressed; too slow
			}
			if _, _, err := unpack(pack(c.entries), archive.Options{Format: format, Limits: c.limits}); err == nil {
				t.Errorf("%s in %s: no limit", what, format)
			}
		}
		if _, _, err := unpack(pack(many), archive.Options{Format: format, Limits: archive.Limits{Entries: 100, Bytes: 100, Depth: 1}}); err != nil {
			t.Errorf("%s: exactly at the limits: %v", format, err)
		}
	}
}

// An archive that breaks off is damaged, wherever that is. Only of a plain tar file nobody can say so behind a file's last byte.
func TestTruncated(t *testing.T) {
	in := []entry{file("a", strings.Repeat("some text ", 400)), file("b", strings.Repeat("more text ", 300))}
	for format, pack := range formats {
		whole := pack(in)
		for n := 0; n < len(whole); n += 1 + len(whole)/500 {
			_, entries, err := unpack(whole[:n], archive.Options{Format: format})
			between := format == archive.Tar && n >= 512+4000 && n <= 512+4096
			if err == nil && !between && len(entries) != 2 {
				t.Errorf("%s cut at %d of %d: %d entries and no error", format, n, len(whole), len(entries))
			}
		}
	}
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]archive.Format{
		"x-1.0.tar.gz": archive.TarGz, "X.TGZ": archive.TarGz, "v1.0.0.zip": archive.Zip, "a.tar": archive.Tar, "a.tar.zst": archive.TarZst, "a.tar.bz2": archive.TarBz2,
		"a.crate": archive.TarGz, "a_1_amd64.deb": archive.Deb, "a-1.0.gem": archive.Gem, "a-1.txz": archive.TarXz, "A.nupkg": archive.Zip, "a.jar": archive.Zip, "a.whl": archive.Zip, "zip": "", "a.gz": "", "": "",
	} {
		if got, ok := archive.FormatOf(name); got != want || ok != (want != "") {
			t.Errorf("FormatOf(%q) = %q, %v", name, got, ok)
		}
	}
}
