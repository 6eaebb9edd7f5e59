package sandbox

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// memoryOptions bound what is in memory for one command: twice what is put there, because small files take whole pages.
var memoryOptions = fmt.Sprintf("mode=0755,size=%d", 2*(memoryBytes+memoryFiles*4096))

// mapperKind is the argument of a process that does nothing: its user namespace is wanted.
const mapperKind = "mapper"

func mapper() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// inputs returns the trees as a mount in which they belong to the user of b's commands, if that is neither who wrote them nor can be made so
// by the helper. Without it there are no overlays, which will be found out.
func (b *box) inputs(ctx context.Context, trees string) []int {
	if b.user == os.Getuid() {
		return nil
	}
	users, err := userNamespace(ctx, b.user)
	if err != nil {
		return nil
	}
	defer users.Close()
	fd, err := unix.OpenTree(unix.AT_FDCWD, trees, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP | unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID, Userns_fd: uint64(users.Fd())}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		_ = unix.Close(fd)
		return nil
	}
	return []int{fd}
}

// userNamespace returns a user namespace in which user is root.
func userNamespace(ctx context.Context, user int) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe") // it ends when the pipe does
	cmd.Args, cmd.Env, cmd.Stdin = []string{helperName, mapperKind}, helperEnv, r
	maps := []syscall.SysProcIDMap{{ContainerID: 0, HostID: user, Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: maps, GidMappings: maps}
	if err := begin(func() (int, error) { // it is no stray
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		return cmd.Process.Pid, nil
	}); err != nil {
		w.Close()
		return nil, err
	}
	users, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
	w.Close()
	_ = cmd.Wait() // how it ends does not matter
	forget(cmd.Process.Pid)
	return users, err
}
