package report

import (
	"slices"

	"cbuild/engine"
)

// Class is the word for a row: in a comparison one of the classes below, else the outcome of the row's only instance.
type Class string

// The classes of a comparison, and Item for rows of plain data, which have no outcome.
const (
	Regressed    Class = "regressed"
	Inconclusive Class = "inconclusive"
	Fixed        Class = "fixed"
	Changed      Class = "changed"
	New          Class = "new"
	Gone         Class = "gone"
	Skipped      Class = "skipped"
	SameFail     Class = "same-fail"
	SamePass     Class = "same-pass"

	Item Class = "item"
)

// order lists the classes of a comparison, what needs a look first; the class of a row with several others is the first of theirs.
var order = []Class{Regressed, Inconclusive, Fixed, Changed, New, Gone, Skipped, SameFail, SamePass}

// plainOrder lists the classes of a report without a comparison.
var plainOrder = []Class{"fail", "crash", "timeout", "oom", "error", "invalid", "unavailable", "cancelled", Skipped, "pass", Item}

// Classes returns the classes of a report in their order.
func Classes(compared bool) []Class {
	if compared {
		return order
	}
	return plainOrder
}

// Quiet reports whether a row of class c needs no look: nothing of it is shown but its line, and its evidence is no part of the
// report's identity.
func (c Class) Quiet() bool { return c == SamePass || c == SameFail || c == "pass" || c == Item }

// A Standing is how one side of a comparison ended.
type Standing struct {
	// Outcome is empty for an absent side.
	Outcome engine.Class
	// Network is set if it could use the network: what is not a pass then says nothing.
	Network bool
}

// Compare returns the class of other against base. It asks same, whether the evidence of both is equal, only where that decides.
// With both sides absent there is nothing to compare, and the class is empty.
func Compare(base, other Standing, same func() bool) Class {
	either := func(f func(Standing) bool) bool { return f(base) || f(other) }
	switch {
	case base.Outcome == "" && other.Outcome == "":
		return ""
	case base.Outcome == "":
		return New
	case other.Outcome == "":
		return Gone
	case either(func(s Standing) bool { return s.Outcome == engine.ClassSkipped || s.Outcome == engine.ClassUnavailable }):
		return Skipped
	case either(func(s Standing) bool { return !s.conclusive() }):
		return Inconclusive
	case base.passed() && !other.passed():
		return Regressed
	case !base.passed() && other.passed():
		return Fixed
	case !same():
		return Changed
	case base.passed():
		return SamePass
	}
	return SameFail
}

func (s Standing) passed() bool { return s.Outcome == engine.ClassPass }

// conclusive reports whether s says something of what was tried, and not of the machine, the network or the build.
func (s Standing) conclusive() bool {
	return s.passed() || !s.Network && (s.Outcome == "fail" || s.Outcome == "crash")
}

// Worst returns the first of the given classes in the order of a comparison; empty ones do not count.
func Worst(classes []Class) Class {
	for _, c := range order {
		if slices.Contains(classes, c) {
			return c
		}
	}
	return ""
}
