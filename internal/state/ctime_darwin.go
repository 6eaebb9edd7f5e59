package state

import "syscall"

// changed returns a file's ctime in nanoseconds.
func changed(st *syscall.Stat_t) int64 { return st.Ctimespec.Nano() }
