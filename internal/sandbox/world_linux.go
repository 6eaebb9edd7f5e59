package sandbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// A pending is a world that was made for a command which is still to come. A thread of its own is in it, which keeps its namespaces and lost
// rights to itself and ends with its goroutine.
type pending struct {
	commands chan command
	started  chan started
}

type command struct {
	order *order
	files []int
}

type started struct {
	pid int
	err error
}

// make makes a world and answers. What was made before for a command that did not come is given up. The error is one of the socket.
func (h *helper) make(m message) error {
	closeAll(m.files)
	if h.next != nil {
		close(h.next.commands)
		h.next = nil
	}
	w, err := decodeWorld(m.body)
	if err != nil {
		return send(helperSocket, msgMade, []byte(err.Error()))
	}
	type made struct {
		files []int
		err   error
	}
	ready := make(chan made, 1)
	next := &pending{make(chan command, 1), make(chan started, 1)}
	go func() {
		runtime.LockOSThread() // and never unlock
		files, err := h.world(w)
		ready <- made{files, err}
		if err != nil {
			return
		}
		if c, ok := <-next.commands; ok {
			pid, err := h.launch(c.order, c.files)
			next.started <- started{pid, err}
		}
	}()
	r := <-ready
	if r.err != nil {
		return send(helperSocket, msgMade, []byte(r.err.Error()))
	}
	h.next = next
	defer closeAll(r.files)
	return send(helperSocket, msgMade, nil, r.files...)
}

// world makes a command's world around this thread. The files are the parent of the run's directory, and the mounts.
func (h *helper) world(w *world) (files []int, err error) {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWIPC); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	// The parent of the run's directory is the box's own: a command that is the owner of both could put a link in its place otherwise, and
	// its outs would be looked for where that leads.
	root := filepath.Join(boxRuns, w.Root)
	binds := [][2]string{{filepath.Join(root, "tmp"), "/tmp"}}
	if !w.Memory {
		binds = append(binds, [2]string{filepath.Join(root, "work"), boxWork})
	}
	if w.Script {
		binds = append(binds, [2]string{filepath.Join(root, "script"), boxScript})
	}
	for i, t := range w.Tools {
		binds = append(binds, [2]string{filepath.Join(boxTrees, t), fmt.Sprintf("%s/%d", boxTools, i)})
	}
	if err := bind(binds); err != nil {
		return nil, err
	}
	for _, m := range w.mounts() {
		if err := m.mount(root); err != nil {
			return nil, err
		}
	}
	var hide [][2]string
	for _, dir := range []string{boxRuns, boxTrees, boxInputs, boxMemory} {
		hide = append(hide, [2]string{boxNone, dir})
	}
	if err := bind(hide); err != nil {
		return nil, err
	}
	for _, name := range []string{filepath.Dir(boxWork), "/proc/thread-self/ns/mnt"} {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files = append(files, fd)
	}
	return files, nil
}

// bind mounts the first of each pair at the second.
func bind(pairs [][2]string) error {
	for _, b := range pairs {
		if err := unix.Mount(b[0], b[1], "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", b[1], err)
		}
	}
	return nil
}

// errPlace says that the place of a tree is not what it should be.
var errPlace = errors.New("a link is on the way")

// mount mounts an overlay. What changes is not kept from a crash of the machine: waiting for that would take more time than all else, and it
// is removed when the command has ended. The options are those that a user who is not root of the machine may use.
func (o overlay) mount(root string) error {
	at := o.at
	fd, err := unix.Openat2(unix.AT_FDCWD, at, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return fmt.Errorf("%s: %w: %w", at, errPlace, err)
	}
	_ = unix.Close(fd)
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,userxattr,volatile", o.lower, filepath.Join(root, o.upper), filepath.Join(root, o.work))
	if err := unix.Mount("overlay", at, "overlay", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("overlay %s: %w", at, err)
	}
	return nil
}
