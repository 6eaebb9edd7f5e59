package sandbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups are the directories in which this process may make control groups: one of version 2 with all controllers, or one of version 1 for
// each.
type cgroups struct {
	v2, home string // home is the group that this process is in
	v1       map[string]string
	count    atomic.Int64
}

// The controllers. Memory is what they are for; where one of the others is missing, its limit is not enforced.
const (
	memoryController = "memory"
	cpuController    = "cpu"
	pidsController   = "pids"
)

var controllers = []string{memoryController, cpuController, pidsController}

// findCgroups looks for them, and tries them: whether one may make a group and move a process there can't be told otherwise.
func findCgroups() (*cgroups, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var why error = errors.New("no control groups are mounted")
	for _, c := range candidates(mounts, own) {
		if err := c.try(); err == nil {
			c.sweep()
			return c, nil
		} else {
			why = err
		}
	}
	return nil, why
}

// candidates returns what could do, the best first: the group of version 2 that this process is in, then the one above it, where its siblings are;
// then those of version 1 that it is in, for its thread has to come back.
func candidates(mountinfo, own []byte) []*cgroups {
	paths := make(map[string]string) // controller, or "" for version 2, to the path of our group
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			paths[c] = parts[2]
		}
	}
	var all []*cgroups
	one := make(map[string]string)
	scan := bufio.NewScanner(bytes.NewReader(mountinfo))
	for scan.Scan() {
		before, after, ok := strings.Cut(scan.Text(), " - ")
		where, what := strings.Fields(before), strings.Fields(after)
		if !ok || len(where) < 5 || len(what) < 3 {
			continue
		}
		under := func(path string) string { return filepath.Join(where[4], strings.TrimPrefix(path, where[3])) }
		switch what[0] {
		case "cgroup2":
			if path, ok := paths[""]; ok {
				at := under(path)
				all = append(all, &cgroups{v2: at, home: at})
				if at != where[4] {
					all = append(all, &cgroups{v2: filepath.Dir(at), home: at})
				}
			}
		case "cgroup":
			for o := range strings.SplitSeq(what[2], ",") {
				if path, ok := paths[o]; ok && slices.Contains(controllers, o) {
					one[o] = under(path)
				}
			}
		}
	}
	if one[memoryController] != "" {
		all = append(all, &cgroups{v1: one})
	}
	return all
}

// try makes a group and starts a process in it.
func (c *cgroups) try() error {
	if c.v2 != "" {
		if have, err := os.ReadFile(filepath.Join(c.v2, "cgroup.subtree_control")); err != nil {
			return err
		} else if !slices.Contains(strings.Fields(string(have)), memoryController) {
			if err := enable(c.v2); err != nil {
				return err
			}
		}
	} else {
		for _, name := range controllers[1:] { // those that can be done without
			if dir := c.v1[name]; dir != "" && syscall.Access(dir, 2 /* W_OK */) != nil {
				delete(c.v1, name)
			}
		}
	}
	g, err := c.open(64<<20, 1)
	if err != nil {
		return err
	}
	defer g.close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Env, cmd.SysProcAttr = []string{helperName, helperTry}, helperEnv, &syscall.SysProcAttr{}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := g.start(cmd.SysProcAttr, cmd.Start); err != nil {
		return err
	}
	return cmd.Wait()
}

// sweep removes the groups of builds that were killed. Those of living ones hold processes, so they stay.
func (c *cgroups) sweep() {
	for _, dir := range append(slices.Collect(maps.Values(c.v1)), c.v2) {
		old, _ := filepath.Glob(filepath.Join(dir, "cbuild-*"))
		for _, path := range old {
			pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), "cbuild-"), "-")
			if _, err := os.Stat("/proc/" + pid); dir != "" && err != nil {
				_ = os.Remove(path)
			}
		}
	}
}

// enable passes the controllers of the group at dir on to the groups in it.
func enable(dir string) error {
	var first error
	for _, name := range controllers {
		err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0)
		if name == memoryController {
			first = err
		}
	}
	return first
}

// A group is a control group for one command.
type group struct {
	dirs map[string]string // by controller
	// entries are the lists of threads (version 1) or processes (version 2) of the group: who writes 0 to each is in it. Home is that
	// of the group to go back to; only version 2, in which whole processes enter, needs it.
	entries []*os.File
	home    *os.File
}

// open makes a group for at most memory bytes and cpus processors; 0 is no limit.
func (c *cgroups) open(memory int64, cpus int) (*group, error) {
	name := fmt.Sprintf("cbuild-%d-%d", os.Getpid(), c.count.Add(1))
	g := &group{dirs: make(map[string]string)}
	for _, controller := range controllers {
		if c.v2 != "" {
			g.dirs[controller] = filepath.Join(c.v2, name)
		} else if dir := c.v1[controller]; dir != "" {
			g.dirs[controller] = filepath.Join(dir, name)
		}
	}
	err := g.make(c.home)
	if err == nil {
		err = g.limit(memory, cpus)
	}
	if err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// make makes the directories of a group of version 2, if there is a home, else of version 1.
func (g *group) make(home string) (err error) {
	list := "tasks"
	if home != "" {
		list = "cgroup.procs"
		if g.home, err = os.OpenFile(filepath.Join(home, list), os.O_WRONLY, 0); err != nil {
			return err
		}
	}
	for _, dir := range g.unique() {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(dir, list), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		g.entries = append(g.entries, f)
	}
	return nil
}

// unique lists the directories.
func (g *group) unique() []string { return slices.Compact(slices.Sorted(maps.Values(g.dirs))) }

// cpuPeriod is the time, in microseconds, in which processors are counted.
const cpuPeriod = 100_000

// limit sets the limits. What only some kernels have is left out where it is not there.
func (g *group) limit(memory int64, cpus int) error {
	type setting struct {
		controller, file, value string
		needed                  bool
	}
	bytes := strconv.FormatInt(memory, 10)
	var all []setting
	switch {
	case memory > 0 && g.home != nil:
		all = append(all, setting{memoryController, "memory.max", bytes, true}, setting{memoryController, "memory.swap.max", "0", false}, setting{memoryController, "memory.oom.group", "1", false})
	case memory > 0:
		all = append(all, setting{memoryController, "memory.limit_in_bytes", bytes, true}, setting{memoryController, "memory.memsw.limit_in_bytes", bytes, false})
	}
	switch {
	case cpus > 0 && g.home != nil:
		all = append(all, setting{cpuController, "cpu.max", fmt.Sprintf("%d %d", cpus*cpuPeriod, cpuPeriod), false})
	case cpus > 0:
		all = append(all, setting{cpuController, "cpu.cfs_quota_us", strconv.Itoa(cpus * cpuPeriod), false})
	}
	all = append(all, setting{pidsController, "pids.max", strconv.Itoa(maxProcesses), false})
	for _, s := range all {
		dir := g.dirs[s.controller]
		if dir == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, s.file), []byte(s.value), 0); err != nil && s.needed {
			return err
		}
	}
	return nil
}

// start calls start, which starts a process with the attributes a, so that it is in the group. In version 1 this thread enters and leaves: the caller has
// locked it to its goroutine.
func (g *group) start(a *syscall.SysProcAttr, start func() error) error {
	if g == nil {
		return start()
	}
	if g.home != nil {
		dir, err := os.Open(g.dirs[memoryController])
		if err != nil {
			return err
		}
		defer dir.Close()
		a.UseCgroupFD, a.CgroupFD = true, int(dir.Fd())
		return start()
	}
	for _, f := range g.entries {
		if _, err := f.WriteString("0"); err != nil {
			return err
		}
	}
	err := start()
	for _, dir := range g.unique() {
		if lerr := os.WriteFile(filepath.Join(filepath.Dir(dir), "tasks"), []byte("0"), 0); err == nil {
			err = lerr
		}
	}
	return err
}

// used returns the peak of the memory, 0 if the kernel does not say it, and whether it ran out.
func (g *group) used() (peak int64, ranOut bool) {
	peakFile, eventsFile := "memory.max_usage_in_bytes", "memory.oom_control"
	if g.home != nil {
		peakFile, eventsFile = "memory.peak", "memory.events"
	}
	dir := g.dirs[memoryController]
	if text, err := os.ReadFile(filepath.Join(dir, peakFile)); err == nil {
		peak, _ = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
	text, _ := os.ReadFile(filepath.Join(dir, eventsFile))
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			ranOut = strings.TrimSpace(n) != "0"
		}
	}
	return peak, ranOut
}

// close removes the group, if there is one. Its processes have ended, but for a moment the kernel may not know yet.
func (g *group) close() {
	if g == nil {
		return
	}
	for _, f := range append(g.entries, g.home) {
		if f != nil {
			f.Close()
		}
	}
	for _, dir := range g.unique() {
		for n := range 10 {
			if err := os.Remove(dir); !errors.Is(err, syscall.EBUSY) {
				break
			}
			time.Sleep(time.Millisecond << n)
		}
	}
}

// limitProcesses limits the processes for which ours holds, and what they start from now on. They have started already, and may be starting others
// meanwhile: it is over when there is none that was not limited before.
func limitProcesses(p processLimits, ours func(pid int) bool) {
	if p == (processLimits{}) {
		return
	}
	limited := make(map[int]bool)
	for found := true; found; {
		found = false
		names, _ := filepath.Glob("/proc/[1-9]*")
		for _, name := range names {
			pid, err := strconv.Atoi(filepath.Base(name))
			if err == nil && !limited[pid] && ours(pid) {
				p.limit(pid)
				limited[pid], found = true, true
			}
		}
	}
}

func (p processLimits) limit(pid int) {
	for resource, most := range map[int]int64{unix.RLIMIT_DATA: p.Data, unix.RLIMIT_FSIZE: p.File} {
		var l unix.Rlimit
		if most <= 0 || unix.Prlimit(pid, resource, nil, &l) != nil {
			continue
		}
		l.Cur, l.Max = min(l.Cur, uint64(most)), min(l.Max, uint64(most))
		_ = unix.Prlimit(pid, resource, &l, nil)
	}
}

// MachineMemory returns how much memory this machine has, in bytes; 0 if that is not known.
func MachineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}
