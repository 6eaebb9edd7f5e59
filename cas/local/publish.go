package local

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// publish gives the finished temporary file temp its name. The directory of the name is made at its first file, and a directory that
// lies where the file should be is damage.
func (l *Local) publish(temp, name string) error {
	err := l.fs.Rename(temp, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err = l.fs.MkdirAll(filepath.Dir(name), 0o777); err == nil {
			err = l.fs.Rename(temp, name)
		}
	case errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.EISDIR):
		l.quarantine(name)
		err = l.fs.Rename(temp, name)
	}
	if err != nil {
		l.discard(temp)
	}
	return err
}

// discard removes a temporary file. What can't be removed goes with the directory at the end.
func (l *Local) discard(temp string) { _ = l.fs.Remove(temp) }

// writeFile publishes a file with the given content, which is not synced. Should somebody delete it on its way, it is written again.
func (l *Local) writeFile(name string, content []byte) (err error) {
	for range 5 {
		if err = l.writeOnce(name, content); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return err
}

func (l *Local) writeOnce(name string, content []byte) error {
	f, temp, err := l.temp.create()
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		l.discard(temp)
		return err
	}
	return l.publish(temp, name)
}

// firstLine is an error's text for a sentence.
func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
