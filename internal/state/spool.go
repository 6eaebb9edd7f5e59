package state

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"cbuild/internal/vfs"
)

// A Spool is a temporary file without a name, to which feeds write the rows that do not fit into memory. It vanishes with the
// process. All methods may be called concurrently.
type Spool struct {
	file vfs.File
	end  atomic.Int64
}

// NewSpool makes a spool on the disk of dir.
func NewSpool(fsys vfs.FS, dir string) (*Spool, error) {
	if err := fsys.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	name := filepath.Join(dir, "spool-"+rand.Text())
	f, err := fsys.Create(name, 0o600)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := fsys.Remove(name); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	return &Spool{file: f}, nil
}

// Append writes data as one piece and returns where it lies.
func (s *Spool) Append(data []byte) (offset int64, err error) {
	offset = s.end.Add(int64(len(data))) - int64(len(data))
	if _, err := s.file.WriteAt(data, offset); err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	return offset, nil
}

// ReadAt fills p from offset on.
func (s *Spool) ReadAt(p []byte, offset int64) (int, error) {
	n, err := s.file.ReadAt(p, offset)
	if n == len(p) {
		return n, nil
	}
	return n, fmt.Errorf("spool: %w", err)
}

// Size returns how many bytes were appended.
func (s *Spool) Size() int64 { return s.end.Load() }

// Close gives the space back.
func (s *Spool) Close() error { return s.file.Close() }
