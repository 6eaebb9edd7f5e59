package local

import (
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// chunk is how much of a blob is read at a time, and how much of its beginning decides whether it is compressed.
	chunk = 64 << 10
	// minCompress is the size below which compression is not tried: the file takes a block anyway.
	minCompress = 512
	// maxInMemory is the size up to which a compressed blob is unpacked in memory.
	maxInMemory = 1 << 20
	// window is how far back compression looks, and maxWindow how far we let a file make us look.
	window    = 1 << 20
	maxWindow = 8 << 20
)

// A codec holds what compresses and unpacks. Its whole-buffer calls may run concurrently.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder

	writers, readers sync.Pool // of *zstd.Encoder and *zstd.Decoder
	chunks           sync.Pool // of *[]byte, chunk long
	pieces           sync.Pool // of *[4][]byte, piece long
}

func (c *codec) init() (err error) {
	if c.enc, err = newEncoder(nil); err != nil {
		return err
	}
	c.dec, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxInMemory), zstd.WithDecoderConcurrency(0))
	return err
}

func newEncoder(w io.Writer) (*zstd.Encoder, error) {
	options := []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithWindowSize(window)}
	if w != nil {
		options = append(options, zstd.WithEncoderConcurrency(1)) // no goroutines
	}
	return zstd.NewWriter(w, options...)
}

// shrink returns data compressed, or nil if that does not save an eighth.
func (c *codec) shrink(data []byte) []byte {
	if len(data) < minCompress {
		return nil
	}
	small := c.enc.EncodeAll(data, make([]byte, 0, len(data)/2))
	if len(small) > len(data)-len(data)/8 {
		return nil
	}
	return small
}

// writer returns an encoder to w, for putWriter after its Close.
func (c *codec) writer(w io.Writer) (*zstd.Encoder, error) {
	if e, ok := c.writers.Get().(*zstd.Encoder); ok {
		e.Reset(w)
		return e, nil
	}
	return newEncoder(w)
}

func (c *codec) putWriter(e *zstd.Encoder) { c.writers.Put(e) }

// reader returns a decoder of r without goroutines, for putReader.
func (c *codec) reader(r io.Reader) (*zstd.Decoder, error) {
	if d, ok := c.readers.Get().(*zstd.Decoder); ok {
		return d, d.Reset(r)
	}
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
}

func (c *codec) putReader(d *zstd.Decoder) {
	if d.Reset(nil) == nil {
		c.readers.Put(d)
	}
}

// piece is how much of a large blob is written at a time.
const piece = 256 << 10

// large returns buffers for the pieces of a large blob that are on their way, for putLarge.
func (c *codec) large() *[4][]byte {
	if b, ok := c.pieces.Get().(*[4][]byte); ok {
		return b
	}
	var b [4][]byte
	for i := range b {
		b[i] = make([]byte, piece)
	}
	return &b
}

func (c *codec) putLarge(b *[4][]byte) { c.pieces.Put(b) }

// buffer returns chunk bytes, for putBuffer.
func (c *codec) buffer() *[]byte {
	if b, ok := c.chunks.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, chunk)
	return &b
}

func (c *codec) putBuffer(b *[]byte) { c.chunks.Put(b) }
