package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
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

// formats make an archive in each format.
var formats = map[archive.Format]func([]entry) []byte{
	archive.Zip:    makeZip,
	archive.Tar:    makeTar,
	archive.TarGz:  func(e []entry) []byte { return gz(makeTar(e)) },
	archive.TarZst: func(e []entry) []byte { return zst(makeTar(e)) },
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

// hostile are archives that are refused, by what is wrong with them; each names an entry.
func hostile() map[string][]entry {
	all := map[string][]entry{
		"devices":             {{name: "d", mode: 0o644, kind: tar.TypeChar}},
		"block devices":       {{name: "d", mode: 0o644, kind: tar.TypeBlock}},
		"FIFOs":               {{name: "d", mode: 0o644, kind: tar.TypeFifo}},
		"unknown kinds":       {{name: "d", mode: 0o644, kind: 'Z'}},
		"duplicates":          {file("a", "1"), file("a", "2")},
		"hidden twins":        {file("a/b", "1"), file("./a//b", "2")},
		"file and link":       {file("a", "1"), link("a", "b")},
		"file and dir":        {file("a", "1"), dir("a")},
		"below a file":        {file("a", "1"), file("a/b", "2")},
		"below, earlier":      {file("a/b", "2"), file("a", "1")},
		"through a link":      {dir("d"), link("l", "d"), file("l/x", "1")},
		"through, later":      {file("l/x/y", "1"), link("l", "d")},
		"link through a link": {link("l", "d"), link("l/x", "y")},
		"absolute link":       {link("l", "/etc/passwd")},
		"link upwards":        {link("l", "../x")},
		"link far up":         {link("a/b/l", "../../../x")},
		"link down, up":       {link("l", "a/../../x")},
		// "d" is the root itself, so what reads like the root lies above it.
		"link over a link":    {link("d", "."), link("e", "d/..")},
		"link over a chain":   {link("a/b/c", "../.."), link("e", "a/b/c/../x")},
		"empty link":          {link("l", "")},
		"link to C:":          {link("l", `C:\x`)},
		"hard link outside":   {hard("h", "../x")},
		"hard link to /":      {hard("h", "/etc/passwd")},
		"hard link ahead":     {hard("h", "later"), file("later", "1")},
		"hard link to link":   {link("l", "x"), hard("h", "l")},
		"hard link to itself": {hard("h", "h")},
		"too deep":            {file(strings.Repeat("d/", 200)+"f", "1")},
		"long part":           {file(strings.Repeat("n", 256), "1")},
		"long name":           {file(strings.Repeat("d/", 3000)+"f", "1")},
	}
	for _, name := range []string{
		"../x", "/x", "//x", "a/../../x", "a/..", "..", "a/../b", `..\x`, `a\..\..\x`, `C:\x`, "c:/x", "C:", `\x`, `\\host\x`,
		"a\x00b", "a\nb", "a\x1b[2Jb", "a\u0085b", "a\ufdd0b", "a\uffffb", "\xff", "a/\xc3", "a\x7f",
	} {
		all[fmt.Sprintf("name %q", name)] = []entry{file(name, "1")}
		all[fmt.Sprintf("link %q", name)] = []entry{link(name, "x")}
		all[fmt.Sprintf("after others %q", name)] = []entry{file("ok", "0"), file(name, "1")}
	}
	return all
}

func TestHostileArchivesAreRefused(t *testing.T) {
	n := 0
	for what, entries := range hostile() {
		for format, pack := range formats {
			special := slices.ContainsFunc(entries, func(e entry) bool { return e.kind != 0 })
			nul := slices.ContainsFunc(entries, func(e entry) bool { return strings.Contains(e.name, "\x00") })
			if format == archive.Zip && special || format != archive.Zip && nul {
				continue // this format can't say it
			}
			n++
			_, got, err := unpack(pack(entries), archive.Options{Format: format})
			if _, ok := errors.AsType[*archive.EntryError](err); !ok {
				t.Errorf("%s in %s: %v, %v; want it refused because of an entry", what, format, got, err)
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d hostile archives", n)
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
			if what == "ratio" && (format == archive.Tar || format == archive.TarGz) {
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
		"a.crate": archive.TarGz, "zip": "", "a.gz": "", "": "",
	} {
		if got, ok := archive.FormatOf(name); got != want || ok != (want != "") {
			t.Errorf("FormatOf(%q) = %q, %v", name, got, ok)
		}
	}
}

// Whatever the bytes are, unpacking ends, and what it yields is a tree.
func FuzzUnpack(f *testing.F) {
	order := []archive.Format{archive.Zip, archive.Tar, archive.TarGz, archive.TarZst, archive.TarBz2}
	small := []entry{dir("d"), file("d/a", "A"), link("d/l", "a"), {name: "x", body: "X", mode: 0o755}}
	for i, format := range order[:4] {
		f.Add(byte(i), formats[format](small))
		f.Add(byte(i), formats[format](hostile()["through a link"]))
	}
	f.Add(byte(4), []byte("BZh91AY&SY"))
	f.Fuzz(func(t *testing.T, format byte, data []byte) {
		o := archive.Options{Format: order[int(format)%len(order)], Limits: archive.Limits{Entries: 1000, Bytes: 1 << 20}}
		s, entries, err := unpack(data, o)
		if err != nil {
			return
		}
		if _, err := cas.PutTree(t.Context(), s, entries); err != nil {
			t.Errorf("the entries are no tree: %v", err)
		}
		for _, e := range entries {
			if !fs.ValidPath(e.Path) {
				t.Errorf("path %q", e.Path)
			}
		}
	})
}
