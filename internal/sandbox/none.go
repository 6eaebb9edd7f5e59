// Package sandbox executes commands on this machine. New returns the executor of class none: a clean environment and a directory
// with exactly the declared inputs, but nothing that keeps a command from seeing the rest of the machine. Every path that a
// command is given lies in that directory or in a shared checkout of a toolchain.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/checkout"
)

// None executes commands in class none. All methods may be called concurrently.
type None struct {
	store cas.Store
	tools *checkout.Shared
	dir   string
	umask umask
	count atomic.Int64
}

var _ engine.Executor = (*None)(nil)

// New returns an executor that makes its run directories in dir, which it alone uses, and takes toolchains from tools.
func New(s cas.Store, tools *checkout.Shared, dir string) *None {
	closeOnExec()
	adopt()
	return &None{store: s, tools: tools, dir: dir, umask: newUmask()}
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

// Class returns engine.SandboxNone.
func (n *None) Class() engine.SandboxClass { return engine.SandboxNone }

// maxText is the most standard output, in bytes, that is kept for expressions to read.
const maxText = 1 << 20

// run is one command on its way.
type run struct {
	*None
	c      *engine.Command
	root   string   // holds everything else
	work   string   // the run's directory
	inside *os.Root // the same, for what is written before the command starts
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
	defer r.inside.Close()
	res, err := r.execute(ctx)
	if err != nil {
		return nil, trouble(err)
	}
	if err := r.collect(ctx, res); err != nil {
		return nil, trouble(err)
	}
	return res, nil
}

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
