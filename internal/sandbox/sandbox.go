// Package sandbox executes commands on this machine, in one of two classes. Open returns an executor of class full: a command sees its
// declared inputs, its toolchains and the machine's system, and nothing else, because it runs in namespaces of its own (see helper). New
// returns one of class none: a clean environment and a directory with exactly the declared inputs, but nothing that keeps a command
// from seeing the rest of the machine; every path that it is given lies in that directory or in a shared checkout of a toolchain.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/checkout"
	"cbuild/internal/mask"
)

// An Executor executes commands. All methods may be called concurrently.
type Executor struct {
	store cas.Store
	tools *checkout.Shared
	dir   string
	umask umask
	count atomic.Int64

	shield    sync.Once
	announce  func()
	otherwise func(why error) // set if class full is to be tried
	hidden    []string
	copies    func(why error)
	boxes     *boxes // nil in class none; set before the first command
	class     atomic.Int32
	limits    limits
	often     usage
}

var _ engine.Executor = (*Executor)(nil)

// New returns an executor of class none that makes its run directories in dir, which it alone uses, and takes toolchains from tools.
func New(s cas.Store, tools *checkout.Shared, dir string) *Executor {
	closeOnExec()
	adopt()
	return &Executor{store: s, tools: tools, dir: dir, umask: newUmask(), announce: func() {}}
}

// Open is New for class full, with directories to hide. The error says why this machine can't have it, which is found out by trying. The
// caller closes it.
func Open(ctx context.Context, s cas.Store, tools *checkout.Shared, dir string, hide ...string) (*Executor, error) {
	x := New(s, tools, dir)
	x.Hide(hide...)
	return x, x.Require(ctx)
}

// Require makes x an executor of class full at once. The error says why this machine can't have it.
func (x *Executor) Require(ctx context.Context) (why error) {
	x.Shield(func(err error) { why = err })
	x.decide(ctx)
	return why
}

// Announce has told called at the first command, as long as x is in class none.
func (x *Executor) Announce(told func()) { x.announce = told }

// Shield makes x an executor of class full from its first command on: a build in which nothing runs need not try. Where this machine can't
// have that, otherwise is told why, and x stays in class none. It is called before the first command; the caller closes x.
func (x *Executor) Shield(otherwise func(why error)) { x.otherwise = otherwise }

// Hide keeps directories from commands that would be seen with the machine's system, because they lie in a directory of /usr. It is called before the
// first command.
func (x *Executor) Hide(dirs ...string) { x.hidden = dirs }

// Copies has told called at the first command if it is executed in class full but this machine can't mount inputs there: they are copied, and
// commands see no difference.
func (x *Executor) Copies(told func(why error)) { x.copies = told }

// decide finds out, once, what class x has.
func (x *Executor) decide(ctx context.Context) {
	x.shield.Do(func() {
		if x.otherwise == nil {
			x.announce()
			return
		}
		boxes, err := newBoxes(ctx, x.dir, x.tools, x.hidden)
		if err != nil {
			x.otherwise(err)
			return
		}
		if boxes.flat != nil && x.copies != nil {
			x.copies(boxes.flat)
		}
		x.boxes = boxes
		x.class.Store(int32(engine.SandboxFull))
	})
}

// Close ends what was kept for further commands.
func (x *Executor) Close() {
	if x.boxes != nil {
		x.boxes.close()
	}
}

// closeOnExec keeps from commands what this process was started with: what it opens itself is never inherited.
func closeOnExec() {
	open, _ := os.ReadDir("/dev/fd")
	for _, e := range open {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// Guarantees returns what it can say of its commands.
func (x *Executor) Guarantees() engine.Guarantees {
	return engine.Guarantees{Sandbox: engine.SandboxClass(x.class.Load()), Soft: x.limits.weak.Load()}
}

// maxText is the most standard output, in bytes, that is kept for expressions to read.
const maxText = 1 << 20

// run is one command on its way.
type run struct {
	*Executor
	store  cas.Store
	box    *box // nil in class none
	c      *engine.Command
	root   string      // holds everything else
	work   string      // the run's directory, where it can be reached from here
	view   *view       // what the command sees, if that is more than is on the disk
	done   []func()    // gives back the shared trees
	layers []string    // what is in the box's memory for it
	inside *os.Root    // the same, for what is written before the command starts
	made   fs.FileInfo // the same, as long as inside is open: another directory in its place is not it
	expand *strings.Replacer
	// portable puts the places that things have in a box into what is said about a command, in place of paths of this machine.
	portable *strings.Replacer
	log      capped
	text     bounded
	secrets  map[string]string // further variables of the environment
	mask     *mask.Patterns    // of what they must not tell; nil if there is nothing
}

// Execute runs c in a directory of its own. Trouble on the way there, such as an input that the store lost, is an error.
func (x *Executor) Execute(ctx context.Context, c *engine.Command) (*engine.Result, error) {
	r, err := x.newRun(ctx, c)
	if err != nil {
		return nil, err
	}
	defer r.close()
	res, err := r.execute(ctx)
	if err != nil {
		return nil, trouble(err)
	}
	if err := r.collect(ctx, res); err != nil {
		return nil, trouble(err)
	}
	return res, nil
}

// newRun prepares everything for c. The caller closes it.
func (x *Executor) newRun(ctx context.Context, c *engine.Command) (*run, error) {
	x.decide(context.WithoutCancel(ctx))
	r := &run{Executor: x, store: x.store, c: c, root: filepath.Join(x.dir, fmt.Sprintf("run-%06d", x.count.Add(1)))}
	if err := r.arrange(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *run) arrange(ctx context.Context) (err error) {
	switch {
	case r.boxes != nil:
		if r.box, err = r.boxes.take(ctx, r.c); err != nil {
			return trouble(err)
		}
	case r.c.System != engine.SystemHost:
		return &engine.InvalidError{Err: errors.New("system: a run without the host's system needs sandbox class full, and this is class none")}
	}
	if err := r.prepare(ctx); err != nil {
		return trouble(err)
	}
	return r.reveal(ctx)
}

// close leaves nothing of the command behind.
func (r *run) close() {
	r.takeApart()
	if r.box != nil { // it was not lost on the way
		r.boxes.give(r.box)
	}
	_ = checkout.Remove(r.root)
}

// takeApart ends what the run's directory was made of.
func (r *run) takeApart() {
	r.shut()
	r.leave()
	for _, done := range r.done {
		done()
	}
	r.done, r.layers = nil, nil
}

// A worldError says that a box could not make the world of a command.
type worldError struct{ what string }

func (e *worldError) Error() string { return e.what }

// trouble marks errors of this machine that may pass. A lost input does not come back by waiting, nor does a mistake mend itself.
func trouble(err error) error {
	var invalid *engine.InvalidError
	if errors.Is(err, cas.ErrNotFound) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &invalid) {
		return err
	}
	return engine.Transient(err)
}

// lost says which input a blob that the store lost belongs to, so that it can be made again.
func lost(err error, input cas.Digest) error {
	if errors.Is(err, cas.ErrNotFound) {
		return &engine.LostError{Digest: input, Err: err}
	}
	return err
}
