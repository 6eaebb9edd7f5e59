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
	// Targets are the results of each target, and the blobs that only they name. Shared are the blobs that several targets name, Elsewhere
	// the results of no target, and the blobs that only they name.
	Targets           map[string]Space
	Shared, Elsewhere Space
	// Packs is how many packs there are.
	Packs int
}

// A share is a blob, and whose it is: the numbers of its rule and its target, 0 if no result names it.
type share struct {
	bytes        int64
	rule, target int32
}

// The numbers that stand in place of a target, and that of the first one.
const (
	ofNone = iota
	ofShared
	ofElsewhere
	ofTargets
)

// A census counts what is whose.
type census struct {
	targetOf       func(engine.Key) string
	shares         map[[16]byte]share
	rules, targets names
}

// names are numbered in the order in which they come, and each has a space. The first numbers have no names.
type names struct {
	number map[string]int32
	spaces []Space
}

func newNames(unnamed int) names { return names{make(map[string]int32), make([]Space, unnamed)} }

// of returns the number of a name.
func (n *names) of(name string) int32 {
	i, ok := n.number[name]
	if !ok {
		i = int32(len(n.spaces))
		n.number[name], n.spaces = i, append(n.spaces, Space{})
	}
	return i
}

// all returns the spaces by name.
func (n *names) all() map[string]Space {
	spaces := make(map[string]Space)
	for name, i := range n.number {
		spaces[name] = n.spaces[i]
	}
	return spaces
}

// Breakdown looks at every result to find out what the blobs are for. TargetOf names the target whose result a key has, or nothing.
func (l *Local) Breakdown(ctx context.Context, targetOf func(engine.Key) string) (b Breakdown, err error) {
	if err := l.packs.refresh(true); err != nil {
		return b, err
	}
	c := &census{targetOf: targetOf, shares: make(map[[16]byte]share), rules: newNames(1), targets: newNames(ofTargets)}
	err = l.eachLoose(ctx, Sample{}, func(name string, fi fs.FileInfo) {
		if hash, ok := hashOf(strings.TrimSuffix(name, string(compressed))); ok {
			b.Loose.add(0, 1, fi.Size())
			c.blob(half(hash), fi.Size())
		}
	})
	if err != nil {
		return b, err
	}
	for _, at := range l.frames(&b, c) {
		if err := l.attribute(ctx, c, at); err != nil {
			return b, err
		}
	}
	c.sum(&b)
	entries, _ := l.fs.ReadDir(filepath.Join(l.own, "trash"))
	for _, e := range entries {
		if fi, err := e.Info(); err == nil {
			b.Trash.add(0, 1, fi.Size())
		}
	}
	return b, ctx.Err()
}

// frames counts what lies in packs, and returns where the results are.
func (l *Local) frames(b *Breakdown, c *census) (results []spot) {
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
				c.blob(s.hash, size)
			case s.kind == aRecord:
				b.Records.add(1, 0, size)
				results = append(results, spot{p, s.entry})
			}
		}
	}
	return results
}

func (s *Space) add(results, blobs int, bytes int64) {
	s.Results += results
	s.Blobs += blobs
	s.Bytes += bytes
}

// blob counts a blob, or another copy of it.
func (c *census) blob(hash [16]byte, bytes int64) {
	s := c.shares[hash]
	s.bytes += bytes
	c.shares[hash] = s
}

// attribute finds out whose a result and its blobs are.
func (l *Local) attribute(ctx context.Context, c *census, at spot) error {
	hash, err := at.pack.hashAt(at.entry)
	if err != nil {
		return nil // it is found damaged elsewhere
	}
	var r engine.Record
	if err := readRecord(at, engine.Key(hash), true, &r); err != nil {
		return nil
	}
	rule := c.rules.of(l.ruleOf(&r))
	c.rules.spaces[rule].Results++
	target := int32(ofElsewhere)
	if name := c.targetOf(r.Key); name != "" {
		target = c.targets.of(name)
	}
	c.targets.spaces[target].Results++
	for d, err := range l.named(ctx, r.Result) {
		if err != nil {
			break // what is lost takes no space
		}
		if s, ok := c.shares[half(d.Hash)]; ok && d.Function == cas.BLAKE3 {
			c.shares[half(d.Hash)] = s.claimed(rule, target)
		}
	}
	return ctx.Err()
}

// claimed returns s after a result of a rule and a target has named it.
func (s share) claimed(rule, target int32) share {
	if s.rule == 0 {
		s.rule = rule
	}
	switch {
	case s.target == ofNone, s.target == ofElsewhere:
		s.target = target
	case target != s.target && target != ofElsewhere:
		s.target = ofShared
	}
	return s
}

// sum adds up the shares.
func (c *census) sum(b *Breakdown) {
	for _, s := range c.shares {
		if s.rule == 0 {
			b.Other.add(0, 1, s.bytes)
			continue
		}
		c.rules.spaces[s.rule].add(0, 1, s.bytes)
		c.targets.spaces[s.target].add(0, 1, s.bytes)
	}
	b.Rules, b.Targets = c.rules.all(), c.targets.all()
	b.Shared, b.Elsewhere = c.targets.spaces[ofShared], c.targets.spaces[ofElsewhere]
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
