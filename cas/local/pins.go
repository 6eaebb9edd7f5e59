package local

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
)

// pinsMagic begins a file of pins; the first halves of hashes follow. Zeros mean that the process has ended.
const pinsMagic = "cbuild-pins 1\n\x00\x00"

// pins remember what this process used, for collectors: blobs that it opened or put, and results that it looked up or recorded. They
// are written with the beat: what was used since the last one is safe in trash.
type pins struct {
	store *Local

	// flushing is held over writing.
	flushing sync.Mutex

	mu      sync.Mutex
	told    *[toldSets][8]uint64 // guarded by mu; what need not be told again, the last ones first in each set
	pending []byte               // guarded by mu
}

// toldSets is how many sets of eight, each a line of the processor's cache, remember what was told: 1 MiB. What does not fit is told again. The set and
// what stands in it are 77 bits of a hash.
const toldSets = 1 << 14

// add notes that hash was used.
func (p *pins) add(hash *[32]byte) {
	h := half(*hash)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told == nil {
		p.store.working()
		p.told = new([toldSets][8]uint64)
	}
	set := &p.told[binary.LittleEndian.Uint16(h[:])%toldSets]
	tag := binary.LittleEndian.Uint64(h[8:]) | 1 // not 0, which is nothing
	for _, t := range set {
		if t == tag {
			return
		}
	}
	copy(set[1:], set[:])
	set[0] = tag
	p.pending = append(p.pending, h[:]...)
}

func (p *pins) path() string {
	return filepath.Join(p.store.own, "pins", hex.EncodeToString(p.store.id[:]))
}

// flush writes what is pending. In a store that can't be written nothing is collected, so nothing is lost by that.
func (p *pins) flush() {
	p.flushing.Lock()
	defer p.flushing.Unlock()
	p.mu.Lock()
	pending := p.pending
	p.pending = nil
	p.mu.Unlock()
	if len(pending) == 0 || p.store.readOnly {
		return
	}
	_ = p.append(pending) // a miss, at worst
}

// append appends data to the file, which is made if need be.
func (p *pins) append(data []byte) error {
	fsys := p.store.fs
	f, err := fsys.Append(p.path(), 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		if err = fsys.MkdirAll(filepath.Dir(p.path()), 0o777); err == nil {
			f, err = fsys.Append(p.path(), 0o666)
		}
	}
	if err != nil {
		return err
	}
	if fi, serr := f.Stat(); serr == nil && fi.Size() == 0 {
		data = append([]byte(pinsMagic), data...)
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// close writes the rest, and that there is no more.
func (p *pins) close() {
	p.mu.Lock()
	if p.told != nil {
		p.pending = append(p.pending, make([]byte, 16)...)
	}
	p.mu.Unlock()
	p.flush()
}
