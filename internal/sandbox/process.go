package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"cbuild/engine"
	"cbuild/internal/checkout"
)

// grace is how long a command may take to end after SIGTERM.
const grace = 2 * time.Second

// lastWords is how long output is still taken after a command has ended, if a process that left its group holds the pipe.
const lastWords = 200 * time.Millisecond

// execute runs the command to its end, its limit, or the end of ctx, and leaves nothing of it behind.
func (r *run) execute(ctx context.Context) (*engine.Result, error) {
	s, err := r.streams(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return r.executeWith(ctx, s)
}

// executeWith is execute with these streams.
func (r *run) executeWith(ctx context.Context, s *streams) (*engine.Result, error) {
	limit, stop := context.WithTimeout(ctx, r.c.Timeout)
	if r.c.Timeout <= 0 {
		limit, stop = context.WithCancel(ctx)
	}
	defer stop()
	if r.box != nil {
		return r.executeBoxed(ctx, limit, s)
	}
	var ended atomic.Bool // by us, not by itself
	cmd, err := r.cmd(limit, &ended)
	if err != nil {
		return r.notStarted(err)
	}
	if s.terminal {
		a := cmd.SysProcAttr
		a.Setpgid, a.Setsid, a.Setctty = false, true, true // it is the leader of its group nevertheless
	}
	group, err := r.openGroup()
	if err != nil {
		return nil, err
	}
	defer group.close()
	runtime.LockOSThread() // the command ends with the thread that starts it
	defer runtime.UnlockOSThread()
	begun := time.Now()
	if err := r.start(cmd, s, group); err != nil {
		return r.notStarted(err)
	}
	limitProcesses(r.processLimits(group), func(pid int) bool {
		g, err := syscall.Getpgid(pid)
		return err == nil && g == cmd.Process.Pid
	})
	err = r.wait(cmd, s)
	res := &engine.Result{Took: time.Since(begun)}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case ended.Load():
		r.timedOut(res)
	default:
		res.Status, res.ExitCode = statusOf(cmd.ProcessState.Sys().(syscall.WaitStatus))
	}
	res.Used = engine.Usage{User: cmd.ProcessState.UserTime(), System: cmd.ProcessState.SystemTime(), Memory: maxResident(cmd.ProcessState)}
	r.account(group, res)
	return res, nil
}

func (r *run) timedOut(res *engine.Result) {
	res.Status, res.ExitCode = engine.Timeout, -1
	fmt.Fprintf(&r.log, "\ncbuild: ended after its timeout of %v\n", r.c.Timeout)
}

// statusOf says how a process ended.
func statusOf(ws syscall.WaitStatus) (engine.Status, int) {
	switch {
	case ws.Signaled():
		return engine.Crash, 128 + int(ws.Signal())
	case ws.ExitStatus() != 0:
		return engine.Fail, ws.ExitStatus()
	}
	return engine.Pass, 0
}

// notStarted is the result of a command whose program does not exist or can't be executed, as a shell would see it; anything else
// is trouble.
func (r *run) notStarted(err error) (*engine.Result, error) {
	code := 127
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
	case errors.Is(err, fs.ErrPermission), slices.ContainsFunc(notExecutable, func(e error) bool { return errors.Is(err, e) }):
		code = 126
	default:
		return nil, err
	}
	fmt.Fprintf(&r.log, "cbuild: %s\n", r.portable.Replace(err.Error()))
	return &engine.Result{Status: engine.Fail, ExitCode: code}, nil
}

// notExecutable are the errors of execve, beside that of permissions, which say something about what is to be executed.
var notExecutable = []error{syscall.ENOEXEC, syscall.E2BIG, syscall.EINVAL, syscall.ENAMETOOLONG, syscall.ELOOP}

// cmd prepares the process: what it is, where it starts and what its environment is. When ctx ends, ended is set, and its process
// group gets SIGTERM and, after the grace, SIGKILL.
func (r *run) cmd(ctx context.Context, ended *atomic.Bool) (*exec.Cmd, error) {
	env, searchPath := r.env()
	argv := make([]string, len(r.c.Argv))
	for i, a := range r.c.Argv {
		argv[i] = r.expand.Replace(a)
	}
	dir := r.path(r.c.Dir)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("dir %s: no input stands there: %w", r.c.Dir, fs.ErrNotExist)
	}
	program, err := lookPath(argv[0], searchPath, dir)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Args, cmd.Env, cmd.Dir = argv, env, dir
	cmd.SysProcAttr = r.umask.attributes()
	cmd.WaitDelay = grace
	cmd.Cancel = func() error {
		ended.Store(true)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		return syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT) // a stopped process would not see it
	}
	return cmd, nil
}

// env returns the environment, never nil: that would be our own. Without a mount namespace, a private /tmp is elsewhere.
func (r *run) env() (env []string, searchPath string) {
	env = make([]string, 0, len(r.c.Env))
	for _, e := range r.c.Env {
		name, value, _ := strings.Cut(r.expand.Replace(e), "=")
		if value == "/tmp" && (name == "HOME" || name == "TMPDIR") {
			value = filepath.Join(r.root, "tmp")
		}
		if name == "PATH" {
			searchPath = value
		}
		env = append(env, name+"="+value)
	}
	return append(env, r.secretEnv()...), searchPath
}

// lookPath finds a program as a shell in dir with the given PATH would. What can't be executed is found if there is nothing better.
func lookPath(name, searchPath, dir string) (string, error) {
	if strings.Contains(name, "/") {
		return from(dir, name), nil
	}
	forbidden := ""
	for _, d := range filepath.SplitList(searchPath) {
		p := filepath.Join(from(dir, d), name)
		info, err := os.Stat(p)
		switch {
		case err != nil || !info.Mode().IsRegular():
		case info.Mode()&0o111 != 0:
			return p, nil
		case forbidden == "":
			forbidden = p
		}
	}
	if forbidden != "" {
		return forbidden, nil
	}
	return "", fmt.Errorf("%s: %w (PATH is %s)", name, exec.ErrNotFound, searchPath)
}

// from returns p as it is seen from dir.
func from(dir, p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(dir, p)
}

// streams are the standard streams of a command, at our end and at its own.
type streams struct {
	in       *os.File // nil for an empty one
	out, err pipe
	file     *os.File // captures standard output; may be nil
	terminal bool     // in is the terminal of the command's session
}

type pipe struct{ r, w *os.File }

func (s *streams) close() {
	for _, f := range []*os.File{s.in, s.file, s.out.r, s.out.w, s.err.r, s.err.w} {
		if f != nil {
			f.Close()
		}
	}
}

// streams opens them.
func (r *run) streams(ctx context.Context) (s *streams, err error) {
	s = &streams{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if r.c.Stdout != "" {
		if s.file, err = r.inside.OpenFile(r.c.Stdout, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
			return s, fmt.Errorf("stdout: %w", misplaced(err))
		}
		if err = s.file.Chmod(0o644); err != nil {
			return s, err
		}
	}
	if !r.c.Stdin.IsZero() {
		if s.in, err = r.stdin(ctx); err != nil {
			return s, err
		}
	}
	if s.out.r, s.out.w, err = os.Pipe(); err == nil {
		s.err.r, s.err.w, err = os.Pipe()
	}
	return s, err
}

// stdin opens a file with the content of standard input.
func (r *run) stdin(ctx context.Context) (*os.File, error) {
	path := filepath.Join(r.root, "stdin")
	if err := checkout.File(ctx, r.store, r.c.Stdin, false, path); err != nil {
		return nil, lost(err, r.c.Stdin)
	}
	return os.Open(path)
}

// start starts cmd with its ends of the streams, in the group g if there is one.
func (r *run) start(cmd *exec.Cmd, s *streams, g *group) error {
	if s.in != nil {
		cmd.Stdin = s.in
	}
	cmd.Stdout, cmd.Stderr = s.out.w, s.err.w
	err := begin(func() (int, error) {
		err := r.umask.start(func() error { return g.start(cmd.SysProcAttr, func() error { return start(cmd) }) })
		if err != nil {
			return 0, err
		}
		return cmd.Process.Pid, nil
	})
	s.out.w.Close()
	s.err.w.Close()
	return startTrouble(err, cmd.Path, cmd.Args[0])
}

// startTrouble names the program of an error of starting it as the command does, and says more if what does not exist is not the program
// itself.
func startTrouble(err error, path, name string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, serr := os.Stat(path); serr == nil {
			return fmt.Errorf("%s: the interpreter that its first line names, or its loader, does not exist: %w", name, fs.ErrNotExist)
		}
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return fmt.Errorf("%s: %w", name, errno)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// wait takes what cmd prints until it has ended. Then its group is killed in any case, and what left the group as far as it can be found:
// what a command leaves behind must not outlive it, nor hold back its output. The error is trouble with the output.
func (r *run) wait(cmd *exec.Cmd, s *streams) error {
	own := r.marksOf(s)
	return r.copying(s, func() error {
		err := cmd.Wait() // how it ended is in its state
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		end(cmd.Process.Pid, own)
		if cmd.ProcessState == nil {
			return fmt.Errorf("waiting for a command: %w", err)
		}
		return nil
	})
}

// copying takes what a command prints while wait waits for its end.
func (r *run) copying(s *streams, wait func() error) error {
	if s.out.r == nil { // its output is not ours
		return wait()
	}
	out, errs := r.masked(io.MultiWriter(&r.log, &r.text)), r.masked(&r.log)
	sink := io.Writer(out)
	if s.file != nil {
		sink = io.MultiWriter(out, s.file) // an out that holds a secret is refused when it is collected
	}
	var outErr, errErr error
	var copying sync.WaitGroup
	copying.Go(func() { outErr = errors.Join(take(s.out.r, sink), out.Close()) })
	copying.Go(func() { errErr = errors.Join(take(s.err.r, errs), errs.Close()) })
	err := wait()
	deadline := time.Now().Add(lastWords)
	s.out.r.SetReadDeadline(deadline)
	s.err.r.SetReadDeadline(deadline)
	copying.Wait()
	return errors.Join(err, outErr, errErr)
}

// take copies what a command prints, until the pipe ends or its deadline has passed. If it can't be kept, the command may go on
// printing all the same: else it would hang.
func take(from *os.File, to io.Writer) error {
	_, err := io.Copy(to, from)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = takeRest(from, to)
	} else if err != nil {
		io.Copy(io.Discard, from)
	}
	if err != nil {
		return fmt.Errorf("keeping the output of a command: %w", err)
	}
	return nil
}

// maxPipe is the most that a pipe holds, in bytes, unless its reader wants more.
const maxPipe = 1 << 20

// takeRest copies what is in the pipe already, without waiting for more. A read whose deadline has passed returns nothing even if there
// is something, and on a busy machine that may be all that the command has printed.
func takeRest(from *os.File, to io.Writer) error {
	if err := from.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	conn, err := from.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for taken := 0; taken < maxPipe; {
		n := 0
		err := conn.Read(func(fd uintptr) bool {
			for err := error(syscall.EINTR); err == syscall.EINTR; {
				n, err = syscall.Read(int(fd), buf)
			}
			return true
		})
		if err != nil || n <= 0 {
			return err
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return err
		}
		taken += n
	}
	return nil
}

// start starts cmd. ETXTBSY passes: some process that was just forked still holds the program open for writing.
func start(cmd *exec.Cmd) error {
	for n := 0; ; n++ {
		attempt := *cmd
		err := cmd.Start()
		if !errors.Is(err, syscall.ETXTBSY) || n == 10 {
			return err
		}
		time.Sleep(time.Millisecond << n)
		*cmd = attempt
	}
}
