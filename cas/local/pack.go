package local

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"cbuild/internal/vfs"
)

// The names of a pack while it is written, when it is whole, and of its index.
const (
	liveSuffix  = ".pack.live"
	packSuffix  = ".pack"
	indexSuffix = ".idx"
)

// A pack is a file of frames, with what finds them: an index if it is sealed, else a table in memory.
type pack struct {
	store *Local
	id    packID
	dir   string // that it lies in
	live  bool   // somebody may still append
	own   bool   // it is this process who does

	index     *index
	indexFile vfs.File
	table     *table
	glance    atomic.Int32 // how much of a record to read at first, if that is more than usual

	mu   sync.Mutex
	file vfs.File // guarded by mu; nil until it is needed
}

// A table finds frames in memory.
type table struct {
	mu    sync.RWMutex
	slots map[slotKey]entry // guarded by mu
	end   int64             // guarded by mu; of the frames that it covers
	size  int64             // guarded by mu; of the file when it was last read
}

type slotKey struct {
	hash  [16]byte
	class class
}

func newTable() *table { return &table{slots: make(map[slotKey]entry), end: packHeaderSize} }

// add adds a frame that ends at end. Of two records of a key the later generation counts.
func (t *table) add(hash [32]byte, e entry, end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := slotKey{half(hash), e.kind.class()}
	if old, ok := t.slots[k]; !ok || k.class == blobs || old.size <= e.size {
		t.slots[k] = e
	}
	t.end = max(t.end, end)
}

func (t *table) find(hash *[32]byte, c class) (entry, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	e, ok := t.slots[slotKey{half(*hash), c}]
	return e, ok
}

func (t *table) covered() (end, size int64, count int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.end, t.size, len(t.slots)
}

// forgetSize makes the next look at the file read on even if it seems not to have grown.
func (t *table) forgetSize() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.size = -1
}

// list returns all entries.
func (t *table) list() []slot {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]slot, 0, len(t.slots))
	for k, e := range t.slots {
		all = append(all, slot{k.hash, e})
	}
	return all
}

func (p *pack) name() string {
	if p.live {
		return p.dir + "/" + p.id.String() + liveSuffix
	}
	return p.dir + "/" + p.id.String() + packSuffix
}

// open returns the file, which stays open.
func (p *pack) open() (vfs.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		return p.file, nil
	}
	f, err := p.store.fs.Open(p.name())
	if p.live && errors.Is(err, fs.ErrNotExist) {
		f, err = p.store.fs.Open(p.dir + "/" + p.id.String() + packSuffix) // sealed meanwhile
	}
	if err != nil {
		return nil, err
	}
	p.file = f
	return f, nil
}

// reopen makes the next reader open the file anew.
func (p *pack) reopen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		_ = p.file.Close() // nothing was written
		p.file = nil
	}
	p.table.forgetSize()
}

// close closes the files. Whoever is just reading gets an error that wraps fs.ErrClosed.
func (p *pack) close() (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		err = p.file.Close()
	}
	if p.indexFile != nil {
		err = errors.Join(err, p.indexFile.Close())
	}
	return err
}

// follow reads what was appended since the last time.
func (p *pack) follow() error {
	f, err := p.open()
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	end, size, _ := p.table.covered()
	if fi.Size() == size || fi.Size() < packHeaderSize {
		return nil
	}
	if end == packHeaderSize {
		if err := checkPackHeader(f, p.id); err != nil {
			return err
		}
	}
	if _, err = scan(f, p.id, end, func(fr *frame) error {
		p.addFrame(fr)
		return nil
	}); err != nil {
		return err
	}
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	p.table.size = fi.Size()
	return nil
}

// addFrame enters a frame in the table. One that is damaged is left out, except that a damaged record still hides older ones.
func (p *pack) addFrame(fr *frame) {
	e := entry{uint32(fr.offset), fr.length, fr.size, fr.kind}
	if !fr.sound && fr.kind.class() == blobs {
		return
	}
	p.table.add(fr.hash, e, fr.offset+headerSize+int64(fr.length))
}

// find looks for a frame; pr is the probe of hash.
func (p *pack) find(hash *[32]byte, pr *probe, c class) (entry, bool) {
	if p.index != nil && !p.index.filter.has(pr) {
		return entry{}, false
	}
	return p.search(hash, c)
}

// search looks for a frame. An index that fails twice is given up, and the pack read instead.
func (p *pack) search(hash *[32]byte, c class) (entry, bool) {
	if p.index == nil {
		return p.table.find(hash, c)
	}
	for range 2 {
		if e, ok, err := p.index.find(hash, c); err == nil {
			return e, ok
		}
	}
	if q := p.store.demote(p); q != nil {
		return q.table.find(hash, c)
	}
	return entry{}, false
}

// read returns the payload of the frame at e. The error wraps errContent if the frame is not what e says, errDamaged if the disk fails,
// fs.ErrNotExist or fs.ErrClosed if the pack is gone.
func (p *pack) read(hash *[32]byte, e entry) ([]byte, error) {
	buf := make([]byte, headerSize+int(e.length))
	if err := p.readAt(buf, e); err != nil {
		return nil, err
	}
	h, ok := p.header(buf, hash, e)
	payload := buf[headerSize:]
	if !ok || h.crc != crc32.Checksum(payload, castagnoli) {
		return nil, errContent
	}
	return payload, nil
}

// readAt fills buf with the beginning of the frame at e. The error is as in read.
func (p *pack) readAt(buf []byte, e entry) error {
	f, err := p.open()
	if err != nil {
		return err
	}
	switch n, err := f.ReadAt(buf, int64(e.offset)); {
	case n == len(buf):
		return nil
	case err == io.EOF:
		return errContent
	case errors.Is(err, fs.ErrClosed):
		return err
	default:
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
}

// header returns the header that buf begins with, and whether it is that of hash at e.
func (p *pack) header(buf []byte, hash *[32]byte, e entry) (h header, ok bool) {
	h, ok = parseHeader(buf, p.id.seed(), int64(e.offset))
	return h, ok && h.hash == *hash && h.kind == e.kind && h.length == e.length
}

// slots returns all that the pack's index or table has.
func (p *pack) slots() (all []slot, err error) {
	if p.index == nil {
		return p.table.list(), nil
	}
	all = make([]slot, 0, p.index.count)
	err = p.index.all(func(s slot) { all = append(all, s) })
	return all, err
}

// length is how much of the file is frames.
func (p *pack) length() int64 {
	if p.index != nil {
		return p.index.end
	}
	end, _, _ := p.table.covered()
	return end
}
