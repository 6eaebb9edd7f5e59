package local

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
)

// A packID names a pack: its writer's incarnation, and which of the writer's packs it is.
type packID struct {
	incarnation [16]byte
	n           uint32
}

func (id packID) String() string {
	return hex.EncodeToString(id.incarnation[:]) + "-" + strconv.FormatUint(uint64(id.n), 10)
}

// parsePackID reads what String writes.
func parsePackID(s string) (id packID, ok bool) {
	if len(s) < 34 || s[32] != '-' {
		return id, false
	}
	n, err := strconv.ParseUint(s[33:], 10, 32)
	if err != nil {
		return id, false
	}
	if _, err := hex.Decode(id.incarnation[:], []byte(s[:32])); err != nil {
		return id, false
	}
	id.n = uint32(n)
	return id, id.String() == s
}

// castagnoli is the polynomial for which processors have an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seed is what the checksums of a pack's headers begin with, so that a frame counts only in the pack and at the place that it was
// written for: the bytes of a pack inside a blob are never taken for frames.
func (id *packID) seed() uint32 {
	if mutant == "place" {
		return 0
	}
	return crc32.Update(binary.LittleEndian.Uint32(id.incarnation[:4])^id.n, castagnoli, id.incarnation[:])
}

// A pack begins with packMagic, the id and the CRC of both.
const (
	packMagic      = "cbuild-pack 1\n\x00\x00"
	packHeaderSize = 40
)

func appendPackHeader(buf []byte, id packID) []byte {
	buf = append(append(buf, packMagic...), id.incarnation[:]...)
	buf = binary.LittleEndian.AppendUint32(buf, id.n)
	return binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf[len(buf)-36:], castagnoli))
}

// A kind says what a frame holds. A record and the withdrawal of one are of one class: the latest counts.
type kind uint8

// The kinds of frames. What earlier versions wrote as a record is one to no reader, and only hides older ones of its key.
const (
	rawBlob kind = 1 + iota
	zstdBlob
	oldRecord
	aWithdrawal
	aRecord
)

// A class is what is looked for under a hash.
type class uint8

// The classes of frames.
const (
	blobs class = iota
	records
)

func (k kind) class() class {
	if k == rawBlob || k == zstdBlob {
		return blobs
	}
	return records
}

func (k kind) known() bool { return k >= rawBlob && k <= aRecord }

// A header precedes the payload of each frame.
type header struct {
	kind kind
	// length is of the payload as it lies in the pack.
	length uint32
	// size is the size of a blob. Of a record or a withdrawal it is the generation: the later of two counts.
	size uint32
	hash [32]byte
	crc  uint32 // of the payload
}

const (
	frameMagic  = 0xcb1df7a3
	headerSize  = 60
	maxPayload  = 1 << 30
	scanChunk   = 256 << 10
	maxPackSize = 1<<32 - 1
)

// appendHeader appends h for a frame at offset of a pack with the given seed.
func appendHeader(buf []byte, seed uint32, offset int64, h *header) []byte {
	start := len(buf)
	buf = binary.LittleEndian.AppendUint32(buf, frameMagic)
	buf = append(buf, byte(h.kind), 0, 0, 0)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(offset))
	buf = binary.LittleEndian.AppendUint32(buf, h.length)
	buf = binary.LittleEndian.AppendUint32(buf, h.size)
	buf = append(buf, h.hash[:]...)
	buf = binary.LittleEndian.AppendUint32(buf, h.crc)
	return binary.LittleEndian.AppendUint32(buf, crc32.Update(seed, castagnoli, buf[start:]))
}

// parseHeader reads the header at offset; ok is false unless every bit of it is right.
func parseHeader(data []byte, seed uint32, offset int64) (h header, ok bool) {
	if len(data) < headerSize || binary.LittleEndian.Uint32(data) != frameMagic {
		return h, false
	}
	if binary.LittleEndian.Uint32(data[56:]) != crc32.Update(seed, castagnoli, data[:56]) {
		return h, false
	}
	h.kind = kind(data[4])
	h.length = binary.LittleEndian.Uint32(data[12:])
	h.size = binary.LittleEndian.Uint32(data[16:])
	copy(h.hash[:], data[20:])
	h.crc = binary.LittleEndian.Uint32(data[52:])
	return h, binary.LittleEndian.Uint32(data[8:]) == uint32(offset) && h.length <= maxPayload
}

// A frame is what scan found at an offset.
type frame struct {
	header
	offset int64
	// payload is valid until the next frame; sound tells whether its checksum is right.
	payload []byte
	sound   bool
}

var errNoPack = errors.New("not the beginning of this pack")

// checkPackHeader reads the beginning of a pack.
func checkPackHeader(f io.ReaderAt, id packID) error {
	got := make([]byte, packHeaderSize)
	if _, err := f.ReadAt(got, 0); err != nil && err != io.EOF {
		return err
	}
	if string(got) != string(appendPackHeader(nil, id)) {
		return errNoPack
	}
	return nil
}

// scan calls each for the frames of a pack from the offset from on, and returns where the last one ends. What follows is torn, or not
// all written yet: scanning ends at the first header that is not right, and at a last frame whose payload is not. The error is one of
// reading, or of each.
func scan(f io.ReaderAt, id packID, from int64, each func(*frame) error) (end int64, err error) {
	s := scanner{f: f, seed: id.seed()}
	var fr frame
	for at := from; ; {
		if fr, err = s.frame(at); err != nil || fr.kind == 0 {
			return at, err
		}
		next := at + headerSize + int64(fr.length)
		if !fr.sound {
			follows, err := s.frame(next)
			if err != nil || follows.kind == 0 {
				return at, err
			}
			if fr, err = s.frame(at); err != nil {
				return at, err
			}
		}
		if fr.kind.known() {
			if err := each(&fr); err != nil {
				return at, err
			}
		}
		at = next
	}
}

// A scanner reads a pack through a window that grows to the largest frame.
type scanner struct {
	f    io.ReaderAt
	seed uint32
	buf  []byte
	at   int64 // of buf
}

// frame returns the frame at offset; its kind is 0 if there is none.
func (s *scanner) frame(at int64) (fr frame, err error) {
	data, err := s.window(at, headerSize)
	if err != nil {
		return fr, err
	}
	h, ok := parseHeader(data, s.seed, at)
	if !ok {
		return fr, nil
	}
	if data, err = s.window(at, headerSize+int(h.length)); err != nil || len(data) < headerSize+int(h.length) {
		return fr, err
	}
	payload := data[headerSize : headerSize+int(h.length)]
	return frame{h, at, payload, crc32.Checksum(payload, castagnoli) == h.crc}, nil
}

// window returns at least n bytes from offset at on, fewer only at the end of the file.
func (s *scanner) window(at int64, n int) ([]byte, error) {
	if skip := at - s.at; skip >= 0 && skip+int64(n) <= int64(len(s.buf)) {
		return s.buf[skip:], nil
	}
	if size := max(n, scanChunk); cap(s.buf) < size {
		s.buf = make([]byte, 0, size)
	}
	s.buf, s.at = s.buf[:cap(s.buf)], at
	m, err := s.f.ReadAt(s.buf, at)
	s.buf = s.buf[:m]
	if err == io.EOF {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("read at %d: %w", at, err)
	}
	return s.buf, nil
}
