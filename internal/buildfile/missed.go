package buildfile

import (
	"slices"
	"strings"

	"cbuild/engine"
)

// missed is what an evaluation met that has no usable result.
type missed struct {
	// first is the first reference that had none.
	first *engine.SkippedError
	// absent are the attributes that instances lack which were put into a value as a whole. Which of them is then read nobody says: HCL only knows that
	// an object has no such attribute.
	absent []absent
}

type absent struct {
	cell *cell
	name string
	why  *engine.SkippedError
}

// maxAbsent is how many absent attributes are remembered.
const maxAbsent = 10_000

// lacks notes that c has no attribute of a name.
func (m *missed) lacks(c *cell, name string, why *engine.SkippedError) {
	if len(m.absent) < maxAbsent {
		m.absent = append(m.absent, absent{c, name, why})
	}
}

// and returns what was missed in two evaluations, one after the other.
func (m missed) and(then missed) missed {
	if m.first == nil {
		m.first = then.first
	}
	m.absent = slices.Concat(m.absent, then.absent)
	return m
}

// cause returns what the failure d of an evaluation in s is due to: a reference that failed, or else, if d names an attribute that is absent, that of the
// instance that has the most keys in common with the one that is evaluated; nil if it is a mistake.
func (m missed) cause(s *scope, d *Diagnostic) (why *engine.SkippedError) {
	if m.first != nil {
		return m.first
	}
	most := -1
	for _, a := range m.absent {
		if n := a.cell.common(s); n > most && strings.Contains(d.Summary+d.Detail, `"`+a.name+`"`) {
			why, most = a.why, n
		}
	}
	return why
}

// common returns how many keys c has in common with the instance that is evaluated in s.
func (c *cell) common(s *scope) (n int) {
	if s.hasEach && c.row.Key == s.key {
		n++
	}
	for i, axis := range c.row.Target.Axes {
		if s.t == nil || i >= len(c.o.Axes) {
			break
		}
		if j := slices.Index(s.t.axes, axis); j >= 0 && j < len(s.axes) && s.axes[j] == c.o.Axes[i] {
			n++
		}
	}
	return n
}
