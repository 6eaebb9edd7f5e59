package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/vfs"
)

// A syncCounter counts what is synced, and fails to if it is told so.
type syncCounter struct {
	vfs.FS
	mu     sync.Mutex
	synced map[string]int // guarded by mu
	fail   error          // guarded by mu
}

func (s *syncCounter) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &countedFile{f, s, name}, nil
}

func (s *syncCounter) Create(name string, perm os.FileMode) (vfs.File, error) {
	f, err := s.FS.Create(name, perm)
	return s.wrap(name, f, err)
}

func (s *syncCounter) Open(name string) (vfs.File, error) {
	f, err := s.FS.Open(name)
	return s.wrap(name, f, err)
}

type countedFile struct {
	vfs.File
	fs   *syncCounter
	name string
}

func (f *countedFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.synced[f.name]++
	if f.fs.fail != nil {
		return f.fs.fail
	}
	return f.File.Sync()
}

// count returns how often files whose names hold part were synced.
func (s *syncCounter) count(part string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, times := range s.synced {
		if strings.Contains(name, part) {
			n += times
		}
	}
	return n
}

func TestWhatIsWrittenIsSyncedWithinASecond(t *testing.T) {
	for _, durability := range []Durability{Group, None} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			fsys := &syncCounter{FS: vfs.OS, synced: map[string]int{}}
			l := openWith(t, dir, Options{FS: fsys, Durability: durability})
			put(t, l, []byte("small"))
			put(t, l, castest.Content(1, chunk))
			if fsys.count("") != 0 {
				t.Error("a put waits for the disk")
			}
			time.Sleep(syncEvery)
			synctest.Wait()
			want := 1 - int(durability)
			for _, part := range []string{liveSuffix, "blob/", dir + "/pack", dir + "/blob"} {
				if got := fsys.count(part); got < want || got > 0 && want == 0 {
					t.Errorf("durability %d: %s was synced %d times", durability, part, got)
				}
			}
			before := fsys.count("")
			time.Sleep(10 * syncEvery)
			synctest.Wait()
			if got := fsys.count(""); got != before {
				t.Errorf("nothing was written, and %d syncs were done", got-before)
			}
		})
	}
}

func TestSixtyFourMiBAreSyncedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := &syncCounter{FS: vfs.OS, synced: map[string]int{}}
		l := openWith(t, t.TempDir(), Options{FS: fsys})
		put(t, l, castest.Content(1, syncBytes-chunk))
		if fsys.count("") != 0 {
			t.Error("too early")
		}
		put(t, l, castest.Content(2, chunk))
		if fsys.count("blob/") == 0 {
			t.Error("64 MiB wait for the disk")
		}
	})
}

// A result that is taken back must not return after a power cut.
func TestAWithdrawalIsSyncedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := &syncCounter{FS: vfs.OS, synced: map[string]int{}}
		l := openWith(t, t.TempDir(), Options{FS: fsys})
		if err := l.Record(t.Context(), goldenRecord(1)); err != nil {
			t.Fatal(err)
		}
		if err := l.Withdraw(t.Context(), engine.Key{1}); err != nil || fsys.count(liveSuffix) != 1 {
			t.Error(fsys.synced, err)
		}
	})
}

func TestADiskThatCannotSyncIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		fsys := &syncCounter{FS: vfs.OS, synced: map[string]int{}, fail: syscall.EIO}
		l, err := Open(t.TempDir(), Options{FS: fsys, Warn: func(s string) { said = append(said, s) }})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			put(t, l, fmt.Append(nil, i))
			time.Sleep(syncEvery)
			synctest.Wait()
		}
		if len(said) != 1 || !strings.Contains(said[0], "input/output error") || strings.Contains(said[0], "\n") {
			t.Errorf("%q", said)
		}
		if l.Stats().Unsynced < 3 {
			t.Errorf("%+v", l.Stats())
		}
		// The system drops what it could not write and says so only once: no pack is trusted again whose sync failed.
		if live, _ := filepath.Glob(filepath.Join(l.Dir(), "pack", "*.live")); len(live) != 3 {
			t.Errorf("%d packs", len(live))
		}
		fsys.mu.Lock()
		fsys.fail = nil
		fsys.mu.Unlock()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
