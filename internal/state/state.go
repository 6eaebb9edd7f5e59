// Package state keeps what belongs to one machine and workspace and is never shared: which sources were hashed already, what was
// found out about the outside world and is not in the lock file yet, and room for rows that do not fit into memory. Each part has
// an opening function of its own and takes the directory from the caller. Nothing here is precious: damage costs work, not results.
package state

import (
	"crypto/rand"
	"io/fs"
	"path/filepath"

	"cbuild/internal/vfs"
)

// replaceFile gives the file name new content, whole or not at all, and makes its directory if need be.
func replaceFile(fsys vfs.FS, name string, data []byte) error {
	if err := fsys.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	temp := name + "." + rand.Text()
	if err := writeNew(fsys, temp, 0o666, data); err != nil {
		return err
	}
	err := fsys.Rename(temp, name)
	if err != nil {
		_ = fsys.Remove(temp)
	}
	return err
}

func writeNew(fsys vfs.FS, name string, perm fs.FileMode, data []byte) error {
	f, err := fsys.Create(name, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = fsys.Remove(name)
	}
	return err
}
