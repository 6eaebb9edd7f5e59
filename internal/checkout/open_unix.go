//go:build unix

package checkout

import "syscall"

const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
