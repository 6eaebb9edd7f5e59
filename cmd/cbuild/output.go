package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"unicode/utf8"

	"cbuild/internal/ui"
)

// output is standard output. It remembers that something could not be written: whoever reads it must not take a part for the whole.
type output struct {
	to io.Writer
	// terminal is set if a person reads it: then nothing in it steers the terminal, for keys and logs are anybody's text.
	terminal bool

	mu   sync.Mutex
	rest []byte // guarded by mu; the begin of a character, of what a terminal gets
	err  error  // guarded by mu; the first
}

// Write is io.Writer's.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := p
	if o.terminal {
		whole := slices.Concat(o.rest, p)
		n := wholeRunes(whole)
		o.rest = whole[n:]
		text = []byte(ui.Lines(string(whole[:n])))
	}
	if _, err := o.to.Write(text); err != nil {
		if o.err == nil {
			o.err = err
		}
		return 0, err
	}
	return len(p), nil
}

// wholeRunes returns how many bytes of text there are before a character at its end of which more may come.
func wholeRunes(text []byte) int {
	for n := len(text) - 1; n >= max(0, len(text)-utf8.UTFMax); n-- {
		if utf8.RuneStart(text[n]) {
			if !utf8.FullRune(text[n:]) {
				return n
			}
			break
		}
	}
	return len(text)
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

// written returns err, or that standard output could not be written if there is nothing graver.
func (c *cli) written(err error) error {
	werr := c.stdout.failed()
	if werr == nil || slices.Index(precedence, statusOf(err)) <= slices.Index(precedence, exitTrouble) {
		return err
	}
	return &statusError{exitTrouble, fmt.Errorf("standard output could not be written: %w", werr)}
}
