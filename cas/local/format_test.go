package local

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata, byte by byte: a difference is a new version of a format.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	text := hex.Dump(got)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, text, want)
	}
}

// goldenID is the incarnation of golden files.
var goldenID = [16]byte{0xab, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

func goldenRecord(n byte) engine.Record {
	log := cas.Of([]byte("log"))
	return engine.Record{
		Key: engine.Key{n}, Conditions: engine.Conditions{Sandbox: engine.SandboxFull, Timeout: time.Second, Memory: 6, Machine: "m"},
		Result: &engine.Result{Status: engine.Fail, ExitCode: 1, Log: log, Took: time.Millisecond}, Preimage: []byte("rule: \"run 1\"\n"),
	}
}

// goldenStore writes a store whose bytes are the same every time.
func goldenStore(t *testing.T, dir string) {
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.id = goldenID
	put(t, l, []byte("a small blob"))
	put(t, l, bytes.Repeat([]byte("text "), 200))
	put(t, l, nil)
	for _, n := range []byte{0x11, 0xee} {
		if err := l.Record(t.Context(), goldenRecord(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Withdraw(t.Context(), engine.Key{0xee}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFormatsAreGolden fails when a byte on the disk changes: then the format's version and docs/FORMATS.md change, too.
func TestFormatsAreGolden(t *testing.T) {
	dir := t.TempDir()
	goldenStore(t, dir)
	base := filepath.Join(dir, "pack", packID{goldenID, 0}.String())
	for name, path := range map[string]string{"VERSION": filepath.Join(dir, "VERSION"), "CACHEDIR.TAG": filepath.Join(dir, "CACHEDIR.TAG"), "pack": base + packSuffix, "idx": base + indexSuffix} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, data)
	}
	if all := files(t, filepath.Join(dir, "pack")); len(all) != 2 {
		t.Errorf("%v", all)
	}
}

// TestGoldenFilesAreRead opens the store that the golden files are: a later version must still read or refuse it.
func TestGoldenFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join("pack", packID{goldenID, 0}.String())
	for name, to := range map[string]string{"VERSION": "VERSION", "pack": base + packSuffix, "idx": base + indexSuffix} {
		undump(t, filepath.Join("testdata", "golden", name), filepath.Join(dir, to))
	}
	l := open(t, dir)
	for _, data := range [][]byte{[]byte("a small blob"), bytes.Repeat([]byte("text "), 200), nil} {
		if got, err := cas.ReadAll(t.Context(), l, cas.Of(data), 1<<20); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%q, %v", got, err)
		}
	}
	r, err := l.Stored(t.Context(), engine.Key{0x11})
	if err != nil || r.Conditions != goldenRecord(0x11).Conditions || string(r.Preimage) != "rule: \"run 1\"\n" || r.Result.Log != cas.Of([]byte("log")) {
		t.Errorf("%+v, %v", r, err)
	}
	if r, reason, err := l.Lookup(t.Context(), engine.Key{0xee}, engine.Conditions{}, engine.LookupNormal); r != nil || err != nil || !strings.Contains(reason, "taken back") {
		t.Errorf("%+v, %q, %v", r, reason, err)
	}
}

// What earlier versions recorded, whose look-ups read pre-images, too, is a miss: no damage, and a new result hides it. Blobs are as before.
func TestRecordsOfEarlierVersionsAreMisses(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join("pack", packID{goldenID, 0}.String())
	for name, to := range map[string]string{"VERSION": "VERSION", "pack.before": base + packSuffix, "idx.before": base + indexSuffix} {
		undump(t, filepath.Join("testdata", "golden", name), filepath.Join(dir, to))
	}
	l := open(t, dir)
	k := engine.Key{0x11}
	r, reason, err := l.Lookup(t.Context(), k, engine.Conditions{}, engine.LookupNormal)
	if r != nil || err != nil || !strings.Contains(reason, "in a form that this cbuild does not know") {
		t.Errorf("%+v, %q, %v", r, reason, err)
	}
	if _, err := l.Stored(t.Context(), k); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if rep, err := l.Verify(t.Context(), Sample{}); err != nil || len(rep.Damaged) > 0 || rep.Blobs != 3 || rep.Records != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	if err := l.Record(t.Context(), goldenRecord(0x11)); err != nil {
		t.Fatal(err)
	}
	if r, reason, err := l.Lookup(t.Context(), k, engine.Conditions{Sandbox: engine.SandboxFull}, engine.LookupNormal); r == nil {
		t.Errorf("what was recorded does not count: %s, %v", reason, err)
	}
	if !finds(t, l, []byte("a small blob")) || l.Stats().Damaged > 0 {
		t.Errorf("%+v", l.Stats())
	}
}

// undump writes the bytes of a golden file.
func undump(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		line, _, _ = strings.Cut(line, "|")
		for _, f := range strings.Fields(line)[1:] {
			var b byte
			if _, err := fmt.Sscanf(f, "%x", &b); err != nil {
				t.Fatal(err)
			}
			data = append(data, b)
		}
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o444); err != nil {
		t.Fatal(err)
	}
}

func TestOtherFormatsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		dirs    []string
		want    string
	}{
		"the first format":                         {sealedText(formatLoose), []string{"ac", "blob"}, "earlier cbuild"},
		"the first format, VERSION damaged":        {"?", []string{"ac", "blob"}, "earlier cbuild"},
		"the first format, VERSION missing":        {"", []string{"ac"}, "earlier cbuild"},
		"a later format":                           {sealedText("cbuild-cas 2 blake3"), nil, `has the format "cbuild-cas 2 blake3"`},
		"a format whose name begins as ours":       {sealedText(format + "b"), nil, "has the format"},
		"an unknown feature":                       {sealedText(format + " chunks"), nil, `has the feature "chunks"`},
		"an unknown feature behind a harmless one": {sealedText(format + " bloom? chunks"), nil, `has the feature "chunks"`},
	} {
		dir := t.TempDir()
		for _, d := range c.dirs {
			if err := os.Mkdir(filepath.Join(dir, d), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		if c.version != "" {
			if err := os.WriteFile(filepath.Join(dir, "VERSION"), []byte(c.version), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadFile(filepath.Join(dir, "VERSION")); string(left) != c.version {
			t.Errorf("%s: VERSION is now %q", name, left)
		}
	}
}

func TestAHarmlessUnknownFeatureMeansReadingOnly(t *testing.T) {
	dir := t.TempDir()
	goldenStore(t, dir)
	if err := rewrite(filepath.Join(dir, "VERSION"), []byte(sealedText(format+" bloom?"))); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	l := open(t, dir)
	if _, err := cas.ReadAll(t.Context(), l, cas.Of([]byte("a small blob")), 100); err != nil {
		t.Error(err)
	}
	if _, err := cas.PutBytes(t.Context(), l, []byte("new")); err == nil {
		t.Error("a store with an unknown feature is written")
	}
	if after := files(t, dir); len(after) != len(before) {
		t.Errorf("%v", after)
	}
}

// FuzzPack shows that scanning foreign bytes ends, and finds only what is in them.
func FuzzPack(f *testing.F) {
	id := packID{goldenID, 0}
	pack := appendPackHeader(nil, id)
	for _, payload := range []string{"", "payload", strings.Repeat("x", 1000)} {
		h := header{kind: rawBlob, length: uint32(len(payload)), size: uint32(len(payload)), hash: cas.Of([]byte(payload)).Hash}
		pack = append(appendHeader(pack, id.seed(), int64(len(pack)), &h), payload...)
	}
	f.Add(pack, true)
	f.Add(pack[packHeaderSize:], false)
	f.Fuzz(func(t *testing.T, data []byte, sealAll bool) {
		if sealAll {
			data = withRightSums(data, id)
		}
		last := int64(packHeaderSize)
		end, err := scan(bytes.NewReader(data), id, packHeaderSize, func(fr *frame) error {
			if fr.offset < last || !fr.kind.known() || int(fr.length) != len(fr.payload) {
				t.Errorf("frame %+v behind %d", fr.header, last)
			}
			last = fr.offset + headerSize + int64(fr.length)
			return nil
		})
		if err != nil || end < last || end > max(packHeaderSize, int64(len(data))) {
			t.Errorf("scan ends at %d of %d, %v", end, len(data), err)
		}
		_ = checkPackHeader(bytes.NewReader(data), id)
	})
}

// withRightSums makes the headers of data right where there is room for one, so that fuzzing reaches what is behind them.
func withRightSums(data []byte, id packID) []byte {
	data = bytes.Clone(data)
	for at := packHeaderSize; at+headerSize <= len(data); {
		h := header{kind: kind(data[at+4]), length: uint32(data[at+12]) | uint32(data[at+13])<<8, size: uint32(data[at+16]), hash: [32]byte(data[at+20:]), crc: uint32(data[at+52])}
		copy(data[at:], appendHeader(nil, id.seed(), int64(at), &h))
		at += headerSize + int(h.length)
	}
	return data
}

func FuzzIndex(f *testing.F) {
	id := packID{goldenID, 7}
	for _, n := range []int{0, 1, 100, 1000} {
		var slots []slot
		for i := range n {
			slots = append(slots, slot{half(cas.Of(fmt.Append(nil, i)).Hash), entry{uint32(i), 1, 1, kind(1 + i%4)}})
		}
		f.Add(appendIndex(nil, id, 1000, slots))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, withIndexSums(data, id)} {
			x, err := readIndex(bytes.NewReader(data), id)
			if err != nil {
				continue
			}
			found := 0
			err = x.all(func(s slot) {
				hash := [32]byte{}
				copy(hash[:], s.hash[:])
				if _, ok, err := x.find(&hash, s.kind.class()); ok && err == nil {
					found++
				}
			})
			if err == nil && found > x.count {
				t.Errorf("%d of %d", found, x.count)
			}
		}
	})
}

// withIndexSums makes the checksums of the header and the table right.
func withIndexSums(data []byte, id packID) []byte {
	if len(data) < indexHeaderSize {
		return data
	}
	data = bytes.Clone(data)
	copy(data, append([]byte(indexMagic), id.incarnation[:]...))
	copy(data[32:], []byte{7, 0, 0, 0})
	rest := int64(8<<(data[48]%32)) + filterBlock*int64(le32(data[52:]))
	if rest <= int64(len(data)-indexHeaderSize) {
		copy(data[56:], sum32(data[indexHeaderSize:][:rest]))
	}
	copy(data[60:], sum32(data[:60]))
	return data
}

func le32(data []byte) uint32 { return binary.LittleEndian.Uint32(data) }

func sum32(data []byte) []byte {
	return binary.LittleEndian.AppendUint32(nil, crc32.Checksum(data, castagnoli))
}

func TestAnIndexFindsExactlyWhatItHas(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 1000, 20_000} {
		id := packID{goldenID, 1}
		var slots []slot
		for i := range n {
			slots = append(slots, slot{half(cas.Of(fmt.Append(nil, i)).Hash), entry{uint32(i), uint32(i + 1), uint32(i + 2), rawBlob}})
		}
		x, err := readIndex(bytes.NewReader(appendIndex(nil, id, 99, slots)), id)
		if err != nil || x.count != n || x.end != 99 {
			t.Fatal(n, err, x)
		}
		wrong := 0
		for i := range n + 1000 {
			hash := cas.Of(fmt.Append(nil, i)).Hash
			pr := probeOf(&hash)
			if i < n && !x.filter.has(&pr) {
				t.Errorf("%d of %d: the filter says no", i, n)
			}
			e, ok, err := x.find(&hash, blobs)
			if err != nil || ok != (i < n) || ok && e != (entry{uint32(i), uint32(i + 1), uint32(i + 2), rawBlob}) {
				t.Errorf("%d of %d: %+v, %v, %v", i, n, e, ok, err)
			}
			if _, ok, _ := x.find(&hash, records); ok {
				t.Errorf("%d of %d: a blob is found as a record", i, n)
			}
			if i >= n && x.filter.has(&pr) {
				wrong++
			}
		}
		if wrong > 20 {
			t.Errorf("the filter of %d takes %d of 1000 others for present", n, wrong)
		}
		if _, err := readIndex(bytes.NewReader(appendIndex(nil, id, 99, slots)), packID{goldenID, 2}); err == nil {
			t.Error("the index of another pack is taken")
		}
	}
}

func TestEveryBitOfAnIndexCounts(t *testing.T) {
	id := packID{goldenID, 1}
	var slots []slot
	for i := range 100 {
		slots = append(slots, slot{half(cas.Of(fmt.Append(nil, i)).Hash), entry{uint32(i), 1, 1, rawBlob}})
	}
	good := appendIndex(nil, id, 99, slots)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		x, err := readIndex(bytes.NewReader(bad), id)
		if err == nil {
			err = x.all(func(slot) {})
		}
		if err == nil {
			t.Errorf("byte %d of %d", i, len(good))
		}
		if x, err := readIndex(bytes.NewReader(good[:i]), id); err == nil && x.all(func(slot) {}) == nil {
			t.Errorf("cut at %d of %d", i, len(good))
		}
	}
}

// A frame counts only in the pack and at the place that it was written for: a blob that holds the bytes of a pack is no pack.
func TestFramesAreBoundToTheirPlace(t *testing.T) {
	id := packID{goldenID, 1}
	h := header{kind: rawBlob, length: 3}
	data := append(appendHeader(nil, id.seed(), packHeaderSize, &h), "abc"...)
	if _, ok := parseHeader(data, id.seed(), packHeaderSize); !ok {
		t.Error("a good header is refused")
	}
	if _, ok := parseHeader(data, id.seed(), packHeaderSize+1); ok {
		t.Error("it counts elsewhere")
	}
	for _, other := range []packID{{goldenID, 2}, {[16]byte{1}, 1}} {
		if _, ok := parseHeader(data, other.seed(), packHeaderSize); ok {
			t.Error("it counts in another pack")
		}
	}
	for i := range headerSize {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << (i % 8)
		if _, ok := parseHeader(bad, id.seed(), packHeaderSize); ok {
			t.Errorf("byte %d does not count", i)
		}
	}
}

func TestSmallFormatsAreGolden(t *testing.T) {
	a := agent{counter: 3, host: "ci-3", pid: 7, packs: map[uint32]int64{2: 4096}}
	golden(t, "agent", a.encode())
	got, ok := decodeAgent(a.encode())
	if !ok || got.counter != 3 || got.host != "ci-3" || got.pid != 7 || got.packs[2] != 4096 {
		t.Errorf("%+v, %v", got, ok)
	}
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.id = goldenID
	d := put(t, l, []byte("a"))
	if _, ok := l.Try(t.Context(), engine.Key(d.Hash)); !ok {
		t.Error("a lease that nobody has is held")
	}
	lease, err := os.ReadFile(l.leasePath(engine.Key(d.Hash)))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "lease", lease)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	pins, err := os.ReadFile(l.pins.path())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "pins", pins)
}

func FuzzAgent(f *testing.F) {
	a := agent{counter: 3, host: "ci-3", pid: 7, packs: map[uint32]int64{2: 4096}}
	f.Add(a.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = decodeAgent(data)
		data = append([]byte(agentMagic), data...)
		got, ok := decodeAgent(fmt.Appendf(data, "sum %08x\n", crc32.Checksum(data, castagnoli)))
		if !ok {
			t.Error("a right checksum is refused")
		}
		if again, ok := decodeAgent(got.encode()); !ok || again.counter != got.counter || again.host != got.host {
			t.Errorf("%+v becomes %+v", got, again)
		}
	})
}
