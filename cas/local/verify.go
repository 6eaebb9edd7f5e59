package local

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"cbuild/cas"
	"cbuild/engine"
)

// A Report says what Verify saw.
type Report struct {
	Blobs, Records int
	// Bytes is what sound blobs and records take.
	Bytes int64
	// Damaged are the files and frames that were moved to quarantine or marked, or can't be read, relative to the store.
	Damaged []string
	// Torn counts bytes behind the last sound frame of packs: what a crash or a power cut left half-written.
	Torn int64
}

// A Sample is the part n of t, counted from 1, of a store. The zero Sample is all of it.
type Sample struct{ N, T int }

// has reports whether what begins with a byte is in the sample: packs and the directories of loose blobs have uniform names.
func (s Sample) has(first byte) bool { return s.T < 2 || int(first)%s.T == s.N-1 }

// Verify reads every blob and record of a sample. What is damaged counts as missing from then on, so that a second Verify finds nothing.
// Builds may run at the same time.
func (l *Local) Verify(ctx context.Context, sample Sample) (Report, error) {
	var rep Report
	err := l.packs.refresh(true)
	for _, p := range l.packs.all() {
		if err == nil && sample.has(p.id.incarnation[0]) {
			err = l.verifyPack(ctx, p, &rep)
		}
	}
	if err == nil {
		err = l.eachLoose(ctx, sample, func(name string, fi fs.FileInfo) {
			if l.verifyLoose(ctx, name) {
				rep.Blobs++
				rep.Bytes += fi.Size()
			} else if ctx.Err() == nil {
				rep.Damaged = append(rep.Damaged, l.relative(name))
			}
		})
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return rep, fmt.Errorf("verify: %w", err)
	}
	return rep, nil
}

// verifyPack reads a pack from its beginning and compares it with its index: a frame that only one of them knows is damage.
func (l *Local) verifyPack(ctx context.Context, p *pack, rep *Report) error {
	indexed, err := p.slots()
	if err != nil {
		rep.Damaged = append(rep.Damaged, l.relative(p.dir+"/"+p.id.String()+indexSuffix))
		if p = l.demote(p); p == nil {
			return nil
		}
		indexed = p.table.list()
	}
	f, err := p.open()
	if errors.Is(err, fs.ErrNotExist) {
		l.packs.remove(p)
		return nil
	}
	if err != nil {
		return err
	}
	left := make(map[uint32]slot, len(indexed))
	for _, s := range indexed {
		left[s.offset] = s
	}
	if err := checkPackHeader(f, p.id); errors.Is(err, errNoPack) && !l.condemned.has(p, entry{}) {
		l.condemn(p, entry{})
		rep.Damaged = append(rep.Damaged, l.relative(p.name())+" at 0")
	}
	end, err := scan(f, p.id, packHeaderSize, func(fr *frame) error {
		delete(left, uint32(fr.offset))
		l.verifyFrame(p, fr, rep)
		return ctx.Err()
	})
	if errors.Is(err, syscall.EISDIR) {
		l.quarantine(p.name())
		l.packs.remove(p)
	}
	if err != nil && ctx.Err() == nil {
		rep.Damaged = append(rep.Damaged, l.relative(p.name())+": "+firstLine(err))
		return nil
	}
	// What lies behind a header that is not right is found by the index alone.
	for _, s := range left {
		l.verifySlot(p, s, rep)
	}
	if fi, err := f.Stat(); err == nil && len(left) == 0 && !p.live {
		rep.Torn += max(0, fi.Size()-end)
	}
	return ctx.Err()
}

// verifyFrame checks what scan found.
func (l *Local) verifyFrame(p *pack, fr *frame, rep *Report) {
	e := entry{uint32(fr.offset), fr.length, fr.size, fr.kind}
	if l.condemned.has(p, e) {
		return
	}
	ok := fr.sound
	if ok && fr.kind.class() == blobs {
		l.checked.remove(fr.hash)
		_, err := l.blobOf(fr.kind, &fr.hash, fr.size, fr.payload)
		ok = err == nil
	} else if ok && fr.kind == aRecord {
		var r engine.Record
		err := decodeRecord(fr.payload, &r)
		ok = errors.Is(err, errForm) || err == nil && [32]byte(r.Key) == fr.hash
	}
	l.count(p, fr.hash, e, ok, rep)
}

// verifySlot checks a frame that only the index knows.
func (l *Local) verifySlot(p *pack, s slot, rep *Report) {
	if l.condemned.has(p, s.entry) {
		return
	}
	head := make([]byte, headerSize)
	f, err := p.open()
	if err == nil {
		_, err = f.ReadAt(head, int64(s.offset))
	}
	h, ok := parseHeader(head, p.id.seed(), int64(s.offset))
	fr := frame{header: h, offset: int64(s.offset)}
	if err == nil && ok {
		fr.payload, err = p.read(&h.hash, s.entry)
	}
	if fr.sound = err == nil && ok; fr.sound {
		l.verifyFrame(p, &fr, rep)
		return
	}
	l.count(p, h.hash, s.entry, false, rep)
}

// count adds a frame to the report, and marks it if it is damaged.
func (l *Local) count(p *pack, hash [32]byte, e entry, ok bool, rep *Report) {
	switch {
	case !ok:
		l.condemn(p, e)
		rep.Damaged = append(rep.Damaged, fmt.Sprintf("%s at %d", l.relative(p.name()), e.offset))
		return
	case e.kind.class() == blobs:
		rep.Blobs++
	case e.kind == aRecord && l.top(hash, false).pack == p && l.top(hash, false).entry == e:
		rep.Records++
	}
	rep.Bytes += headerSize + int64(e.length)
}

// Usage counts blobs, records and their bytes without reading them.
func (l *Local) Usage(ctx context.Context) (Report, error) {
	var rep Report
	err := l.packs.refresh(true)
	for _, p := range l.packs.all() {
		slots, serr := p.slots()
		if err == nil {
			err = serr
		}
		for _, s := range slots {
			switch {
			case s.kind.class() == blobs:
				rep.Blobs++
			case s.kind == aRecord:
				rep.Records++
			}
		}
		rep.Bytes += p.length()
	}
	if err == nil {
		err = l.eachLoose(ctx, Sample{}, func(_ string, fi fs.FileInfo) { rep.Blobs, rep.Bytes = rep.Blobs+1, rep.Bytes+fi.Size() })
	}
	return rep, err
}

// relative is how a file of the store is shown.
func (l *Local) relative(name string) string { return strings.TrimPrefix(name, l.dir+"/") }

// eachLoose calls do for the files of loose blobs.
func (l *Local) eachLoose(ctx context.Context, sample Sample, do func(name string, fi fs.FileInfo)) error {
	for _, dir := range l.dirs {
		shards, err := l.fs.ReadDir(filepath.Join(dir, "blob"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, shard := range shards {
			if first, err := hex.DecodeString(shard.Name()); err == nil && len(first) == 1 && !sample.has(first[0]) {
				continue
			}
			if err := l.eachFile(ctx, filepath.Join(dir, "blob", shard.Name()), do); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachFile calls do for the files of a directory.
func (l *Local) eachFile(ctx context.Context, dir string, do func(name string, fi fs.FileInfo)) error {
	files, err := l.fs.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		fi, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		do(filepath.Join(dir, f.Name()), fi)
	}
	return nil
}

// hashOf returns the hash that a file is named by, if its name and place are right.
func hashOf(name string) (hash [32]byte, ok bool) {
	base := filepath.Base(name)
	if len(base) != 64 || filepath.Base(filepath.Dir(name)) != base[:2] || strings.ToLower(base) != base {
		return hash, false
	}
	_, err := hex.Decode(hash[:], []byte(base))
	return hash, err == nil
}

func (l *Local) verifyLoose(ctx context.Context, name string) bool {
	form := raw
	if filepath.Ext(name) == string(compressed) {
		form = compressed
	}
	hash, ok := hashOf(strings.TrimSuffix(name, string(form)))
	if !ok {
		l.quarantine(name)
		return false
	}
	l.checked.remove(hash)
	r, err := l.openForm(ctx, name, cas.Digest{Function: cas.BLAKE3, Hash: hash, Size: -1}, form)
	if err != nil {
		return false
	}
	return r.Close() == nil
}
