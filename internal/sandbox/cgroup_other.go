//go:build !linux

package sandbox

import (
	"errors"
	"os"
	"syscall"
)

// Only Linux has control groups, and limits of other processes.
type (
	cgroups struct{}
	group   struct{}
)

func findCgroups() (*cgroups, error) { return nil, errors.New("this system can't limit memory") }

func (*cgroups) open(int64, int) (*group, error) { return nil, errors.ErrUnsupported }

func (*group) start(_ *syscall.SysProcAttr, start func() error) error { return start() }
func (*group) used() (peak int64, ranOut bool)                        { return 0, false }
func (*group) close()                                                 {}

func limitProcesses(processLimits, func(int) bool) {}

func maxResident(*os.ProcessState) int64 { return 0 }

// MachineMemory returns 0: it is not known here.
func MachineMemory() int64 { return 0 }
