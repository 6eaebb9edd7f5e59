package archive

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A window is what a decompressor remembers of what it wrote. The header of a stream can ask for gigabytes; it gets what a stream of its
// size can need, which is at least what `xz -7` and `zstd -19` ask for, and at most what `zstd --long` does.
const (
	minWindow = 16 << 20
	maxWindow = 128 << 20
	// windowRatio is how many times its own size a stream can mean to look back.
	windowRatio = 16
)

func windowFor(size int64) int64 {
	if size > maxWindow {
		return maxWindow
	}
	return min(max(size*windowRatio, minWindow), maxWindow)
}

// decompress returns the tar stream in r, which has size bytes.
func decompress(f Format, r io.Reader, size int64) (io.Reader, func(), error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	window := windowFor(size)
	switch f {
	case TarGz:
		z, err := gzip.NewReader(buffered)
		return z, func() {}, err
	case TarZst:
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(uint64(window)), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, err
		}
		return &zstdReader{z, window}, z.Close, nil
	case TarXz:
		return newXZReader(buffered, window), func() {}, nil
	case TarBz2:
		return bzip2.NewReader(buffered), func() {}, nil
	}
	return buffered, func() {}, nil
}

// A zstdReader says which limit a stream is over.
type zstdReader struct {
	*zstd.Decoder
	window int64
}

func (z *zstdReader) Read(p []byte) (int, error) {
	n, err := z.Decoder.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		err = &LimitError{What: "needs a window", Most: z.window}
	}
	return n, err
}

// countedBytes reads byte by byte or in pieces, never more than it is asked for, and counts.
type countedBytes struct {
	r    *bufio.Reader
	n    int64
	also hash.Hash // where set, gets what is read byte by byte
}

func newCountedBytes(r io.Reader) *countedBytes {
	b, ok := r.(*bufio.Reader)
	if !ok {
		b = bufio.NewReader(r)
	}
	return &countedBytes{r: b}
}

func (c *countedBytes) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *countedBytes) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
		if c.also != nil {
			_, _ = c.also.Write([]byte{b})
		}
	}
	return b, err
}
