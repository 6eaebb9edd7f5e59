package local

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"sync"
)

// A pack is sealed when it has so many bytes or frames: the table of one that is written is in memory, here and in who follows it.
const (
	sealBytes  = 64 << 20
	sealFrames = 1 << 17
)

// A writer appends frames to a pack of this process.
type writer struct {
	store *Local

	// mu is held over the one write(2) of each frame: their order in the file is their order in time.
	mu     sync.Mutex
	pack   *pack   // guarded by mu; nil until it is needed
	made   []*pack // guarded by mu; all packs so far
	buf    []byte  // guarded by mu
	dirty  bool    // guarded by mu; something was written since the last sync
	closed bool    // guarded by mu
}

// append writes a frame. When it returns without an error the frame is in the file, so that a kill loses nothing.
func (w *writer) append(k kind, hash *[32]byte, size uint32, payload []byte) error {
	if len(payload) > maxPayload {
		return fmt.Errorf("%d bytes are too many for a pack", len(payload))
	}
	h := header{kind: k, length: uint32(len(payload)), size: size, hash: *hash, crc: crc32.Checksum(payload, castagnoli)}
	full, err := w.write(&h, payload)
	if full != nil {
		// A pack that can't be sealed is good as it is: the next who opens the store does it.
		_ = w.store.seal(full)
	}
	return err
}

// write appends a frame to the pack and returns the one that became full by it.
func (w *writer) write(h *header, payload []byte) (full *pack, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pack == nil {
		if w.pack, err = w.create(); err != nil {
			return nil, err
		}
	}
	p := w.pack
	end, _, count := p.table.covered()
	if end+headerSize+int64(len(payload)) > maxPackSize {
		return nil, errors.New("the pack is full")
	}
	w.buf = append(appendHeader(w.buf[:0], p.id.seed(), end, h), payload...)
	// What an earlier failure left behind end is overwritten.
	if _, err := p.file.WriteAt(w.buf, end); err != nil {
		return nil, err
	}
	p.table.add(h.hash, entry{uint32(end), h.length, h.size, h.kind}, end+int64(len(w.buf)))
	w.dirty = true
	w.store.sync.wrote(int64(len(w.buf)))
	if cap(w.buf) > 1<<20 {
		w.buf = nil
	}
	if end > sealBytes || count >= sealFrames {
		w.pack, full = nil, p
	}
	return full, nil
}

// create makes the next pack. The directory of temporary files comes first: its lock is how others know that we are alive.
func (w *writer) create() (*pack, error) {
	l := w.store
	if w.closed {
		return nil, fmt.Errorf("the store: %w", fs.ErrClosed)
	}
	if _, err := l.temp.open(); err != nil {
		return nil, err
	}
	p := &pack{store: l, id: packID{l.id, l.packCount.Add(1) - 1}, dir: l.own + "/pack", live: true, own: true, table: newTable()}
	f, err := l.fs.Create(p.name(), 0o444)
	if errors.Is(err, fs.ErrNotExist) {
		if err = l.fs.MkdirAll(p.dir, 0o777); err == nil {
			f, err = l.fs.Create(p.name(), 0o444)
		}
	}
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(appendPackHeader(nil, p.id)); err != nil {
		_ = f.Close() // it can't be used anyway
		_ = l.fs.Remove(p.name())
		return nil, err
	}
	p.file = f
	w.made = append(w.made, p)
	l.packs.add(p)
	l.sync.dir(p.dir)
	return p, nil
}

// close ends the writing.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pack, w.closed = nil, true
}

// sync makes what was appended survive a power cut. A pack that can't be synced is left: what it holds may be lost, and the system
// does not say what. So is one that somebody deleted: nobody else would ever see what is appended to it. The lock is not held meanwhile.
func (w *writer) sync() error {
	w.mu.Lock()
	p, dirty := w.pack, w.dirty
	w.dirty = false
	w.mu.Unlock()
	if p == nil || !dirty {
		return nil
	}
	f, err := p.open()
	if err == nil {
		err = f.Sync()
	}
	_, gone := w.store.fs.Lstat(p.name())
	if err != nil || errors.Is(gone, fs.ErrNotExist) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.pack == p {
			w.pack = nil
		}
	}
	return err
}
