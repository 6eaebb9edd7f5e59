package state

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"sync"

	"cbuild/cas"
	"cbuild/internal/vfs"
)

// Keys remembers the key that each instance of a target had in the last build, and in the one before in which any differed, so that it can
// be explained why something is done again. For each target there is a file of sorted records of 48 bytes: 16 of the hash of the
// instance's name, 32 of the key. All methods may be called concurrently.
type Keys struct {
	fs      vfs.FS
	dir     string
	scratch string // what is not closed yet; of this process alone

	mu    sync.Mutex
	files map[string]*keyFile    // guarded by mu; those of this build, by target
	last  map[string][]keyRecord // guarded by mu; those of earlier builds, by file
}

// A keyRecord is the hash of an instance's name and its key.
type keyRecord [16 + 32]byte

func (r *keyRecord) instance() []byte { return r[:16] }

func byInstance(x, y keyRecord) int { return bytes.Compare(x.instance(), y.instance()) }

// keyFile collects the keys of one target.
type keyFile struct {
	file vfs.File
	w    *bufio.Writer
	err  error
}

// NewKeys keeps its files in dir, which several processes may use at once: the last one that closes counts. Scratch is a directory that
// exists and that no other process uses.
func NewKeys(fsys vfs.FS, dir, scratch string) *Keys {
	return &Keys{fs: fsys, dir: dir, scratch: scratch, files: make(map[string]*keyFile), last: make(map[string][]keyRecord)}
}

func (k *Keys) path(target, suffix string) string {
	return filepath.Join(k.dir, fileName(target)+suffix)
}

// noted is the file that collects the keys of this build.
func (k *Keys) noted(target string) string { return filepath.Join(k.scratch, fileName(target)+".keys") }

func fileName(target string) string { return cas.Of([]byte(target)).Hex()[:32] }

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
		f.file, f.err = k.fs.Create(k.noted(target), 0o666)
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
	now, err := k.read(k.noted(target))
	if err != nil {
		return err
	}
	if err := k.fs.Remove(k.noted(target)); err != nil {
		return err
	}
	slices.SortFunc(now, byInstance)
	before, err := k.read(k.path(target, ""))
	if err == nil && !complete {
		now = merge(now, before)
	}
	if err != nil || slices.Equal(now, before) {
		return err
	}
	// Each file is replaced as a whole: who reads them at the same time sees an older build or a newer one, and never none.
	if before != nil {
		if err := replaceFile(k.fs, k.path(target, ".before"), slices.Concat(sliced(before)...)); err != nil {
			return err
		}
	}
	return replaceFile(k.fs, k.path(target, ""), slices.Concat(sliced(now)...))
}

// merge returns now with what only before has.
func merge(now, before []keyRecord) []keyRecord {
	merged := slices.Clone(now)
	for _, r := range before {
		if _, ok := slices.BinarySearchFunc(now, r, byInstance); !ok {
			merged = append(merged, r)
		}
	}
	slices.SortFunc(merged, byInstance)
	return merged
}

func sliced(records []keyRecord) [][]byte {
	all := make([][]byte, len(records))
	for i := range records {
		all[i] = records[i][:]
	}
	return all
}

// read returns the records in a file; nil if there is none. A torn last one is left out.
func (k *Keys) read(name string) ([]keyRecord, error) {
	f, err := k.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() // nothing was written
	records := []keyRecord{}
	for r := bufio.NewReader(f); ; {
		var one keyRecord
		switch _, err := io.ReadFull(r, one[:]); {
		case err == nil:
			records = append(records, one)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return records, nil
		default:
			return nil, err
		}
	}
}

// All yields the keys that the instances of a target had in the last build. What can't be read is left out.
func (k *Keys) All(target string) iter.Seq[[32]byte] {
	return func(yield func([32]byte) bool) {
		records, _ := k.read(k.path(target, ""))
		for _, r := range records {
			if !yield([32]byte(r[16:])) {
				return
			}
		}
	}
}

// Earlier returns the key that an instance had before it had the given one: in the last build, or in the one before.
func (k *Keys) Earlier(target, instance string, key [32]byte) (earlier [32]byte, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var wanted keyRecord
	h := instanceHash(instance)
	copy(wanted[:], h[:])
	for _, suffix := range []string{"", ".before"} {
		name := k.path(target, suffix)
		records, loaded := k.last[name]
		if !loaded {
			records, _ = k.read(name)
			k.last[name] = records
		}
		if at, ok := slices.BinarySearchFunc(records, wanted, byInstance); ok {
			if earlier = [32]byte(records[at][16:]); earlier != key {
				return earlier, true
			}
		}
	}
	return earlier, false
}
