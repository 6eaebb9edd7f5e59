package state

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"cbuild/cas"
	"cbuild/internal/vfs"
)

// Keys remembers the key that each instance of a target had in the last build, and in the one before in which any differed, so that it can
// be explained why something is done again. For each target there is a file of records of 48 bytes: 16 of the hash of the instance's
// name, 32 of the key. All methods may be called concurrently.
type Keys struct {
	fs  vfs.FS
	dir string

	mu    sync.Mutex
	files map[string]*keyFile // guarded by mu; those of this build, by target
	last  map[string]keyMap   // guarded by mu; those of earlier builds, by file
}

type keyMap map[[16]byte][32]byte

// keyFile collects the keys of one target.
type keyFile struct {
	file vfs.File
	w    *bufio.Writer
	err  error
}

const keyRecord = 16 + 32

// NewKeys keeps its files in dir.
func NewKeys(fsys vfs.FS, dir string) *Keys {
	return &Keys{fs: fsys, dir: dir, files: make(map[string]*keyFile), last: make(map[string]keyMap)}
}

func (k *Keys) path(target, suffix string) string {
	return filepath.Join(k.dir, cas.Of([]byte(target)).Hex()[:32]+suffix)
}

func instanceHash(name string) (h [16]byte) {
	d := cas.Of([]byte(name))
	copy(h[:], d.Hash[:])
	return h
}

// Add notes the key of an instance in this build. What can't be written is not remembered.
func (k *Keys) Add(target, instance string, key [32]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.files[target]
	if f == nil {
		f = &keyFile{}
		k.files[target] = f
		if f.err = k.fs.MkdirAll(k.dir, 0o777); f.err == nil {
			_ = k.fs.Remove(k.path(target, ".new"))
			f.file, f.err = k.fs.Create(k.path(target, ".new"), 0o666)
		}
		f.w = bufio.NewWriter(f.file)
	}
	if f.err != nil {
		return
	}
	h := instanceHash(instance)
	_, err := f.w.Write(h[:])
	if err == nil {
		_, err = f.w.Write(key[:])
	}
	f.err = err
}

// Close makes what was noted the last build. Complete reports whether all instances of a target were; of the others, those that were not noted
// keep what they had.
func (k *Keys) Close(complete func(target string) bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for target, f := range k.files {
		errs = append(errs, k.finish(target, f, complete(target)))
	}
	clear(k.files)
	clear(k.last)
	return errors.Join(errs...)
}

func (k *Keys) finish(target string, f *keyFile, complete bool) error {
	if f.err != nil {
		return f.err
	}
	if err := errors.Join(f.w.Flush(), f.file.Close()); err != nil {
		return err
	}
	now, err := k.read(k.path(target, ".new"))
	if err != nil {
		return err
	}
	before, err := k.read(k.path(target, ""))
	if err != nil || same(now, before, complete) {
		return errors.Join(err, k.fs.Remove(k.path(target, ".new")))
	}
	if !complete {
		for h, key := range before {
			if _, ok := now[h]; !ok {
				now[h] = key
			}
		}
	}
	if before != nil {
		if err := replaceFile(k.fs, k.path(target, ".before"), before.encode()); err != nil {
			return err
		}
	}
	if err := replaceFile(k.fs, k.path(target, ""), now.encode()); err != nil {
		return err
	}
	return k.fs.Remove(k.path(target, ".new"))
}

// same reports whether now says nothing that before does not.
func same(now, before keyMap, complete bool) bool {
	if complete && len(now) != len(before) {
		return false
	}
	for h, key := range now {
		if before[h] != key {
			return false
		}
	}
	return true
}

func (m keyMap) encode() []byte {
	data := make([]byte, 0, len(m)*keyRecord)
	for h, key := range m {
		data = append(append(data, h[:]...), key[:]...)
	}
	return data
}

// read returns the keys in a file; nil if there is none. A torn last record is left out.
func (k *Keys) read(name string) (keyMap, error) {
	data, err := k.fs.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	m := make(keyMap, len(data)/keyRecord)
	for ; len(data) >= keyRecord; data = data[keyRecord:] {
		m[[16]byte(data)] = [32]byte(data[16:])
	}
	return m, nil
}

// Earlier returns the key that an instance had before it had the given one: in the last build, or in the one before.
func (k *Keys) Earlier(target, instance string, key [32]byte) (earlier [32]byte, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := instanceHash(instance)
	for _, suffix := range []string{"", ".before"} {
		name := k.path(target, suffix)
		m, loaded := k.last[name]
		if !loaded {
			m, _ = k.read(name)
			k.last[name] = m
		}
		if earlier, ok = m[h]; ok && earlier != key {
			return earlier, true
		}
	}
	return earlier, false
}
