package download

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Parts keeps downloads that were broken off, also by the end of the process, in a directory. A nil *Parts keeps nothing.
type Parts struct {
	dir string
	// boot identifies the time since the machine was started; "" if that is not known.
	boot string
}

// OpenParts returns the parts in dir, which need not exist.
func OpenParts(dir string) *Parts {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return &Parts{dir: dir, boot: strings.TrimSpace(string(boot))}
}

// A Tee is told what a Part holds, such as running hashes.
type Tee interface {
	io.Writer
	// Reset forgets all of it.
	Reset()
}

// A Part is a file to which a body is written, perhaps in several pieces and by several processes, one after the other.
type Part struct {
	file  *os.File
	size  int64
	tee   Tee
	kept  *Parts // nil if the file is a temporary one
	known bool   // whether the content is checked at the end
	meta  partMeta
}

// partMeta is what must be known to continue a file whose content nothing checks. It lies beside the file.
type partMeta struct {
	URL  string `json:"url"`
	ETag string `json:"etag"`
	Boot string `json:"boot"`
	// Total is the size of the whole file, -1 if it is not known.
	Total int64 `json:"total"`
}

// leastKept is the size from which on a part is worth keeping, and metaSuffix ends the name of the file with its partMeta.
const (
	leastKept  = 64 << 10
	metaSuffix = ".json"
)

// Open returns the file for a download, with what is there of it. Id says what is downloaded: what has an equal one is continued. Known says
// that the content is checked at the end: then a wrong beginning will be found out. Else the beginning counts only if the
// server says that the file is still the same, and if no power cut can have torn it. Tee is told what the file holds. One process
// at a time writes to it; another gets a file of its own in temp. The caller calls Close or Remove.
func (p *Parts) Open(id string, known bool, temp string, tee Tee) (*Part, error) {
	part := &Part{tee: tee, known: known}
	if p == nil || !p.claim(part, id) {
		f, err := os.CreateTemp(temp, "download-*")
		part.file = f
		return part, err
	}
	part.kept = p
	if err := part.load(); err != nil {
		_ = part.Remove()
		return nil, err
	}
	return part, nil
}

// claim opens and locks the file for id, and reports whether that went well.
func (p *Parts) claim(part *Part, id string) bool {
	sum := sha256.Sum256([]byte(id))
	name := filepath.Join(p.dir, hex.EncodeToString(sum[:16]))
	f, ok := lockFile(name, os.O_CREATE)
	if !ok && os.MkdirAll(p.dir, 0o700) == nil {
		f, ok = lockFile(name, os.O_CREATE)
	}
	part.file = f
	return ok
}

// lockFile opens a file and locks it, if nobody else has. Who removes such a file holds its lock: one that is not there any more when it is
// locked is nobody's, and another may be in its place.
func lockFile(name string, flag int) (f *os.File, ok bool) {
	for range lockTries {
		f, err := os.OpenFile(name, os.O_RDWR|flag, 0o600)
		if err != nil {
			return nil, false
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			_ = f.Close()
			return nil, false
		}
		ours, err := f.Stat()
		there, terr := os.Stat(name)
		if err == nil && terr == nil && os.SameFile(ours, there) {
			return f, true
		}
		_ = f.Close()
	}
	return nil, false
}

// lockTries is how often a file is opened that others remove meanwhile.
const lockTries = 5

// load reads what is there.
func (p *Part) load() error {
	info, err := p.file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	if !p.known {
		data, err := os.ReadFile(p.file.Name() + metaSuffix)
		if err != nil || json.Unmarshal(data, &p.meta) != nil || p.meta.ETag == "" || p.meta.Boot == "" || p.meta.Boot != p.kept.boot {
			return p.Reset()
		}
	}
	p.size, err = io.Copy(p.tee, p.file)
	return err
}

// Size is how many bytes it holds.
func (p *Part) Size() int64 { return p.size }

// Write appends to the file. What could not be written is not part of it.
func (p *Part) Write(b []byte) (int, error) {
	n, err := p.file.WriteAt(b, p.size)
	p.size += int64(n)
	_, _ = p.tee.Write(b[:n])
	return n, err
}

// File is the file, for reading.
func (p *Part) File() *os.File { return p.file }

// Reset drops what the file holds.
func (p *Part) Reset() error {
	p.size = 0
	p.tee.Reset()
	p.meta = partMeta{}
	return p.file.Truncate(0)
}

// resumable reports whether a piece from url may be appended, and with which entity tag it must come ("": whatever it comes with).
func (p *Part) resumable(url string) (etag string, ok bool) {
	switch {
	case p.size == 0:
		return "", false
	case p.known:
		return "", true
	}
	return p.meta.ETag, p.meta.ETag != "" && p.meta.URL == url
}

// begins notes what a new body comes with, before its first byte is written: if need be, whoever continues it can tell that it is the same.
func (p *Part) begins(url, etag string, total int64) {
	p.meta = partMeta{URL: url, ETag: strong(etag), Total: total}
	if p.kept == nil || p.known || p.meta.ETag == "" {
		return
	}
	p.meta.Boot = p.kept.boot
	data, err := json.Marshal(p.meta)
	if err == nil {
		err = os.WriteFile(p.file.Name()+metaSuffix, data, 0o600)
	}
	if err != nil {
		_ = os.Remove(p.file.Name() + metaSuffix) // then nobody continues it
	}
}

// Close keeps what the file holds for the next attempt, if it is worth it.
func (p *Part) Close() error {
	if p.kept == nil || p.size < leastKept || !p.known && p.meta.ETag == "" {
		return p.Remove()
	}
	return p.file.Close()
}

// Remove ends the download: nobody needs the file any more. The lock is given back last, so that nobody continues what is being removed.
func (p *Part) Remove() error {
	err := os.Remove(p.file.Name())
	if p.kept != nil && !p.known {
		_ = os.Remove(p.file.Name() + metaSuffix)
	}
	_ = p.file.Close()
	return err
}

// Clean removes parts that were not touched for maxAge before now, and the oldest of the others until they have at most maxBytes together. Those
// that somebody writes to stay.
func (p *Parts) Clean(now time.Time, maxAge time.Duration, maxBytes int64) error {
	entries, err := os.ReadDir(p.dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var files []os.FileInfo
	var total int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, info)
			total += info.Size()
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files {
		if now.Sub(f.ModTime()) <= maxAge && total <= maxBytes {
			continue
		}
		if p.remove(f.Name()) {
			total -= f.Size()
		}
	}
	return nil
}

// remove removes a file that nobody writes to, and reports whether it did.
func (p *Parts) remove(name string) bool {
	path := filepath.Join(p.dir, name)
	f, ok := lockFile(path, 0)
	if !ok {
		return false
	}
	defer f.Close()
	return os.Remove(path) == nil
}
