package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// onTerminal runs the shell on a terminal of its own: ours belongs to the session of who called us. What is typed goes there as it is, Ctrl-C
// included, and what is shown there is shown here.
func (p *reproduction) onTerminal(ctx context.Context, shell string) (status int, err error) {
	ours, theirs, err := pty.Open()
	if err != nil {
		return 0, err
	}
	defer ours.Close()
	defer theirs.Close()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	_ = pty.InheritSize(os.Stdin, theirs)
	in := int(os.Stdin.Fd())
	before, err := term.MakeRaw(in)
	if err != nil {
		return 0, err
	}
	defer func() { _ = term.Restore(in, before) }()

	var copying sync.WaitGroup
	defer copying.Wait()
	typing, stop := context.WithCancel(ctx)
	copying.Go(func() { typed(typing, in, ours) })
	copying.Go(func() {
		for {
			select {
			case <-resized:
				_ = pty.InheritSize(os.Stdin, ours)
			case <-typing.Done():
				return
			}
		}
	})
	copying.Go(func() { _, _ = io.Copy(os.Stdout, ours) }) // until nobody holds the other end
	status, err = p.stage.Interact(ctx, []string{shell}, [3]*os.File{theirs, theirs, theirs}, true)
	stop()
	theirs.Close()
	return status, err
}

// typed copies what is typed, until ctx ends.
func typed(ctx context.Context, from int, to io.Writer) {
	buf := make([]byte, 4096)
	for ctx.Err() == nil {
		ready := []unix.PollFd{{Fd: int32(from), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, typedPoll); n <= 0 || err != nil {
			continue
		}
		n, err := unix.Read(from, buf)
		if err != nil || n == 0 {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// typedPoll is how long it may take, in milliseconds, until it is noticed that nobody reads what is typed any more.
const typedPoll = 50
