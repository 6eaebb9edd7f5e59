package vfs

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A Recorder is a file system that writes a log of all that changes below a directory, so that a test can make the images that a power cut
// may leave: see Cut. It knows of what Sync promises, and of nothing else.
type Recorder struct {
	FS
	dir string
	now func() time.Duration

	mu    sync.Mutex
	log   []change       // guarded by mu
	names map[string]int // guarded by mu; the inodes of files and directories
	next  int            // guarded by mu; the next inode
}

// A change is an entry of the log.
type change struct {
	op       changeOp
	at       time.Duration
	inode    int    // of the file or directory that is changed or synced
	name, to string // relative
	dir      int    // inode of the directory that holds the name, or to
	data     []byte
	offset   int64
}

type changeOp uint8

const (
	opMkdir changeOp = iota
	opCreate
	opRename
	opRemove
	opWrite
	opSync
)

// NewRecorder returns a file system over under that logs what happens below dir, which must be empty. Now is the time that stands in the log.
func NewRecorder(under FS, dir string, now func() time.Duration) *Recorder {
	return &Recorder{FS: under, dir: dir, now: now, names: map[string]int{".": 0}, next: 1}
}

// rel is name as it stands in the log; ok is false outside of what is logged.
func (r *Recorder) rel(name string) (string, bool) {
	rel, err := filepath.Rel(r.dir, name)
	return rel, err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// add appends c. The caller holds mu.
func (r *Recorder) add(c change) {
	c.at = r.now()
	r.log = append(r.log, c)
}

// parent returns the inode of the directory that holds name. The caller holds mu.
func (r *Recorder) parent(name string) int { return r.names[filepath.Dir(name)] }

// known returns the inode of name, and gives it one if it was there before the log.
func (r *Recorder) known(name string) int {
	n, ok := r.names[name]
	if !ok {
		n = r.next
		r.next++
		r.names[name] = n
	}
	return n
}

// MkdirAll is FS.MkdirAll, logged.
func (r *Recorder) MkdirAll(name string, perm fs.FileMode) error {
	if err := r.FS.MkdirAll(name, perm); err != nil {
		return err
	}
	rel, ok := r.rel(name)
	if !ok {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := "."
	for part := range strings.SplitSeq(rel, "/") {
		at = filepath.Join(at, part)
		if _, there := r.names[at]; !there {
			r.add(change{op: opMkdir, inode: r.known(at), name: at, dir: r.parent(at)})
		}
	}
	return nil
}

// Create is FS.Create, logged.
func (r *Recorder) Create(name string, perm fs.FileMode) (File, error) {
	f, err := r.FS.Create(name, perm)
	return r.made(name, f, err)
}

// Append is FS.Append, logged.
func (r *Recorder) Append(name string, perm fs.FileMode) (File, error) {
	f, err := r.FS.Append(name, perm)
	return r.made(name, f, err)
}

// made logs that a file was made, if it is new.
func (r *Recorder) made(name string, f File, err error) (File, error) {
	rel, ok := r.rel(name)
	if err != nil || !ok {
		return f, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.names[rel]; !there {
		r.add(change{op: opCreate, inode: r.known(rel), name: rel, dir: r.parent(rel)})
	}
	return &recordedFile{File: f, fs: r, inode: r.names[rel]}, nil
}

// Open is FS.Open: files and directories can be synced through it.
func (r *Recorder) Open(name string) (File, error) {
	f, err := r.FS.Open(name)
	rel, ok := r.rel(name)
	if err != nil || !ok {
		return f, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return &recordedFile{File: f, fs: r, inode: r.known(rel)}, nil
}

// Rename is FS.Rename, logged.
func (r *Recorder) Rename(from, to string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.FS.Rename(from, to); err != nil {
		return err
	}
	a, _ := r.rel(from)
	b, _ := r.rel(to)
	inode := r.known(a)
	for name, n := range r.names { // what is below a directory moves with it
		if rest, ok := strings.CutPrefix(name, a+"/"); ok {
			r.names[b+"/"+rest] = n
			delete(r.names, name)
		}
	}
	delete(r.names, a)
	r.names[b] = inode
	r.add(change{op: opRename, inode: inode, name: a, to: b, dir: r.parent(b)})
	return nil
}

// Remove is FS.Remove, logged.
func (r *Recorder) Remove(name string) error { return r.removed(name, r.FS.Remove) }

// RemoveAll is FS.RemoveAll, logged.
func (r *Recorder) RemoveAll(name string) error { return r.removed(name, r.FS.RemoveAll) }

func (r *Recorder) removed(name string, remove func(string) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := remove(name); err != nil {
		return err
	}
	rel, _ := r.rel(name)
	for n := range r.names {
		if n == rel || strings.HasPrefix(n, rel+"/") {
			delete(r.names, n)
		}
	}
	r.add(change{op: opRemove, name: rel, dir: r.parent(rel)})
	return nil
}

// A recordedFile logs what is written.
type recordedFile struct {
	File
	fs     *Recorder
	inode  int
	offset int64
}

func (f *recordedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.wrote(p[:n], f.offset)
	f.offset += int64(n)
	return n, err
}

func (f *recordedFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	f.wrote(p[:n], off)
	return n, err
}

func (f *recordedFile) wrote(p []byte, off int64) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.add(change{op: opWrite, inode: f.inode, data: append([]byte(nil), p...), offset: off})
}

// Sync is logged, and costs nothing: it is about a disk that is only imagined.
func (f *recordedFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.add(change{op: opSync, inode: f.inode})
	return nil
}

// Changes returns how long the log is.
func (r *Recorder) Changes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.log)
}

// Cut writes to the directory image, which must not exist, what the disk may hold after a power cut behind the first n changes, and
// returns the time of the cut. What was synced is there. Of other writes each may be there, be lost or be torn; of other changes of names
// those up to some instant are there, as with a journal. A file whose writes are lost may have its full length all the same.
func (r *Recorder) Cut(n int, image string, random *rand.Rand) (at time.Duration, err error) {
	r.mu.Lock()
	log := r.log[:n]
	r.mu.Unlock()
	synced := make(map[int]int) // the last sync of each inode
	for i, c := range log {
		at = c.at
		if c.op == opSync {
			synced[c.inode] = i
		}
	}
	d := disk{dir: image, files: make(map[int][]byte), names: make(map[string]int), random: random}
	instant := random.IntN(n + 1)
	for i, c := range log {
		switch c.op {
		case opSync:
		case opWrite:
			if last, ok := synced[c.inode]; ok && last > i {
				d.write(c.inode, c.offset, c.data)
			} else {
				d.perhaps(c.inode, c.offset, c.data)
			}
		default:
			last, ok := synced[c.dir]
			if i < instant || ok && last > i {
				d.change(c)
			}
		}
	}
	return at, d.save()
}

// A disk is an image on its way.
type disk struct {
	dir    string
	files  map[int][]byte
	dirs   []string
	names  map[string]int
	random *rand.Rand
}

// write puts data where it belongs.
func (d *disk) write(inode int, offset int64, data []byte) {
	f := d.files[inode]
	if need := int(offset) + len(data); len(f) < need {
		f = append(f, make([]byte, need-len(f))...)
	}
	copy(f[offset:], data)
	d.files[inode] = f
}

// perhaps does what a disk may do with a write that was not synced.
func (d *disk) perhaps(inode int, offset int64, data []byte) {
	switch d.random.IntN(4) {
	case 0: // it is lost, and the length, too, unless a later write is there
	case 1: // it is lost, but not the length
		d.write(inode, offset, make([]byte, len(data)))
	case 2: // it is torn
		d.write(inode, offset, data[:d.random.IntN(len(data)+1)])
	case 3:
		d.write(inode, offset, data)
	}
}

func (d *disk) change(c change) {
	switch c.op {
	case opMkdir:
		d.dirs = append(d.dirs, c.name)
	case opCreate:
		d.names[c.name] = c.inode
	case opRename:
		delete(d.names, c.name)
		d.names[c.to] = c.inode
	case opRemove:
		for name := range d.names {
			if name == c.name || strings.HasPrefix(name, c.name+"/") {
				delete(d.names, name)
			}
		}
	}
}

// save writes the image. A file whose directory did not survive is lost with it.
func (d *disk) save() error {
	err := os.Mkdir(d.dir, 0o777)
	for _, dir := range d.dirs {
		if merr := os.Mkdir(filepath.Join(d.dir, dir), 0o777); err == nil && !errors.Is(merr, fs.ErrNotExist) && !errors.Is(merr, fs.ErrExist) {
			err = merr
		}
	}
	for name, inode := range d.names {
		if werr := os.WriteFile(filepath.Join(d.dir, name), d.files[inode], 0o644); err == nil && !errors.Is(werr, fs.ErrNotExist) {
			err = werr
		}
	}
	return err
}
