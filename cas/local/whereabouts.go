package local

import "encoding/binary"

// A whereabouts tells in which of many packs a record may be, with one look: asking a filter for each of them touches as many lines of memory. It
// is made of recalls, and guesses as they do, but never says that a record is not where it is. It does not change.
type whereabouts struct {
	packs []*pack
	lines []whereLine
}

// A whereLine is a line of the processor's cache: a part of the hash and the number of the pack, for each of n records.
type whereLine struct {
	parts, packs [31]uint8
	n            uint8
	full         bool // there were more
}

const (
	// whereLoad is how many records a line has on average: one of a hundred lines or so is full then.
	whereLoad = 20
	// whereMin is from how many packs on it is worth it, whereMax how many it can tell apart.
	whereMin = 8
	whereMax = 256
	// wherePart is how many bits of a hash are told by where a recall has a record; those of smaller packs do not tell so many.
	wherePart = 8
)

// gathered returns the whereabouts of what the recalls of packs hold.
func gathered(packs []*pack) *whereabouts {
	w := &whereabouts{packs: packs}
	recalls := make([]*recall, len(packs))
	count := 0
	for i, p := range packs {
		if recalls[i] = p.index.recalled.Load(); recalls[i] == nil {
			return nil // somebody found it wrong just now
		}
		count += len(recalls[i].spots)
	}
	w.lines = make([]whereLine, count/whereLoad+1)
	for n, r := range recalls {
		for i := range len(r.starts) - 1 {
			part := uint8(uint64(i) << r.shift >> (64 - wherePart))
			for _, s := range r.spots[r.starts[i]:r.starts[i+1]] {
				w.line(s.tag).add(part, uint8(n))
			}
		}
	}
	return w
}

func (w *whereabouts) line(tag uint32) *whereLine {
	return &w.lines[uint64(tag)*uint64(len(w.lines))>>32]
}

func (l *whereLine) add(part, pack uint8) {
	if int(l.n) == len(l.parts) {
		l.full = true
		return
	}
	l.parts[l.n], l.packs[l.n] = part, pack
	l.n++
}

// of returns the line of a hash, and the part of the hash that stands there.
func (w *whereabouts) of(hash *[32]byte) (l *whereLine, part uint8) {
	return w.line(tagOf(hash[:])), uint8(binary.BigEndian.Uint64(hash[:]) >> (64 - wherePart))
}

// stands reports whether all its packs are still known.
func (w *whereabouts) stands(known map[packID]*pack) bool {
	for _, p := range w.packs {
		if known[p.id] != p {
			return false
		}
	}
	return true
}

// gather makes the whereabouts of all packs with recalls, if those are many more than it has.
func (s *packs) gather() {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list.Load()
	var found []*pack
	for _, p := range list.packs {
		if p.index == nil || len(found) == whereMax {
			continue
		}
		if r := p.index.recalled.Load(); r != nil && 64-r.shift >= wherePart {
			found = append(found, p)
		}
	}
	had := 0
	if list.where != nil {
		had = len(list.where.packs)
	}
	if len(found)-had < max(whereMin, had/4) {
		return
	}
	if w := gathered(found); w != nil {
		s.show(list.packs, w)
	}
}
