package local

import (
	"encoding/binary"
	"math/bits"
)

// A recall is the records of an index in memory, so that finding one costs no reading. Packs that are asked for many records get one: reading
// all of an index costs as much as a search for each 64 of its slots. What it says is a guess, for it has a part of each hash: whoever
// finds another record there forgets it, and the index decides.
type recall struct {
	shift  uint     // 64 less the number of bits that choose a bucket, of some eight records
	starts []uint32 // of each bucket, and where the last one ends
	spots  []recalled
}

// A recalled is a record, or something else with no length: of that the index tells.
type recalled struct {
	tag                        uint32
	offset, length, generation uint32
}

const (
	recalledSize = 16
	// recallSearches is after how many searches for records, as a part of the slots, an index gets a recall.
	recallSearches = 64
	// recallBytes is how much the recalls of a store may take: as much as those of 4 million records.
	recallBytes = 64 << 20
)

// tagOf is what a recall has of a hash beside the bits that chose its bucket.
func tagOf(hash []byte) uint32 { return binary.LittleEndian.Uint32(hash[4:]) }

// recall finds a record that is in memory. Unless sure is set, the index has to be asked.
func (x *index) recall(hash *[32]byte) (e entry, found, sure bool) {
	r := x.recalled.Load()
	if r == nil {
		return e, false, false
	}
	i := binary.BigEndian.Uint64(hash[:]) >> r.shift
	tag := tagOf(hash[:])
	for _, s := range r.spots[r.starts[i]:r.starts[i+1]] {
		if s.tag == tag {
			return entry{s.offset, s.length, s.generation, aRecord}, true, s.length > 0
		}
	}
	return e, false, true
}

// guess is search for records, from memory if it can be.
func (p *pack) guess(hash *[32]byte) (entry, bool) {
	if p.index != nil {
		if e, ok, sure := p.index.recall(hash); sure {
			return e, ok
		}
		p.searched()
	}
	return p.search(hash, records)
}

// searched counts a search for a record, and makes the recall when there were enough. Whoever searches meanwhile reads.
func (p *pack) searched() {
	x := p.index
	if int(x.searches.Add(1)) != 1+x.count/recallSearches {
		return
	}
	r, err := x.remember()
	if err != nil {
		return // searches find out what is wrong
	}
	bytes := cap(r.spots) * recalledSize
	for _, q := range p.store.packs.all() {
		if q.index == nil {
			continue
		}
		if other := q.index.recalled.Load(); other != nil {
			bytes += cap(other.spots) * recalledSize
		}
	}
	if bytes <= recallBytes {
		x.recalled.Store(r)
		p.store.packs.gather()
	}
}

// remember reads the records of an index.
func (x *index) remember() (*recall, error) {
	logBuckets := bits.Len(uint(x.count / 16)) // half of the slots are blobs
	r := &recall{shift: 64 - uint(logBuckets), starts: make([]uint32, 0, 1<<logBuckets+1)}
	err := x.all(func(s slot) {
		if s.kind.class() != records {
			return
		}
		for i := binary.BigEndian.Uint64(s.hash[:]) >> r.shift; uint64(len(r.starts)) <= i; {
			r.starts = append(r.starts, uint32(len(r.spots)))
		}
		at := recalled{tagOf(s.hash[:]), s.offset, s.length, s.size}
		if s.kind != aRecord {
			at.length = 0
		}
		r.spots = append(r.spots, at)
	})
	for len(r.starts) < 1<<logBuckets+1 {
		r.starts = append(r.starts, uint32(len(r.spots)))
	}
	return r, err
}

// forget makes the index decide from now on, and reports whether it did not before.
func (p *pack) forget() bool {
	return p.index != nil && mutant != "recall" && p.index.recalled.Swap(nil) != nil
}
