package local

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"time"
)

// Durability says what a power cut may cost.
type Durability uint8

// The durabilities.
const (
	// Group syncs once a second and each 64 MiB: a power cut costs at most the last second of finished work.
	Group Durability = iota
	// None leaves it to the system: a power cut may cost the last half minute. For stores in memory.
	None
)

const (
	syncEvery = time.Second
	syncBytes = 64 << 20
)

// A syncer knows what was written and not synced yet.
type syncer struct {
	store *Local

	// syncing is held over the syncing itself.
	syncing sync.Mutex

	mu    sync.Mutex
	bytes int64               // guarded by mu
	files map[string]struct{} // guarded by mu; loose blobs
	dirs  map[string]struct{} // guarded by mu
}

// wrote counts bytes of a pack.
func (s *syncer) wrote(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += n
}

// file notes a file that got its name by rename.
func (s *syncer) file(name string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store.durability == None {
		return
	}
	if s.files == nil {
		s.files = make(map[string]struct{})
	}
	s.files[name] = struct{}{}
	s.bytes += n
}

// dir notes that a name in dir changed. The directory's own name may be new, too.
func (s *syncer) dir(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store.durability == None {
		return
	}
	if s.dirs == nil {
		s.dirs = make(map[string]struct{})
	}
	for ; len(dir) > len(s.store.own); dir = filepath.Dir(dir) {
		s.dirs[dir] = struct{}{}
	}
	s.dirs[s.store.own] = struct{}{}
}

// due syncs if too much waits for it. Writers call it when they hold no lock: who writes faster than the disk waits here.
func (s *syncer) due() {
	s.mu.Lock()
	much := s.bytes >= syncBytes
	s.mu.Unlock()
	if much {
		s.sync()
	}
}

// sync makes all that was written before it was called survive a power cut. Trouble costs durability, never a result: it is told once.
func (s *syncer) sync() {
	if s.store.durability == None || mutant == "sync" {
		return
	}
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	files, dirs := s.files, s.dirs
	s.files, s.dirs, s.bytes = nil, nil, 0
	s.mu.Unlock()
	err := s.store.writer.sync()
	for name := range files {
		err = errors.Join(err, s.one(name))
		s.dir(filepath.Dir(name))
	}
	s.mu.Lock()
	for d := range s.dirs {
		if dirs == nil {
			dirs = make(map[string]struct{})
		}
		dirs[d] = struct{}{}
	}
	s.dirs = nil
	s.mu.Unlock()
	for name := range dirs {
		if mutant == "dirsync" {
			break
		}
		err = errors.Join(err, s.one(name))
	}
	if err != nil {
		s.store.counters.unsynced.Add(1)
		s.store.warn("sync", "The store could not be synced to the disk: "+firstLine(err)+". Results are right all the same; a power cut may cost work.")
	}
}

// one syncs a file or directory. One that is gone needs it no more.
func (s *syncer) one(name string) error {
	f, err := s.store.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // nothing was written through it
	return f.Sync()
}

// tend syncs, beats and looks after others until ctx ends.
func (l *Local) tend(ctx context.Context) {
	for beat := l.clock.Elapsed(); l.clock.Sleep(ctx, syncEvery) == nil; {
		l.sync.sync()
		if now := l.clock.Elapsed(); now-beat >= beatEvery {
			beat = now
			l.beat()
			l.observe()
		}
	}
}
