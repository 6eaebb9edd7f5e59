package local

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// An entry says where in a pack a frame lies.
type entry struct {
	offset, length, size uint32
	kind                 kind
}

// A slot is an entry with the first half of its hash, as it lies in an index. Half is enough to find it; the header has the rest.
type slot struct {
	hash [16]byte
	entry
}

func compareSlots(a, b slot) int {
	return cmp.Or(bytes.Compare(a.hash[:], b.hash[:]), cmp.Compare(a.kind.class(), b.kind.class()))
}

// The parts of an index: a header, the table of buckets, the filter, the slots in the order of their hashes.
const (
	indexMagic      = "cbuild-idx 1\n\x00\x00\x00"
	indexHeaderSize = 64
	slotSize        = 32
	bucketSlots     = 64 // on average
	maxSlots        = 1 << 27
)

// A bucket is the slots whose hashes begin with the same bits.
type bucket struct {
	start uint32 // the first of its slots
	crc   uint32 // of them
}

// An index finds the frames of a sealed pack. The slots stay on the disk; a search reads one bucket, some 2 KiB, with pread. Only the records
// of packs that are asked for many come to memory.
type index struct {
	file    io.ReaderAt
	shift   uint // 64 less the number of bits that choose a bucket
	buckets []bucket
	filter  filter
	count   int
	end     int64 // of the frames that it covers
	base    int64 // of the slots

	searches atomic.Int64 // for records
	recalled atomic.Pointer[recall]
}

// appendIndex appends the index of the pack id, which ends at end. It sorts slots.
func appendIndex(buf []byte, id packID, end int64, slots []slot) []byte {
	slices.SortFunc(slots, compareSlots)
	logBuckets := bits.Len(uint(len(slots) / bucketSlots))
	f := newFilter(len(slots))
	body := make([]byte, 0, len(slots)*slotSize)
	table := make([]byte, 0, 8<<logBuckets)
	next := 0
	for b := range 1 << logBuckets {
		start := next
		for ; next < len(slots) && bucketOf(slots[next].hash, logBuckets) == b; next++ {
			body = appendSlot(body, &slots[next])
			f.add((*[32]byte)(append(slots[next].hash[:], make([]byte, 16)...)))
		}
		table = binary.LittleEndian.AppendUint32(table, uint32(start))
		table = binary.LittleEndian.AppendUint32(table, crc32.Checksum(body[start*slotSize:], castagnoli))
	}
	start := len(buf)
	buf = append(append(buf, indexMagic...), id.incarnation[:]...)
	buf = binary.LittleEndian.AppendUint32(buf, id.n)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(slots)))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(end))
	buf = append(buf, byte(logBuckets), 0, 0, 0)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(f)/filterBlock))
	buf = binary.LittleEndian.AppendUint32(buf, crc32.Update(crc32.Checksum(table, castagnoli), castagnoli, f))
	buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf[start:], castagnoli))
	return append(append(append(buf, table...), f...), body...)
}

func bucketOf(hash [16]byte, logBuckets int) int {
	return int(binary.BigEndian.Uint64(hash[:]) >> (64 - logBuckets))
}

func appendSlot(buf []byte, s *slot) []byte {
	buf = append(buf, s.hash[:]...)
	buf = binary.LittleEndian.AppendUint32(buf, s.offset)
	buf = binary.LittleEndian.AppendUint32(buf, s.length)
	buf = binary.LittleEndian.AppendUint32(buf, s.size)
	return append(buf, byte(s.kind), 0, 0, 0)
}

func parseSlot(data []byte) (s slot) {
	copy(s.hash[:], data)
	s.offset = binary.LittleEndian.Uint32(data[16:])
	s.length = binary.LittleEndian.Uint32(data[20:])
	s.size = binary.LittleEndian.Uint32(data[24:])
	s.kind = kind(data[28])
	return s
}

// errIndex says that an index is damaged: the pack has to be read instead.
var errIndex = errors.New("damaged index")

// readIndex reads all of an index but its slots.
func readIndex(f io.ReaderAt, id packID) (*index, error) {
	head := make([]byte, indexHeaderSize)
	if n, err := f.ReadAt(head, 0); n < len(head) {
		if err == io.EOF || errors.Is(err, syscall.EISDIR) {
			err = errIndex
		}
		return nil, err
	}
	want := append([]byte(indexMagic), id.incarnation[:]...)
	want = binary.LittleEndian.AppendUint32(want, id.n)
	if !bytes.Equal(head[:36], want) || binary.LittleEndian.Uint32(head[60:]) != crc32.Checksum(head[:60], castagnoli) {
		return nil, errIndex
	}
	x := &index{file: f, count: int(binary.LittleEndian.Uint32(head[36:])), end: int64(binary.LittleEndian.Uint64(head[40:]))}
	logBuckets, blocks := uint(head[48]), int(binary.LittleEndian.Uint32(head[52:]))
	if logBuckets > 32 || x.count > maxSlots || int(1<<logBuckets) > 2+x.count || blocks > 1+x.count {
		return nil, fmt.Errorf("%w: its sizes can't be", errIndex)
	}
	x.shift = 64 - logBuckets
	rest := make([]byte, 8<<logBuckets+blocks*filterBlock)
	if n, err := f.ReadAt(rest, indexHeaderSize); n < len(rest) {
		if err == io.EOF {
			err = errIndex
		}
		return nil, err
	}
	if crc32.Checksum(rest, castagnoli) != binary.LittleEndian.Uint32(head[56:]) {
		return nil, errIndex
	}
	x.base = int64(indexHeaderSize + len(rest))
	x.buckets = make([]bucket, 1<<logBuckets+1)
	x.buckets[len(x.buckets)-1].start = uint32(x.count)
	for i := range 1 << logBuckets {
		x.buckets[i] = bucket{binary.LittleEndian.Uint32(rest[8*i:]), binary.LittleEndian.Uint32(rest[8*i+4:])}
	}
	for i := range 1 << logBuckets {
		if x.buckets[i].start > x.buckets[i+1].start {
			return nil, errIndex
		}
	}
	if x.filter = filter(rest[8<<logBuckets:]); len(x.filter) == 0 {
		return nil, errIndex
	}
	return x, nil
}

// bucketBuffers holds *[]byte, large enough for nearly every bucket.
var bucketBuffers = sync.Pool{New: func() any {
	b := make([]byte, 4*bucketSlots*slotSize)
	return &b
}}

// find returns the entry of hash. An error wraps errIndex or is one of reading.
func (x *index) find(hash *[32]byte, c class) (e entry, ok bool, err error) {
	i := binary.BigEndian.Uint64(hash[:]) >> x.shift
	from, to := x.buckets[i].start, x.buckets[i+1].start
	if from == to {
		return e, false, nil
	}
	pooled := bucketBuffers.Get().(*[]byte)
	defer bucketBuffers.Put(pooled)
	data := *pooled
	if n := int(to-from) * slotSize; n <= len(data) {
		data = data[:n]
	} else {
		data = make([]byte, n)
	}
	if err := x.read(data, int(i)); err != nil {
		return e, false, err
	}
	if !x.check(data, int(i)) {
		return e, false, errIndex
	}
	for ; len(data) > 0; data = data[slotSize:] {
		if bytes.Equal(data[:16], hash[:16]) {
			if s := parseSlot(data); s.kind.class() == c {
				return s.entry, true, nil
			}
		}
	}
	return e, false, nil
}

// read fills data with the slots of buckets from the i-th on.
func (x *index) read(data []byte, i int) error {
	if n, err := x.file.ReadAt(data, x.base+int64(x.buckets[i].start)*slotSize); n < len(data) {
		if err == io.EOF {
			err = errIndex
		}
		return err
	}
	return nil
}

// check reports whether data are the slots of the i-th bucket.
func (x *index) check(data []byte, i int) bool {
	return crc32.Checksum(data, castagnoli) == x.buckets[i].crc || mutant == "indexsum"
}

// all calls each for every slot, in the order of their hashes.
func (x *index) all(each func(slot)) error {
	var buf []byte
	size := func(from, to int) int { return int(x.buckets[to].start-x.buckets[from].start) * slotSize }
	last := len(x.buckets) - 1
	for from := 0; from < last; {
		to := from + 1
		for to < last && size(from, to+1) <= scanChunk {
			to++
		}
		buf = slices.Grow(buf[:0], size(from, to))[:size(from, to)]
		if err := x.read(buf, from); err != nil {
			return err
		}
		for data := buf; from < to; from++ {
			slots := data[:size(from, from+1)]
			data = data[len(slots):]
			if !x.check(slots, from) {
				return errIndex
			}
			for ; len(slots) > 0; slots = slots[slotSize:] {
				each(parseSlot(slots))
			}
		}
	}
	return nil
}
