// Package sandbox executes commands on this machine. New returns the executor of class none: a clean environment and a directory
// with exactly the declared inputs, but nothing that keeps a command from seeing the rest of the machine. Every path that a
// command is given lies in that directory or in a shared checkout of a toolchain.
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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/checkout"
)

// None executes commands in class none. All methods may be called concurrently.
type None struct {
	store cas.Store
	tools *checkout.Shared
	dir   string
	count atomic.Int64
}

var _ engine.Executor = (*None)(nil)

// New returns an executor that makes its run directories in dir, which it alone uses, and takes toolchains from tools.
func New(s cas.Store, tools *checkout.Shared, dir string) *None {
	return &None{store: s, tools: tools, dir: dir}
}

// Class returns engine.SandboxNone.
func (n *None) Class() engine.SandboxClass { return engine.SandboxNone }

// maxText is the most standard output, in bytes, that is kept for expressions to read.
const maxText = 1 << 20

// grace is how long a command may take to end after SIGTERM.
const grace = 2 * time.Second

// run is one command on its way.
type run struct {
	*None
	c      *engine.Command
	root   string // holds everything else
	work   string // the run's directory
	expand *strings.Replacer
	log    capped
	text   bounded
}

// Execute runs c in a directory of its own. Trouble on the way there, such as an input that the store lost, is an error.
func (n *None) Execute(ctx context.Context, c *engine.Command) (*engine.Result, error) {
	r := &run{None: n, c: c, root: filepath.Join(n.dir, fmt.Sprintf("run-%06d", n.count.Add(1)))}
	r.work = filepath.Join(r.root, "work")
	defer checkout.Remove(r.root)
	if err := r.prepare(ctx); err != nil {
		return nil, trouble(err)
	}
	res, err := r.execute(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.collect(ctx, res); err != nil {
		return nil, trouble(err)
	}
	return res, nil
}

// trouble marks errors of this machine that may pass. A lost input does not come back by waiting.
func trouble(err error) error {
	if errors.Is(err, cas.ErrNotFound) || errors.Is(err, context.Canceled) {
		return err
	}
	return engine.Transient(err)
}

// prepare makes the directory with the inputs at their places and the parents of the outs.
func (r *run) prepare(ctx context.Context) error {
	tmp := filepath.Join(r.root, "tmp")
	for _, dir := range []string{r.work, tmp} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	tokens := []string{engine.WorkDir, r.work, engine.ScriptPath, filepath.Join(r.root, "script")}
	for i, t := range r.c.Tools {
		dir, err := r.tools.Tree(ctx, t.Digest)
		if err != nil {
			return lost(err, t.Digest)
		}
		tokens = append(tokens, engine.ToolDir(i), dir)
	}
	r.expand = strings.NewReplacer(tokens...)
	for _, m := range r.c.Mounts {
		if err := r.mount(ctx, m); err != nil {
			return lost(fmt.Errorf("input %s: %w", m.Path, err), m.Digest)
		}
	}
	for _, o := range r.c.Outs {
		if err := os.MkdirAll(filepath.Dir(r.path(o.Path)), 0o755); err != nil {
			return err
		}
	}
	if r.c.Script == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(r.root, "script"), []byte(r.expand.Replace(r.c.Script)), 0o644)
}

// lost says which input a blob that the store lost belongs to, so that it can be made again.
func lost(err error, input cas.Digest) error {
	if errors.Is(err, cas.ErrNotFound) {
		return &engine.LostError{Digest: input, Err: err}
	}
	return err
}

// path returns where the path p of the run's directory is.
func (r *run) path(p string) string { return filepath.Join(r.work, filepath.FromSlash(p)) }

func (r *run) mount(ctx context.Context, m engine.Mount) error {
	at := r.path(m.Path)
	if m.Kind == engine.TreeKind {
		return checkout.Write(ctx, r.store, m.Digest, at)
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	return checkout.File(ctx, r.store, m.Digest, m.Executable, at)
}

// execute runs the command to its end, its limit, or the end of ctx, and leaves none of its process group behind.
func (r *run) execute(ctx context.Context) (*engine.Result, error) {
	limit, stop := context.WithTimeout(ctx, r.c.Timeout)
	if r.c.Timeout <= 0 {
		limit, stop = context.WithCancel(ctx)
	}
	defer stop()
	cmd, err := r.cmd(limit)
	if err != nil {
		return r.notStarted(err)
	}
	start := time.Now()
	err = r.process(ctx, cmd)
	res := &engine.Result{Took: time.Since(start)}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case cmd.ProcessState == nil:
		return r.notStarted(err)
	case limit.Err() != nil:
		res.Status, res.ExitCode = engine.Timeout, -1
		fmt.Fprintf(&r.log, "\ncbuild: ended after its timeout of %v\n", r.c.Timeout)
	default:
		res.Status, res.ExitCode = statusOf(cmd.ProcessState)
	}
	return res, nil
}

// statusOf says how a process ended.
func statusOf(p *os.ProcessState) (engine.Status, int) {
	ws := p.Sys().(syscall.WaitStatus)
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
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		code = 126
	default:
		return nil, engine.Transient(err)
	}
	fmt.Fprintf(&r.log, "cbuild: %v\n", err)
	return &engine.Result{Status: engine.Fail, ExitCode: code}, nil
}

// cmd prepares the process: what it is, where it starts and what its environment is. When ctx ends, its process group gets SIGTERM
// and, after the grace, SIGKILL.
func (r *run) cmd(ctx context.Context) (*exec.Cmd, error) {
	var env []string
	searchPath := ""
	for _, e := range r.c.Env {
		name, value, _ := strings.Cut(r.expand.Replace(e), "=")
		if value == "/tmp" && (name == "HOME" || name == "TMPDIR") {
			value = filepath.Join(r.root, "tmp") // without a mount namespace, a private /tmp is elsewhere
		}
		if name == "PATH" {
			searchPath = value
		}
		env = append(env, name+"="+value)
	}
	argv := make([]string, len(r.c.Argv))
	for i, a := range r.c.Argv {
		argv[i] = r.expand.Replace(a)
	}
	dir := r.path(r.c.Dir)
	program, err := lookPath(argv[0], searchPath, dir)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Args, cmd.Env, cmd.Dir = argv, env, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = grace
	cmd.Cancel = func() error {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		return syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT) // a stopped process would not see it
	}
	return cmd, nil
}

// lookPath finds a program as a shell in dir with the given PATH would.
func lookPath(name, searchPath, dir string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, nil
	}
	for _, d := range filepath.SplitList(searchPath) {
		p := filepath.Join(d, name)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s: %w (PATH is %s)", name, exec.ErrNotFound, searchPath)
}

// process starts cmd and takes what it prints until it has ended. Then its group is killed in any case: what a command leaves behind
// must not outlive it, nor hold back its output.
func (r *run) process(ctx context.Context, cmd *exec.Cmd) error {
	sinks := []io.Writer{&r.log, &r.text}
	if r.c.Stdout != "" {
		f, err := os.Create(r.path(r.c.Stdout))
		if err != nil {
			return err
		}
		defer f.Close()
		sinks = append(sinks, f)
	}
	if !r.c.Stdin.IsZero() {
		in, err := r.stdin(ctx)
		if err != nil {
			return err
		}
		defer in.Close()
		cmd.Stdin = in
	}
	out, err := newPipe()
	if err != nil {
		return err
	}
	defer out.close()
	errs, err := newPipe()
	if err != nil {
		return err
	}
	defer errs.close()
	cmd.Stdout, cmd.Stderr = out.w, errs.w
	if err := start(cmd); err != nil {
		return err
	}
	out.w.Close()
	errs.w.Close()
	var copying sync.WaitGroup
	copying.Go(func() { io.Copy(io.MultiWriter(sinks...), out.r) })
	copying.Go(func() { io.Copy(&r.log, errs.r) })
	err = cmd.Wait()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	deadline := time.Now().Add(lastWords)
	out.r.SetReadDeadline(deadline)
	errs.r.SetReadDeadline(deadline)
	copying.Wait()
	return err
}

// lastWords is how long output is still taken after a command has ended, if a process that left its group holds the pipe.
const lastWords = 200 * time.Millisecond

type pipe struct{ r, w *os.File }

func newPipe() (pipe, error) {
	r, w, err := os.Pipe()
	return pipe{r, w}, err
}

func (p pipe) close() {
	p.r.Close()
	p.w.Close()
}

// stdin opens a file with the content of standard input.
func (r *run) stdin(ctx context.Context) (*os.File, error) {
	path := filepath.Join(r.root, "stdin")
	if err := checkout.File(ctx, r.store, r.c.Stdin, false, path); err != nil {
		return nil, lost(err, r.c.Stdin)
	}
	return os.Open(path)
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

// collect stores what the command printed and left in the places of its outs.
func (r *run) collect(ctx context.Context, res *engine.Result) error {
	for _, o := range r.c.Outs {
		a, err := r.out(ctx, o)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.As(err, new(*badOutError)):
			fmt.Fprintf(&r.log, "cbuild: out %s: %v\n", o.Path, err)
		case err != nil:
			return err
		default:
			res.Outs = append(res.Outs, engine.Output{Path: o.Path, Artifact: a})
		}
	}
	slices.SortFunc(res.Outs, func(x, y engine.Output) int { return strings.Compare(x.Path, y.Path) })
	var err error
	if text, whole := r.text.content(); !whole {
		res.Facts = map[string]string{"text": "too long"}
	} else if len(text) > 0 {
		if res.Stdout, err = cas.PutBytes(ctx, r.store, text); err != nil {
			return err
		}
	}
	if log := r.log.content(); len(log) > 0 {
		res.Log, err = cas.PutBytes(ctx, r.store, log)
	}
	return err
}

// A badOutError says that what stands in the place of an out is not what was promised.
type badOutError struct{ why error }

func (e *badOutError) Error() string { return e.why.Error() }

// out stores what stands in the place of o.
func (r *run) out(ctx context.Context, o engine.OutSpec) (engine.Artifact, error) {
	a := engine.Artifact{Name: o.Path}
	at := r.path(o.Path)
	info, err := os.Lstat(at)
	if err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			err = fs.ErrNotExist
		}
		return a, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if at, info, err = r.resolve(at); err != nil {
			return a, &badOutError{err}
		}
	}
	switch {
	case o.Dir && info.IsDir():
		a.Kind = engine.TreeKind
		a.Digest, err = checkout.Capture(ctx, r.store, at)
	case o.Dir:
		return a, &badOutError{errors.New("not a directory")}
	case info.Mode().IsRegular():
		a.Digest, a.Executable, err = checkout.CaptureFile(ctx, r.store, at)
	default:
		return a, &badOutError{errors.New("not a regular file; a directory is promised with a trailing slash")}
	}
	if errors.Is(err, checkout.ErrContent) {
		err = &badOutError{err}
	}
	return a, err
}

// resolve follows the symbolic link at, which must not leave the run's directory.
func (r *run) resolve(at string) (string, fs.FileInfo, error) {
	to, err := filepath.EvalSymlinks(at)
	if err != nil {
		return "", nil, err
	}
	work, err := filepath.EvalSymlinks(r.work)
	if err != nil {
		return "", nil, err
	}
	if to != work && !strings.HasPrefix(to, work+"/") {
		return "", nil, errors.New("a link that leaves the run's directory")
	}
	info, err := os.Lstat(to)
	return to, info, err
}
