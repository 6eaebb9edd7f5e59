package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"cbuild/cas"
	"cbuild/engine"
)

// Lookup is engine.ActionCache's.
func (l *Local) Lookup(ctx context.Context, k engine.Key, want engine.Conditions, mode engine.LookupMode) (*engine.Result, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	l.counters.lookups.Add(1)
	if mode == engine.LookupBypass {
		return nil, "it is to be done again", nil
	}
	var r engine.Record
	_, reason, err := l.load(k, looking{fresh: true}, &r)
	if err != nil {
		return nil, "", fmt.Errorf("look-up of %v: %w", k, err)
	}
	if r.Result == nil {
		return nil, reason, nil
	}
	if ok, reason := r.Conditions.Serve(r.Result.Status, want); !ok {
		return nil, reason, nil
	}
	l.counters.hits.Add(1)
	l.pins.add((*[32]byte)(&k))
	return r.Result, "", nil
}

// Stored returns the record of k, whatever its conditions, with its pre-image. The error wraps cas.ErrNotFound if there is none.
func (l *Local) Stored(ctx context.Context, k engine.Key) (*engine.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := new(engine.Record)
	_, reason, err := l.load(k, looking{fresh: true, whole: true}, r)
	if err == nil && r.Result == nil {
		err = fmt.Errorf("%s: %w", reason, cas.ErrNotFound)
	}
	if err == nil {
		r.Preimage, err = l.unpackPreimage(r.Preimage)
	}
	if err != nil {
		return nil, fmt.Errorf("record of %v: %w", k, err)
	}
	return r, nil
}

// A spot is where a record lies.
type spot struct {
	pack *pack
	entry
}

// top finds the latest record or withdrawal of k: that of the highest generation, and of equal ones, which two processes wrote at the
// same time, the same for everybody. A guess may be another record: who takes it forgets it then.
func (l *Local) top(k engine.Key, guess bool) (top spot) {
	hash := [32]byte(k)
	list := l.packs.list.Load()
	if guess && list.where != nil {
		if line, part := list.where.of(&hash); !line.full {
			for i, p := range line.parts[:line.n] {
				if p == part {
					top.meet(list.where.packs[line.packs[i]], &hash, true)
				}
			}
			top.search(list, list.rest, &hash, true)
			return top
		}
	}
	top.search(list, list.order, &hash, guess)
	return top
}

// search makes top the latest of what some packs of a list hold, if that counts more.
func (top *spot) search(list *packList, some []int, hash *[32]byte, guess bool) {
	if len(some) == 0 {
		return
	}
	pr := probeOf(hash)
	for _, i := range some {
		if f := list.filters[i]; f != nil && !f.has(&pr) {
			continue // as for nearly all: it is worth a call less
		}
		top.meet(list.packs[i], hash, guess)
	}
}

// meet makes top what p holds of a key, if that counts more.
func (top *spot) meet(p *pack, hash *[32]byte, guess bool) {
	var e entry
	var ok bool
	if guess {
		e, ok = p.guess(hash)
	} else {
		e, ok = p.search(hash, records)
	}
	if ok && (top.pack == nil || top.yields(p, &e)) {
		*top = spot{p, e}
	}
}

// yields reports whether the record e of p counts more.
func (top *spot) yields(p *pack, e *entry) bool {
	switch {
	case e.size != top.size:
		return e.size > top.size && mutant != "generation"
	case e.kind == aWithdrawal || top.kind == aWithdrawal:
		return e.kind == aWithdrawal
	}
	return compareIDs(p.id, top.pack.id) < 0
}

// looking says how a record is looked for: whether for what others have written, too, if nothing is known, and whether with its pre-image,
// as it lies in the pack.
type looking struct{ fresh, whole bool }

// load reads the record of k into r, or leaves it without a result and says why; where it or its withdrawal lies is told in either case.
// Packs that vanish were compacted: their successors are looked for.
func (l *Local) load(k engine.Key, how looking, r *engine.Record) (at spot, reason string, err error) {
	for left := 3; left > 0; {
		at = l.top(k, true)
		if at.pack == nil && how.fresh {
			if err := l.packs.refresh(false); err != nil {
				return at, "", err
			}
			at = l.top(k, true)
		}
		switch reason, err = l.loadAt(at, k, how.whole, r); {
		case errors.Is(err, errForgotten):
			continue
		case !errors.Is(err, fs.ErrNotExist):
			return at, reason, err
		}
		l.packs.remove(at.pack)
		how.fresh = true
		left--
	}
	return at, "its record is gone", nil
}

// errForgotten says that a record was not where memory had it: the index is to be asked.
var errForgotten = errors.New("not the record that it seemed to be")

// loadAt reads the record of k at a spot into r, or leaves it without a result and says why. A spot that fails gets a second chance.
func (l *Local) loadAt(at spot, k engine.Key, whole bool, r *engine.Record) (reason string, err error) {
	const unknown = "its record is in a form that this cbuild does not know"
	switch {
	case at.pack == nil:
		return "no result is stored", nil
	case at.kind == aWithdrawal:
		return "its result was taken back", nil
	case at.kind != aRecord:
		return unknown, nil
	case l.condemned.has(at.pack, at.entry):
		if at.pack.forget() {
			return "", errForgotten
		}
		return "its record was damaged", nil
	}
	for range 2 {
		if err = readRecord(at, k, whole, r); !errors.Is(err, errDamaged) {
			break
		}
	}
	if err == nil {
		return "", nil
	}
	r.Result = nil
	switch {
	case errors.Is(err, errForm):
		return unknown, nil
	case at.pack.forget():
		return "", errForgotten
	case errors.Is(err, errContent):
		l.failed(at.pack, at.entry, err)
		return "its record was damaged", nil
	case errors.Is(err, errDamaged):
		l.failed(at.pack, at.entry, err)
		return "its record can't be read", nil
	case errors.Is(err, fs.ErrClosed):
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err) // somebody else found it gone
	}
	return "", err
}

// Record is engine.ActionCache's. Which of two records of a key stays says engine.Record.YieldsTo; a pass whose blobs are lost yields
// to another one besides. Two processes that record one key at the same instant both succeed, and the later one stays. Durability
// is that of Put.
func (l *Local) Record(ctx context.Context, r engine.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.Key.IsZero() {
		return errors.New("record: the zero key is never stored")
	}
	var old engine.Record
	at, _, err := l.load(r.Key, looking{}, &old)
	if err != nil {
		return fmt.Errorf("record of %v: %w", r.Key, err)
	}
	if old.Result != nil && !old.YieldsTo(&r) {
		if old.Result.Status != engine.Pass || r.Result.Status != engine.Pass || sameResult(old.Result, r.Result) {
			return nil
		}
		lost, err := l.lost(ctx, old.Result)
		if err != nil {
			return fmt.Errorf("record of %v: %w", r.Key, err)
		}
		l.counters.differing.Add(1)
		if !lost {
			return nil
		}
	}
	hash := [32]byte(r.Key)
	if err := l.writer.append(aRecord, &hash, at.size+1, l.encodeRecord(&r)); err != nil {
		return fmt.Errorf("record of %v: %w", r.Key, err)
	}
	l.counters.records.Add(1)
	l.pins.add(&hash)
	l.sync.due()
	return nil
}

// sameResult compares all but what differs between equal runs: how long it took, and what of the machine.
func sameResult(a, b *engine.Result) bool {
	x, y := *a, *b
	x.Took, y.Took = 0, 0
	x.Used, y.Used = engine.Usage{}, engine.Usage{}
	return bytes.Equal(engine.AppendResult(nil, &x), engine.AppendResult(nil, &y))
}

// lost reports whether a blob that r names is missing. It looks into trees.
func (l *Local) lost(ctx context.Context, r *engine.Result) (bool, error) {
	var files []cas.Digest
	for _, d := range []cas.Digest{r.Stdout, r.Log} {
		if !d.IsZero() {
			files = append(files, d)
		}
	}
	for _, o := range r.Outs {
		if o.Kind == engine.FileKind {
			files = append(files, o.Digest)
			continue
		}
		for e, err := range cas.Walk(ctx, l, o.Digest) {
			if errors.Is(err, cas.ErrNotFound) {
				return true, nil
			}
			if err != nil {
				return false, err
			}
			if e.Kind == cas.FileEntry {
				files = append(files, e.Digest)
			}
		}
	}
	missing, err := l.Missing(ctx, files)
	return len(missing) > 0, err
}

// Withdraw is engine.ActionCache's. It is synced at once: after a power cut the result must not be back.
func (l *Local) Withdraw(ctx context.Context, k engine.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	at := l.top(k, false)
	if at.pack == nil || at.kind == aWithdrawal {
		return nil
	}
	hash := [32]byte(k)
	if err := l.writer.append(aWithdrawal, &hash, at.size+1, nil); err != nil {
		return fmt.Errorf("withdraw the record of %v: %w", k, err)
	}
	if mutant != "withdraw" {
		l.sync.sync()
	}
	return nil
}
