package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A box and its helper talk over a pair of sockets in messages: the length of the body (4 bytes, little-endian), its kind (1 byte), and the
// body. The files that belong to a message travel with its first bytes.
const headerSize = 5

// maxMessage bounds a message in bytes: more than the kernel takes for arguments and environment.
const maxMessage = 8 << 20

// maxFiles is the most files that belong to a message: three streams, and the ways into and out of a control group.
const maxFiles = 8

// The kinds of messages.
const (
	msgRun    = iota + 1 // to the helper: an order; with standard input, output and error
	msgSignal            // to the helper: one of the signals below
	msgEnded             // from the helper: a report
	msgReady             // from the helper: it is set up, or why it could not be
	msgPlaces            // to the helper, once: the directories of all runs and of all trees; with the trees as its command's own, if it can't make that
	msgWorld             // to the helper: a world, for the command that comes next
	msgMade              // from the helper: why it could not be made, or nothing; with the parent of the run's directory, and what keeps it
)

// The signals of msgSignal.
const (
	signalTerm = iota // SIGTERM, and SIGCONT for what is stopped, to the command's group
	signalKill        // SIGKILL to everything
)

// A world says what a command finds around it. Root is a directory below the directory of all runs, and Tools and Trees are below the
// directory of all trees.
type world struct {
	Root  string
	Tools []string
	// Script says that there is a script beside the run's directory.
	Script bool
	// Memory says that the run's directory is below that of memory; changes are on the disk.
	Memory bool
	// Layers are directories below that of memory that lie below the run's.
	Layers []string
	// Trees are the trees that stand in the run's directory: path and name in turns.
	Trees []string
}

// An order says what the helper is to run. All paths are inside of the sandbox.
type order struct {
	Argv, Env []string
	// Dir is where it starts, Path where its program is searched.
	Dir, Path string
	// Terminal says that standard input is the terminal of its session.
	Terminal bool
	// Limits are those of its processes. Enter is how many files, after the three streams, lead to its control group; with Leave the last one
	// leads back.
	Limits processLimits
	Enter  int
	Leave  bool
}

// A report says how a command ended.
type report struct {
	// Errno is set if it could not be started, with a text.
	Errno int
	Text  string
	// Status is the wait status; MaxRSS is in bytes, User and System are nanoseconds.
	Status               uint32
	MaxRSS, User, System int64
}

// encoder and decoder write and read the parts of a body.
type encoder struct{ b []byte }

func (e *encoder) int(n int64) { e.b = binary.AppendVarint(e.b, n) }
func (e *encoder) bool(v bool) {
	n := int64(0)
	if v {
		n = 1
	}
	e.int(n)
}

func (e *encoder) string(s string) {
	e.b = binary.AppendUvarint(e.b, uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) strings(list []string) {
	e.b = binary.AppendUvarint(e.b, uint64(len(list)))
	for _, s := range list {
		e.string(s)
	}
}

var errMessage = errors.New("sandbox: a message that is none")

type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uint() uint64 { return number(d, binary.Uvarint) }
func (d *decoder) int() int64   { return number(d, binary.Varint) }

// number reads a number as read does, which returns its size, or none if there is no number.
func number[T int64 | uint64](d *decoder, read func([]byte) (T, int)) T {
	n, size := read(d.b)
	if size <= 0 {
		d.b, d.err = nil, errMessage
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) string() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.b, d.err = nil, errMessage
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) strings() (list []string) {
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		list = append(list, d.string())
	}
	return list
}

func (d *decoder) bool() bool { return d.int() != 0 }

func (w *world) encode() []byte {
	var e encoder
	e.string(w.Root)
	e.strings(w.Tools)
	e.bool(w.Script)
	e.bool(w.Memory)
	e.strings(w.Layers)
	e.strings(w.Trees)
	return e.b
}

func decodeWorld(b []byte) (*world, error) {
	d := decoder{b: b}
	w := &world{Root: d.string(), Tools: d.strings(), Script: d.bool(), Memory: d.bool(), Layers: d.strings(), Trees: d.strings()}
	if d.err != nil || w.Root == "" || len(w.Trees)%2 != 0 {
		return nil, errMessage
	}
	return w, nil
}

func (o *order) encode() []byte {
	var e encoder
	e.strings(o.Argv)
	e.strings(o.Env)
	e.string(o.Dir)
	e.string(o.Path)
	e.bool(o.Terminal)
	e.int(o.Limits.Data)
	e.int(o.Limits.File)
	e.int(int64(o.Enter))
	e.bool(o.Leave)
	return e.b
}

func decodeOrder(b []byte) (*order, error) {
	d := decoder{b: b}
	o := &order{Argv: d.strings(), Env: d.strings(), Dir: d.string(), Path: d.string(), Terminal: d.bool()}
	o.Limits = processLimits{Data: d.int(), File: d.int()}
	o.Enter, o.Leave = int(d.int()), d.int() != 0
	if d.err != nil || len(o.Argv) == 0 {
		return nil, errMessage
	}
	return o, nil
}

func (r *report) encode() []byte {
	var e encoder
	for _, n := range []int64{int64(r.Errno), int64(r.Status), r.MaxRSS, r.User, r.System} {
		e.int(n)
	}
	e.string(r.Text)
	return e.b
}

func decodeReport(b []byte) (*report, error) {
	d := decoder{b: b}
	r := &report{Errno: int(d.int()), Status: uint32(d.int()), MaxRSS: d.int(), User: d.int(), System: d.int()}
	r.Text = d.string()
	return r, d.err
}

// send writes a message to the socket fd, with files.
func send(fd int, kind byte, body []byte, files ...int) error {
	if len(body) > maxMessage {
		return unix.E2BIG
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	message := append(append(head, kind), body...)
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	for len(message) > 0 {
		n, err := unix.SendmsgN(fd, message, rights, nil, unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("sendmsg", err)
		}
		message, rights = message[n:], nil
	}
	return nil
}

// receive reads a message from the socket fd. The caller closes the files.
func receive(fd int) (kind byte, body []byte, files []int, err error) {
	head := make([]byte, headerSize)
	rights := make([]byte, unix.CmsgSpace(maxFiles*4))
	n, rn, err := 0, 0, error(nil)
	for {
		n, rn, _, _, err = unix.Recvmsg(fd, head, rights, unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	switch {
	case err != nil:
		return 0, nil, nil, os.NewSyscallError("recvmsg", err)
	case n == 0:
		return 0, nil, nil, io.EOF
	}
	if messages, err := unix.ParseSocketControlMessage(rights[:rn]); err == nil {
		for _, m := range messages {
			if fds, err := unix.ParseUnixRights(&m); err == nil {
				files = append(files, fds...)
			}
		}
	}
	if err := readFull(fd, head[n:]); err != nil {
		return 0, nil, files, err
	}
	size := binary.LittleEndian.Uint32(head)
	if size > maxMessage {
		return 0, nil, files, fmt.Errorf("%w: %d bytes", errMessage, size)
	}
	body = make([]byte, size)
	return head[4], body, files, readFull(fd, body)
}

func readFull(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Read(fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		p = p[n:]
	}
	return nil
}
