package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// compact copies the frames of packs that keep wants into new packs, and moves the old ones to trash when the new ones are safe. The
// packs must be sealed. Frames that can't be read are left out. It reports how many bytes the new packs have less.
func (l *Local) compact(ctx context.Context, old []*pack, keep func(*pack, slot) bool) (saved int64, err error) {
	w := &writer{store: l}
	defer func() {
		for _, p := range w.made {
			if p.live {
				err = errors.Join(err, l.seal(p))
			}
			saved -= p.length()
		}
		if err != nil {
			return // twice is better than never
		}
		l.sync.sync()
		for _, p := range old {
			saved += p.length()
			err = errors.Join(err, l.discardPack(p))
		}
	}()
	for _, p := range old {
		slots, err := p.slots()
		if err != nil {
			return 0, err
		}
		slices.SortFunc(slots, func(a, b slot) int { return cmp.Compare(a.offset, b.offset) })
		for _, s := range slots {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			if l.condemned.has(p, s.entry) || !keep(p, s) {
				continue
			}
			if err := l.copyFrame(w, p, s.entry); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// copyFrame appends a frame of p to w as it is.
func (l *Local) copyFrame(w *writer, p *pack, e entry) error {
	hash, err := p.hashAt(e)
	var payload []byte
	if err == nil {
		payload, err = p.read(&hash, e)
	}
	switch {
	case errors.Is(err, errContent):
		l.condemn(p, e)
		return nil
	case err != nil:
		return fmt.Errorf("compact %v: %w", p.id, err)
	}
	return w.append(e.kind, &hash, e.size, payload)
}

// hashAt returns the whole hash of the frame at e, of which an index has only half.
func (p *pack) hashAt(e entry) (hash [32]byte, err error) {
	f, err := p.open()
	if err != nil {
		return hash, err
	}
	head := make([]byte, headerSize)
	if _, err := f.ReadAt(head, int64(e.offset)); err != nil {
		return hash, fmt.Errorf("%w: %w", errDamaged, err)
	}
	h, ok := parseHeader(head, p.id.seed(), int64(e.offset))
	if !ok {
		return hash, errContent
	}
	return h.hash, nil
}

// discardPack moves a pack to trash, from where it still serves those who have not seen its successor. The index goes last: without its
// pack it means nothing.
func (l *Local) discardPack(p *pack) error {
	base := p.id.String()
	if err := l.toTrash(p.name()); err != nil {
		return err
	}
	if err := l.toTrash(p.dir + "/" + base + indexSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l.packs.remove(p)
	l.forgive(p.id)
	return nil
}

// forgive removes the marks of frames of a pack that is gone.
func (l *Local) forgive(id packID) {
	entries, _ := l.fs.ReadDir(filepath.Join(l.own, "quarantine"))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), id.String()+"@") {
			_ = l.fs.Remove(filepath.Join(l.own, "quarantine", e.Name()))
		}
	}
}

// Repair takes what Verify marked out of the packs, and removes what is in quarantine. It reports how many packs it wrote anew.
func (l *Local) Repair(ctx context.Context) (packs int, err error) {
	for _, p := range l.packs.all() {
		if p.live || !l.condemned.any(p.id) {
			continue
		}
		if _, err := l.compact(ctx, []*pack{p}, func(*pack, slot) bool { return true }); err != nil {
			return packs, fmt.Errorf("repair: %w", err)
		}
		packs++
	}
	l.reindex()
	err = l.fs.RemoveAll(filepath.Join(l.own, "quarantine"))
	if err != nil {
		err = fmt.Errorf("repair: %w", err)
	}
	return packs, err
}
