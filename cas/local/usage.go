package local

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"cbuild/cas"
	"cbuild/engine"
)

// A rank says when something was last used: 0 by a build that may still run, then by the last build, by the one before, and so on.
type rank uint32

// usage is what recent builds used.
type usage struct {
	ranks map[[16]byte]rank
	// ages are how long ago the build of each rank ended, by the clock of the file server.
	ages []time.Duration
	// stale are the files of pins that say nothing any more.
	stale []string
	now   time.Time
}

// of returns the rank of a hash; ok is false if no recent build used it.
func (u *usage) of(hash [16]byte) (r rank, ok bool) {
	r, ok = u.ranks[hash]
	return r, ok
}

func (u *usage) use(hash [16]byte, r rank) {
	if old, ok := u.ranks[hash]; !ok || old > r {
		u.ranks[hash] = r
	}
}

const (
	// keepPins is how long pins are kept: what was used before counts as unused.
	keepPins = 90 * 24 * time.Hour
	// silent is after which time a process that said neither that it ends nor anything else counts as ended.
	silent = time.Hour
)

// pinned reads the pins of all builds.
func (l *Local) pinned(now time.Time) (*usage, error) {
	u := &usage{ranks: make(map[[16]byte]rank), ages: []time.Duration{0}, now: now}
	dir := filepath.Join(l.own, "pins")
	entries, err := l.fs.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	type file struct {
		name string
		age  time.Duration
	}
	var all []file
	for _, e := range entries {
		if fi, err := e.Info(); err == nil {
			all = append(all, file{e.Name(), now.Sub(fi.ModTime())})
		}
	}
	slices.SortFunc(all, func(a, b file) int { return int(max(-1, min(1, a.age-b.age))) })
	for _, f := range all {
		if f.age > keepPins {
			u.stale = append(u.stale, filepath.Join(dir, f.name))
			continue
		}
		data, err := l.fs.ReadFile(filepath.Join(dir, f.name))
		if err != nil {
			continue // it was just removed
		}
		hashes, ended := decodePins(data)
		r := rank(0)
		if ended || !l.mayRun(f.name, f.age) || mutant == "running" {
			r = rank(len(u.ages))
			u.ages = append(u.ages, f.age)
		}
		for _, h := range hashes {
			u.use(h, r)
		}
	}
	return u, nil
}

// mayRun reports whether the process that wrote pins, age ago, and did not say that it ended, may still run.
func (l *Local) mayRun(name string, age time.Duration) bool {
	var id [16]byte
	if n, err := hex.Decode(id[:], []byte(name[:min(32, len(name))])); err != nil || n < len(id) {
		return false
	}
	if _, err := l.fs.Stat(filepath.Join(l.own, "tmp", hex.EncodeToString(id[:]))); err == nil {
		return l.alive(id)
	}
	return id == l.id || age < silent
}

// decodePins reads a file of pins. What a kill tore at its end is left out.
func decodePins(data []byte) (hashes [][16]byte, ended bool) {
	if len(data) < len(pinsMagic) || string(data[:len(pinsMagic)]) != pinsMagic {
		return nil, true
	}
	for data = data[len(pinsMagic):]; len(data) >= 16; data = data[16:] {
		h := [16]byte(data)
		ended = h == [16]byte{}
		if !ended {
			hashes = append(hashes, h)
		}
	}
	return hashes, ended
}

// mark extends what was used to the blobs of the results that were used: who finds a result need not have opened its blobs.
func (l *Local) mark(ctx context.Context, u *usage) error {
	walked := make(map[[16]byte]rank)
	for _, p := range l.packs.all() {
		slots, err := p.slots()
		if err != nil {
			continue // what it holds is found damaged elsewhere
		}
		for _, s := range slots {
			r, ok := u.of(s.hash)
			if !ok || s.kind != aRecord {
				continue
			}
			hash, err := p.hashAt(s.entry)
			if err != nil {
				continue
			}
			var rec engine.Record
			if err := readRecord(spot{p, s.entry}, engine.Key(hash), false, &rec); err != nil {
				continue
			}
			if err := l.markResult(ctx, u, rec.Result, r, walked); err != nil {
				return err
			}
		}
	}
	return nil
}

// markResult marks the blobs of a result. Walked are the trees that were seen, with their ranks.
func (l *Local) markResult(ctx context.Context, u *usage, res *engine.Result, r rank, walked map[[16]byte]rank) error {
	u.use(half(res.Stdout.Hash), r)
	u.use(half(res.Log.Hash), r)
	for _, o := range res.Outs {
		h := half(o.Digest.Hash)
		u.use(h, r)
		if before, ok := walked[h]; o.Kind != engine.TreeKind || ok && before <= r {
			continue
		}
		walked[h] = r
		for e, err := range cas.Walk(ctx, unpinned{l}, o.Digest) {
			if err != nil {
				break // what is lost needs no mark
			}
			u.use(half(e.Digest.Hash), r)
		}
	}
	return ctx.Err()
}
