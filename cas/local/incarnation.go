package local

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"cbuild/internal/vfs"
)

// An incarnation is this process as the store sees it: a directory for temporary files that nobody else writes to, with a lock that
// ends with the process. It is made when it is first needed, so that reading needs none.
type incarnation struct {
	store *Local
	seq   atomic.Uint64

	mu     sync.Mutex
	dir    string   // guarded by mu; empty until it is needed
	lock   vfs.File // guarded by mu
	closed bool     // guarded by mu
}

// create makes a new temporary file, read-only for everybody but the writer. If the directory vanished, because somebody took this
// process for dead, there is a new one.
func (i *incarnation) create() (f vfs.File, name string, err error) {
	for range 2 {
		dir, err := i.open()
		if err != nil {
			return nil, "", err
		}
		name = dir + "/" + strconv.FormatUint(i.seq.Add(1), 36)
		f, err = i.store.fs.Create(name, 0o444)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, name, err
		}
		i.forget(dir)
	}
	return nil, "", fmt.Errorf("the directory of the temporary file %s vanishes: %w", name, fs.ErrNotExist)
}

// open returns the directory. It holds mu while it makes it, once: everybody else needs it too.
func (i *incarnation) open() (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dir != "" {
		return i.dir, nil
	}
	if i.closed {
		return "", fmt.Errorf("the store: %w", fs.ErrClosed)
	}
	if i.store.readOnly {
		return "", errReadOnly
	}
	dir := filepath.Join(i.store.own, "tmp", hex.EncodeToString(i.store.id[:]))
	defer i.store.guardStart(startPatience)()
	if err := i.store.fs.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	lock, err := lockDir(i.store.fs, dir)
	if err != nil {
		_ = i.store.fs.RemoveAll(dir)
		return "", err
	}
	i.dir, i.lock = dir, lock
	i.store.working()
	if s := i.store; s.own != s.dir {
		s.warn("private", "The store "+s.dir+" can't be written: what is new goes to "+s.own+".")
	}
	return dir, nil
}

// startPatience is how long a process that starts waits for others that do the same, or sweep.
const startPatience = 50 * time.Millisecond

// guardStart keeps those who sweep on this machine from taking a directory that is just being made for one whose owner was killed as it made
// it. Without the guard, if it can't be had in time, that may happen; then a write fails. Unlock is nil if most is 0 and somebody else has it.
func (l *Local) guardStart(most time.Duration) (unlock func()) {
	f, err := l.fs.Append(filepath.Join(l.own, "start.lock"), 0o666)
	if err != nil {
		return func() {}
	}
	const pause = 200 * time.Microsecond
	for waited := time.Duration(0); ; waited += pause {
		free, err := f.TryLock()
		switch {
		case free && err == nil:
			return func() { _ = f.Close() } // nothing was written
		case err != nil || waited >= most:
			_ = f.Close() // nothing was written
			if most == 0 {
				return nil
			}
			return func() {}
		}
		_ = l.clock.Sleep(l.life, pause)
	}
}

// lockDir locks the directory of an incarnation. Only then it says on which machine and boot: until it does, nobody can prove that
// the owner is dead.
func lockDir(fsys vfs.FS, dir string) (vfs.File, error) {
	f, err := fsys.Create(filepath.Join(dir, "lock"), 0o666)
	if err != nil {
		return nil, err
	}
	ok, err := f.TryLock()
	if err == nil && !ok {
		err = fmt.Errorf("lock %s: taken", dir)
	}
	if err == nil {
		_, err = f.Write([]byte(place(fsys)))
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// place says where this process runs: two lines, host name and boot.
func place(fsys vfs.FS) string {
	host, _ := os.Hostname()
	boot, _ := fsys.ReadFile("/proc/sys/kernel/random/boot_id")
	return "host " + host + "\nboot " + strings.TrimSpace(string(boot)) + "\n"
}

func (i *incarnation) forget(dir string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dir == dir {
		_ = i.lock.Close()
		i.dir, i.lock = "", nil
	}
}

// close ends the incarnation. Its directory stays if there is work for whoever finds it, who can then prove that this process is dead.
func (i *incarnation) close(done bool) (err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	if i.dir == "" {
		return nil
	}
	if done {
		err = i.store.fs.RemoveAll(i.dir)
		if errors.Is(err, syscall.ENOTEMPTY) {
			err = nil // a file system that shows what was there a while ago: who comes next sweeps it
		}
	}
	err = cmp.Or(err, i.lock.Close())
	i.dir, i.lock = "", nil
	return err
}

// sweep seals the packs of dead incarnations and removes their directories, which are the proof. It is a favour: it gives up silently.
func (l *Local) sweep() {
	tmp := filepath.Join(l.own, "tmp")
	entries, err := l.fs.ReadDir(tmp)
	if err != nil {
		return
	}
	here := place(l.fs)
	for _, e := range entries {
		dir := filepath.Join(tmp, e.Name())
		if !e.IsDir() {
			continue
		}
		if !l.dead(dir, here) {
			if l.unused(dir) {
				l.sweepUnused(dir)
			}
			continue
		}
		var id [16]byte
		if n, err := hex.Decode(id[:], []byte(e.Name()[:min(32, len(e.Name()))])); err == nil && n == len(id) {
			l.bury(id)
		} else {
			_ = l.fs.RemoveAll(dir)
		}
	}
}

// unused reports whether nothing was done in dir yet: its owner is about to, or was killed at its very beginning.
func (l *Local) unused(dir string) bool {
	entries, err := l.fs.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return err == nil
	}
	fi, err := entries[0].Info()
	return len(entries) == 1 && err == nil && entries[0].Name() == "lock" && fi.Size() == 0
}

// sweepUnused removes a directory if it is unused while nobody starts on this machine: then its owner was killed. On another machine a
// process may just be starting, within microseconds; its first write then fails.
func (l *Local) sweepUnused(dir string) {
	unlock := l.guardStart(0)
	if unlock == nil {
		return // the next one does it
	}
	defer unlock()
	if l.unused(dir) {
		_ = l.fs.Remove(filepath.Join(dir, "lock")) // there may be none
		_ = l.fs.Remove(dir)                        // unless there is something in it
	}
}

// dead reports whether the owner of dir is provably dead: it ran here, and its lock is free. That it ran here means the same host
// name or the same boot, for a container has a name of its own and a machine that was started again another boot. The owner takes the
// lock before it says where it runs, so the lock of one that just starts is not touched.
func (l *Local) dead(dir, here string) bool {
	f, err := l.fs.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer f.Close() // nothing was written
	there := make([]byte, 1024)
	n, _ := f.ReadAt(there, 0)
	host, boot, ok := strings.Cut(string(there[:n]), "\n")
	if !ok || !strings.HasSuffix(boot, "\n") {
		return false
	}
	ourHost, ourBoot, _ := strings.Cut(here, "\n")
	if host != ourHost && (boot != ourBoot || boot == "boot \n") {
		return false
	}
	free, err := f.TryLock()
	return err == nil && free && mutant != "proof"
}
