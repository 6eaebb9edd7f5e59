package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/checkout"
)

// boxes are sandboxes that are kept for the next command. A box runs one command at a time.
type boxes struct {
	runs     string
	trees    *checkout.Shared
	hidden   []string
	overlays bool  // boxes can make directories out of what lies elsewhere
	flat     error // why they can't

	mu   sync.Mutex
	idle []*box       // guarded by mu; the last used one at the end
	ids  map[int]bool // guarded by mu; the numbers of the boxes that there are
}

// A boxKind is what commands must have in common to run in one box, one after the other.
type boxKind struct {
	network bool
	system  engine.SystemKind
	root    cas.Digest // of a system that is a tree
}

// newBoxes returns boxes that can mount the directories below runs and, read-only, those below trees, and that show nothing of what is
// hidden. It opens the first one, and runs a command in it.
func newBoxes(ctx context.Context, runs string, trees *checkout.Shared, hidden []string) (*boxes, error) {
	bs := &boxes{runs: runs, trees: trees, hidden: hidden, ids: make(map[int]bool)}
	for _, dir := range []string{runs, trees.Dir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	for attempt := 1; ; attempt++ {
		err := bs.tryOne(ctx)
		if err == nil {
			return bs, nil
		}
		if !errors.Is(err, errBoxEnded) || attempt == maxAttempts { // it can end by itself only if somebody ended it
			return nil, err
		}
	}
}

// maxAttempts is how often the first box is opened.
const maxAttempts = 3

// errBoxEnded says that a helper ended before it was told to.
var errBoxEnded = errors.New("the sandbox ended")

// tryOne opens a box, runs a command in it, and keeps it.
func (bs *boxes) tryOne(ctx context.Context) error {
	b, err := bs.take(ctx, &engine.Command{})
	if err != nil {
		return err
	}
	if err := bs.try(ctx, b); err != nil {
		bs.drop(b)
		return err
	}
	if bs.flat = bs.tryOverlays(b); errors.Is(bs.flat, errBoxEnded) {
		bs.drop(b)
		return bs.flat
	}
	bs.overlays = bs.flat == nil
	bs.give(b)
	return nil
}

// try runs a command.
func (bs *boxes) try(ctx context.Context, b *box) error {
	root, err := os.MkdirTemp(bs.runs, "try-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	for _, dir := range []string{"", "work", "tmp"} {
		at := filepath.Join(root, dir)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(at, 0o755); err != nil { // whatever our umask is
			return err
		}
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	w := &world{Root: filepath.Base(root)}
	if err := b.send(msgWorld, w.encode()); err != nil {
		return err
	}
	o := &order{Argv: []string{"/bin/sh", "-c", ":"}, Dir: boxWork}
	r, _, err := b.do(ctx, o.encode(), []*os.File{null, null, null})
	switch {
	case err != nil:
		return err
	case r.Errno == int(unix.ENOENT): // a machine without a shell; all but that was done
	case r.Errno != 0:
		return errors.New(r.Text)
	case r.Status != 0:
		return fmt.Errorf("a command that does nothing ended with status %#x", r.Status)
	}
	return nil
}

// A box is a helper and the socket to it.
type box struct {
	cmd    *exec.Cmd
	socket int
	memory int // the directory for what is copied into memory; -1 if there is none
	kind   boxKind
	root   func() // gives back the tree that is its root directory; nil if there is none
	number int
	user   int // the user of commands outside of the box
	closed bool
	layers []kept // in memory; the last used ones at the end
	laid   int    // counts them
	inUse  int    // how many of them a command uses; the last ones
}

// buildUsers is the first of the users that commands get if we are root: one for each box, whom nobody else uses.
const buildUsers = 2_000_000_000

// take returns a box for c that nobody else uses. The caller gives it back, or drops it.
func (bs *boxes) take(ctx context.Context, c *engine.Command) (*box, error) {
	kind := boxKind{network: c.Network, system: c.System}
	if c.System == engine.SystemRoot {
		kind.root = c.Root.Digest
	}
	bs.mu.Lock()
	for i, b := range slices.Backward(bs.idle) {
		if b.kind == kind {
			bs.idle = slices.Delete(bs.idle, i, i+1)
			bs.mu.Unlock()
			return b, nil
		}
	}
	number := 0
	for bs.ids[number] {
		number++
	}
	bs.ids[number] = true
	bs.mu.Unlock()
	b, err := bs.open(ctx, kind, number)
	if err != nil {
		bs.free(number)
	}
	return b, err
}

func (bs *boxes) free(number int) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	delete(bs.ids, number)
}

// maxRooted is how many boxes without the host's system are kept: each has a system of its own.
const maxRooted = 8

// give keeps b for the next command of its kind, unless it is closed.
func (bs *boxes) give(b *box) {
	if b.closed {
		return
	}
	bs.mu.Lock()
	bs.idle = append(bs.idle, b)
	rooted := func(b *box) bool { return b.kind.system != engine.SystemHost }
	var oldest *box
	n := 0
	for _, b := range slices.Backward(bs.idle) {
		if rooted(b) {
			n++
			oldest = b
		}
	}
	if n <= maxRooted {
		bs.mu.Unlock()
		return
	}
	bs.idle = slices.DeleteFunc(bs.idle, func(b *box) bool { return b == oldest })
	bs.mu.Unlock()
	bs.drop(oldest)
}

// drop ends b.
func (bs *boxes) drop(b *box) {
	b.close()
	bs.free(b.number)
}

// close ends all boxes that nobody uses.
func (bs *boxes) close() {
	bs.mu.Lock()
	idle := bs.idle
	bs.idle = nil
	bs.mu.Unlock()
	var closing sync.WaitGroup
	for _, b := range idle {
		closing.Go(func() { bs.drop(b) })
	}
	closing.Wait()
}

// open starts a helper and waits until it is set up.
func (bs *boxes) open(ctx context.Context, kind boxKind, number int) (b *box, err error) {
	system, done, err := bs.system(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer func() {
		if b == nil {
			done()
		}
	}()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "helper")
	defer theirs.Close()
	made := &box{socket: pair[0], memory: -1, kind: kind, root: done, number: number, user: os.Getuid()}
	reach := "offline"
	if kind.network {
		reach = "online"
	}
	made.cmd = exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe") // it ends when its socket does
	made.cmd.Args = []string{helperName, reach}
	made.cmd.Env = helperEnv
	made.cmd.ExtraFiles = []*os.File{theirs}
	made.cmd.SysProcAttr = made.namespaces()
	if err := begin(func() (int, error) { // it is no stray
		if err := made.cmd.Start(); err != nil {
			return 0, err
		}
		return made.cmd.Process.Pid, nil
	}); err != nil {
		_ = unix.Close(made.socket)
		return nil, fmt.Errorf("namespaces: %w", err)
	}
	theirs.Close()
	var places encoder
	places.strings(append([]string{bs.runs, bs.trees.Dir(), system}, bs.hidden...))
	inputs := made.inputs(ctx, bs.trees.Dir())
	_ = send(made.socket, msgPlaces, places.b, inputs...) // if that fails, there will be no answer either
	closeAll(inputs)
	kindOf, body, files, err := receive(made.socket)
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", errBoxEnded, err)
	case kindOf != msgReady || len(body) > 0 || len(files) != 1:
		err = errors.New(string(body))
	default:
		made.memory = files[0]
		return made, nil
	}
	closeAll(files)
	made.close()
	return nil, err
}

// namespaces are what the helper is started in. Who is root gives commands another user outside, too; anybody else can give only
// themselves.
func (b *box) namespaces() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS |
			unix.CLONE_NEWCGROUP, // so that the names of those above are not in /proc
		Setsid: true, // signals from a terminal are not for it
	}
	if !b.kind.network {
		a.Cloneflags |= unix.CLONE_NEWNET
	}
	if !isRoot() {
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: insideID, HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: insideID, HostID: os.Getgid(), Size: 1}}
		for c := range uintptr(unix.CAP_LAST_CAP + 1) { // in its own namespaces: else they would end with execve
			a.AmbientCaps = append(a.AmbientCaps, c)
		}
		return a
	}
	b.user = buildUsers + b.number
	maps := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}, {ContainerID: insideID, HostID: b.user, Size: 1}}
	a.UidMappings, a.GidMappings, a.GidMappingsEnableSetgroups = maps, maps, true
	return a
}

// isRoot reports whether we are root on this machine. Who is root of a user namespace only, as in a container without privileges, can't
// give commands any user: there most do not exist. What belongs to the machine's root in /proc belongs to nobody there.
func isRoot() bool {
	var stat unix.Stat_t
	err := unix.Stat("/proc/sys/kernel", &stat)
	return os.Getuid() == 0 && (err != nil || stat.Uid == 0)
}

// close ends the helper and everything in the box.
func (b *box) close() {
	_ = unix.Close(b.socket)
	if b.memory >= 0 {
		_ = unix.Close(b.memory)
		b.memory = -1
	}
	b.closed = true
	late := time.AfterFunc(dieLate, func() { _ = b.cmd.Process.Kill() })
	defer late.Stop()
	_ = b.cmd.Wait() // how it ends does not matter
	forget(b.cmd.Process.Pid)
	if b.root != nil {
		b.root()
	}
}

// send sends a message.
func (b *box) send(kind byte, body []byte, files ...int) error {
	err := send(b.socket, kind, body, files...)
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		err = fmt.Errorf("%w: %w", errBoxEnded, err)
	}
	return err
}

// do runs a command to its end, in the world that it was sent before. When ctx ends, it is asked to end and, after the grace, made to; ended is true then. After an error the
// box is of no use any more.
func (b *box) do(ctx context.Context, order []byte, files []*os.File) (r *report, ended bool, err error) {
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	if err := b.send(msgRun, order, fds...); err != nil {
		return nil, false, err
	}
	type answer struct {
		report *report
		err    error
	}
	answers := make(chan answer, 1)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	waiting.Go(func() {
		r, err := b.report()
		answers <- answer{r, err}
	})
	b.trim(keptLayers) // there is nothing else to do here
	for end, signal := ctx.Done(), byte(signalTerm); ; signal = signalKill {
		select {
		case a := <-answers:
			return a.report, ended, a.err
		case <-end:
			ended = true
			_ = send(b.socket, msgSignal, []byte{signal}) // if that fails, there will be no answer either
			after, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
			defer stop()
			if end = after.Done(); signal == signalKill {
				late := time.AfterFunc(dieLate, func() { _ = b.cmd.Process.Kill() })
				defer late.Stop()
				end = nil
			}
		}
	}
}

// report waits for the end of a command. If nobody has asked yet how its world came about, that is asked here.
func (b *box) report() (*report, error) {
	for {
		kind, body, files, err := receive(b.socket)
		closeAll(files)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", errBoxEnded, err)
		case kind == msgMade && len(body) > 0:
			return nil, errors.New(string(body))
		case kind == msgEnded:
			return decodeReport(body)
		case kind != msgMade:
			return nil, errMessage
		}
	}
}

// executeBoxed runs the command in the box.
func (r *run) executeBoxed(ctx context.Context, limit context.Context, s *streams) (*engine.Result, error) {
	env := make([]string, len(r.c.Env), len(r.c.Env)+len(r.secrets))
	searchPath := ""
	for i, e := range r.c.Env {
		env[i] = r.expand.Replace(e)
		if p, ok := strings.CutPrefix(env[i], "PATH="); ok {
			searchPath = p
		}
	}
	env = append(env, r.secretEnv()...)
	argv := make([]string, len(r.c.Argv))
	for i, a := range r.c.Argv {
		argv[i] = r.expand.Replace(a)
	}
	if info, err := os.Stat(r.path(r.c.Dir)); err != nil || !info.IsDir() {
		return r.notStarted(fmt.Errorf("dir %s: no input stands there: %w", r.c.Dir, os.ErrNotExist))
	}
	o := &order{Argv: argv, Env: env, Dir: filepath.Join(boxWork, r.c.Dir), Path: searchPath, Terminal: s.terminal}
	group, err := r.openGroup()
	if err != nil {
		return nil, err
	}
	files := []*os.File{nil, s.out.w, s.err.w}
	if group != nil {
		defer group.close()
		files = append(files, group.entries...)
		if o.Leave = group.home != nil; o.Leave {
			files = append(files, group.home)
		}
		o.Enter = len(files) - 3
	}
	o.Limits = r.processLimits(group)
	order := o.encode()
	if len(order) > maxMessage { // the kernel would not take that much either
		return r.notStarted(fmt.Errorf("%.100s: %w", argv[0], syscall.E2BIG))
	}
	in := s.in
	if in == nil {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		in = null
	}
	files[0] = in
	begun := time.Now()
	var rep *report
	var ended, broken bool
	err = r.copying(s, func() (err error) {
		if r.view == nil { // its world is the disk's
			err = r.box.send(msgWorld, r.world().encode())
		}
		if err != nil {
			broken = true
			return err
		}
		rep, ended, err = r.box.do(limit, order, files)
		broken = err != nil
		if ended && errors.Is(err, errBoxEnded) { // mostly by us, because it could not end so many processes soon enough
			rep, err = &report{}, nil // the command has had its time
		}
		s.out.w.Close()
		s.err.w.Close()
		return err
	})
	if broken {
		r.boxes.drop(r.box)
		if err != nil {
			r.box = nil
		}
	}
	res := &engine.Result{Took: time.Since(begun)}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case rep.Errno != 0:
		return r.notStarted(&startError{rep.Text, syscall.Errno(rep.Errno)})
	case ended:
		r.timedOut(res)
	default:
		res.Status, res.ExitCode = statusOf(syscall.WaitStatus(rep.Status))
	}
	res.Used = engine.Usage{User: time.Duration(rep.User), System: time.Duration(rep.System), Memory: rep.MaxRSS}
	r.account(group, res)
	return res, nil
}

// A startError says why a helper could not start a command.
type startError struct {
	text  string
	errno syscall.Errno
}

func (e *startError) Error() string { return e.text }
func (e *startError) Unwrap() error { return e.errno }
