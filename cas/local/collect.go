package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Limits say what a collection may leave.
type Limits struct {
	// Keep is how many bytes the store may have; below 0 there is no limit.
	Keep int64
	// Older, if not zero, takes away what no build used for so long, even if there is room.
	Older time.Duration
	// Dry only looks.
	Dry bool
}

// A Collected says what a collection did.
type Collected struct {
	// Before and After are the bytes of the store, trash left out. What went to trash serves until the next collection.
	Before, After int64
	// Purged is what the last collection had moved to trash, and this one deleted.
	Purged int64
	// Blobs are those that were taken away.
	Blobs int
}

const (
	// young is how old a blob must be before it may be taken without anybody having used it: its user may be about to say so.
	young = time.Minute
	// smallPack is the size below which a pack is merged with others, once there are manySmall.
	smallPack = 16 << 20
	manySmall = 16
)

// ErrCollecting says that another process is collecting already.
var ErrCollecting = errors.New("another process is collecting already")

// Collect takes away blobs that recent builds did not use, oldest use first, until the store is within the limits. It never takes what
// a running build has used, nor results, which are small and save the most. What it takes stays in trash until the next collection,
// and is taken back when somebody asks for it. Builds may run at the same time.
func (l *Local) Collect(ctx context.Context, limits Limits) (c Collected, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("collect: %w", err)
		}
	}()
	if l.readOnly {
		return c, errReadOnly
	}
	l.pins.flush()
	unlock, err := l.lockCollection()
	if err != nil {
		return c, err
	}
	defer unlock()
	if !limits.Dry {
		if c.Purged, err = l.purge(); err != nil {
			return c, err
		}
	}
	if err := l.packs.refresh(true); err != nil {
		return c, err
	}
	s, err := l.survey(ctx)
	if err != nil {
		return c, err
	}
	s.choose(limits)
	c.Before, c.After, c.Blobs = s.total, s.total-s.chosen, s.taken
	if limits.Dry {
		return c, nil
	}
	if err := l.take(ctx, s, limits); err != nil {
		return c, err
	}
	for _, name := range s.stale {
		_ = l.fs.Remove(name) // the next collection tries again
	}
	return c, errors.Join(l.strays(), l.writeFile(filepath.Join(l.own, "collected"), fmt.Appendf(nil, "cbuild-collected 1\nbytes %d\n", c.After)))
}

func (l *Local) collectLock() string { return filepath.Join(l.own, "collect.lock") }

// lockCollection keeps processes of this machine from collecting at the same time. On another machine they do no harm.
func (l *Local) lockCollection() (unlock func(), err error) {
	f, err := l.fs.Append(l.collectLock(), 0o666)
	if err != nil {
		return nil, err
	}
	switch free, err := f.TryLock(); {
	case err != nil:
		return nil, errors.Join(err, f.Close())
	case !free:
		return nil, errors.Join(ErrCollecting, f.Close())
	}
	return func() { _ = f.Close() }, nil // nothing was written
}

// A survey is what the store has and what of it is used.
type survey struct {
	*usage
	total  int64
	loose  []candidate // blobs in files
	packed []candidate // blobs in packs

	chosen int64 // bytes
	taken  int   // blobs
	goes   map[frameRef]bool
}

// A candidate is a blob that a collection may take.
type candidate struct {
	hash [16]byte
	size int64
	age  time.Duration // since it was written
	rank rank          // lastUse, if used
	used bool
	name string   // of its file, or
	ref  frameRef // where it lies
	goes bool
}

// survey looks at all that the store has.
func (l *Local) survey(ctx context.Context) (*survey, error) {
	now, err := l.serverTime()
	if err != nil {
		return nil, err
	}
	u, err := l.pinned(now)
	if err != nil {
		return nil, err
	}
	if err := l.mark(ctx, u); err != nil {
		return nil, err
	}
	s := &survey{usage: u, goes: make(map[frameRef]bool)}
	err = l.eachLoose(ctx, Sample{}, func(name string, fi fs.FileInfo) {
		if !strings.HasPrefix(name, l.own+"/") {
			return
		}
		s.total += fi.Size()
		hash, ok := hashOf(strings.TrimSuffix(name, string(compressed)))
		if ok {
			s.loose = append(s.loose, s.candidate(half(hash), fi.Size(), now.Sub(fi.ModTime())))
			s.loose[len(s.loose)-1].name = name
		}
	})
	if err != nil {
		return nil, err
	}
	for _, p := range l.packs.all() {
		if filepath.Dir(p.dir) == l.own {
			s.total += p.length()
			s.pack(p, now)
		}
	}
	return s, nil
}

// pack adds the blobs of a pack that is whole; those of live ones are in use.
func (s *survey) pack(p *pack, now time.Time) {
	slots, err := p.slots()
	f, ferr := p.open()
	if p.live || err != nil || ferr != nil {
		return
	}
	age := time.Duration(0)
	if fi, err := f.Stat(); err == nil {
		age = now.Sub(fi.ModTime())
	}
	for _, slot := range slots {
		if slot.kind.class() == blobs {
			c := s.candidate(slot.hash, headerSize+int64(slot.length), age)
			c.ref = frameRef{p.id, slot.offset}
			s.packed = append(s.packed, c)
		}
	}
}

func (s *survey) candidate(hash [16]byte, size int64, age time.Duration) candidate {
	r, used := s.of(hash)
	return candidate{hash: hash, size: size, age: age, rank: r, used: used}
}

// choose decides what goes: first what no recent build used, then by last use, oldest first.
func (s *survey) choose(limits Limits) {
	var all []*candidate
	for _, list := range [][]candidate{s.loose, s.packed} {
		for i := range list {
			if c := &list[i]; c.used && c.rank > 0 || !c.used && c.age >= young {
				all = append(all, c)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *candidate) int {
		if a.used != b.used {
			return map[bool]int{false: -1, true: 1}[a.used]
		}
		if a.rank != b.rank {
			return int(int64(b.rank) - int64(a.rank))
		}
		return int(max(-1, min(1, b.age-a.age)))
	})
	for _, c := range all {
		old := limits.Older > 0 && s.unusedFor(c) >= limits.Older
		if !old && (limits.Keep < 0 || s.total-s.chosen <= limits.Keep) {
			continue
		}
		c.goes = true
		s.chosen += c.size
		s.taken++
		if c.name == "" {
			s.goes[c.ref] = true
		}
	}
}

// unusedFor returns how long ago c was last used, or written if nobody remembers.
func (s *survey) unusedFor(c *candidate) time.Duration {
	if c.used {
		return s.ages[c.rank]
	}
	return c.age
}

// take moves to trash what was chosen.
func (l *Local) take(ctx context.Context, s *survey, limits Limits) error {
	for _, c := range s.loose {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.goes {
			if err := l.toTrash(c.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			l.sync.dir(filepath.Dir(c.name))
		}
	}
	packs := l.toCompact(s, limits.Keep >= 0 && s.total > limits.Keep)
	if len(packs) == 0 {
		return nil
	}
	copied := make(map[[16]byte]bool)
	_, err := l.compact(ctx, packs, func(p *pack, sl slot) bool {
		if s.goes[frameRef{p.id, sl.offset}] || sl.kind.class() == blobs && copied[sl.hash] {
			return false
		}
		copied[sl.hash] = copied[sl.hash] || sl.kind.class() == blobs
		return l.counts(p, sl)
	})
	return err
}

// toCompact returns the packs of which a quarter goes, or anything at all if the store is too large, and the small ones if there are many.
func (l *Local) toCompact(s *survey, tooLarge bool) (packs []*pack) {
	lost := make(map[packID]int64)
	for _, c := range s.packed {
		if c.goes {
			lost[c.ref.pack] += c.size
		}
	}
	var small []*pack
	for _, p := range l.packs.all() {
		switch {
		case p.live || filepath.Dir(p.dir) != l.own:
		case lost[p.id] > 0 && (tooLarge || 4*lost[p.id] >= p.length()), l.condemned.any(p.id):
			packs = append(packs, p)
		case p.length() < smallPack:
			small = append(small, p)
		}
	}
	if len(small) >= manySmall {
		packs = append(packs, small...)
	}
	return packs
}

// counts reports whether a frame is worth copying: of records only the latest of each key.
func (l *Local) counts(p *pack, s slot) bool {
	if s.kind.class() == blobs {
		return true
	}
	hash, err := p.hashAt(s.entry)
	if err != nil {
		return false
	}
	top := l.top(hash, false)
	return top.size <= s.size
}

// serverTime is the clock of the machine that has the files, by which ages are reckoned: that of a file that was just written.
func (l *Local) serverTime() (time.Time, error) {
	f, temp, err := l.temp.create()
	if err != nil {
		return time.Time{}, err
	}
	defer l.discard(temp)
	fi, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return time.Time{}, err
	}
	return fi.ModTime(), nil
}
