package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"cbuild/internal/sandbox"
)

const (
	fewFiles   = 1024
	littleRoom = 2 << 30
	slowSync   = 100 * time.Millisecond
	skew       = 2 * time.Second
	// deadAgent is how old the sign of life of a process is that has certainly ended: they are given every few seconds.
	deadAgent = 10 * time.Minute
)

func (x *examination) openFiles() {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		x.warn("open files", "", "the limit can't be told: %v", err)
		return
	}
	if limit.Max < fewFiles {
		x.warn("open files", "Raise it with ulimit -n, or in the limits of the container.", "at most %d", limit.Max)
		return
	}
	x.ok("open files", "at most %d", limit.Max)
}

// fileSystems names those file systems that people know by another name than a number, by what statfs says of their type on Linux.
var fileSystems = map[int64]string{
	0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs", 0x794c7630: "overlayfs", 0x6969: "nfs", 0x2fc12fc1: "zfs",
	0x65735546: "fuse", 0xff534d42: "cifs", 0x01021997: "9p",
}

// disk looks at the file system of the store, before the store is opened: what is wrong with one may be due to the other.
func (x *examination) disk() {
	dir, err := x.storeDir()
	if err != nil {
		x.fail("store", "Set HOME, or say where the store is with --cas.", "%v", err)
		return
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		x.fail("store", "Take another directory with --cas, or CBUILD_CAS.", "%v", err)
		return
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		x.fail("disk", "", "%s: %v", dir, err)
		return
	}
	name := fileSystems[int64(st.Type)] //nolint:unconvert // its type is not the same everywhere
	if name == "" {
		name = fmt.Sprintf("file system %#x", st.Type)
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:unconvert // nor are theirs
	bound := x.keep(dir)
	switch {
	case free < littleRoom:
		x.warn("disk", "Make room: cbuild cas gc --keep SIZE, or another place with --cas.", "%s, %s free", name, sizeText(free))
	case name == "tmpfs":
		x.warn("disk", "Take a store on a disk with --cas, unless that is what you want.", "%s, %s free: what is stored is gone when the machine is", name, sizeText(free))
	default:
		x.ok("disk", "%s, %s free", name, sizeText(free))
	}
	x.ok("store size", "kept below %s", sizeText(bound))
	x.clocks(dir)
}

// clocks writes a file as the store does, and compares what the file system says of its time with the clock of this machine.
func (x *examination) clocks(dir string) {
	var took []time.Duration
	for range 5 {
		d, at, err := syncFile(dir)
		if err != nil {
			x.fail("disk", "Look at the rights of the directory, and at the disk.", "a file can't be written in %s: %v", dir, err)
			return
		}
		took = append(took, d)
		if off := time.Since(at); off.Abs() > skew && len(took) == 1 {
			x.warn("clock", "Let both follow the same time server. Nothing is decided by it, but ages of files and results are wrong.", "the file system is %v off", off.Round(time.Second))
		} else if len(took) == 1 {
			x.ok("clock", "agrees with the file system")
		}
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > slowSync {
		x.warn("fsync", "A store on another disk is faster; durability \"none\" in .cbuild.hcl costs what was just done, if the power goes.", "takes %v", median.Round(time.Millisecond))
	} else {
		x.ok("fsync", "takes %v", median.Round(10*time.Microsecond))
	}
}

// syncFile writes a file in dir to the disk and removes it. It returns how long that took, and the time that the file got.
func syncFile(dir string) (took time.Duration, at time.Time, err error) {
	f, err := os.CreateTemp(dir, "doctor-")
	if err != nil {
		return 0, at, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	begun := time.Now()
	if _, err := f.WriteString("how long does this take?\n"); err != nil {
		return 0, at, err
	}
	if err := f.Sync(); err != nil {
		return 0, at, err
	}
	took = time.Since(begun)
	info, err := f.Stat()
	if err != nil {
		return 0, at, err
	}
	return took, info.ModTime(), nil
}

// store says of the store, which could be opened, what is in it.
func (x *examination) store(s *session) {
	format, _ := os.ReadFile(filepath.Join(s.store.Dir(), "VERSION"))
	x.ok("store", "%s, of the form %q", s.store.Dir(), strings.TrimSpace(string(format)))
	old := 0
	agents, _ := os.ReadDir(filepath.Join(s.store.Dir(), "agents"))
	for _, a := range agents {
		if info, err := a.Info(); err == nil && time.Since(info.ModTime()) > deadAgent {
			old++
		}
	}
	if old > 0 {
		x.warn("processes", "The next builds seal what they left; nothing needs to be done.", "%d ended without saying so, or are on a machine that is away", old)
	} else {
		x.ok("processes", "%d use the store, or just did", len(agents))
	}
}

// sandbox tries class full, and control groups, as the first command of a build would.
func (x *examination) sandbox(ctx context.Context, s *session) {
	trial := sandbox.New(s.store, s.trees, filepath.Join(s.scratch, "trial"))
	defer trial.Close()
	copies := false
	trial.Copies(func(error) { copies = true })
	err := os.MkdirAll(filepath.Join(s.scratch, "trial"), 0o700)
	if err == nil {
		err = trial.Require(ctx)
	}
	switch {
	case err != nil:
		x.warn("sandbox", boxAdvice(), "class none: what a run did not declare is not hidden from it (%v)", err)
	case copies:
		x.ok("sandbox", "class full, with copies of inputs: they can't be mounted here")
	default:
		x.ok("sandbox", "class full")
	}
	if err := sandbox.TryGroups(); err != nil {
		x.warn("control groups", "Delegate a group of version 2 to this user (systemd-run --user --scope), or start the container with its own (--cgroupns=private, /sys/fs/cgroup writable).",
			"limits on memory hold for each process only: %v", err)
	} else {
		x.ok("control groups", "limits on memory hold for all processes of a command together")
	}
}

// boxAdvice says what keeps a machine from having class full, as far as its settings show.
func boxAdvice() string {
	for _, s := range []struct{ file, value, advice string }{
		{"/proc/sys/user/max_user_namespaces", "0", "User namespaces are switched off: sysctl user.max_user_namespaces=15000."},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "User namespaces are for root only: sysctl kernel.unprivileged_userns_clone=1."},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor restricts user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile for cbuild."},
	} {
		if data, err := os.ReadFile(s.file); err == nil && strings.TrimSpace(string(data)) == s.value {
			return s.advice
		}
	}
	return "In a container, allow namespaces and mounts: --security-opt seccomp=unconfined --security-opt apparmor=unconfined, for Podman also --security-opt unmask=ALL."
}
