package checkout

import "syscall"

// mountSmall mounts a file system of the given size at dir.
func mountSmall(dir, size string) error { return syscall.Mount("none", dir, "tmpfs", 0, "size="+size) }

func unmount(dir string) { _ = syscall.Unmount(dir, 0) }
