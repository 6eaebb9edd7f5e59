// Package local is the store and action cache in a directory, shared by any number of processes at once. Call Open, and Close at the
// end. Small blobs and records lie in packs, to each of which one process appends; large blobs are files of their own. docs/FORMATS.md
// describes each byte.
//
// Files get their final names by rename, whole or not at all, and packs are read frame by frame, so readers need no locks and a kill
// at any instant costs nothing that was reported as stored. Syncing follows within a second. Correctness rests on none of that: records
// carry a checksum, a blob's content is checked at its first use in a process, and what is damaged is missing from then on.
package local

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"cbuild/internal/clock"
	"cbuild/internal/vfs"
)

// Options say what a store stands on.
type Options struct {
	// FS is the file system; nil means vfs.OS.
	FS vfs.FS
	// Clock is the time; nil means clock.System.
	Clock clock.Clock
	// Durability is Group unless it is set.
	Durability Durability
	// Private is a directory for what is new if the store can't be written. Without one, Put and Record then fail.
	Private string
	// Warn, if set, is told once of each kind of trouble that costs work or durability and no result. It may be called concurrently.
	Warn func(text string)
	// Broken, if set, is told once when a blob can't be stored for a reason that lies in the store: there is no use in going on.
	Broken func(err error)
}

// A Local is a store and an action cache in a directory. It is a cas.Store and an engine.ActionCache; all methods may be called
// concurrently.
type Local struct {
	dir        string
	own        string   // where new things go: dir, or the private directory
	dirs       []string // both, where they differ
	id         [16]byte
	fs         vfs.FS
	clock      clock.Clock
	durability Durability
	readOnly   bool // set by Open
	temp       incarnation
	packs      packs
	trash      packs // that a collection took away; they are read when nothing else has a blob
	writer     writer
	packCount  atomic.Uint32 // of this process
	sync       syncer
	condemned  condemned
	sightings  sightings
	pins       pins
	checked    checked
	codec      codec

	firstBeat sync.Once
	beating   sync.Mutex
	beats     uint64 // guarded by beating

	tell       func(string)
	broken     func(error)
	told       sync.Map // of kinds of warnings
	start      sync.Once
	background sync.WaitGroup
	life       lifetime

	counters struct {
		puts, existing, opens, lookups, hits, records, differing, damaged, unsynced atomic.Int64
	}
}

// errReadOnly says that a store can't be written.
var errReadOnly = fmt.Errorf("the store is read-only: %w", syscall.EROFS)

// Open opens the store in dir, which is made if it does not exist. In a store that can't be written, and without a private directory,
// only Put and Record fail. What dead processes left behind is put in order.
func Open(dir string, opts Options) (*Local, error) {
	if opts.FS == nil {
		opts.FS = vfs.OS
	}
	if opts.Clock == nil {
		opts.Clock = clock.System
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	l := &Local{dir: dir, own: dir, fs: opts.FS, clock: opts.Clock, durability: opts.Durability, tell: opts.Warn, broken: opts.Broken, life: newLifetime()}
	rand.Read(l.id[:]) // it never fails
	l.temp.store, l.writer.store, l.sync.store, l.pins.store = l, l, l, l
	l.packs.init(l, func() (dirs []string) {
		for _, d := range l.dirs {
			dirs = append(dirs, d+"/pack")
		}
		return dirs
	})
	l.trash.init(l, func() []string { return []string{l.own + "/trash"} })
	if err := l.codec.init(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := l.open(opts.Private); err != nil {
		_ = l.Close() // what went wrong first matters
		return nil, fmt.Errorf("store %s: %w", dir, err)
	}
	return l, nil
}

func (l *Local) open(private string) error {
	if err := l.openDir(l.dir); err != nil {
		return err
	}
	if err := l.openVersion(l.dir); err != nil {
		return err
	}
	l.dirs = []string{l.dir}
	if private != "" && (l.readOnly || !l.writable()) {
		if err := l.openPrivate(private); err != nil {
			return err
		}
	}
	l.condemned.load(l)
	if err := l.packs.refresh(true); err != nil {
		return err
	}
	if !l.readOnly {
		l.sweep()
		l.reindex()
	}
	return nil
}

// writable opens a file for writing that is there or serves later. Trouble of other kinds is for those who really write.
func (l *Local) writable() bool {
	f, err := l.fs.Append(l.collectLock(), 0o666)
	if err == nil {
		_ = f.Close() // nothing was written
	}
	return !unwritable(err)
}

// openPrivate makes a directory of our own the place of what is new. It has the form of a store.
func (l *Local) openPrivate(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	l.readOnly = false
	if err := l.openDir(dir); err != nil {
		return fmt.Errorf("private directory %s: %w", dir, err)
	}
	l.own = dir
	if err := l.openVersion(dir); err != nil {
		return fmt.Errorf("private directory %s: %w", dir, err)
	}
	l.dirs = []string{dir, l.dir}
	return nil
}

func (l *Local) openDir(dir string) error {
	switch fi, err := l.fs.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return l.fs.MkdirAll(dir, 0o777)
	case err != nil:
		return err
	case !fi.IsDir():
		return errors.New("not a directory")
	}
	return nil
}

// unwritable reports whether err says that a store is for reading only.
func unwritable(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)
}

// Close seals and syncs what was written and removes the store's temporary files. Readers that Open returned stay good.
func (l *Local) Close() error {
	l.start.Do(func() {}) // from now on nothing starts
	l.life.end()
	l.background.Wait()
	var err error
	l.writer.close()
	for _, p := range l.packs.all() {
		if p.own && p.live {
			err = errors.Join(err, l.seal(p))
		}
	}
	l.sync.sync()
	l.pins.close()
	if l.beats > 0 {
		_ = l.fs.Remove(l.agentPath(l.id)) // a beat that stands still means nothing
	}
	// What could not be sealed stays provably that of a dead process: the next who opens the store does it.
	err = errors.Join(err, l.temp.close(err == nil))
	return errors.Join(err, l.packs.close(), l.trash.close())
}

// working starts what goes on beside the writing, once. It ends in Close.
func (l *Local) working() {
	l.start.Do(func() { l.background.Go(func() { l.tend(l.life) }) })
}

// Dir returns the directory of the store.
func (l *Local) Dir() string { return l.dir }

// Stats counts what a Local did since it was opened.
type Stats struct {
	// Puts are the blobs put, Existing those among them that were there already, Opens the blobs opened.
	Puts, Existing, Opens int64
	// Lookups are the look-ups of results, Hits those that found one, Records the records written.
	Lookups, Hits, Records int64
	// Differing counts results that were not recorded because another one of the same key stays chosen.
	Differing int64
	// Damaged counts blobs and records that were found damaged.
	Damaged int64
	// Unsynced counts attempts to sync that failed.
	Unsynced int64
}

// Stats returns the counts so far.
func (l *Local) Stats() Stats {
	c := &l.counters
	return Stats{
		Puts: c.puts.Load(), Existing: c.existing.Load(), Opens: c.opens.Load(),
		Lookups: c.lookups.Load(), Hits: c.hits.Load(), Records: c.records.Load(),
		Differing: c.differing.Load(), Damaged: c.damaged.Load(), Unsynced: c.unsynced.Load(),
	}
}

// breaks tells once that blobs can't be stored.
func (l *Local) breaks(err error) {
	if _, again := l.told.LoadOrStore("broken", true); !again && l.broken != nil {
		l.broken(err)
	}
}

// warn tells of trouble, once for each kind.
func (l *Local) warn(kind, text string) {
	if _, again := l.told.LoadOrStore(kind, true); !again && l.tell != nil {
		l.tell(text)
	}
}
