package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"cbuild/engine"
)

// A record is a head, which is all that a look-up reads, and the pre-image, which few ask for. A head begins with its checksum and
// its length.
const (
	sumSize   = 8
	headStart = sumSize + 4
)

// A checksum is that of a head, or of a pre-image. Two CRCs whose polynomials have no common factor are one of 64 bits; processors have
// instructions for both, so a head costs 50 ns where a hash costs 400. Nobody is kept from forging it: who may write to the store may put
// any record there.
type checksum [sumSize]byte

// sumOf returns the checksum of pieces that lie one behind the other.
func sumOf(first, second []byte) (sum checksum) {
	c := crc32.Update(crc32.Checksum(first, castagnoli), castagnoli, second)
	i := crc32.Update(crc32.ChecksumIEEE(first), crc32.IEEETable, second)
	binary.LittleEndian.PutUint32(sum[:], c)
	binary.LittleEndian.PutUint32(sum[4:], i)
	return sum
}

// The forms of a pre-image in a record.
const (
	preimageRaw = iota
	preimageCompressed
)

// encodeRecord returns what decodeRecord reads.
func (l *Local) encodeRecord(r *engine.Record) []byte {
	form, preimage := []byte{preimageRaw}, r.Preimage
	if small := l.shrinkPreimage(preimage); small != nil {
		form, preimage = []byte{preimageCompressed}, small
	}
	buf := append(make([]byte, headStart, 512+len(preimage)), r.Key[:]...)
	buf = appendConditions(buf, &r.Conditions)
	buf = appendBytes(buf, engine.AppendResult(nil, r.Result))
	sum := sumOf(form, preimage)
	buf = append(buf, sum[:]...)
	binary.LittleEndian.PutUint32(buf[sumSize:], uint32(len(buf)))
	sum = sumOf(buf[sumSize:], nil)
	copy(buf, sum[:])
	return append(append(buf, form...), preimage...)
}

// The flags beside the class of the sandbox: whether a limit on the disk follows that on memory, and whether that one was soft.
const (
	hasDisk = 0x80
	isSoft  = 0x40
)

func appendConditions(buf []byte, c *engine.Conditions) []byte {
	first := byte(c.Sandbox)
	if c.Soft {
		first |= isSoft
	}
	if c.Disk != 0 {
		first |= hasDisk
	}
	buf = binary.AppendVarint(append(buf, first), int64(c.Timeout))
	buf = binary.AppendVarint(buf, c.Memory)
	if c.Disk != 0 {
		buf = binary.AppendVarint(buf, c.Disk)
	}
	return appendBytes(buf, c.Machine)
}

func (p *parser) conditions() (c engine.Conditions) {
	first := p.byte()
	c.Sandbox, c.Soft = engine.SandboxClass(first&^(hasDisk|isSoft)), first&isSoft != 0
	c.Timeout, c.Memory = time.Duration(p.varint()), p.varint()
	if first&hasDisk != 0 {
		c.Disk = p.varint()
	}
	c.Machine = string(p.take(p.uvarint()))
	return c
}

// minPreimage is the size below which a pre-image is not compressed: that would take half the time of recording a small result.
const minPreimage = 1024

// shrinkPreimage returns a pre-image compressed, or nil if that is not worth it.
func (l *Local) shrinkPreimage(preimage []byte) []byte {
	if len(preimage) < minPreimage || len(preimage) > maxInMemory {
		return nil
	}
	return l.codec.shrink(preimage)
}

func appendBytes[T []byte | string](buf []byte, s T) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// errForm says that a record is sound and not for us to read.
var errForm = errors.New("unknown form")

// headLength returns the length of the head that data, at least headStart bytes of a record, begins with.
func headLength(data []byte) uint32 { return binary.LittleEndian.Uint32(data[sumSize:]) }

// decodeHead reads the head of a record into r, all but the pre-image, whose checksum it returns. The error wraps errContent if the
// checksum of the head is wrong, else errForm.
func decodeHead(head []byte, r *engine.Record) (preimage checksum, err error) {
	if len(head) < headStart+sumSize || headLength(head) != uint32(len(head)) {
		return preimage, errContent
	}
	if checksum(head) != sumOf(head[sumSize:], nil) && mutant != "recordsum" {
		return preimage, errContent
	}
	p := parser{data: head[headStart : len(head)-sumSize]}
	copy(r.Key[:], p.take(uint64(len(r.Key))))
	r.Conditions = p.conditions()
	result := p.take(p.uvarint())
	if p.short || len(p.data) > 0 || r.Conditions.Sandbox > engine.SandboxFull {
		return preimage, errForm
	}
	if r.Result, err = engine.DecodeResult(result); err != nil {
		return preimage, fmt.Errorf("%w: %w", errForm, err)
	}
	return checksum(head[len(head)-sumSize:]), nil
}

// decodeRecord reads a whole record into r. The error wraps errContent if a checksum is wrong, else errForm. The pre-image stays as it
// is, with the byte that tells its form.
func decodeRecord(data []byte, r *engine.Record) error {
	if len(data) < headStart || uint64(headLength(data)) >= uint64(len(data)) {
		return errContent
	}
	head, preimage := data[:headLength(data)], data[headLength(data):]
	sum, err := decodeHead(head, r)
	if err == nil && sum != sumOf(preimage, nil) && mutant != "preimagesum" {
		err = errContent
	}
	r.Preimage = preimage
	return err
}

// unpackPreimage returns the readable pre-image that a record holds.
func (l *Local) unpackPreimage(stored []byte) ([]byte, error) {
	switch form, data := stored[0], stored[1:]; form {
	case preimageRaw:
		return data, nil
	case preimageCompressed:
		return l.codec.dec.DecodeAll(data, nil)
	default:
		return nil, fmt.Errorf("pre-image of the unknown form %d", form)
	}
}

// A parser reads a record's body. What is short leaves zeros and sets short.
type parser struct {
	data  []byte
	short bool
}

func (p *parser) take(n uint64) []byte {
	if n > uint64(len(p.data)) {
		p.data, p.short = nil, true
		return nil
	}
	b := p.data[:n]
	p.data = p.data[n:]
	return b
}

func (p *parser) byte() byte {
	if b := p.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.data)
	p.take(uint64(max(n, 0)))
	p.short = p.short || n <= 0
	return v
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.data)
	p.take(uint64(max(n, 0)))
	p.short = p.short || n <= 0
	return v
}
