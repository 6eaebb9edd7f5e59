// Package local is the store and action cache in a directory, shared by any number of processes at once. Call Open, and Close at the
// end. This first form keeps every blob and record as a file of its own; docs/FORMATS.md describes each byte.
//
// Everything is published by rename, whole or not at all, so readers need no locks and a kill at any instant leaves no half blob
// under a name. Nothing is synced: after a power cut a file may be torn. Correctness does not rest on that: records carry a checksum,
// a blob's content is checked at its first use in a process, and what is damaged is moved to quarantine/ and missing from then on.
package local

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"cbuild/internal/vfs"
)

// Options say what a store stands on.
type Options struct {
	// FS is the file system; nil means vfs.OS.
	FS vfs.FS
}

// A Local is a store and an action cache in a directory. It is a cas.Store and an engine.ActionCache; all methods may be called
// concurrently.
type Local struct {
	dir     string
	fs      vfs.FS
	temp    incarnation
	checked checked
	codec   codec

	counters struct {
		puts, existing, opens, lookups, hits, records, differing, damaged atomic.Int64
	}
}

// Open opens the store in dir, which is made if it does not exist. A store that can't be written is good for reading: then only Put
// and Record fail. Temporary files of processes that are provably dead are removed.
func Open(dir string, opts Options) (*Local, error) {
	if opts.FS == nil {
		opts.FS = vfs.OS
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	l := &Local{dir: dir, fs: opts.FS}
	l.temp.store = l
	if err := l.codec.init(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := l.open(); err != nil {
		_ = l.Close() // what went wrong first matters
		return nil, fmt.Errorf("store %s: %w", dir, err)
	}
	return l, nil
}

func (l *Local) open() error {
	switch fi, err := l.fs.Stat(l.dir); {
	case errors.Is(err, fs.ErrNotExist):
		if err := l.fs.MkdirAll(l.dir, 0o777); err != nil {
			return err
		}
	case err != nil:
		return err
	case !fi.IsDir():
		return errors.New("not a directory")
	}
	if err := l.openVersion(); err != nil {
		return err
	}
	l.sweep()
	return nil
}

// Close removes the store's temporary files. Readers that Open returned stay good.
func (l *Local) Close() error { return l.temp.close() }

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
}

// Stats returns the counts so far.
func (l *Local) Stats() Stats {
	c := &l.counters
	return Stats{
		Puts: c.puts.Load(), Existing: c.existing.Load(), Opens: c.opens.Load(),
		Lookups: c.lookups.Load(), Hits: c.hits.Load(), Records: c.records.Load(),
		Differing: c.differing.Load(), Damaged: c.damaged.Load(),
	}
}

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

// writeFile publishes a file with the given pieces of content.
func (l *Local) writeFile(name string, pieces ...[]byte) error {
	f, temp, err := l.temp.create()
	if err != nil {
		return err
	}
	for _, p := range pieces {
		if _, err = f.Write(p); err != nil {
			break
		}
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		l.discard(temp)
		return err
	}
	return l.publish(temp, name)
}

// quarantine moves a damaged file out of the way and keeps it for whoever looks for the cause. In a store that can't be written it
// stays, and is found damaged again. Another process may just have replaced the file by a sound one: then that one is lost, which is
// a miss and no worse.
func (l *Local) quarantine(name string) {
	l.counters.damaged.Add(1)
	dir := filepath.Join(l.dir, "quarantine")
	to := filepath.Join(dir, filepath.Base(name))
	if err := l.fs.Rename(name, to); errors.Is(err, fs.ErrNotExist) {
		if l.fs.MkdirAll(dir, 0o777) == nil {
			_ = l.fs.Rename(name, to)
		}
	}
}
