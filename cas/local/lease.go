package local

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cbuild/engine"
)

// leaseMagic begins a lease.
const leaseMagic = "cbuild-lease 1\n"

// How often who waits for a lease looks, and tells what for.
const (
	pollFirst = 10 * time.Millisecond
	pollMost  = 500 * time.Millisecond
	tellEvery = time.Second
)

func (l *Local) leasePath(k engine.Key) string {
	return filepath.Join(l.own, "leases", hex.EncodeToString(k[:]))
}

var _ engine.Leaser = (*Local)(nil)

// A holder is who has a lease.
type holder struct {
	id  [16]byte
	raw string // the whole file
}

// Try is engine.Leaser's. It takes about a tenth of a millisecond.
func (l *Local) Try(ctx context.Context, k engine.Key) (release func(), ok bool) {
	for range 3 {
		err := l.takeLease(k)
		if err == nil {
			return func() { l.releaseLease(k) }, true
		}
		if !errors.Is(err, fs.ErrExist) || ctx.Err() != nil {
			break // leases save work, they are not worth trouble
		}
		h, held := l.holder(k)
		if held {
			return func() {}, false
		}
		l.stealLease(k, h)
	}
	return func() {}, true
}

// takeLease makes the file of a lease, if there is none. The first beat precedes it: a holder without one counts as gone.
func (l *Local) takeLease(k engine.Key) error {
	if _, err := l.temp.open(); err != nil {
		return err
	}
	l.firstBeat.Do(l.beat)
	f, err := l.fs.Create(l.leasePath(k), 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		if err = l.fs.MkdirAll(filepath.Dir(l.leasePath(k)), 0o777); err == nil {
			f, err = l.fs.Create(l.leasePath(k), 0o666)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(leaseMagic + hex.EncodeToString(l.id[:]) + "\n"))
	return errors.Join(err, f.Close())
}

// releaseLease lets go. What was recorded is synced, and its length published, before others are let in, if there are others: a network
// file system shows them nothing else. Who waits has shown a beat before.
func (l *Local) releaseLease(k engine.Key) {
	if !l.alone() && mutant != "publish" {
		l.sync.sync()
		l.beat()
	}
	if h, err := l.readLease(k); err == nil && h.id == l.id {
		_ = l.fs.Remove(l.leasePath(k)) // else it ends with this process
	}
}

// alone reports whether no other process shows that it is alive.
func (l *Local) alone() bool {
	entries, err := l.fs.ReadDir(filepath.Join(l.own, "agents"))
	return err == nil && len(entries) < 2
}

// readLease reads who holds k. A lease that is empty, because its holder is about to write it or has died, has the zero id.
func (l *Local) readLease(k engine.Key) (h holder, err error) {
	data, err := l.fs.ReadFile(l.leasePath(k))
	if err != nil {
		return h, err
	}
	h.raw = string(data)
	name, ok := strings.CutPrefix(h.raw, leaseMagic)
	if ok && len(name) == 33 {
		_, _ = hex.Decode(h.id[:], []byte(name[:32])) // what can't be read belongs to nobody
	}
	return h, nil
}

// holder returns who has the lease of k, and reports whether that is somebody alive.
func (l *Local) holder(k engine.Key) (h holder, held bool) {
	h, err := l.readLease(k)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return h, false
	case err != nil:
		return h, false
	case h.id == [16]byte{}:
		// Whoever made it is about to write it, or never will.
		return h, l.sightings.still([16]byte(k[:16]), 0, l.clock.Elapsed()) < beatEvery
	}
	return h, l.alive(h.id)
}

// stealLease takes the lease of k away from h. If somebody else was faster and has it now, it is put back.
func (l *Local) stealLease(k engine.Key, h holder) {
	dir, err := l.temp.open()
	if err != nil {
		return
	}
	stolen := dir + "/lease-" + strconv.FormatUint(l.temp.seq.Add(1), 36)
	if l.fs.Rename(l.leasePath(k), stolen) != nil {
		return
	}
	if data, err := l.fs.ReadFile(stolen); err == nil && string(data) != h.raw {
		_ = l.fs.Rename(stolen, l.leasePath(k)) // else the work is done twice
		return
	}
	l.discard(stolen)
}

// Await is engine.Leaser's.
func (l *Local) Await(ctx context.Context, k engine.Key, most time.Duration, waiting func(holder string, waited time.Duration)) (free bool, err error) {
	start := l.clock.Elapsed()
	told := time.Duration(0)
	var last holder
	for pause := pollFirst; ; pause = min(2*pause, pollMost) {
		h, held := l.holder(k)
		if !held {
			return true, l.catchUp(ctx, last)
		}
		last = h
		waited := l.clock.Elapsed() - start
		if most > 0 && waited >= most {
			return false, nil
		}
		if waiting != nil && waited-told >= tellEvery {
			told = waited
			waiting(l.nameOf(h.id), waited)
		}
		if most > 0 {
			pause = min(pause, max(most-waited, time.Millisecond))
		}
		if err := l.clock.Sleep(ctx, pause); err != nil {
			return false, err
		}
	}
}

// catchUp reads all that the last holder of a lease has published. Its packs are opened anew: a network file system may not have
// noticed that they grew.
func (l *Local) catchUp(ctx context.Context, last holder) error {
	data, _ := l.fs.ReadFile(l.agentPath(last.id))
	if a, ok := decodeAgent(data); ok {
		for _, p := range l.packs.all() {
			if length, ok := a.packs[p.id.n]; ok && p.live && !p.own && p.id.incarnation == last.id && p.length() < length {
				p.reopen()
			}
		}
	}
	_ = l.packs.refresh(true) // what is not found is done again
	return ctx.Err()
}

// nameOf is what people call the process of an incarnation.
func (l *Local) nameOf(id [16]byte) string {
	data, _ := l.fs.ReadFile(l.agentPath(id))
	a, ok := decodeAgent(data)
	if !ok || a.host == "" {
		return "another host"
	}
	return fmt.Sprintf("host %s, process %d", a.host, a.pid)
}
