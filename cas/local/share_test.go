package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/vfs"
)

// finds reports whether l has what another one has written.
func finds(t *testing.T, l *Local, data []byte) bool {
	t.Helper()
	got, err := cas.ReadAll(t.Context(), l, cas.Of(data), 1<<20)
	if err != nil && !errors.Is(err, cas.ErrNotFound) {
		t.Fatal(err)
	}
	if err == nil && !bytes.Equal(got, data) {
		t.Errorf("wrong bytes")
	}
	return err == nil
}

func TestWhatOthersAppendIsFound(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	for i := range 50 {
		data := fmt.Append(nil, "blob ", i)
		put(t, a, data)
		if !finds(t, b, data) {
			t.Fatalf("blob %d is not found while its writer lives", i)
		}
		if err := a.Record(t.Context(), goldenRecord(byte(i+1))); err != nil {
			t.Fatal(err)
		}
		if r, reason, err := b.Lookup(t.Context(), engine.Key{byte(i + 1)}, engine.Conditions{}, engine.LookupNormal); r == nil {
			t.Fatalf("record %d: %s, %v", i, reason, err)
		}
	}
	if m, err := b.Missing(t.Context(), []cas.Digest{cas.Of([]byte("blob 3")), cas.Of([]byte("?"))}); err != nil || len(m) != 1 {
		t.Errorf("%v, %v", m, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if !finds(t, b, []byte("blob 7")) || !finds(t, open(t, dir), []byte("blob 7")) {
		t.Error("a blob is lost with the end of its writer")
	}
}

// A frame that is being written is not there yet, and what comes later is found.
func TestATornTailIsReadAgainLater(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	put(t, a, []byte("first"))
	live := a.writer.pack.name()
	whole, err := os.ReadFile(live)
	if err != nil {
		t.Fatal(err)
	}
	put(t, a, []byte("second"))
	all, err := os.ReadFile(live)
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(whole); cut < len(all); cut++ {
		copied := filepath.Join(t.TempDir(), "cas")
		name := filepath.Join(copied, "pack", filepath.Base(live))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, all[:cut], 0o666)); err != nil {
			t.Fatal(err)
		}
		l := open(t, copied)
		if !finds(t, l, []byte("first")) || finds(t, l, []byte("second")) {
			t.Errorf("cut at %d of %d", cut, len(all))
		}
		if err := os.WriteFile(name, all, 0o666); err != nil {
			t.Fatal(err)
		}
		if !finds(t, l, []byte("second")) {
			t.Errorf("cut at %d: the rest is not found", cut)
		}
	}
}

// Of two records of a key the later one counts, in whichever pack it is.
func TestTheLatestRecordCounts(t *testing.T) {
	dir := t.TempDir()
	k := engine.Key{1}
	for i := range 12 {
		l, err := Open(dir, Options{Durability: None})
		if err != nil {
			t.Fatal(err)
		}
		r := goldenRecord(1)
		r.Result.ExitCode = i
		if i%4 == 3 {
			err = l.Withdraw(t.Context(), k)
		} else {
			err = l.Record(t.Context(), r)
		}
		if err = errors.Join(err, l.Close()); err != nil {
			t.Fatal(err)
		}
		got, _, err := open(t, dir).Lookup(t.Context(), k, engine.Conditions{}, engine.LookupNormal)
		if err != nil || (got == nil) != (i%4 == 3) || got != nil && got.ExitCode != i {
			t.Errorf("round %d: %+v, %v", i, got, err)
		}
	}
}

func TestCompactingLosesNothing(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		l, err := Open(dir, Options{Durability: None})
		if err != nil {
			t.Fatal(err)
		}
		put(t, l, fmt.Append(nil, "blob ", i))
		if err := errors.Join(l.Record(t.Context(), goldenRecord(byte(i+1))), l.Withdraw(t.Context(), engine.Key{byte(i)}), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	reader, l := open(t, dir), open(t, dir)
	if _, err := l.compact(t.Context(), l.packs.all(), func(*pack, slot) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if packs, _ := filepath.Glob(filepath.Join(dir, "pack", "*")); len(packs) != 2 {
		t.Errorf("%v", packs)
	}
	for name, l := range map[string]*Local{"who did it": l, "who had it open": reader, "who comes later": open(t, dir)} {
		for i := range 10 {
			if !finds(t, l, fmt.Append(nil, "blob ", i)) {
				t.Errorf("%s: blob %d is lost", name, i)
			}
			r, reason, err := l.Lookup(t.Context(), engine.Key{byte(i + 1)}, engine.Conditions{}, engine.LookupNormal)
			if err != nil || (r != nil) != (i == 9) {
				t.Errorf("%s: record %d: %+v, %s, %v", name, i, r, reason, err)
			}
		}
	}
}

// Damage goes with its pack, and the store is as good as new.
func TestRepairTakesOutWhatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := story(t, dir, vfs.OS); err != nil {
		t.Fatal(err)
	}
	packs, _ := filepath.Glob(filepath.Join(dir, "pack", "*.pack"))
	data, err := os.ReadFile(packs[0])
	if err != nil {
		t.Fatal(err)
	}
	data[packHeaderSize+headerSize] ^= 1
	if err := rewrite(packs[0], data); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir)
	rep, err := l.Verify(t.Context(), Sample{})
	if err != nil || len(rep.Damaged) != 1 {
		t.Fatalf("%+v, %v", rep, err)
	}
	if n, err := l.Repair(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
	if left := files(t, filepath.Join(dir, "quarantine")); len(left) > 0 {
		t.Errorf("%v", left)
	}
	if rep, err := open(t, dir).Verify(t.Context(), Sample{}); err != nil || len(rep.Damaged) > 0 || rep.Blobs != len(storyBlobs)-1 {
		t.Errorf("%+v, %v", rep, err)
	}
}

func TestASampleIsPartOfTheStore(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i := range 40 {
		put(t, l, append(make([]byte, chunk), byte(i)))
	}
	total := 0
	for n := 1; n <= 3; n++ {
		rep, err := l.Verify(t.Context(), Sample{n, 3})
		if err != nil || rep.Blobs == 40 {
			t.Errorf("%+v, %v", rep, err)
		}
		total += rep.Blobs
	}
	if total != 40 {
		t.Errorf("the samples have %d blobs", total)
	}
}

// Whoever deletes the pack that is being written costs what is in it, not what comes later.
func TestADeletedPackIsReplaced(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	l.durability = Group
	put(t, l, []byte("before"))
	if err := os.RemoveAll(filepath.Join(dir, "pack")); err != nil {
		t.Fatal(err)
	}
	put(t, l, []byte("meanwhile"))
	l.sync.sync()
	put(t, l, []byte("after"))
	if !finds(t, l, []byte("before")) {
		t.Error("what was written is not found by who wrote it")
	}
	_ = l.Close() // it says that a pack is gone
	other := open(t, dir)
	if !finds(t, other, []byte("after")) || finds(t, other, []byte("before")) {
		t.Error("it does not go on in another pack")
	}
}
