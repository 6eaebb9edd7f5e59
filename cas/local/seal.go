package local

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// seal gives a pack with a table its index and its final name. The order matters: a pack under its final name has an index. That need not
// be safe from a power cut: a torn index is noticed, and the pack read instead.
func (l *Local) seal(p *pack) error {
	if l.durability == Group {
		f, err := p.open()
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			return fmt.Errorf("seal %v: %w", p.id, err)
		}
	}
	q, err := l.writeIndex(p)
	if err != nil {
		return fmt.Errorf("seal %v: %w", p.id, err)
	}
	if p.live {
		err := l.fs.Rename(p.name(), q.name())
		if errors.Is(err, fs.ErrNotExist) {
			_, err = l.fs.Stat(q.name()) // somebody who took us for dead did it
		}
		if err != nil {
			_ = q.close() // nothing was written
			return fmt.Errorf("seal %v: %w", p.id, err)
		}
	}
	l.sync.dir(p.dir)
	p.mu.Lock()
	q.file, p.file = p.file, nil
	p.mu.Unlock()
	l.packs.add(q)
	return nil
}

// writeIndex publishes the index of p and returns p as it is with it.
func (l *Local) writeIndex(p *pack) (*pack, error) {
	slots, err := p.slots()
	if err != nil {
		return nil, err
	}
	if err := l.writeFile(p.dir+"/"+p.id.String()+indexSuffix, appendIndex(nil, p.id, p.length(), slots)); err != nil {
		return nil, err
	}
	q := &pack{store: l, id: p.id, dir: p.dir}
	return q, q.openIndex()
}

// heal seals the packs of an incarnation that is dead, and reports whether all of them are.
func (l *Local) heal(incarnation [16]byte) (all bool) {
	all = true
	for _, p := range l.packs.all() {
		if p.id.incarnation == incarnation && p.live && !p.own && filepath.Dir(p.dir) == l.own {
			all = l.healOne(p) == nil && all
		}
	}
	return all
}

// healOne seals a pack. Of one whose writer died before it had written the beginning nothing is left. What we know of it may be old: a writer that
// ended in good order has sealed it, with an index that holds more than ours would, and one that was killed wrote on.
func (l *Local) healOne(p *pack) error {
	if _, err := l.fs.Lstat(p.name()); errors.Is(err, fs.ErrNotExist) {
		return l.packs.refresh(true)
	}
	f, err := p.open()
	if err == nil {
		err = checkPackHeader(f, p.id)
	}
	if err == nil {
		p.table.forgetSize()
		err = p.follow()
	}
	if err == nil {
		return l.seal(p)
	}
	if !errors.Is(err, errNoPack) {
		return err
	}
	err = l.fs.Remove(p.name())
	l.packs.remove(p)
	return err
}

// reindex writes the indexes that sealed packs lack.
func (l *Local) reindex() {
	for _, p := range l.packs.all() {
		if p.index == nil && !p.live && filepath.Dir(p.dir) == l.own {
			_ = l.seal(p) // it was read, and will be the next time
		}
	}
}
