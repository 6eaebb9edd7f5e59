package local

import (
	"sync"

	"cbuild/engine"
)

// readRecord reads the record of k at a spot into r, and its pre-image if whole is set. The error wraps errContent if it is wrong,
// errDamaged if the disk fails, errForm if another version wrote it.
func readRecord(at spot, k engine.Key, whole bool, r *engine.Record) (err error) {
	hash := [32]byte(k)
	if whole {
		var data []byte
		if data, err = at.pack.read(&hash, at.entry); err == nil {
			err = decodeRecord(data, r)
		}
	} else {
		err = at.pack.readHead(&hash, at.entry, r)
	}
	if err == nil && r.Key != k {
		err = errContent
	}
	return err
}

// glance is how much of a record is read at most at first: that holds the header and the head of nearly all. What most records need is less, and
// all that is read has to come from memory that is in no cache: a pack is begun with firstGlance, until one needed more.
const (
	firstGlance = 256
	glance      = 512
)

// glances holds *[glance]byte.
var glances = sync.Pool{New: func() any { return new([glance]byte) }}

// readHead reads the head of the record at e into r, with one read if it is not long.
func (p *pack) readHead(hash *[32]byte, e entry, r *engine.Record) error {
	pooled := glances.Get().(*[glance]byte)
	defer glances.Put(pooled)
	all := headerSize + int(e.length)
	buf := pooled[:min(all, max(firstGlance, int(p.glance.Load())))]
	if err := p.readAt(buf, e); err != nil {
		return err
	}
	if _, ok := p.header(buf, hash, e); !ok || len(buf) < headerSize+headStart {
		return errContent
	}
	end := headerSize + int(headLength(buf[headerSize:]))
	switch {
	case end > all:
		return errContent
	case end > len(buf):
		if end <= glance {
			p.glance.Store(int32(end))
		}
		buf = make([]byte, end)
		if err := p.readAt(buf, e); err != nil {
			return err
		}
	}
	_, err := decodeHead(buf[headerSize:end], r)
	return err
}
