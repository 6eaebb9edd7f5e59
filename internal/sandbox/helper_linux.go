package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A helper is process 1 of the namespaces of one box: users, processes, network, mounts, host name. It lives as long as the socket to the
// process that started it, and everything in the box ends with it. It prepares a root directory once; each command gets a copy of
// these mounts, and its own directory in it.

// helperName is what a helper is called: a program that is started under this name must call Helper.
const helperName = "cbuild-sandbox"

// helperEnv is the whole environment of a helper, which has little to do at a time.
var helperEnv = []string{"GOMAXPROCS=4"}

// helperTry is the argument of a process that does nothing: it is started to see whether one can be.
const helperTry = "try"

// helperSocket is the helper's end of the socket.
const helperSocket = 3

// Where things are in a box that commands do not see.
const (
	boxRuns   = "/.cbuild/run"    // the directory of all runs
	boxTrees  = "/.cbuild/tree"   // that of all trees
	boxInputs = "/.cbuild/input"  // the same, belonging to the user of commands
	boxMemory = "/.cbuild/memory" // what is copied into memory
	boxNone   = "/.cbuild/none"   // an empty directory, to hide others
)

// insideID is the user and group that commands see themselves as.
const insideID = 1000

// Helper runs this process as a helper, if it was started as one, and does not return then. Programs that use this package call it
// first of all.
func Helper() {
	if len(os.Args) != 2 || os.Args[0] != helperName {
		return
	}
	if os.Args[1] == helperTry {
		os.Exit(0)
	}
	if os.Args[1] == mapperKind {
		mapper()
	}
	runtime.LockOSThread()
	readPeak()
	h := &helper{privileged: os.Getuid() == 0, offline: os.Args[1] == "offline", inputs: -1}
	if err := h.setup(); err != nil {
		_ = send(helperSocket, msgReady, []byte(err.Error()))
		os.Exit(1)
	}
	if send(helperSocket, msgReady, nil, h.memory) == nil {
		h.serve()
	}
	os.Exit(0)
}

type helper struct {
	privileged bool // commands get another user than the helper
	offline    bool
	system     string   // one of systemHost and the others
	inputs     int      // the trees as they belong to the user of commands; -1 if that is the helper's own
	memory     int      // the directory of what is copied into memory
	next       *pending // the world of the next command
	running    int      // the first process of the command; 0 if there is none. Written and read by the main goroutine
}

// serve takes orders until nobody is there to give any.
func (h *helper) serve() {
	messages := make(chan message)
	go func() { // ends with the process
		for {
			kind, body, files, err := receive(helperSocket)
			messages <- message{kind, body, files, err}
			if err != nil {
				return
			}
		}
	}()
	var ended chan *report
	for {
		select {
		case m := <-messages:
			switch {
			case m.err != nil:
				return
			case m.kind == msgWorld && ended == nil:
				if h.make(m) != nil {
					return
				}
			case m.kind == msgRun && ended == nil:
				pid, err := h.start(m)
				if err != nil {
					_ = send(helperSocket, msgEnded, refusal(err).encode())
					continue
				}
				h.running, ended = pid, make(chan *report, 1)
				go func() { ended <- reap(pid) }()
			case m.kind == msgSignal && len(m.body) == 1 && ended != nil:
				h.signal(m.body[0])
			}
		case r := <-ended:
			ended, h.running = nil, 0
			if send(helperSocket, msgEnded, r.encode()) != nil {
				return
			}
		}
	}
}

type message struct {
	kind  byte
	body  []byte
	files []int
	err   error
}

func (h *helper) signal(which byte) {
	if which == signalKill {
		_ = syscall.Kill(-1, syscall.SIGKILL) // everybody but us
		return
	}
	_ = syscall.Kill(-h.running, syscall.SIGTERM)
	_ = syscall.Kill(-h.running, syscall.SIGCONT) // a stopped process would not see it
}

// refusal is the report of a command that could not be started.
func refusal(err error) *report {
	r := &report{Errno: int(unix.EIO), Text: err.Error()}
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		r.Errno = int(errno)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		r.Errno = int(unix.ENOENT)
	}
	return r
}

// reap waits until the command's first process has ended, ends everything else in the box, and waits for that, too.
func reap(pid int) *report {
	r := &report{}
	for found := false; ; {
		var status unix.WaitStatus
		var usage unix.Rusage
		got, err := unix.Wait4(-1, &status, 0, &usage)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil: // there is nobody left
			return r
		case got == pid && !found:
			found = true
			r.Status = uint32(status)
			r.add(&usage)
			_ = syscall.Kill(-1, syscall.SIGKILL)
		case found:
			r.add(&usage)
			_ = syscall.Kill(-1, syscall.SIGKILL) // who was forked just before the first one
		default:
			r.add(&usage)
		}
	}
}

// add counts what a process used, and those that it waited for.
func (r *report) add(u *unix.Rusage) {
	r.MaxRSS = max(r.MaxRSS, beyondOurs(u.Maxrss))
	r.User += u.Utime.Nano()
	r.System += u.Stime.Nano()
}

// start starts a command in the world that was made for it.
func (h *helper) start(m message) (pid int, err error) {
	defer func() {
		for _, fd := range m.files {
			_ = unix.Close(fd)
		}
	}()
	o, err := decodeOrder(m.body)
	if err != nil || o.Enter < 0 || len(m.files) != 3+o.Enter || h.next == nil {
		return 0, errors.Join(errMessage, err)
	}
	next := h.next
	h.next = nil
	next.commands <- command{o, m.files}
	s := <-next.started
	if o.Leave {
		_, _ = unix.Write(m.files[len(m.files)-1], []byte("0"))
	}
	if s.err == nil {
		limitProcesses(o.Limits, func(pid int) bool { return pid != 1 })
	}
	return s.pid, s.err
}

// launch starts the command. The thread that calls it is in the command's world, and of no use afterwards.
func (h *helper) launch(o *order, files []int) (pid int, err error) {
	entries := files[3:]
	if o.Leave {
		entries = entries[:len(entries)-1]
	}
	for _, fd := range entries {
		if _, err := unix.Write(fd, []byte("0")); err != nil {
			return 0, worldTrouble("control group", err)
		}
	}
	if err := h.drop(); err != nil {
		return 0, worldTrouble("rights", err)
	}
	program, err := lookPath(o.Argv[0], o.Path, o.Dir)
	if err != nil {
		return 0, err
	}
	pid, err = syscall.ForkExec(program, o.Argv, &syscall.ProcAttr{
		Dir: o.Dir, Env: o.Env, Files: []uintptr{uintptr(files[0]), uintptr(files[1]), uintptr(files[2])},
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: o.Terminal},
	})
	return pid, startTrouble(err, program, o.Argv[0])
}

// worldTrouble is an error on the way to a command. Its number is not passed on: it would be taken for one of the command's program.
func worldTrouble(what string, err error) error { return fmt.Errorf("%s: %v: %w", what, err, unix.EIO) }

// drop takes every right from this thread. The calls are raw: those of package syscall would change all threads.
func (h *helper) drop() error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if _, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0); errno != 0 && errno != unix.EINVAL {
			return fmt.Errorf("bounding set: %w", errno)
		}
	}
	if h.privileged {
		for _, call := range []struct{ trap, a, b, c uintptr }{
			{unix.SYS_SETGROUPS, 0, 0, 0}, {unix.SYS_SETRESGID, insideID, insideID, insideID}, {unix.SYS_SETRESUID, insideID, insideID, insideID},
		} {
			if _, _, errno := unix.RawSyscall(call.trap, call.a, call.b, call.c); errno != 0 {
				return fmt.Errorf("user: %w", errno)
			}
		}
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if _, _, errno := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&none[0])), 0); errno != 0 {
		return fmt.Errorf("capabilities: %w", errno)
	}
	return confine()
}

// setup prepares what all commands of the box have in common. Where to find what it mounts is told in a message: commands can read the
// arguments of process 1.
func (h *helper) setup() error {
	kind, body, files, err := receive(helperSocket)
	if err != nil {
		return err
	}
	if len(files) == 1 {
		h.inputs = files[0]
	}
	d := decoder{b: body}
	places := d.strings()
	if kind != msgPlaces || d.err != nil || len(places) < 3 {
		return errMessage
	}
	h.system = places[2]
	// A command of the same user could send any signal. They are caught and left alone: one that is ignored would be for commands, too.
	signal.Notify(make(chan os.Signal, 1))
	unix.Umask(contractMask)
	_ = unix.CloseRange(helperSocket+1, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) // without it everything has the flag already
	unix.CloseOnExec(helperSocket)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	if err := limit(unix.RLIMIT_NPROC, maxProcesses); err != nil {
		return fmt.Errorf("limit of processes: %w", err)
	}
	if err := unix.Sethostname([]byte("cbuild")); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	if h.offline {
		if err := loopback(); err != nil {
			return fmt.Errorf("loopback: %w", err)
		}
	}
	return h.makeRoot(places[0], places[1], places[3:])
}

// maxProcesses is how many processes and threads a box may have.
const maxProcesses = 8192

// limit lowers a limit of this process and all that it starts.
func limit(resource int, most uint64) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(resource, &l); err != nil {
		return err
	}
	l.Cur, l.Max = min(l.Cur, most), min(l.Max, most)
	return unix.Setrlimit(resource, &l)
}

// loopback makes 127.0.0.1 work.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req)
}

// dieLate bounds how long a box may take to end.
const dieLate = 10 * time.Second
