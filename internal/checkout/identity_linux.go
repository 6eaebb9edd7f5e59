package checkout

import (
	"io/fs"
	"syscall"
)

// fileIdentity returns numbers that change when a file is written or replaced: inode, and the times of its content and its inode
// in nanoseconds.
func fileIdentity(info fs.FileInfo) [3]int64 {
	st := info.Sys().(*syscall.Stat_t)
	return [3]int64{int64(st.Ino), st.Mtim.Nano(), st.Ctim.Nano()}
}
