package checkout

import (
	"bytes"
	"io"
	"os"
)

// maxBuffer is how much of a program, in bytes, is kept in memory on its way to its file.
const maxBuffer = 4 << 20

// ahead reads all of a program before its file is made, because a store may itself wait for what needs the lock that is held then. What is too
// much for memory goes to a file without a name in dir, which the caller closes if it is not nil.
func (c *content) ahead(dir string) (spilled *os.File, err error) {
	if c.rest == nil {
		return nil, nil
	}
	var buf bytes.Buffer
	buf.Write(c.begin)
	if _, err := io.Copy(&buf, io.LimitReader(c.rest, maxBuffer-int64(buf.Len()))); err != nil {
		return nil, err
	}
	if buf.Len() < maxBuffer {
		*c = content{begin: buf.Bytes()}
		return nil, nil
	}
	if spilled, err = spill(dir, io.MultiReader(&buf, c.rest)); err == nil {
		*c = content{rest: spilled}
	}
	return spilled, err
}

// spill writes what r holds to a file without a name, and returns it to be read.
func spill(dir string, r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".program-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		_, err = io.Copy(f, r)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
