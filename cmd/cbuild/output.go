package main

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

// output is standard output. It remembers that something could not be written: whoever reads it must not take a part for the whole.
type output struct {
	to io.Writer

	mu  sync.Mutex
	err error // guarded by mu; the first
}

// Write is io.Writer's.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.to.Write(p)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// failed returns why standard output is not whole. That its reader has gone away is no error: it has seen enough. Usually the signal
// that comes with it has ended the process already.
func (o *output) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if errors.Is(o.err, syscall.EPIPE) {
		return nil
	}
	return o.err
}
