package checkout

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// maxBuffer is how much of a program, in bytes, is kept in memory on its way to its file.
const maxBuffer = 4 << 20

// program creates the executable file at path with the content of r. No process is forked while it is open for writing: a forked
// process holds it open too, until somewhere in the middle of its own exec (on Linux, its parent goes on before the descriptors are
// closed), and whoever executes the file then gets ETXTBSY. R is read before, because a store may itself wait for what needs the
// lock.
func program(path string, r io.Reader) error {
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(r, maxBuffer))
	if err != nil {
		return err
	}
	content := io.Reader(&buf)
	if n == maxBuffer {
		f, err := spill(filepath.Dir(path), io.MultiReader(&buf, r))
		if err != nil {
			return err
		}
		defer f.Close()
		content = f
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return create(path, 0o755, content)
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
