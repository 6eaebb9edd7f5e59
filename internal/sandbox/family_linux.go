package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// family is all that this process has started, or that became its child. Without a process namespace, a command's child can leave the
// command's group, and when its parents end it would become a child of init and go on for ever. As a subreaper this process gets it
// instead, and ends it.
var family = struct {
	// starting is held for reading while a command is started, for writing while strays are looked for: in between, a new child
	// would look like a stray.
	starting sync.RWMutex
	mu       sync.Mutex
	commands map[int]bool // guarded by mu; the first processes of the commands that run
	// inherited are children that we had before: those of a shell that became cbuild. It is set once.
	inherited map[int]bool
	once      sync.Once
}{commands: make(map[int]bool)}

// adopt makes this process the one that strays come to.
func adopt() {
	family.once.Do(func() {
		family.inherited = make(map[int]bool)
		for _, pid := range childrenOf(os.Getpid(), "*") {
			family.inherited[pid] = true
		}
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // where it is not possible, strays stay
	})
}

// Leave undoes what New has changed for this process, for a program that it is about to become: strays are not that program's.
func Leave() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }

// begin calls start, which starts a command, and notes the process.
func begin(start func() (pid int, err error)) error {
	family.starting.RLock()
	defer family.starting.RUnlock()
	pid, err := start()
	if err == nil {
		family.mu.Lock()
		family.commands[pid] = true
		family.mu.Unlock()
	}
	return err
}

// forget takes a process that has ended from those that were begun.
func forget(pid int) {
	family.mu.Lock()
	defer family.mu.Unlock()
	delete(family.commands, pid)
}

// end ends what the command of the process pid, which has ended, left behind outside of its group.
func end(pid int, m marks) {
	forget(pid)
	family.starting.Lock()
	defer family.starting.Unlock()
	// What was killed with the group may not have ended yet: its children become ours only then, which may be after ours were listed. So they are
	// looked for until there are none that are new.
	seen := make(map[int]bool)
	for more := true; more; {
		more = false
		for _, stray := range strays() {
			if !seen[stray] && endStray(stray, pid, m) {
				seen[stray], more = true, true
			}
		}
	}
}

// endStray ends a stray if the command of the process pid left it behind, and reports whether it did, or it had ended already.
func endStray(stray, pid int, m marks) bool {
	if got, _ := syscall.Wait4(stray, nil, syscall.WNOHANG, nil); got == stray {
		return true // it has ended, and nobody else waits for it
	}
	// While no command runs, every stray is one of those that have ended; but the first process of a container gets those of
	// others, too.
	if group, err := syscall.Getpgid(stray); err == nil && group == pid || idle() && os.Getpid() != 1 || m.on(stray) {
		killAll(stray)
		return true
	}
	return false
}

func idle() bool {
	family.mu.Lock()
	defer family.mu.Unlock()
	return len(family.commands) == 0
}

// strays returns the children of this process that are neither commands nor what it started for itself, which stays in its group. The
// kernel gives strays to the first thread of a process that lives, and the first of ours always does.
func strays() (pids []int) {
	own := syscall.Getpgrp()
	family.mu.Lock()
	defer family.mu.Unlock()
	for _, pid := range childrenOf(os.Getpid(), strconv.Itoa(os.Getpid())) {
		if family.commands[pid] || family.inherited[pid] {
			continue
		}
		if group, err := syscall.Getpgid(pid); err == nil && group != own {
			pids = append(pids, pid)
		}
	}
	return pids
}

// childrenOf returns the children that the threads of a process have; thread is the id of one, or "*".
func childrenOf(pid int, thread string) (pids []int) {
	files := []string{fmt.Sprintf("/proc/%d/task/%s/children", pid, thread)}
	if thread == "*" {
		files, _ = filepath.Glob(files[0])
	}
	for _, name := range files {
		data, _ := os.ReadFile(name)
		for _, field := range strings.Fields(string(data)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// marks are what a process keeps of its command when it leaves the command's group, unless it gives up all of them.
type marks struct {
	root  string   // the command's own directory: in the environment, or around the current directory
	pipes []string // its output, as links in /proc show them
}

// marksOf returns those of the command that r runs.
func (r *run) marksOf(s *streams) marks {
	m := marks{root: r.root}
	for _, f := range []*os.File{s.out.r, s.err.r} {
		conn, err := f.SyscallConn()
		if err != nil {
			continue
		}
		_ = conn.Control(func(fd uintptr) { // Fd would make its deadlines stop working
			if link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil {
				m.pipes = append(m.pipes, link)
			}
		})
	}
	return m
}

// on reports whether a process has one of the marks.
func (m marks) on(pid int) bool {
	dir := fmt.Sprintf("/proc/%d/", pid)
	if cwd, err := os.Readlink(dir + "cwd"); err == nil && strings.HasPrefix(cwd, m.root+"/") {
		return true
	}
	if env, err := os.ReadFile(dir + "environ"); err == nil && bytes.Contains(env, []byte(m.root+"/")) {
		return true
	}
	open, _ := os.ReadDir(dir + "fd")
	for _, f := range open {
		link, _ := os.Readlink(dir + "fd/" + f.Name())
		for _, p := range m.pipes {
			if link == p {
				return true
			}
		}
	}
	return false
}

// maxKilled bounds how many descendants of one stray are ended, and patience how long that may take.
const (
	maxKilled = 10_000
	patience  = 2 * time.Second
)

// killAll ends a process and all that it has started. Each is stopped before its children are listed, so that none can get away by
// forking meanwhile.
func killAll(pid int) {
	all := []int{pid}
	for i := 0; i < len(all) && i < maxKilled; i++ {
		_ = syscall.Kill(all[i], syscall.SIGSTOP)
		all = append(all, childrenOf(all[i], "*")...)
	}
	for _, p := range all {
		_ = syscall.Kill(p, syscall.SIGKILL)
	}
	// They become our children one after the other, as their parents end.
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		left := all[:0]
		for _, p := range all {
			if got, err := syscall.Wait4(p, nil, syscall.WNOHANG, nil); got == 0 || err != nil && syscall.Kill(p, 0) == nil {
				left = append(left, p)
			}
		}
		if all = left; len(all) == 0 {
			return
		}
	}
}
