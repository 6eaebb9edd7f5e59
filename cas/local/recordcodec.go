package local

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"cbuild/cas"
	"cbuild/engine"
)

// sumSize is how many bytes of checksum precede a record.
const sumSize = 16

// recordSum is the plain hash: Derive would allocate 10 KiB for every look-up.
func recordSum(body []byte) [32]byte { return cas.Of(body).Hash }

// The forms of a pre-image in a record.
const (
	preimageRaw = iota
	preimageCompressed
)

// encodeRecord returns what decodeRecord reads.
func (l *Local) encodeRecord(r *engine.Record) []byte {
	buf := append(make([]byte, sumSize, 512+len(r.Preimage)), r.Key[:]...)
	buf = appendConditions(buf, &r.Conditions)
	buf = appendBytes(buf, engine.AppendResult(nil, r.Result))
	if small := l.shrinkPreimage(r.Preimage); small != nil {
		buf = append(append(buf, preimageCompressed), small...)
	} else {
		buf = append(append(buf, preimageRaw), r.Preimage...)
	}
	sum := recordSum(buf[sumSize:])
	copy(buf, sum[:sumSize])
	return buf
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

// decodeRecord reads a record. The error wraps errContent if the checksum is wrong, else errForm. The pre-image stays as it is, with
// the byte that tells its form.
func decodeRecord(data []byte) (*engine.Record, error) {
	if len(data) < sumSize {
		return nil, errContent
	}
	sum, body := data[:sumSize], data[sumSize:]
	if want := recordSum(body); !bytes.Equal(sum, want[:sumSize]) && mutant != "recordsum" {
		return nil, errContent
	}
	p := parser{data: body}
	r := new(engine.Record)
	copy(r.Key[:], p.take(uint64(len(r.Key))))
	r.Conditions = p.conditions()
	result := p.take(p.uvarint())
	r.Preimage = p.data
	if p.short || len(p.data) == 0 || r.Conditions.Sandbox > engine.SandboxFull {
		return nil, errForm
	}
	var err error
	if r.Result, err = engine.DecodeResult(result); err != nil {
		return nil, fmt.Errorf("%w: %w", errForm, err)
	}
	return r, nil
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
