package buildfile

import "slices"

// checkCompare reports keys in the compare of a collate that no axis of its rows has, where the file says what those are.
func (p *pkg) checkCompare(t *target) {
	var compare *attribute
	var of *shape
	for _, at := range t.attrs {
		switch {
		case at.name == "compare" && at.fold != nil && !at.expr.files:
			compare = at
		case at.name == "rows" && at.stream != nil:
			of = at.stream.of
		}
	}
	if compare == nil || of == nil || of.target == nil {
		return
	}
	var known []string
	for i := of.peeled; i < len(of.target.axes); i++ {
		if i >= len(of.target.axisKeys) || of.target.axisKeys[i] == nil {
			return
		}
		known = append(known, of.target.axisKeys[i]...)
	}
	v, err := compare.fold.value()
	if err != nil {
		return
	}
	keys, _ := v.Interface().([]string)
	for _, key := range keys {
		if len(known) == 0 {
			p.diags.addf(p.src, compare.rng, "Unknown key \""+key+"\"", "%s has no matrix: there are no axes to compare.", of.target.ref())
			return
		}
		if !slices.Contains(known, key) {
			p.diags.addf(p.src, compare.rng, "Unknown key \""+key+"\"", "It is no key of an axis of %s. %s", of.target.ref(), didYouMean(key, slices.Values(known), oneOf("The keys are", known)))
		}
	}
}
