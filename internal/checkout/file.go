package checkout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"cbuild/cas"
)

// Ours is the user of a Writer that gives away nothing.
const Ours = -1

// A Writer writes what a store holds to new places on the disk. What an action needs are mostly small files, many to a directory, so each takes
// as few system calls as it can, and names are looked up in the directory of the file before, which stays open until Close. It is for one goroutine at a
// time.
type Writer struct {
	store cas.Store
	user  int
	dir   string // with a slash at its end
	fd    int    // of dir; -1 if there is none
}

// NewWriter returns a Writer of what is in s, which belongs to user, and his group, or to Ours.
func NewWriter(s cas.Store, user int) *Writer { return &Writer{store: s, user: user, fd: -1} }

// Close closes the directory that was written to. The Writer can be used again.
func (w *Writer) Close() {
	if w.fd >= 0 {
		_ = unix.Close(w.fd) // nothing was written
	}
	w.dir, w.fd = "", -1
}

// small is the size below which a blob is written by one call, in bytes.
const small = 64 << 10

// buffers holds *[small]byte.
var buffers = sync.Pool{New: func() any { return new([small]byte) }}

// File writes the blob d to a new file at path; the error wraps fs.ErrExist if there is one already.
func (w *Writer) File(ctx context.Context, d cas.Digest, executable bool, path string) error {
	r, err := w.store.Open(ctx, d)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	pooled := buffers.Get().(*[small]byte)
	defer buffers.Put(pooled)
	c := content{rest: r}
	if d.Size < small {
		if err = c.read(pooled[:]); err == nil && c.rest == nil {
			err = closed(r, path)
			r = nil
		}
	}
	if err == nil {
		err = w.create(path, executable, &c)
	}
	if r != nil {
		if cerr := closed(r, path); err == nil {
			err = cerr
		}
	}
	return err
}

// closed closes the reader of what goes to path. The content is checked on the way, so the error may say that it is wrong.
func closed(r io.Closer, path string) error {
	if err := r.Close(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

// A content is the beginning of a file, and what follows, if it is not nil.
type content struct {
	begin []byte
	rest  io.Reader
}

// read reads into buf what follows, and that nothing does if it ends there.
func (c *content) read(buf []byte) error {
	for n := 0; n < len(buf); {
		m, err := c.rest.Read(buf[n:])
		n += m
		c.begin = buf[:n]
		if err == io.EOF {
			c.rest = nil
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// create makes a file, with everything that is told about it: its mode does not depend on our umask.
func (w *Writer) create(path string, executable bool, c *content) error {
	dir, name := filepath.Split(path)
	if err := w.open(dir); err != nil {
		return err
	}
	mode := uint32(0o644)
	if executable {
		mode = 0o755
		spilled, err := c.ahead(filepath.Clean(dir))
		if err != nil {
			return err
		}
		if spilled != nil {
			defer spilled.Close()
		}
	}
	err := w.fill(name, path, mode, c)
	if err == nil {
		err = again(func() error { return unix.UtimesNanoAt(w.fd, name, epoch, unix.AT_SYMLINK_NOFOLLOW) })
	}
	var errno syscall.Errno
	if errors.As(err, &errno) && !errors.As(err, new(*fs.PathError)) {
		err = &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return err
}

// epoch is the Epoch, as the time of the last access and of the last modification.
var epoch = []unix.Timespec{unix.NsecToTimespec(Epoch.UnixNano()), unix.NsecToTimespec(Epoch.UnixNano())}

// open opens dir, if it is not.
func (w *Writer) open(dir string) error {
	if w.fd >= 0 && dir == w.dir {
		return nil
	}
	w.Close()
	err := again(func() (err error) {
		w.fd, err = unix.Open(filepath.Clean(dir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		w.fd = -1
		return &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	w.dir = dir
	return nil
}

// fill makes the file name and writes c to it. No process is forked while a program is open for writing: a forked process holds it open too, until
// somewhere in the middle of its own exec (on Linux, its parent goes on before the descriptors are closed), and whoever executes the file then
// gets ETXTBSY.
func (w *Writer) fill(name, path string, mode uint32, c *content) (err error) {
	if mode&0o100 != 0 {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
	}
	fd := -1
	err = again(func() (err error) {
		fd, err = unix.Openat(w.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var file io.Closer = descriptor(fd)
	defer func() {
		if cerr := file.Close(); err == nil {
			err = cerr
		}
	}()
	if err := writeAll(fd, c.begin); err != nil {
		return err
	}
	if c.rest != nil {
		f := os.NewFile(uintptr(fd), path)
		file = f
		if _, err := io.Copy(f, c.rest); err != nil {
			return err
		}
	}
	return w.finish(fd, mode)
}

// finish gives an open file its mode, as far as it has another one, and its owner.
func (w *Writer) finish(fd int, mode uint32) error {
	var stat unix.Stat_t
	if err := again(func() error { return unix.Fstat(fd, &stat) }); err != nil {
		return err
	}
	if uint32(stat.Mode)&0o7777 != mode {
		if err := again(func() error { return unix.Fchmod(fd, mode) }); err != nil {
			return err
		}
	}
	if w.user == Ours {
		return nil
	}
	return again(func() error { return unix.Fchown(fd, w.user, w.user) })
}

// A descriptor is an open file.
type descriptor int

// Close closes it. It is not done again after an interruption: the descriptor is free then, and may be somebody else's already.
func (d descriptor) Close() error {
	if err := unix.Close(int(d)); err != unix.EINTR {
		return err
	}
	return nil
}

func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// again does what signals may interrupt until they don't.
func again(do func() error) error {
	for {
		if err := do(); err != unix.EINTR {
			return err
		}
	}
}
