package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
)

func open(t testing.TB, dir string) *Local {
	t.Helper()
	return openWith(t, dir, Options{})
}

func openWith(t testing.TB, dir string, opts Options) *Local {
	t.Helper()
	l, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestStore(t *testing.T) {
	castest.Store(t, func(t *testing.T) cas.Store { return open(t, t.TempDir()) })
}

func TestActionCache(t *testing.T) {
	castest.ActionCache(t, func(t *testing.T) engine.ActionCache { return open(t, t.TempDir()) })
}

// cold is a store that is opened anew for every call, so that nothing is remembered.
type cold struct {
	t   *testing.T
	dir string
}

// with calls f with the store open.
func (c cold) with(f func(l *Local)) {
	l, err := Open(c.dir, Options{Durability: None})
	if err != nil {
		c.t.Error(err)
		return
	}
	f(l)
	if err := l.Close(); err != nil {
		c.t.Error(err)
	}
}

func (c cold) Open(ctx context.Context, d cas.Digest) (r io.ReadCloser, err error) {
	c.with(func(l *Local) { r, err = l.Open(ctx, d) })
	return r, err
}

func (c cold) Put(ctx context.Context, r io.Reader) (d cas.Digest, err error) {
	c.with(func(l *Local) { d, err = l.Put(ctx, r) })
	return d, err
}

func (c cold) Missing(ctx context.Context, ds []cas.Digest) (m []cas.Digest, err error) {
	c.with(func(l *Local) { m, err = l.Missing(ctx, ds) })
	return m, err
}

func TestStoreThatRemembersNothing(t *testing.T) {
	castest.Store(t, func(t *testing.T) cas.Store { return cold{t, t.TempDir()} })
}

func put(t testing.TB, s cas.Store, data []byte) cas.Digest {
	t.Helper()
	d, err := cas.PutBytes(t.Context(), s, data)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// files lists the regular files below dir.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			names = append(names, p)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

func TestOnlyWhatShrinksIsCompressed(t *testing.T) {
	l := open(t, t.TempDir())
	for name, c := range map[string]struct {
		data []byte
		kind kind
	}{
		"small": {bytes.Repeat([]byte("a"), minCompress-1), rawBlob},
		"text":  {bytes.Repeat([]byte("a"), minCompress), zstdBlob},
		"noise": {castest.Content(1, 5000), rawBlob},
	} {
		d := put(t, l, c.data)
		if e, ok := l.writer.pack.table.find(&d.Hash, blobs); !ok || e.kind != c.kind {
			t.Errorf("%s: %+v", name, e)
		}
	}
	for name, c := range map[string]struct {
		data []byte
		form form
	}{
		"large text":    {make([]byte, 5<<20), compressed},
		"large noise":   {castest.Content(2, 1<<20), raw},
		"begins as one": {append(castest.Content(3, chunk), make([]byte, 1<<20)...), raw},
	} {
		d := put(t, l, c.data)
		if _, err := os.Stat(blobIn(l.dir, d, c.form)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBlobsAreReadOnly(t *testing.T) {
	l := open(t, t.TempDir())
	put(t, l, []byte("a"))
	put(t, l, castest.Content(1, chunk))
	for _, sub := range []string{"blob", "pack"} {
		all := files(t, filepath.Join(l.Dir(), sub))
		if len(all) != 1 {
			t.Errorf("%v", all)
		}
		for _, name := range all {
			if fi, err := os.Stat(name); err != nil || fi.Mode().Perm()&0o222 != 0 {
				t.Errorf("%v, %v", fi.Mode(), err)
			}
		}
	}
}

func TestWhatIsThereIsNotWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	for _, data := range [][]byte{[]byte("small"), make([]byte, 1<<20)} {
		put(t, open(t, dir), data)
		before := files(t, dir)
		other := open(t, dir)
		put(t, other, data)
		if other.Stats().Existing != 1 {
			t.Errorf("%d bytes: %+v, %v", len(data), other.Stats(), before)
		}
	}
}

func TestCloseLeavesNoTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, l, []byte("a"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left := files(t, filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := cas.PutBytes(t.Context(), l, []byte("b")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed store takes a blob: %v", err)
	}
}

func TestOpenSweepsAfterTheDeadOnly(t *testing.T) {
	dir := t.TempDir()
	alive := open(t, dir)
	put(t, alive, []byte("a"))
	dead := filepath.Join(dir, "tmp", "dead")
	elsewhere := filepath.Join(dir, "tmp", "elsewhere")
	starting := filepath.Join(dir, "tmp", "starting")
	for d, lock := range map[string]string{dead: place(alive.fs), elsewhere: "host not-this-one\nboot 7\n", starting: ""} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"lock": lock, "1": "torn"} {
			if err := os.WriteFile(filepath.Join(d, name), []byte(content), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	unwritten, empty := filepath.Join(dir, "tmp", "unwritten"), filepath.Join(dir, "tmp", "empty")
	if err := errors.Join(os.MkdirAll(unwritten, 0o777), os.MkdirAll(empty, 0o777), os.WriteFile(filepath.Join(unwritten, "lock"), nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	unlock := alive.guardStart(0)
	open(t, dir)
	for _, d := range []string{unwritten, empty} {
		if _, err := os.Stat(d); err != nil {
			t.Error("the directory of a process that just starts is taken away")
		}
	}
	unlock()
	open(t, dir)
	for _, d := range []string{unwritten, empty} {
		if _, err := os.Stat(d); err == nil {
			t.Error("the directory of a process that was killed as it started stays")
		}
	}
	for d, want := range map[string]bool{dead: false, elsewhere: true, starting: true, alive.temp.dir: true} {
		if _, err := os.Stat(d); (err == nil) != want {
			t.Errorf("%s: there is %v, want %v", filepath.Base(d), err == nil, want)
		}
	}
	put(t, alive, []byte("b"))
}

func TestALostTemporaryDirectoryIsMadeAnew(t *testing.T) {
	l := open(t, t.TempDir())
	put(t, l, castest.Content(1, chunk))
	if err := os.RemoveAll(filepath.Join(l.Dir(), "tmp")); err != nil {
		t.Fatal(err)
	}
	put(t, l, castest.Content(2, chunk))
}

func TestOpenRefusesCleanly(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	foreign := filepath.Join(dir, "home")
	future := filepath.Join(dir, "future")
	for name, content := range map[string]string{file: "x", foreign + "/notes.txt": "x", future + "/VERSION": sealedText("cbuild-cas 9 blake4")} {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for where, want := range map[string]string{
		file: "not a directory", filepath.Join(file, "sub"): "not a directory", foreign: "holds no store", future: `has the format "cbuild-cas 9 blake4"`,
	} {
		_, err := Open(where, Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v\nwant one line with %q", where, err, want)
		}
	}
	if got := files(t, foreign); len(got) != 1 {
		t.Errorf("files were left in a foreign directory: %v", got)
	}
}

func TestADamagedVersionIsWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	d := put(t, open(t, dir), []byte("a"))
	name := filepath.Join(dir, "VERSION")
	for _, damage := range []string{"", "cbuild-cas 9 blake4\n", sealedText(format)[:10], "\x00\x00"} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(damage), 0o666); err != nil {
			t.Fatal(err)
		}
		if m, err := open(t, dir).Missing(t.Context(), []cas.Digest{d}); err != nil || len(m) > 0 {
			t.Errorf("%q: missing %v, %v", damage, m, err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != sealedText(format) {
			t.Errorf("%q: VERSION is %q, %v", damage, got, err)
		}
	}
}

func TestAnUnreadableStoreIsSaidInOneLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locked")
	if err := os.Mkdir(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	mighty := os.Mkdir(filepath.Join(dir, "probe"), 0o777) == nil
	if mighty {
		t.Log("permissions do not hold for this user; fault_test.go covers the error")
	}
	l, err := Open(filepath.Join(dir, "cas"), Options{})
	if err == nil {
		l.Close()
	}
	if (err == nil) != mighty || err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("err = %v", err)
	}
}

func TestPassesWhoseBlobsAreLostYield(t *testing.T) {
	l := open(t, t.TempDir())
	k := engine.Key{1}
	record := func(content string) cas.Digest {
		d := put(t, l, append([]byte(content), make([]byte, chunk)...))
		root, err := cas.PutTree(t.Context(), l, []cas.Entry{{Path: "a/b", Digest: d}})
		if err != nil {
			t.Fatal(err)
		}
		out := engine.Output{Path: "t", Artifact: engine.Artifact{Kind: engine.TreeKind, Digest: root}}
		if err := l.Record(t.Context(), engine.Record{Key: k, Result: &engine.Result{Outs: []engine.Output{out}}}); err != nil {
			t.Fatal(err)
		}
		return root
	}
	chosen := func() cas.Digest {
		r, reason, err := l.Lookup(t.Context(), k, engine.Conditions{}, engine.LookupNormal)
		if err != nil || r == nil {
			t.Fatal(reason, err)
		}
		return r.Outs[0].Digest
	}
	first := record("first")
	if record("second"); chosen() != first || l.Stats().Differing != 1 {
		t.Error("another result was chosen although the blobs of the first are there")
	}
	if err := os.Remove(blobIn(l.dir, cas.Of(append([]byte("first"), make([]byte, chunk)...)), compressed)); err != nil {
		t.Fatal(err)
	}
	if third := record("third"); chosen() != third {
		t.Error("a result whose blobs are lost stays chosen")
	}
}

// What an action took of the machine differs each time: results that differ in nothing else are equal.
func TestWhatARunTookMakesNoDifference(t *testing.T) {
	l := open(t, t.TempDir())
	for i, r := range []*engine.Result{
		{Took: 1, Used: engine.Usage{User: 1, System: 2, Memory: 3}},
		{Took: 2, Used: engine.Usage{User: 3, System: 1, Memory: 2}},
		{Took: 2, Log: cas.Of(nil)},
	} {
		if err := l.Record(t.Context(), engine.Record{Key: engine.Key{1}, Result: r}); err != nil {
			t.Fatal(err)
		}
		if got, want := l.Stats().Differing, int64(i/2); got != want {
			t.Errorf("%d: %d differing results, want %d", i, got, want)
		}
	}
}

func TestStoredHasThePreimage(t *testing.T) {
	l := open(t, t.TempDir())
	for i, pre := range []string{"", "rule: \"run 1\"\n", strings.Repeat("input: b3:00\n", 1000), strings.Repeat("x", maxInMemory+1)} {
		k := engine.Key{byte(i + 1)}
		if err := l.Record(t.Context(), engine.Record{Key: k, Conditions: engine.Conditions{Machine: "m", Memory: 7}, Result: &engine.Result{}, Preimage: []byte(pre)}); err != nil {
			t.Fatal(err)
		}
		r, err := l.Stored(t.Context(), k)
		if err != nil || string(r.Preimage) != pre || r.Conditions.Machine != "m" || r.Conditions.Memory != 7 || r.Key != k {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if _, err := l.Stored(t.Context(), engine.Key{9}); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("err = %v", err)
	}
}

// TestRecordIsGolden fails when the form of records changes: then the format and docs/FORMATS.md change too.
func TestRecordIsGolden(t *testing.T) {
	l := open(t, t.TempDir())
	got := l.encodeRecord(&engine.Record{Key: engine.Key{0xaa}, Conditions: engine.Conditions{Sandbox: engine.SandboxFull, Timeout: 5, Memory: 6, Machine: "m"}, Result: &engine.Result{ExitCode: 1}, Preimage: []byte("p")})
	preimage := sumOf([]byte{preimageRaw}, []byte("p"))
	head := "46000000" + "aa" + strings.Repeat("00", 31) + "01" + "0a" + "0c" + "016d" + "0c" + "020002000000000000000000" + fmt.Sprintf("%x", preimage)
	data, err := hex.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%x", sumOf(data, nil)) + head + "00" + "70"
	if fmt.Sprintf("%x", got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
	// Both CRCs by their check values, little-endian.
	if sum := fmt.Sprintf("%x", sumOf([]byte("1234"), []byte("56789"))); sum != "839206e3"+"2639f4cb" {
		t.Errorf("a checksum is %s", sum)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	l := open(f, f.TempDir())
	data := l.encodeRecord(&engine.Record{Key: engine.Key{1}, Conditions: engine.Conditions{Machine: "m"}, Result: &engine.Result{ExitCode: 1}, Preimage: make([]byte, 1000)})
	head := headLength(data)
	f.Add(data[headStart:head-sumSize], data[head:])
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, body, preimage []byte) {
		var r engine.Record
		_ = decodeRecord(body, &r)
		r = engine.Record{}
		err := decodeRecord(withSums(body, preimage), &r)
		switch {
		case len(preimage) > 0 && errors.Is(err, errDamaged):
			t.Errorf("right checksums are called damage: %v", err)
		case err == nil && r.Result == nil:
			t.Error("neither a record nor an error")
		case err == nil:
			_, _ = l.unpackPreimage(r.Preimage)
		}
	})
}

// withSums returns a record with right checksums.
func withSums(body, preimage []byte) []byte {
	sum := sumOf(preimage, nil)
	data := append(append(make([]byte, headStart), body...), sum[:]...)
	binary.LittleEndian.PutUint32(data[sumSize:], uint32(len(data)))
	sum = sumOf(data[sumSize:], nil)
	copy(data, sum[:])
	return append(data, preimage...)
}

// TestMain lets the test binary be one of several processes on a store.
func TestMain(m *testing.M) {
	roles := map[string]func(dir, seed string) error{"TEST_STORE": oneOfMany, "TEST_ROUGH": oneInTrouble, "TEST_LEASES": oneWithLeases}
	for name, role := range roles {
		if dir := os.Getenv(name); dir != "" {
			if err := role(dir, os.Getenv("TEST_SEED")); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// shared is the i-th blob that all processes put.
func shared(i int) []byte {
	if i%10 == 0 {
		return bytes.Repeat([]byte{byte(i)}, 200_000+i)
	}
	return castest.Content(uint64(i), i*97)
}

const sharedBlobs = 100

func oneOfMany(dir, seed string) error {
	l, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	defer l.Close() // the parent looks for leftovers
	offset, err := strconv.Atoi(seed)
	if err != nil {
		return err
	}
	for j := range sharedBlobs {
		i := (j + offset*13) % sharedBlobs
		d, err := cas.PutBytes(context.Background(), l, shared(i))
		if err != nil {
			return err
		}
		r := engine.Record{Key: engine.Key(d.Hash), Result: &engine.Result{Log: d}}
		if err := l.Record(context.Background(), r); err != nil {
			return err
		}
		if data, err := cas.ReadAll(context.Background(), l, d, 1<<20); err != nil || !bytes.Equal(data, shared(i)) {
			return fmt.Errorf("blob %d: %w", i, err)
		}
	}
	return nil
}

func TestProcessesShareAStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cas")
	var cmds []*exec.Cmd
	for i := range 8 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "TEST_STORE="+dir, "TEST_SEED="+strconv.Itoa(i))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	for _, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	l := open(t, dir)
	rep, err := l.Verify(t.Context(), Sample{})
	if err != nil || len(rep.Damaged) > 0 || rep.Records != sharedBlobs || rep.Torn > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	for i := range sharedBlobs {
		if data, err := cas.ReadAll(t.Context(), l, cas.Of(shared(i)), 1<<20); err != nil || !bytes.Equal(data, shared(i)) {
			t.Errorf("blob %d: %v", i, err)
		}
	}
	if left := files(t, filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestAKilledProcessLeavesAGoodStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cas")
	for i := range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "TEST_STORE="+dir, "TEST_SEED="+strconv.Itoa(i))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 200_000 { // until it is well under way
			if blobs, _ := filepath.Glob(filepath.Join(dir, "blob", "*", "*")); len(blobs) > i {
				break
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		l, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		rep, err := l.Verify(t.Context(), Sample{})
		if err = errors.Join(err, l.Close()); err != nil || len(rep.Damaged) > 0 {
			t.Errorf("%+v, %v", rep, err)
		}
	}
	if live, _ := filepath.Glob(filepath.Join(dir, "pack", "*.live")); len(live) > 0 {
		t.Errorf("packs of the dead are not sealed: %v", live)
	}
	if left := files(t, filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}
