package sandbox

import (
	"context"
	"strings"
	"sync"

	"cbuild/cas"
	"cbuild/engine"
)

// Where the inputs of a command in a box come from is chosen by what they cost. A file that is copied to the disk and removed again costs 60 to 190 µs
// (ext4), one that is copied into memory 15 to 20 µs, and what makes that look like a directory on the disk, an overlay, costs a command 1 ms once; a
// tree that is there already costs only that.
const (
	// fewFiles are copied to the disk.
	fewFiles = 16
	// More than memoryFiles files, or memoryBytes bytes, do not go into memory.
	memoryFiles = 4096
	memoryBytes = 16 << 20
	// oftenUsed is how often a tree is copied into memory before a copy is made on the disk for all that come: with the tenth use it has
	// been paid for.
	oftenUsed = 10
)

// A placing says where the inputs of a command come from.
type placing struct {
	// memory is set if what is copied before the command's world is made lies in memory.
	memory bool
	// shared are the trees that come from shared copies.
	shared []engine.Mount
	// layers are in memory, below what is copied; the box may have them already.
	layers []layer
	// now are copied before the world is made, later are copied into it: they are too large for memory, or stand inside a shared tree.
	now, later []engine.Mount
}

// plain reports whether nothing but copies on the disk is needed.
func (p *placing) plain() bool { return !p.memory && len(p.shared) == 0 }

// within reports whether the path p is inside a shared tree.
func (p *placing) within(path string) bool {
	for _, m := range p.shared {
		if strings.HasPrefix(path, m.Path+"/") {
			return true
		}
	}
	return false
}

// place chooses for the inputs of c, which are sorted by path.
func (x *Executor) place(ctx context.Context, c *engine.Command) (p placing, err error) {
	left := weight{memoryFiles, memoryBytes}
	var large []engine.Mount
	for _, m := range c.Mounts {
		if p.within(m.Path) {
			p.later = append(p.later, m)
			continue
		}
		w := weight{1, m.Digest.Size}
		if m.Kind == engine.TreeKind {
			if x.tools.Has(m.Digest) {
				p.shared = append(p.shared, m)
				continue
			}
			if w, err = x.weigh(ctx, m.Digest); err != nil {
				return p, lost(err, m.Digest)
			}
			if !left.has(w) || w.files > fewFiles && x.often.again(m.Digest) {
				p.shared = append(p.shared, m)
				continue
			}
		} else if !left.has(w) {
			large = append(large, m)
			continue
		}
		left.files, left.bytes = left.files-w.files, left.bytes-w.bytes
		p.now = append(p.now, m)
	}
	if p.memory = memoryFiles-left.files > fewFiles; p.memory {
		p.later = append(large, p.later...)
		p.layered(c)
	} else {
		p.now = append(p.now, large...)
	}
	return p, nil
}

// weight is how many files and directories there are, and how many bytes they hold.
type weight struct {
	files int
	bytes int64
}

func (w weight) has(x weight) bool { return x.files <= w.files && x.bytes <= w.bytes }

// weigh returns the weight of a tree, or of the first part of it that is too much for memory.
func (x *Executor) weigh(ctx context.Context, tree cas.Digest) (w weight, err error) {
	for e, err := range cas.Walk(ctx, x.store, tree) {
		if err != nil {
			return w, err
		}
		w.files++
		w.bytes += e.Digest.Size
		if w.files > memoryFiles || w.bytes > memoryBytes {
			break
		}
	}
	return w, nil
}

// usage counts how often trees are used. What it knows is bounded: of so many trees none is used often.
type usage struct {
	mu    sync.Mutex
	count map[cas.Digest]int8 // guarded by mu
}

// maxCounted is how many trees are counted.
const maxCounted = 1 << 14

// again reports whether the tree has been used often enough.
func (u *usage) again(tree cas.Digest) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.count == nil || len(u.count) >= maxCounted {
		u.count = make(map[cas.Digest]int8)
	}
	if u.count[tree]+1 < oftenUsed {
		u.count[tree]++
		return false
	}
	delete(u.count, tree)
	return true
}
