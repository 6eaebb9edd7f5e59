package local

import (
	"bytes"
	"context"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"cbuild/cas"
	"cbuild/engine"
)

// Space is what a part of a store takes.
type Space struct {
	Results, Blobs int
	Bytes          int64
}

// A Breakdown says what uses the space of a store.
type Breakdown struct {
	// Loose and Packed are blobs in files and packs, Records are the results in packs, Trash is what the next collection deletes.
	Loose, Packed, Records, Trash Space
	// Rules are the blobs that the results of each kind of target name; one that several name counts for the first. Other is what
	// no result names: sources, directories listed by queries, leftovers.
	Rules map[string]Space
	Other Space
	// Packs is how many packs there are.
	Packs int
}

// Breakdown looks at every result to find out what the blobs are for.
func (l *Local) Breakdown(ctx context.Context) (b Breakdown, err error) {
	if err := l.packs.refresh(true); err != nil {
		return b, err
	}
	b.Rules = make(map[string]Space)
	sizes := make(map[[16]byte]int64)
	err = l.eachLoose(ctx, Sample{}, func(name string, fi fs.FileInfo) {
		if hash, ok := hashOf(strings.TrimSuffix(name, string(compressed))); ok {
			b.Loose.add(0, 1, fi.Size())
			sizes[half(hash)] += fi.Size()
		}
	})
	if err != nil {
		return b, err
	}
	var results []spot
	for _, p := range l.packs.all() {
		b.Packs++
		slots, err := p.slots()
		if err != nil {
			continue
		}
		for _, s := range slots {
			size := headerSize + int64(s.length)
			switch {
			case s.kind.class() == blobs:
				b.Packed.add(0, 1, size)
				sizes[s.hash] += size
			case s.kind == aRecord:
				b.Records.add(1, 0, size)
				results = append(results, spot{p, s.entry})
			}
		}
	}
	for _, at := range results {
		if err := l.attribute(ctx, &b, at, sizes); err != nil {
			return b, err
		}
	}
	for _, size := range sizes {
		b.Other.add(0, 1, size)
	}
	entries, _ := l.fs.ReadDir(filepath.Join(l.own, "trash"))
	for _, e := range entries {
		if fi, err := e.Info(); err == nil {
			b.Trash.add(0, 1, fi.Size())
		}
	}
	return b, ctx.Err()
}

func (s *Space) add(results, blobs int, bytes int64) {
	s.Results += results
	s.Blobs += blobs
	s.Bytes += bytes
}

// attribute takes the blobs of a result out of sizes, for the account of its rule.
func (l *Local) attribute(ctx context.Context, b *Breakdown, at spot, sizes map[[16]byte]int64) error {
	hash, err := at.pack.hashAt(at.entry)
	if err != nil {
		return nil // it is found damaged elsewhere
	}
	var r engine.Record
	if err := readRecord(at, engine.Key(hash), true, &r); err != nil {
		return nil
	}
	rule := l.ruleOf(&r)
	space := b.Rules[rule]
	space.Results++
	for d, err := range l.named(ctx, r.Result) {
		if err != nil {
			break // what is lost takes no space
		}
		if size, ok := sizes[half(d.Hash)]; ok && d.Function == cas.BLAKE3 {
			space.add(0, 1, size)
			delete(sizes, half(d.Hash))
		}
	}
	b.Rules[rule] = space
	return ctx.Err()
}

// ruleOf returns the kind of target that a result is of, as its pre-image says.
func (l *Local) ruleOf(r *engine.Record) string {
	preimage, err := l.unpackPreimage(r.Preimage)
	if err != nil {
		return "unknown"
	}
	line, _, _ := bytes.Cut(preimage, []byte("\n"))
	quoted, ok := strings.CutPrefix(string(line), "rule: ")
	rule, err := strconv.Unquote(quoted)
	if !ok || err != nil {
		return "unknown"
	}
	rule, _, _ = strings.Cut(rule, " ")
	return rule
}
