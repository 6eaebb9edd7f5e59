package live

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// address returns a name for the socket at path that is short enough for any path: an address holds some hundred bytes. It is good until done is
// called.
func address(path string) (at string, done func(), err error) {
	if len(path) < maxAddress {
		return path, func() {}, nil
	}
	dir, name := filepath.Split(path)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", dir, err)
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", fd, name), func() { _ = unix.Close(fd) }, nil
}
