package sandbox

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The filter keeps from commands what is of use only to break out: other namespaces, mounts, keys that outlive a process, interfaces of the
// kernel that had many holes, and signals to the helper, which is process 1. What is refused fails with EPERM; clone3, whose flags a filter
// can't see, and io_uring do not exist, so that libraries go on with what there is instead.
var (
	forbidden = []uint32{
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN,
		unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_UNSHARE, unix.SYS_SETNS,
		unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
		unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_SWAPON,
		unix.SYS_SWAPOFF, unix.SYS_REBOOT, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_VHANGUP, unix.SYS_SYSLOG,
	}
	absent = []uint32{unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}
	// toFirst take a process as their first argument.
	toFirst = []uint32{unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO}
)

// Where the parts of struct seccomp_data are, on machines whose least significant byte comes first.
const (
	dataNumber = 0
	dataArch   = 4
	dataArg0   = 16
	dataArg1   = 24
	dataArg2   = 32
)

const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// x32Bit is set in the numbers of a second set of system calls that amd64 has.
const x32Bit = 0x40000000

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func answer(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

// jump goes on yes or no instructions behind the next one.
func jump(test uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, K: k, Jt: yes, Jf: no}
}

var (
	allow    = answer(unix.SECCOMP_RET_ALLOW)
	refuse   = answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	notThere = answer(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
)

// filterProgram builds the filter.
func filterProgram() []unix.SockFilter {
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	p := []unix.SockFilter{
		load(dataArch), jump(unix.BPF_JEQ, arch, 1, 0), notThere,
		load(dataNumber),
	}
	if runtime.GOARCH == "amd64" {
		p = append(p, jump(unix.BPF_JGE, x32Bit, 0, 1), notThere)
	}
	for _, n := range forbidden {
		p = append(p, jump(unix.BPF_JEQ, n, 0, 1), refuse)
	}
	for _, n := range absent {
		p = append(p, jump(unix.BPF_JEQ, n, 0, 1), notThere)
	}
	for _, n := range toFirst {
		p = append(p, jump(unix.BPF_JEQ, n, 0, 4), load(dataArg0), jump(unix.BPF_JEQ, 1, 0, 1), refuse, allow)
	}
	p = append(p, jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 4), load(dataArg0), jump(unix.BPF_JSET, namespaces, 0, 1), refuse, allow)
	// Typing into the terminal of whoever started cbuild.
	p = append(p, jump(unix.BPF_JEQ, unix.SYS_IOCTL, 0, 4), load(dataArg1), jump(unix.BPF_JEQ, unix.TIOCSTI, 0, 1), refuse, allow)
	// The limits of others: those of the helper would be those of all commands to come. Reading them is allowed, and changing one's own.
	p = append(p, jump(unix.BPF_JEQ, unix.SYS_PRLIMIT64, 0, 8),
		load(dataArg0), jump(unix.BPF_JEQ, 0, 4, 0),
		load(dataArg2), jump(unix.BPF_JEQ, 0, 0, 3),
		load(dataArg2+4), jump(unix.BPF_JEQ, 0, 0, 1), allow, refuse)
	return append(p, allow)
}

var filter = filterProgram()

// confine installs the filter for this thread and all that it starts. It takes away the right to gain rights, too.
func confine() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	p := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&p)))
	if errno != 0 {
		return errno
	}
	return nil
}
