package sandbox

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxResident returns the peak of the memory of a process that has ended, in bytes, or of one that it waited for.
func maxResident(s *os.ProcessState) int64 {
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		return beyondOurs(u.Maxrss)
	}
	return 0
}

// ourPeak is the peak of this process's memory as far as it is known, in KiB.
var ourPeak atomic.Int64

// beyondOurs returns the peak of the memory of a child in bytes, given in KiB, or 0 for one that is not known: a child shares the memory of this
// process until it executes its program, and that counts.
func beyondOurs(peak int64) int64 {
	if peak <= ourPeak.Load() {
		return 0
	}
	ours := readPeak()
	ourPeak.Store(ours)
	if peak <= ours {
		return 0
	}
	return peak << 10
}

// ownStatus is opened once: the helper opens it before it leaves the machine's /proc.
var ownStatus = sync.OnceValues(func() (*os.File, error) { return os.Open("/proc/self/status") })

// readPeak reads the peak of this process's own memory, in KiB. What getrusage says would be more: the memory of the process that started this one
// counts there.
func readPeak() int64 {
	if f, err := ownStatus(); err == nil {
		buf := make([]byte, 4<<10)
		n, _ := f.ReadAt(buf, 0)
		if _, after, ok := bytes.Cut(buf[:n], []byte("\nVmHWM:")); ok {
			if fields := bytes.Fields(after); len(fields) > 0 {
				if kib, err := strconv.ParseInt(string(fields[0]), 10, 64); err == nil {
					return kib
				}
			}
		}
	}
	var own unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &own)
	return own.Maxrss
}
