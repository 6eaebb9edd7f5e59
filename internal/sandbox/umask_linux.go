package sandbox

import (
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// contractMask is the umask of every command.
const contractMask = 0o022

// umask starts processes with the contract's umask, whatever our own is.
type umask struct{ different bool }

// newUmask finds out what our own umask is. Setting it is the only portable way to read it.
func newUmask() umask {
	old := syscall.Umask(contractMask)
	syscall.Umask(old)
	return umask{old != contractMask}
}

// attributes are those of every command: a process group of its own, and the end of its first process with ours, however that comes.
// The kernel means the thread that starts it, so that one must stay: see execute. A thread that ends anyway can't have it.
func (u umask) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if !u.different {
		a.Pdeathsig = syscall.SIGKILL
	}
	return a
}

// start calls start, which starts a process. If our umask is another one, the process is forked by a thread with file-system attributes of its own, which ends
// with its goroutine because it is never unlocked.
func (u umask) start(start func() error) (err error) {
	if !u.different {
		return start()
	}
	var thread sync.WaitGroup
	thread.Go(func() {
		runtime.LockOSThread()
		if err = unix.Unshare(unix.CLONE_FS); err == nil {
			syscall.Umask(contractMask)
			err = start()
		}
	})
	thread.Wait()
	return err
}
