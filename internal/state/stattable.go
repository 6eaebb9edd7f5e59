package state

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"cbuild/cas"
	"cbuild/internal/clock"
	"cbuild/internal/vfs"
)

const (
	// tableMagic begins the file of a StatTable: its kind and version.
	tableMagic = "cbuild-stat 0\n"
	tableSum   = 16
	// racy is how long after a change another one may leave size and times as they are, on the coarsest file systems.
	racy = 2 * time.Second
	// maxAge is for how many builds an entry is kept that none of them asked for.
	maxAge = 50
)

// A stamp is what tells that a file has not changed.
type stamp struct {
	size, mtime, ctime int64
	inode              uint64
	mode               fs.FileMode
}

func stampOf(fi fs.FileInfo) stamp {
	s := stamp{size: fi.Size(), mtime: fi.ModTime().UnixNano(), mode: fi.Mode()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		s.ctime, s.inode = changed(st), st.Ino
	}
	return s
}

type statEntry struct {
	stamp
	hash [32]byte
	// racy is set if the file was so young when it was hashed that it may change without a trace: then the entry is for this
	// process only.
	racy bool
	// age counts the builds since it was asked for.
	age byte
}

// A StatTable remembers the digests of files, so that only changed ones are read again. All methods may be called concurrently.
type StatTable struct {
	fs    vfs.FS
	clock clock.Clock
	name  string
	// now is the file system's time when Elapsed was at; the wall clock of this process is not asked.
	now time.Time
	at  time.Duration

	mu      sync.Mutex
	entries map[string]statEntry // guarded by mu
	used    map[string]bool      // guarded by mu
}

// OpenStatTable reads the table in the file name. Whatever is wrong with it, the table is then empty.
func OpenStatTable(fsys vfs.FS, c clock.Clock, name string) *StatTable {
	t := &StatTable{fs: fsys, clock: c, name: name, entries: map[string]statEntry{}, used: map[string]bool{}}
	if data, err := fsys.ReadFile(name); err == nil {
		if entries, err := decodeTable(data); err == nil {
			t.entries = entries
		}
	}
	t.now, t.at = probe(fsys, filepath.Dir(name)), c.Elapsed()
	return t
}

// probe asks the file system for the time, by making a file. The zero time, if that fails, makes every entry racy.
func probe(fsys vfs.FS, dir string) time.Time {
	name := filepath.Join(dir, "now."+rand.Text())
	if fsys.MkdirAll(dir, 0o777) != nil || writeNew(fsys, name, 0o600, nil) != nil {
		return time.Time{}
	}
	fi, err := fsys.Stat(name)
	if rerr := fsys.Remove(name); err != nil || rerr != nil {
		return time.Time{}
	}
	return fi.ModTime()
}

// lookup returns the digest of the file name if it still has the stamp s.
func (t *StatTable) lookup(name string, s stamp) (cas.Digest, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries[name]
	if !ok || e.stamp != s {
		return cas.Digest{}, false
	}
	t.used[name] = true
	return cas.Digest{Function: cas.BLAKE3, Hash: e.hash, Size: s.size}, true
}

// add remembers that the file name, with the stamp s just before and just after it was read, has the digest d.
func (t *StatTable) add(name string, s stamp, d cas.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now.Add(t.clock.Elapsed() - t.at)
	young := now.Sub(time.Unix(0, max(s.mtime, s.ctime))) < racy
	t.entries[name] = statEntry{stamp: s, hash: d.Hash, racy: young}
	t.used[name] = true
}

// Save writes the table for the next build, but for the racy entries. Of several processes the last one wins.
func (t *StatTable) Save() error {
	if err := replaceFile(t.fs, t.name, t.encode()); err != nil {
		return fmt.Errorf("stat table: %w", err)
	}
	return nil
}

func (t *StatTable) encode() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	body := make([]byte, 0, 128*len(t.entries))
	for _, name := range slices.Sorted(maps.Keys(t.entries)) {
		e := t.entries[name]
		if e.age++; t.used[name] {
			e.age = 0
		}
		if e.racy || e.age > maxAge {
			continue
		}
		body = binary.AppendUvarint(body, uint64(len(name)))
		body = append(body, name...)
		body = binary.AppendVarint(body, e.size)
		body = binary.AppendVarint(body, e.mtime)
		body = binary.AppendVarint(body, e.ctime)
		body = binary.AppendUvarint(body, e.inode)
		body = binary.AppendUvarint(body, uint64(e.mode))
		body = append(body, e.age)
		body = append(body, e.hash[:]...)
	}
	sum := cas.Derive("cbuild stat table v0", body)
	return slices.Concat([]byte(tableMagic), sum[:tableSum], body)
}

var errTable = errors.New("damaged")

func decodeTable(data []byte) (map[string]statEntry, error) {
	body, ok := bytes.CutPrefix(data, []byte(tableMagic))
	if !ok || len(body) < tableSum {
		return nil, errTable
	}
	sum, body := body[:tableSum], body[tableSum:]
	if want := cas.Derive("cbuild stat table v0", body); !bytes.Equal(sum, want[:tableSum]) {
		return nil, errTable
	}
	entries := make(map[string]statEntry, len(body)/120)
	for r := bytes.NewReader(body); r.Len() > 0; {
		name, e, err := readEntry(r)
		if err != nil {
			return nil, err
		}
		entries[name] = e
	}
	return entries, nil
}

func readEntry(r *bytes.Reader) (string, statEntry, error) {
	var e statEntry
	n, err := binary.ReadUvarint(r)
	if err != nil || n > uint64(r.Len()) {
		return "", e, errTable
	}
	name := make([]byte, n)
	var errs [8]error
	_, errs[0] = r.Read(name)
	e.size, errs[1] = binary.ReadVarint(r)
	e.mtime, errs[2] = binary.ReadVarint(r)
	e.ctime, errs[3] = binary.ReadVarint(r)
	e.inode, errs[4] = binary.ReadUvarint(r)
	mode, err := binary.ReadUvarint(r)
	e.mode, errs[5] = fs.FileMode(mode), err
	e.age, errs[6] = r.ReadByte()
	if m, _ := r.Read(e.hash[:]); m < len(e.hash) {
		errs[7] = errTable
	}
	return string(name), e, errors.Join(errs[:]...)
}
