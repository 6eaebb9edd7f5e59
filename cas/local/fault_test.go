package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/clock"
	"cbuild/internal/vfs"
)

// storyBlobs are of each form, small and large.
var storyBlobs = [][]byte{[]byte("small"), bytes.Repeat([]byte("text "), 1000), castest.Content(1, chunk+1000), make([]byte, chunk+1000)}

var storyKey = engine.Key{1, 2, 3}

// still is a clock that stands still: nothing happens beside the story, so that its calls can be counted.
type still struct{ clock.Clock }

func (still) Elapsed() time.Duration { return 0 }

func (still) Sleep(ctx context.Context, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

// quick is the file system of this machine, except that it does not wait for the disk.
type quick struct{ vfs.FS }

func (q quick) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return quickFile{f}, nil
}

func (q quick) Open(name string) (vfs.File, error) { return q.wrap(q.FS.Open(name)) }

func (q quick) Create(name string, perm os.FileMode) (vfs.File, error) {
	return q.wrap(q.FS.Create(name, perm))
}

type quickFile struct{ vfs.File }

func (quickFile) Sync() error { return nil }

// story uses a store in every way: it puts, records, looks up, opens, and does it again with the store opened anew.
func story(t *testing.T, dir string, fsys vfs.FS) (err error) {
	for range 2 {
		l, err := Open(dir, Options{FS: fsys, Clock: still{clock.System}})
		if err != nil {
			return err
		}
		err = chapter(t, l)
		if err == nil {
			err = l.Close()
		} else {
			_ = l.Close() // what went wrong first matters
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// saga is a story that also syncs, leases, takes back, collects, repairs, exports and imports, with others who do the same.
func saga(t *testing.T, dir string, fsys vfs.FS) error {
	if err := story(t, dir, fsys); err != nil {
		return err
	}
	l, err := Open(dir, Options{FS: fsys, Clock: still{clock.System}})
	if err != nil {
		return err
	}
	other, err := Open(dir, Options{FS: fsys, Clock: still{clock.System}})
	if err == nil {
		err = errors.Join(scenes(t, l, other), other.Close())
	}
	return errors.Join(err, l.Close())
}

// scenes are what two processes do.
func scenes(t *testing.T, l, other *Local) error {
	release, _ := l.Try(t.Context(), storyKey)
	if r := goldenRecord(9); true {
		if err := l.Record(t.Context(), r); err != nil {
			release()
			return err
		}
	}
	l.sync.sync()
	l.beat()
	release()
	ended, cancel := context.WithCancel(t.Context())
	cancel() // where the lease could not be released, it does not wait
	if _, err := other.Await(ended, storyKey, 0, nil); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if _, _, err := other.Lookup(t.Context(), engine.Key{9}, engine.Conditions{}, engine.LookupNormal); err != nil {
		return err
	}
	if err := other.Withdraw(t.Context(), engine.Key{9}); err != nil {
		return err
	}
	if _, err := l.Collect(t.Context(), Limits{Keep: 1000}); err != nil {
		return err
	}
	if _, err := other.Collect(t.Context(), Limits{Keep: 0}); err != nil {
		return err
	}
	if _, err := other.Repair(t.Context()); err != nil {
		return err
	}
	var buf bytes.Buffer
	if _, err := l.Export(t.Context(), &buf, slices.Values([]engine.Key{storyKey})); err != nil {
		return err
	}
	_, err := other.Import(t.Context(), &buf)
	return err
}

func chapter(t *testing.T, l *Local) error {
	var ds []cas.Digest
	for _, data := range storyBlobs {
		d, err := cas.PutBytes(t.Context(), l, data)
		if err != nil {
			return err
		}
		ds = append(ds, d)
	}
	if err := l.Record(t.Context(), engine.Record{Key: storyKey, Result: &engine.Result{Log: ds[0]}}); err != nil {
		return err
	}
	r, reason, err := l.Lookup(t.Context(), storyKey, engine.Conditions{}, engine.LookupNormal)
	if err != nil {
		return err
	}
	if r == nil {
		return fmt.Errorf("a miss: %s: %w", reason, cas.ErrNotFound)
	}
	if r.Log != ds[0] {
		t.Errorf("another result: %+v", r)
	}
	for i, d := range ds {
		got, err := cas.ReadAll(t.Context(), l, d, 4<<20)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, storyBlobs[i]) {
			t.Errorf("blob %d: wrong bytes", i)
		}
	}
	missing, err := l.Missing(t.Context(), ds)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("missing: %w", cas.ErrNotFound)
	}
	return err
}

func TestEveryCallFailsOnce(t *testing.T) {
	count := vfs.NewFaulty(quick{vfs.OS}, 0, nil)
	if err := saga(t, filepath.Join(t.TempDir(), "cas"), count); err != nil {
		t.Fatal(err)
	}
	t.Logf("the story has %d calls", count.Calls())
	if count.Calls() < 300 {
		t.Error("that can't be all")
	}
	faults := []error{syscall.EIO, syscall.ENOSPC, syscall.EMFILE, syscall.EROFS, vfs.ErrShortWrite, vfs.ErrCrash}
	step := len(faults) // every call fails, each with one of them
	switch {
	case os.Getenv("CBUILD_FAULTS") == "all":
		step = 1
	case testing.Short():
		step = 10 * len(faults)
	}
	t.Logf("every %dth call fails with each of %d faults; CBUILD_FAULTS=all lets every call fail with each", step, len(faults))
	for first, fault := range faults {
		for n := 1 + first; n <= count.Calls(); n += step {
			dir := filepath.Join(t.TempDir(), "cas")
			fsys := vfs.NewFaulty(quick{vfs.OS}, n, fault)
			err := saga(t, dir, fsys)
			if fsys.Calls() < n && n < count.Calls()-20 { // incarnations are random, and with them in which order packs are asked
				t.Fatalf("there was no call %d: nothing was tried", n)
			}
			if fsys.Calls() < n {
				continue
			}
			if err != nil && !errors.Is(err, fault) && !errors.Is(err, cas.ErrNotFound) {
				t.Errorf("call %d fails with %v: the story says %v", n, fault, err)
			}
			if fault == vfs.ErrCrash && err == nil {
				t.Errorf("it crashed at call %d, and nobody noticed", n)
			}
			afterwards(t, dir, fmt.Sprintf("after call %d failed with %v", n, fault))
		}
	}
}

// afterwards shows that a store is sound and goes on.
func afterwards(t *testing.T, dir, when string) {
	t.Helper()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	rep, err := l.Verify(t.Context(), Sample{})
	if err = errors.Join(err, l.Close()); err != nil || len(rep.Damaged) > 0 {
		t.Errorf("%s: verify says %+v, %v", when, rep, err)
	}
	if err := story(t, dir, vfs.OS); err != nil {
		t.Errorf("%s: the next attempt says %v", when, err)
	}
	if left := files(t, filepath.Join(dir, "tmp")); len(left) > 1 { // a lock that was not written yet proves nothing
		t.Errorf("%s: temporary files are left: %v", when, left)
	}
}

func TestErrorsSayWhatAndWhere(t *testing.T) {
	seen := 0
	for n := 1; n < 80; n++ {
		err := story(t, filepath.Join(t.TempDir(), "cas"), vfs.NewFaulty(vfs.OS, n, syscall.ENOSPC))
		if !errors.Is(err, syscall.ENOSPC) {
			continue
		}
		seen++
		if text := err.Error(); strings.Count(text, "no space left") != 1 || strings.Contains(text, "\n") {
			t.Errorf("call %d: %q", n, text)
		}
	}
	if seen < 10 {
		t.Errorf("only %d calls ended in an error", seen)
	}
}

func TestAnyFileCanBeDamaged(t *testing.T) {
	damages := map[string]func(name string, data []byte) error{
		"deleted":   func(name string, _ []byte) error { return os.Remove(name) },
		"emptied":   func(name string, _ []byte) error { return rewrite(name, nil) },
		"truncated": func(name string, data []byte) error { return rewrite(name, data[:len(data)/2]) },
		"extended":  func(name string, data []byte) error { return rewrite(name, append(data, 0)) },
		"zeroed":    func(name string, data []byte) error { return rewrite(name, make([]byte, len(data))) },
		"a directory": func(name string, _ []byte) error {
			return errors.Join(os.Remove(name), os.Mkdir(name, 0o777))
		},
	}
	for _, at := range []int{0, 12, 20, 60} {
		damages[fmt.Sprintf("flipped at %d %%", at)] = func(name string, data []byte) error {
			data[len(data)*at/100] ^= 0x40
			return rewrite(name, data)
		}
	}
	for name, damage := range damages {
		for _, first := range []string{"read", "write"} {
			t.Run(name+", then "+first, func(t *testing.T) { damageEach(t, damage, name == "a directory", first == "read") })
		}
	}
}

func rewrite(name string, data []byte) error {
	if err := os.Remove(name); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o444)
}

// damageEach damages each file of a store in turn. Nobody may see wrong bytes, and the next story makes all well.
func damageEach(t *testing.T, damage func(name string, data []byte) error, asDir, read bool) {
	dir := filepath.Join(t.TempDir(), "cas")
	if err := story(t, dir, vfs.OS); err != nil {
		t.Fatal(err)
	}
	for _, name := range files(t, dir) {
		data, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) || strings.Contains(name, "quarantine") {
			continue
		}
		if len(data) == 0 {
			continue // a lock: there is nothing in it
		}
		if asDir && strings.HasSuffix(name, "VERSION") {
			continue // Open says that it is a directory; it is not ours to repair
		}
		if err == nil {
			err = damage(name, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		if read && !readDamaged(t, dir, vfs.OS) && strings.Contains(name, "/blob/") {
			t.Errorf("%s: nobody noticed", name)
		}
		if err := story(t, dir, vfs.OS); err != nil {
			t.Errorf("%s: the next attempt says %v", name, err)
		}
		l := open(t, dir)
		if _, err := l.Verify(t.Context(), Sample{}); err != nil { // it finds what nobody needed
			t.Errorf("%s: verify says %v", name, err)
		}
		if rep, err := l.Verify(t.Context(), Sample{}); err != nil || len(rep.Damaged) > 0 || rep.Blobs != len(storyBlobs) || rep.Records != 1 {
			t.Errorf("%s: the second verify says %+v, %v", name, rep, err)
		}
	}
}

// readDamaged reads all that a store should hold and reports whether something is missing.
func readDamaged(t *testing.T, dir string, fsys vfs.FS) (missed bool) {
	l, err := Open(dir, Options{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i, data := range storyBlobs {
		got, err := cas.ReadAll(t.Context(), l, cas.Of(data), 4<<20)
		switch {
		case errors.Is(err, cas.ErrNotFound):
			missed = true
		case err != nil:
			t.Errorf("blob %d: %v", i, err)
		case !bytes.Equal(got, data):
			t.Errorf("blob %d: wrong bytes", i)
		}
	}
	r, reason, err := l.Lookup(t.Context(), storyKey, engine.Conditions{}, engine.LookupNormal)
	if err != nil {
		t.Errorf("look-up: %v", err)
	}
	if r == nil && reason == "" || r != nil && r.Log != cas.Of(storyBlobs[0]) {
		t.Errorf("look-up: %+v, %q", r, reason)
	}
	return missed || r == nil
}

// readOnly is a file system of which what lies below a directory can't be written, even by root.
type readOnly struct {
	vfs.FS
	below string
}

func (r readOnly) check(name string) error {
	if strings.HasPrefix(name, r.below) {
		return &os.PathError{Op: "write", Path: name, Err: syscall.EROFS}
	}
	return nil
}

func (r readOnly) Create(name string, perm os.FileMode) (vfs.File, error) {
	if err := r.check(name); err != nil {
		return nil, err
	}
	return r.FS.Create(name, perm)
}

func (r readOnly) Append(name string, perm os.FileMode) (vfs.File, error) {
	if err := r.check(name); err != nil {
		return nil, err
	}
	return r.FS.Append(name, perm)
}

func (r readOnly) Rename(from, to string) error {
	if err := errors.Join(r.check(from), r.check(to)); err != nil {
		return err
	}
	return r.FS.Rename(from, to)
}

func (r readOnly) Remove(name string) error {
	if err := r.check(name); err != nil {
		return err
	}
	return r.FS.Remove(name)
}

func (r readOnly) RemoveAll(name string) error {
	if err := r.check(name); err != nil {
		return err
	}
	return r.FS.RemoveAll(name)
}

func (r readOnly) MkdirAll(name string, perm os.FileMode) error {
	if err := r.check(name); err != nil {
		return err
	}
	return r.FS.MkdirAll(name, perm)
}

func TestAReadOnlyStoreServesHits(t *testing.T) {
	dir := t.TempDir()
	if err := story(t, dir, vfs.OS); err != nil {
		t.Fatal(err)
	}
	if readDamaged(t, dir, readOnly{vfs.OS, dir}) {
		t.Error("what is there can't be read")
	}
	if _, err := cas.PutBytes(t.Context(), openWith(t, dir, Options{FS: readOnly{vfs.OS, dir}}), []byte("new")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("err = %v", err)
	}
}

// What is new goes to a private directory if the store can't be written, and both are one store for who has both.
func TestAReadOnlyStoreWithAPrivateOne(t *testing.T) {
	dir, private := t.TempDir(), filepath.Join(t.TempDir(), "private")
	if err := story(t, dir, vfs.OS); err != nil {
		t.Fatal(err)
	}
	old := goldenRecord(1)
	l := open(t, dir)
	if err := errors.Join(l.Record(t.Context(), old), l.Close()); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	large := castest.Content(7, 3*chunk)
	for range 2 {
		var said []string
		l, err := Open(dir, Options{FS: readOnly{vfs.OS, dir}, Private: private, Warn: func(s string) { said = append(said, s) }})
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range append(storyBlobs, []byte("new"), large) {
			put(t, l, data)
			if !finds(t, l, data) {
				t.Error("a blob is not found")
			}
		}
		newer := goldenRecord(1)
		newer.Result = &engine.Result{}
		if err := l.Record(t.Context(), newer); err != nil {
			t.Fatal(err)
		}
		if r, reason, err := l.Lookup(t.Context(), engine.Key{1}, engine.Conditions{}, engine.LookupNormal); r == nil || r.Status != engine.Pass {
			t.Errorf("the new result does not hide the old one: %+v, %s, %v", r, reason, err)
		}
		if s := l.Stats(); s.Existing < int64(len(storyBlobs)) {
			t.Errorf("what the store has was written again: %+v", s)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if len(said) != 1 || !strings.Contains(said[0], private) {
			t.Errorf("%q", said)
		}
	}
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("the store was written: %v", after)
	}
	if !finds(t, open(t, private), large) || finds(t, open(t, private), storyBlobs[0]) {
		t.Error("the private store has other things than what is new")
	}
	if r, _, _ := open(t, dir).Lookup(t.Context(), engine.Key{1}, engine.Conditions{Sandbox: engine.SandboxFull}, engine.LookupNormal); r == nil || r.Status != engine.Fail {
		t.Errorf("%+v", r)
	}
}

func TestEveryByteOfARecordCounts(t *testing.T) {
	l := open(t, t.TempDir())
	rec := engine.Record{Key: engine.Key{1}, Conditions: engine.Conditions{Machine: "m"}, Result: &engine.Result{Log: cas.Of(nil)}, Preimage: []byte("text")}
	good := l.encodeRecord(&rec)
	var r engine.Record
	if err := decodeRecord(good, &r); err != nil || r.Key != rec.Key {
		t.Fatal(r, err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if err := decodeRecord(bad, &r); !errors.Is(err, errContent) {
			t.Errorf("byte %d flipped: %+v, %v", i, r, err)
		}
		if head := int(headLength(good)); i < head {
			if _, err := decodeHead(bad[:head], &r); !errors.Is(err, errContent) {
				t.Errorf("byte %d of the head flipped: %+v, %v", i, r, err)
			}
		}
		if err := decodeRecord(good[:i], &r); !errors.Is(err, errContent) {
			t.Errorf("cut at %d: %+v, %v", i, r, err)
		}
	}
}

// Nobody reads the pre-image to find a result. Who reads it notices that it is damaged, and so does Verify.
func TestADamagedPreimageIsNoticed(t *testing.T) {
	for name, notice := range map[string]func(*Local) bool{
		"explain": func(l *Local) bool {
			_, err := l.Stored(t.Context(), engine.Key{1})
			return errors.Is(err, cas.ErrNotFound)
		},
		"verify": func(l *Local) bool {
			rep, err := l.Verify(t.Context(), Sample{})
			return err == nil && len(rep.Damaged) == 1
		},
	} {
		dir := t.TempDir()
		l, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		rec := goldenRecord(1)
		if err := errors.Join(l.Record(t.Context(), rec), l.Close()); err != nil {
			t.Fatal(err)
		}
		pack := files(t, filepath.Join(dir, "pack"))[1]
		data, err := os.ReadFile(pack)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)-1] ^= 1
		if err := rewrite(pack, data); err != nil {
			t.Fatal(err)
		}
		l = open(t, dir)
		found := func() bool {
			r, _, err := l.Lookup(t.Context(), engine.Key{1}, rec.Conditions, engine.LookupNormal)
			return err == nil && r != nil && r.Log == rec.Result.Log
		}
		if !found() {
			t.Errorf("%s: the result is not found, though it is sound", name)
		}
		if !notice(l) {
			t.Errorf("%s does not notice", name)
		}
		if found() || l.Stats().Damaged != 1 {
			t.Errorf("%s: it still counts: %+v", name, l.Stats())
		}
	}
}

// The head of nearly every record is read at once; longer ones are read, too.
func TestLongHeadsAreRead(t *testing.T) {
	l := open(t, t.TempDir())
	for n := range 1200 {
		r := engine.Record{Key: engine.Key{1, byte(n), byte(n >> 8)}, Conditions: engine.Conditions{Machine: strings.Repeat("m", n)}, Result: &engine.Result{ExitCode: n}}
		if err := l.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if got, reason, err := l.Lookup(t.Context(), r.Key, engine.Conditions{Machine: r.Conditions.Machine}, engine.LookupNormal); got == nil || got.ExitCode != n {
			t.Errorf("%d: %s, %v", n, reason, err)
		}
	}
}

func TestVerifyLooksAgainAtWhatWasChecked(t *testing.T) {
	l := open(t, t.TempDir())
	d := put(t, l, castest.Content(1, chunk))
	if err := rewrite(blobIn(l.dir, d, raw), castest.Content(2, chunk)); err != nil {
		t.Fatal(err)
	}
	if rep, err := l.Verify(t.Context(), Sample{}); err != nil || len(rep.Damaged) != 1 {
		t.Errorf("%+v, %v", rep, err)
	}
	if rep, err := l.Verify(t.Context(), Sample{}); err != nil || len(rep.Damaged) != 0 {
		t.Errorf("the second time: %+v, %v", rep, err)
	}
}

// TestADiskThatFailsOnceLosesNothing reads with every call failing once: that may be an error, but never a miss.
func TestADiskThatFailsOnceLosesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := story(t, dir, vfs.OS); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		fsys := vfs.NewFaulty(vfs.OS, n, syscall.EIO)
		l, err := Open(dir, Options{FS: fsys})
		if err != nil {
			continue
		}
		for _, data := range storyBlobs {
			if _, err := cas.ReadAll(t.Context(), l, cas.Of(data), 4<<20); errors.Is(err, cas.ErrNotFound) {
				t.Errorf("call %d fails: %v", n, err)
			}
		}
		if r, reason, err := l.Lookup(t.Context(), storyKey, engine.Conditions{}, engine.LookupNormal); err == nil && r == nil {
			t.Errorf("call %d fails: a miss: %s", n, reason)
		}
		last := fsys.Calls() < n
		_ = l.Close() // it may be what fails
		if last {
			break
		}
	}
}
