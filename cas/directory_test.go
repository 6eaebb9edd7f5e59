package cas

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/proto"
)

// message is d as the generated code of the Remote Execution API has it; d is sorted.
func message(d *Directory) *repb.Directory {
	digest := func(d Digest) *repb.Digest { return &repb.Digest{Hash: d.Hex(), SizeBytes: d.Size} }
	m := new(repb.Directory)
	for _, f := range d.Files {
		m.Files = append(m.Files, &repb.FileNode{Name: f.Name, Digest: digest(f.Digest), IsExecutable: f.Executable})
	}
	for _, s := range d.Dirs {
		m.Directories = append(m.Directories, &repb.DirectoryNode{Name: s.Name, Digest: digest(s.Digest)})
	}
	for _, l := range d.Symlinks {
		m.Symlinks = append(m.Symlinks, &repb.SymlinkNode{Name: l.Name, Target: l.Target})
	}
	return m
}

func protobuf(t testing.TB, m *repb.Directory) []byte {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sample returns a sorted Directory of n entries that r chooses.
func sample(r *rand.Rand, n int) *Directory {
	d := new(Directory)
	sizes := []int64{0, 1, 127, 128, 16383, 16384, 1 << 40, 1<<63 - 1}
	for i := range n {
		name := fmt.Sprintf("%06d%s", i, strings.Repeat("ä", r.IntN(100)))
		digest := Of([]byte(name))
		digest.Size = sizes[r.IntN(len(sizes))]
		switch r.IntN(4) {
		case 0:
			d.Dirs = append(d.Dirs, Subdir{Name: name, Digest: digest})
		case 1:
			d.Symlinks = append(d.Symlinks, Symlink{Name: name, Target: "../" + name})
		default:
			d.Files = append(d.Files, File{Name: name, Digest: digest, Executable: r.IntN(2) == 0})
		}
	}
	return d
}

func TestEncodingIsProtobuf(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 100 {
		d := sample(r, n)
		got, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if want := protobuf(t, message(d)); !bytes.Equal(got, want) {
			t.Fatalf("%d entries:\n got %x\nwant %x", n, got, want)
		}
		back := new(repb.Directory)
		if err := proto.Unmarshal(got, back); err != nil || !proto.Equal(back, message(d)) {
			t.Fatalf("protobuf reads something else: %v", err)
		}
	}
}

func TestEncodeSorts(t *testing.T) {
	a, b := File{Name: "a", Digest: Of([]byte("1"))}, File{Name: "b", Digest: Of([]byte("2"))}
	x, err := (&Directory{Files: []File{b, a}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	y, _ := (&Directory{Files: []File{a, b}}).Encode()
	if !bytes.Equal(x, y) {
		t.Error("the order of the entries matters")
	}
}

func TestTheEmptyDirectoryIsTheEmptyBlob(t *testing.T) {
	data, err := new(Directory).Encode()
	if err != nil || len(data) != 0 {
		t.Errorf("%x, %v", data, err)
	}
}

func TestDecodeRefusesHostileDirectories(t *testing.T) {
	file := func(name string) *repb.FileNode {
		return &repb.FileNode{Name: name, Digest: &repb.Digest{Hash: Of(nil).Hex()}}
	}
	dir := func(name string) *repb.DirectoryNode {
		return &repb.DirectoryNode{Name: name, Digest: &repb.Digest{Hash: Of(nil).Hex()}}
	}
	files := func(names ...string) (m *repb.Directory) {
		m = new(repb.Directory)
		for _, n := range names {
			m.Files = append(m.Files, file(n))
		}
		return m
	}
	if _, err := DecodeDirectory(protobuf(t, files("a", "b"))); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	for name, m := range map[string]*repb.Directory{
		"twice":             files("a", "a"),
		"unsorted":          files("b", "a"),
		"dot dot":           files(".."),
		"dot":               files("."),
		"empty":             files(""),
		"slash":             files("a/b"),
		"absolute":          files("/etc"),
		"NUL":               files("a\x00b"),
		"file and dir":      {Files: []*repb.FileNode{file("a")}, Directories: []*repb.DirectoryNode{dir("a")}},
		"dir and symlink":   {Directories: []*repb.DirectoryNode{dir("a")}, Symlinks: []*repb.SymlinkNode{{Name: "a", Target: "b"}}},
		"unsorted dirs":     {Directories: []*repb.DirectoryNode{dir("b"), dir("a")}},
		"no target":         {Symlinks: []*repb.SymlinkNode{{Name: "a"}}},
		"target with NUL":   {Symlinks: []*repb.SymlinkNode{{Name: "a", Target: "b\x00"}}},
		"no digest":         {Files: []*repb.FileNode{{Name: "a"}}},
		"short digest":      {Files: []*repb.FileNode{{Name: "a", Digest: &repb.Digest{Hash: "00"}}}},
		"upper-case digest": {Files: []*repb.FileNode{{Name: "a", Digest: &repb.Digest{Hash: strings.ToUpper(Of(nil).Hex())}}}},
		"negative size":     {Files: []*repb.FileNode{{Name: "a", Digest: &repb.Digest{Hash: Of(nil).Hex(), SizeBytes: -1}}}},
		"properties":        {NodeProperties: &repb.NodeProperties{}},
	} {
		if d, err := DecodeDirectory(protobuf(t, m)); err == nil {
			t.Errorf("%s: accepted as %+v", name, d)
		}
	}
	good := protobuf(t, files("a"))
	for name, data := range map[string][]byte{
		"cut":                    good[:len(good)-1],
		"trailing":               append(bytes.Clone(good), 0),
		"not UTF-8":              bytes.Replace(good, []byte{1, 'a'}, []byte{1, 0xff}, 1),
		"size zero spelled out":  append([]byte{tagFiles, good[1] + 2}, append(bytes.Replace(good[2:], []byte{tagDigest, 66}, []byte{tagDigest, 68}, 1), tagSize, 0)...),
		"length that is too far": {tagFiles, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		if d, err := DecodeDirectory(data); err == nil {
			t.Errorf("%s: accepted as %+v", name, d)
		}
	}
}

func TestEncodeRefusesWhatHasNoPlace(t *testing.T) {
	for name, d := range map[string]*Directory{
		"not UTF-8":    {Files: []File{{Name: "\xff", Digest: Of(nil)}}},
		"unknown size": {Files: []File{{Name: "a", Digest: Digest{Function: BLAKE3, Size: -1}}}},
		"sha256":       {Files: []File{{Name: "a", Digest: Digest{Function: SHA256, Size: 1}}}},
		"no digest":    {Dirs: []Subdir{{Name: "a"}}},
	} {
		if data, err := d.Encode(); err == nil {
			t.Errorf("%s: encoded as %x", name, data)
		}
	}
}

func FuzzDecodeDirectory(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 6 {
		data, err := sample(r, n).Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\x0a\x02\x0a\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := DecodeDirectory(data)
		if err != nil {
			return
		}
		again, err := d.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%v: %x is encoded as %x", err, data, again)
		}
		m := new(repb.Directory)
		if err := proto.Unmarshal(data, m); err != nil {
			t.Fatalf("protobuf does not read it: %v", err)
		}
		if want := protobuf(t, m); !bytes.Equal(data, want) {
			t.Fatalf("protobuf writes %x, not %x", want, data)
		}
	})
}

func BenchmarkEncode10000(b *testing.B) {
	d := files10000()
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.Encode(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("protobuf", func(b *testing.B) {
		for b.Loop() {
			protobuf(b, message(d))
		}
	})
	b.Run("decode", func(b *testing.B) {
		data, err := d.Encode()
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := DecodeDirectory(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func files10000() *Directory {
	d := new(Directory)
	for i := range 10000 {
		name := fmt.Sprintf("file%05d.go", i)
		d.Files = append(d.Files, File{Name: name, Digest: Of([]byte(name)), Executable: i%10 == 0})
	}
	return d
}
