package local

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// relist is after how long the directory of packs is listed again although its time says that it did not change.
const relist = time.Second

// packs are the packs of a store: those of dead writers, of others who are writing, and our own.
type packs struct {
	store *Local
	dirs  func() []string // in which they lie
	list  atomic.Pointer[packList]

	// mu is held over reading: who else wants to look for news waits for those that are just being read.
	mu     sync.Mutex
	known  map[packID]*pack // guarded by mu
	listed []listing        // guarded by mu; of each directory of the store
}

// A packList is what readers see, in the order of identities. Every look-up goes through the filters of all packs, so they stand in one row.
type packList struct {
	packs   []*pack
	filters []filter     // of each pack; nil for one that may hold anything
	where   *whereabouts // of records in some of the packs; nil if there is none
	order   []int        // all packs
	rest    []int        // the packs that it says nothing of
}

// A listing says when a directory was listed, and what its time was then.
type listing struct {
	dir   string
	mtime time.Time
	at    time.Duration
	done  bool
}

func (s *packs) init(l *Local, dirs func() []string) {
	s.store, s.dirs = l, dirs
	s.known = make(map[packID]*pack)
	s.list.Store(&packList{})
}

func (s *packs) all() []*pack { return s.list.Load().packs }

// refresh looks for what others have written: new packs, and what was appended to those that are being written. Force lists the
// directories even if they seem unchanged.
func (s *packs) refresh(force bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.listed == nil {
		for _, d := range s.dirs() {
			s.listed = append(s.listed, listing{dir: d})
		}
	}
	for i := range s.listed {
		if derr := s.relist(&s.listed[i], force); err == nil {
			err = derr
		}
	}
	for _, p := range s.known {
		if !p.live || p.own {
			continue
		}
		for range 2 {
			if p.follow() == nil {
				break
			}
		}
	}
	return err
}

// relist reads a directory, if it may have changed, and drops what is gone.
func (s *packs) relist(l *listing, force bool) (err error) {
	fsys := s.store.fs
	for range 2 {
		var fi fs.FileInfo
		if fi, err = fsys.Stat(l.dir); errors.Is(err, fs.ErrNotExist) {
			s.drop(l.dir, nil)
			return nil
		} else if err != nil {
			continue
		}
		now := s.store.clock.Elapsed()
		if l.done && !force && fi.ModTime().Equal(l.mtime) && now-l.at < relist {
			return nil
		}
		var entries []fs.DirEntry
		if entries, err = fsys.ReadDir(l.dir); err != nil {
			continue
		}
		l.mtime, l.at, l.done = fi.ModTime(), now, true
		s.adopt(l.dir, entries)
		return nil
	}
	return err
}

// adopt makes known what a directory holds.
func (s *packs) adopt(dir string, entries []fs.DirEntry) {
	there := make(map[packID]bool)
	changed := false
	for _, e := range entries {
		name, live := strings.CutSuffix(e.Name(), liveSuffix)
		if !live {
			var ok bool
			if name, ok = strings.CutSuffix(name, packSuffix); !ok {
				continue
			}
		}
		id, ok := parsePackID(name)
		if !ok {
			continue
		}
		there[id] = true
		old := s.known[id]
		if old != nil && (old.own || old.live == live || !old.live) {
			continue
		}
		if p := s.load(dir, id, live); p != nil {
			s.known[id] = p
			changed = true
		}
	}
	if s.drop(dir, there) || changed {
		s.publish()
	}
}

// drop forgets the packs of a directory that are not there, except those that we write.
func (s *packs) drop(dir string, there map[packID]bool) (changed bool) {
	for id, p := range s.known {
		if p.dir == dir && !there[id] && !p.own {
			delete(s.known, id)
			_ = p.close() // nothing was written
			changed = true
		}
	}
	if changed {
		s.publish()
	}
	return changed
}

// load opens a pack. One that can't be read is left for the next time.
func (s *packs) load(dir string, id packID, live bool) *pack {
	p := &pack{store: s.store, id: id, dir: dir, live: live}
	if !live && p.openIndex() == nil {
		return p
	}
	p.table = newTable()
	var err error
	for range 2 {
		if err = p.follow(); err == nil {
			p.checkTail()
			return p
		}
	}
	if live && (errors.Is(err, errNoPack) || errors.Is(err, fs.ErrNotExist)) {
		return nil // it was just made, or just sealed
	}
	if errors.Is(err, errNoPack) {
		s.store.quarantine(p.name())
		return nil
	}
	s.store.counters.damaged.Add(1)
	return nil
}

// checkTail marks what follows the last sound frame of a pack that is whole. Had its writer died on the way, whoever sealed it would have said
// in the index where it ends; that is lost, so it counts as damage.
func (p *pack) checkTail() {
	end, size, _ := p.table.covered()
	if e := (entry{offset: uint32(end)}); mutant != "tail" && !p.live && size > end && !p.store.condemned.has(p, e) {
		p.store.condemn(p, e)
	}
}

// openIndex opens the index of a sealed pack. What is wrong with it stays unsaid here: the pack can be read instead.
func (p *pack) openIndex() (err error) {
	for range 2 {
		f, ferr := p.store.fs.Open(p.dir + "/" + p.id.String() + indexSuffix)
		if ferr != nil {
			err = ferr
			continue
		}
		if p.index, err = readIndex(f, p.id); err == nil {
			p.indexFile = f
			return nil
		}
		_ = f.Close() // nothing was written
	}
	if errors.Is(err, errIndex) {
		p.store.quarantine(p.dir + "/" + p.id.String() + indexSuffix)
	}
	return err
}

// demote replaces a pack whose index fails by one with a table. It returns nil if the pack can't be read either.
func (l *Local) demote(p *pack) *pack {
	s := &l.packs
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.known[p.id]; q != p {
		if q != nil && q.table != nil {
			return q
		}
		return nil
	}
	s.store.quarantine(p.dir + "/" + p.id.String() + indexSuffix)
	q := &pack{store: s.store, id: p.id, dir: p.dir, table: newTable()}
	var err error
	for range 2 {
		if err = q.follow(); err == nil {
			q.checkTail()
			s.known[p.id] = q
			s.publish()
			return q
		}
	}
	if errors.Is(err, errNoPack) {
		s.store.quarantine(p.name())
	}
	delete(s.known, p.id) // a disk that fails may read it tomorrow
	s.publish()
	_ = q.close() // nothing was written
	return nil
}

// add makes a pack known, or replaces one.
func (s *packs) add(p *pack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[p.id] = p
	s.publish()
}

// remove forgets a pack that is gone.
func (s *packs) remove(p *pack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[p.id] == p {
		delete(s.known, p.id)
		s.publish()
	}
	_ = p.close() // nothing was written
}

// publish gives readers the list as it is now. The caller holds mu.
func (s *packs) publish() {
	list := make([]*pack, 0, len(s.known))
	for _, p := range s.known {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *pack) int { return compareIDs(a.id, b.id) })
	where := s.list.Load().where
	if where != nil && !where.stands(s.known) {
		where = nil
	}
	s.show(list, where)
}

// show gives readers a list and the whereabouts of records. The caller holds mu.
func (s *packs) show(list []*pack, where *whereabouts) {
	filters := make([]filter, len(list))
	for i, p := range list {
		if p.index != nil {
			filters[i] = p.index.filter
		}
	}
	var order, rest []int
	for i, p := range list {
		order = append(order, i)
		if where == nil || !slices.Contains(where.packs, p) {
			rest = append(rest, i)
		}
	}
	s.list.Store(&packList{list, filters, where, order, rest})
}

func compareIDs(a, b packID) int {
	if c := bytes.Compare(a.incarnation[:], b.incarnation[:]); c != 0 {
		return c
	}
	return int(int64(a.n) - int64(b.n))
}

func (s *packs) close() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.known {
		err = errors.Join(err, p.close())
	}
	clear(s.known)
	s.listed = []listing{}
	s.publish()
	return err
}
