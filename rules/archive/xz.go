package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"runtime"

	"github.com/ulikunitz/xz/lzma"
)

// An xzReader reads the streams of an .xz file (version 1.2.0 of its specification) one block after the other. The container is read
// here, and only the blocks' LZMA2 data by a library: the library's own reader gives each block whatever window the block asks for.
type xzReader struct {
	in     *countedBytes
	window int64 // the greatest dictionary that is given
	begun  bool  // whether a stream has been read
	block  *xzBlock
	check  byte // how the blocks of this stream are checked
	// blocks and records hash the sizes of the blocks as they were and as the index says they are.
	blocks hash.Hash
	count  uint64
	// windows and unpacked are the sums of what dictionaries and contents took: many small blocks with large windows cost time.
	windows, unpacked int64
	idle              int64 // bytes of dictionaries that may still be in memory
	err               error
}

// An xzBlock is the block that is being read.
type xzBlock struct {
	data      io.Reader
	sum       hash.Hash
	begin     int64 // where its header begins
	body      int64 // where its data begins
	n         int64 // bytes of content
	packed    int64 // the sizes that the header says, or -1
	size      int64
	shortened bool // whether it got less of a window than it asked for
}

func newXZReader(r io.Reader, window int64) *xzReader {
	return &xzReader{in: newCountedBytes(r), window: window}
}

var errXZ = errors.New("not in the format xz")

func xzErrorf(format string, args ...any) error {
	return fmt.Errorf("xz: "+format, args...)
}

// Read implements io.Reader.
func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.block == nil {
			x.err = x.next()
			continue
		}
		n, err := x.block.data.Read(p)
		x.block.n += int64(n)
		x.unpacked += int64(n)
		_, _ = x.block.sum.Write(p[:n])
		switch {
		case errors.Is(err, io.EOF):
			x.err = x.endBlock()
		case err != nil && x.block.shortened:
			x.err = &LimitError{What: "needs a window", Most: x.window}
		case err != nil:
			x.err = err
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, x.err
}

// next begins the next block, of the next stream if need be. It returns io.EOF at the end of the last stream.
func (x *xzReader) next() error {
	if x.blocks == nil {
		if err := x.beginStream(); err != nil {
			return err
		}
	}
	begin := x.in.n
	size, err := x.in.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	if size == 0 {
		return x.endStream(begin)
	}
	header := make([]byte, (int(size)+1)*4)
	header[0] = size
	if _, err := io.ReadFull(x.in, header[1:]); err != nil {
		return unexpected(err)
	}
	return x.beginBlock(begin, header)
}

// beginStream reads the header of a stream and what pads it off from an earlier one.
func (x *xzReader) beginStream() error {
	header := make([]byte, 12)
	for {
		if _, err := io.ReadFull(x.in, header[:4]); err != nil {
			if x.begun && errors.Is(err, io.EOF) {
				return io.EOF
			}
			return unexpected(err)
		}
		if !x.begun || !bytes.Equal(header[:4], make([]byte, 4)) {
			break
		}
	}
	if _, err := io.ReadFull(x.in, header[4:]); err != nil {
		return unexpected(err)
	}
	if string(header[:6]) != "\xfd7zXZ\x00" || header[6] != 0 || header[7]&0xf0 != 0 || crc32.ChecksumIEEE(header[6:8]) != binary.LittleEndian.Uint32(header[8:]) {
		return errXZ
	}
	x.check, x.blocks, x.count, x.begun = header[7], sha256.New(), 0, true
	if newCheck(x.check) == nil {
		return xzErrorf("unknown check %d", x.check)
	}
	return nil
}

// newCheck returns the function that blocks are checked with, nil for one that is not known.
func newCheck(id byte) hash.Hash {
	switch id {
	case 0:
		return noCheck{crc32.NewIEEE()}
	case 1:
		return reversed{crc32.NewIEEE()}
	case 4:
		return reversed{crc64.New(crc64.MakeTable(crc64.ECMA))}
	case 10:
		return sha256.New()
	}
	return nil
}

// A noCheck has a sum of no bytes.
type noCheck struct{ hash.Hash }

func (noCheck) Sum(b []byte) []byte { return b }

// A reversed hash gives its sum with the lowest byte first.
type reversed struct{ hash.Hash }

func (r reversed) Sum(b []byte) []byte {
	sum := r.Hash.Sum(nil)
	for i := range sum {
		b = append(b, sum[len(sum)-1-i])
	}
	return b
}

// beginBlock reads what is in the header of a block, which began at begin.
func (x *xzReader) beginBlock(begin int64, header []byte) error {
	body, sum := header[:len(header)-4], binary.LittleEndian.Uint32(header[len(header)-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return xzErrorf("damaged header of a block")
	}
	b := &xzBlock{begin: begin, body: x.in.n, packed: -1, size: -1, sum: newCheck(x.check)}
	fields := bytes.NewReader(body[2:])
	for _, f := range []struct {
		flag byte
		to   *int64
	}{{0x40, &b.packed}, {0x80, &b.size}} {
		if body[1]&f.flag == 0 {
			continue
		}
		v, err := binary.ReadUvarint(fields)
		if err != nil || v >= 1<<63 {
			return xzErrorf("damaged size of a block")
		}
		*f.to = int64(v)
	}
	want, err := dictionary(body[1], fields)
	if err != nil {
		return err
	}
	if b.size >= 0 {
		want = min(want, b.size) // nothing reaches further back than to the beginning
	}
	window := max(min(want, x.window), lzma.MinDictCap)
	b.shortened = window < want
	x.windows += window
	if x.windows > 1<<30+16*x.unpacked {
		return &LimitError{What: "has small blocks with large windows", Most: x.windows}
	}
	if x.idle += window; x.idle > x.window { // earlier dictionaries, which the library can't use again, would pile up
		x.idle = window
		runtime.GC()
	}
	b.data, err = lzma.Reader2Config{DictCap: int(window)}.NewReader2(x.in)
	x.block = b
	return err
}

// dictionary reads the filters of a block and returns the size of the dictionary that the only one which is known asks for.
func dictionary(flags byte, fields *bytes.Reader) (int64, error) {
	var filter, size, bits byte
	for _, to := range []*byte{&filter, &size, &bits} {
		*to, _ = fields.ReadByte()
	}
	if flags&0x3f != 0 || filter != 0x21 || size != 1 {
		return 0, xzErrorf("filters other than LZMA2")
	}
	for {
		c, err := fields.ReadByte()
		if err != nil {
			break
		}
		if c != 0 {
			return 0, xzErrorf("damaged header of a block")
		}
	}
	return lzma.DecodeDictCap(bits)
}

// endBlock reads what follows the data of a block and compares.
func (x *xzReader) endBlock() error {
	b := x.block
	x.block = nil
	packed := x.in.n - b.body
	if b.packed >= 0 && b.packed != packed || b.size >= 0 && b.size != b.n {
		return xzErrorf("a block has another size than its header says")
	}
	if err := x.padding(packed); err != nil {
		return err
	}
	want := b.sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(x.in, got); err != nil {
		return unexpected(err)
	}
	if !bytes.Equal(got, want) {
		return xzErrorf("wrong checksum of a block")
	}
	x.count++
	record(x.blocks, uint64(b.body-b.begin+packed)+uint64(len(want)), uint64(b.n))
	return nil
}

// padding reads the zeros that fill n up to a multiple of four.
func (x *xzReader) padding(n int64) error {
	for ; n%4 != 0; n++ {
		if c, err := x.in.ReadByte(); err != nil || c != 0 {
			return errors.Join(xzErrorf("damaged padding"), err)
		}
	}
	return nil
}

// record adds the sizes of a block to h.
func record(h hash.Hash, unpadded, size uint64) {
	_ = binary.Write(h, binary.LittleEndian, [2]uint64{unpadded, size})
}

// endStream reads the index, which began at begin, and the footer.
func (x *xzReader) endStream(begin int64) error {
	sum := crc32.NewIEEE()
	_, _ = sum.Write([]byte{0})
	x.in.also = sum
	index := sha256.New()
	count, err := binary.ReadUvarint(x.in)
	for i := uint64(0); i < count && err == nil; i++ {
		var unpadded, size uint64
		if unpadded, err = binary.ReadUvarint(x.in); err == nil {
			size, err = binary.ReadUvarint(x.in)
		}
		record(index, unpadded, size)
	}
	if err == nil {
		err = x.padding(x.in.n - begin)
	}
	x.in.also = nil
	if err != nil {
		return unexpected(err)
	}
	if count != x.count || !bytes.Equal(index.Sum(nil), x.blocks.Sum(nil)) {
		return xzErrorf("the index does not tell of these blocks")
	}
	size := x.in.n - begin
	tail := make([]byte, 16)
	if _, err := io.ReadFull(x.in, tail); err != nil {
		return unexpected(err)
	}
	footer := tail[4:]
	switch {
	case binary.LittleEndian.Uint32(tail) != sum.Sum32():
		return xzErrorf("wrong checksum of the index")
	case string(footer[10:]) != "YZ" || footer[8] != 0 || footer[9] != x.check || crc32.ChecksumIEEE(footer[4:10]) != binary.LittleEndian.Uint32(footer):
		return xzErrorf("damaged footer")
	case (int64(binary.LittleEndian.Uint32(footer[4:]))+1)*4 != size+4:
		return xzErrorf("the footer does not fit the index")
	}
	x.blocks = nil
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// NewXZReader returns what the .xz file in r holds, which has size bytes. Like an archive, it gets no more memory than a file of its size
// can need.
func NewXZReader(r io.Reader, size int64) io.Reader { return newXZReader(r, windowFor(size)) }
