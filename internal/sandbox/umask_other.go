//go:build !linux

package sandbox

import "syscall"

// umask starts processes with the contract's umask.
type umask struct{}

// newUmask sets it for this whole process: here no thread can have one of its own.
func newUmask() umask {
	syscall.Umask(0o022)
	return umask{}
}

func (umask) start(start func() error) error { return start() }

// attributes are those of every command: a process group of its own.
func (umask) attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
