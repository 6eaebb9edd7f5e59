package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/rules/archive"
)

// A cell is something hostile, or at least nasty, that an archive can hold. Either it is refused for a reason, or it is unpacked to a
// listing.
type cell struct {
	name    string
	entries []entry
	refused string
	listing []string
	limits  archive.Limits
	// data are archives that no list of entries makes, by their formats.
	data map[archive.Format][]byte
}

// all are the formats that a cell's entries can be said in.
func (c *cell) all() map[archive.Format][]byte {
	if c.data != nil {
		return c.data
	}
	special := slices.ContainsFunc(c.entries, func(e entry) bool { return e.kind != 0 })
	nul := slices.ContainsFunc(c.entries, func(e entry) bool { return strings.Contains(e.name, "\x00") })
	made := map[archive.Format][]byte{}
	for format, pack := range formats {
		if format == archive.Zip && special || format != archive.Zip && nul {
			continue // this format can't say it
		}
		if format == archive.Deb && strings.HasPrefix(c.name, "absolute link") {
			continue // which is another matter there: TestDebLinks
		}
		made[format] = pack(c.entries)
	}
	return made
}

// corpus makes the cells. What is among and around the entries comes from the seed.
func corpus(seed uint64) []cell {
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // reproducible on purpose
	cells := append(refusedEntries(), keptEntries()...)
	for i := range cells {
		c := &cells[i]
		if c.entries == nil {
			continue
		}
		for n := range r.IntN(4) {
			f := file(fmt.Sprintf("harmless-%d-%d", n, r.IntN(1000)), strings.Repeat("x", r.IntN(2000)))
			at := []int{0, len(c.entries)}[r.IntN(2)] // not in between: order may matter
			c.entries = slices.Insert(c.entries, at, f)
			if c.refused == "" {
				c.listing = append(c.listing, f.name+"="+f.body)
			}
		}
		slices.Sort(c.listing)
	}
	return append(cells, rawCells(r)...)
}

func refusedEntries() []cell {
	var cells []cell
	add := func(name, refused string, entries ...entry) {
		cells = append(cells, cell{name: name, refused: refused, entries: entries})
	}
	add("device", "is a device", entry{name: "d", mode: 0o644, kind: tar.TypeChar})
	add("block device", "is a device", entry{name: "d", mode: 0o644, kind: tar.TypeBlock})
	add("FIFO", "is a FIFO", entry{name: "d", mode: 0o644, kind: tar.TypeFifo})
	add("unknown kind", "is of an unknown kind", entry{name: "d", mode: 0o644, kind: 'Z'})
	add("duplicate", `"a" occurs twice`, file("a", "1"), file("a", "2"))
	add("hidden twins", "occurs twice", file("a/b", "1"), file("./a//b", "2"))
	add("file and link", "occurs twice", file("a", "1"), link("a", "b"))
	add("file and dir", "occurs twice", file("a", "1"), dir("a"))
	add("directory becomes a link", "occurs twice", dir("a"), link("a", "b"), file("a/x", "1"))
	add("below a file", `lies below the file "a"`, file("a", "1"), file("a/b", "2"))
	add("below, earlier", `lies below the file "a"`, file("a/b", "2"), file("a", "1"))
	add("through a link", `lies below the symbolic link "l"`, dir("d"), link("l", "d"), file("l/x", "1"))
	add("through, later", `lies below the symbolic link "l"`, file("l/x/y", "1"), link("l", "d"))
	add("link through a link", `lies below the symbolic link "l"`, link("l", "d"), link("l/x", "y"))
	add("absolute link", "symbolic link to the absolute path", link("l", "/etc/passwd"))
	add("absolute link, deep", "symbolic link to the absolute path", link("a/b/l", "//etc"))
	add("link upwards", "leaves the archive", link("l", "../x"))
	add("link far up", "leaves the archive", link("a/b/l", "../../../x"))
	add("link down, up", "leaves the archive", link("l", "a/../../x"))
	// "d" is the root itself, so what reads like the root lies above it.
	add("link over a link", "leaves the archive", link("d", "."), link("e", "d/.."))
	add("link over a chain", "leaves the archive", link("a/b/c", "../.."), link("e", "a/b/c/../x"))
	add("empty link", "without a proper target", link("l", ""))
	add("link of 4 KiB", "without a proper target", link("l", strings.Repeat("x/", 2100)))
	add("link to C:", "symbolic link to the absolute path", link("l", `C:\x`))
	add("hard link outside", "is no file before it", hard("h", "../x"))
	add("hard link to /", "is no file before it", hard("h", "/etc/passwd"))
	add("hard link ahead", "is no file before it", hard("h", "later"), file("later", "1"))
	add("hard link to link", "is no file before it", link("l", "x"), hard("h", "l"))
	add("hard link to directory", "is no file before it", dir("d"), hard("h", "d"))
	add("hard link to itself", "is no file before it", hard("h", "h"))
	add("too deep", "lies too deep", file(strings.Repeat("d/", 200)+"f", "1"))
	add("long part", "more than 255 bytes between slashes", file(strings.Repeat("n", 256), "1"))
	add("long name", "has too long a name", file(strings.Repeat("d/", 3000)+"f", "1"))
	for name, refused := range map[string]string{
		"../x": `has ".." in its name`, "/x": "has an absolute name", "//x": "has an absolute name", "a/../../x": `has ".." in its name`,
		"a/..": `has ".." in its name`, "..": `has ".." in its name`, "a/../b": `has ".." in its name`, `..\x`: "path of Windows", `a\..\..\x`: "path of Windows",
		`C:\x`: "path of Windows", "c:/x": "path of Windows", "C:": "path of Windows", `\x`: "path of Windows", `\\host\x`: "path of Windows",
		"a\x00b": "control character", "a\nb": "control character", "a\x1b[2Jb": "control character", "a\u0085b": "control character", "a\ufdd0b": "control character",
		"a\uffffb": "control character", "\xff": "not UTF-8", "a/\xc3": "not UTF-8", "a\x7f": "control character",
	} {
		add(fmt.Sprintf("name %q", name), refused, file(name, "1"))
		add(fmt.Sprintf("link named %q", name), refused, link(name, "x"))
		add(fmt.Sprintf("after others %q", name), refused, file("ok", "0"), file(name, "1"))
	}
	return cells
}

// keptEntries are unpacked, to what is stated here.
func keptEntries() []cell {
	var cells []cell
	add := func(name string, listing []string, entries ...entry) {
		cells = append(cells, cell{name: name, listing: listing, entries: entries})
	}
	set := func(name string, mode fs.FileMode) entry { return entry{name: name, body: "S", mode: mode} }
	add("setuid, setgid, sticky", []string{"a*=S", "b*=S", "c=S"}, set("a", 0o755|fs.ModeSetuid), set("b", 0o755|fs.ModeSetgid), set("c", 0o644|fs.ModeSticky))
	add("mode 0", []string{"a=S"}, set("a", 0))
	add("case twins", []string{"Readme=1", "README=2", "readme=3"}, file("Readme", "1"), file("README", "2"), file("readme", "3"))
	add("NFC and NFD twins", []string{"\u00e9=1", "e\u0301=2"}, file("\u00e9", "1"), file("e\u0301", "2"))
	add("names of Windows", []string{"CON=1", "aux.txt=2", "dot.=3", "space =4", "a:b=5"}, file("CON", "1"), file("aux.txt", "2"), file("dot.", "3"), file("space ", "4"), file("a:b", "5"))
	add("link loop", []string{"a->b", "b->a"}, link("a", "b"), link("b", "a"))
	add("link chain inside", []string{"a->b", "b->c/d", "c/d=D"}, link("a", "b"), link("b", "c/d"), file("c/d", "D"))
	add("names that mean something here", []string{".git/config=1", "BUILD.hcl=2", "cbuild-out/x=3", "in/0/x=4"}, file(".git/config", "1"), file("BUILD.hcl", "2"), file("cbuild-out/x", "3"), file("in/0/x", "4"))
	add("options as names", []string{"--help=1", "-rf=2", "$(id)=3", "`id`=4"}, file("-rf", "2"), file("--help", "1"), file("$(id)", "3"), file("`id`", "4"))
	add("an archive in an archive", []string{"42.zip=" + string(makeZip([]entry{file("../x", "1")}))}, file("42.zip", string(makeZip([]entry{file("../x", "1")}))))
	return cells
}

// Every hostile archive is refused with its reason, or unpacked to what is stated; nothing is written to the file system, and the memory
// stays within bounds.
func TestHostileArchives(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("TMPDIR", dir)
	type made struct {
		cell
		format archive.Format
		data   []byte
	}
	var all []made
	for _, c := range corpus(1) {
		if c.limits == (archive.Limits{}) {
			c.limits = bounds
		}
		for format, data := range c.all() {
			all = append(all, made{c, format, data})
		}
	}
	if len(all) < 200 {
		t.Errorf("only %d hostile archives", len(all))
	}
	begun := time.Now()
	before, measured := resetPeak(t)
	for _, m := range all {
		s := sink{castest.NewMemory()}
		entries, err := archive.Unpack(t.Context(), s, bytes.NewReader(m.data), int64(len(m.data)), archive.Options{Format: m.format, Limits: m.limits})
		got := listing(s, entries)
		switch {
		case m.refused != "" && (err == nil || !strings.Contains(err.Error(), m.refused) || !archive.Refused(err)):
			t.Errorf("%s in %s: %.200q, %v; want it refused: %s", m.name, m.format, got, err, m.refused)
		case m.refused == "" && (err != nil || !slices.Equal(got, m.listing)):
			t.Errorf("%s in %s:\n got %.500q, %v\nwant %.500q", m.name, m.format, got, err, m.listing)
		}
		if err == nil {
			if _, err := cas.PutTree(t.Context(), s, entries); err != nil {
				t.Errorf("%s in %s: the entries are no tree: %v", m.name, m.format, err)
			}
		}
	}
	took, grown := time.Since(begun), peak(t)-before
	t.Logf("%d archives in %v, at most %d MiB more memory than before", len(all), took.Round(time.Millisecond), grown>>20)
	if grown > 64<<20 && measured {
		t.Errorf("unpacking took %d MiB of memory", grown>>20)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("written to the file system: %v, %v", left, err)
	}
}

// A sink is a store that keeps small blobs only, so that memory is not that of what was unpacked.
type sink struct{ *castest.Memory }

func (s sink) Put(ctx context.Context, r io.Reader) (cas.Digest, error) {
	var small bytes.Buffer
	if n, err := io.CopyN(&small, r, 64<<10); n < 64<<10 {
		if err != nil && !errors.Is(err, io.EOF) {
			return cas.Digest{}, err
		}
		return s.Memory.Put(ctx, &small)
	}
	h := cas.BLAKE3.New()
	n, err := io.Copy(h, io.MultiReader(&small, r))
	return cas.Sum(cas.BLAKE3, h, n), err
}

// resetPeak makes the kernel forget how much memory this process ever had, and returns how much it has; ok says whether the kernel does.
func resetPeak(t *testing.T) (has int64, ok bool) {
	old := debug.SetGCPercent(20) // beside the archives of the test, which are live, much garbage would be let lie
	t.Cleanup(func() { debug.SetGCPercent(old) })
	if raceEnabled {
		t.Log("SKIPPED: memory is not measured: the race detector multiplies it")
		return 0, false
	}
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Logf("SKIPPED: memory is not measured: what this process ever had can't be forgotten: %v", err)
		return 0, false
	}
	return status(t, "VmRSS:"), true
}

func peak(t *testing.T) int64 { return status(t, "VmHWM:") }

func status(t *testing.T, field string) int64 {
	data, _ := os.ReadFile("/proc/self/status")
	for line := range bytes.Lines(data) {
		if f := strings.Fields(string(line)); len(f) > 1 && f[0] == field {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	return 0
}

// In a package of Debian an absolute link starts at the root of the package. Elsewhere nobody knows what it means.
func TestDebLinks(t *testing.T) {
	in := []entry{dir("./etc"), file("./etc/conf", "C"), link("./usr/share/x/conf", "/etc/conf"), link("./top", "/usr/share"), hard("./etc/again", "./etc/conf")}
	for _, data := range [][]byte{deb("data.tar", makeTar(in)), deb("data.tar.gz/", gz(makeTar(in))), deb("data.tar.xz", xzip(makeTar(in)))} {
		s, entries, err := unpack(data, archive.Options{Format: archive.Deb})
		want := []string{"etc/", "etc/again=C", "etc/conf=C", "top->usr/share", "usr/share/x/conf->../../../etc/conf"}
		if got := listing(s, entries); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	if _, _, err := unpack(deb("data.tar.gz", gz(makeTar([]entry{link("./l", "/../x")}))), archive.Options{Format: archive.Deb}); err == nil || !strings.Contains(err.Error(), "leaves the archive") {
		t.Errorf("a link that leaves the package: %v", err)
	}
}

// Whatever the bytes are, unpacking ends, and what it yields is a tree.
func fuzz(f *testing.F, format archive.Format, more ...[]byte) {
	pack := formats[format]
	for _, entries := range [][]entry{
		{dir("d"), file("d/a", "A"), link("d/l", "a"), {name: "x", body: "X", mode: 0o755}},
		{dir("d"), link("l", "d"), file("l/x", "1")},
		{file(strings.Repeat("long/", 30)+"name", "1"), file("ünï", "2")},
	} {
		f.Add(pack(entries))
	}
	for _, data := range more {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, entries, err := unpack(data, archive.Options{Format: format, Limits: archive.Limits{Entries: 1000, Bytes: 1 << 20}})
		if err != nil {
			if !archive.Refused(err) {
				t.Errorf("refused without saying so: %v", err)
			}
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

func FuzzTar(f *testing.F) { fuzz(f, archive.Tar, makeTar([]entry{file("a", "1"), hard("b", "a")})) }
func FuzzZip(f *testing.F) { fuzz(f, archive.Zip) }
func FuzzDeb(f *testing.F) { fuzz(f, archive.Deb, ar(), ar("data.tar", "")) }
func FuzzGem(f *testing.F) { fuzz(f, archive.Gem, gem(nil)) }
func FuzzXz(f *testing.F) {
	fuzz(f, archive.TarXz, slices.Concat(xzip(makeTar([]entry{file("a", "1")})), xzip(nil)), greedyXz(xzip(makeTar([]entry{file("a", "1")}))))
}
func FuzzZst(f *testing.F) { fuzz(f, archive.TarZst) }
