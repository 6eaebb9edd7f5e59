package buildfile

import (
	"regexp"

	"github.com/zclconf/go-cty/cty"
)

var (
	// writtenAddress finds addresses in build files, wherever they stand, and hostOnly tells values of variables that are a host.
	writtenAddress = regexp.MustCompile(`https?://[^/"'\s$\\<>?#]+`)
	hostOnly       = regexp.MustCompile(`^(?i:[a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?$`)
)

// Addresses returns the addresses of hosts that the user wrote: those in the text of the build files, and in the values of variables. What
// else a build asks comes from answers of servers.
func (w *Workspace) Addresses() (all []string) {
	seen := make(map[string]bool)
	add := func(address string) {
		if !seen[address] {
			seen[address] = true
			all = append(all, address)
		}
	}
	for _, dir := range sortedKeys(w.packages) {
		p := w.packages[dir]
		for _, found := range writtenAddress.FindAll(p.src.data, -1) {
			add(string(found))
		}
		for _, name := range sortedKeys(p.variables) {
			addressesIn(p.variables[name].value, add)
		}
	}
	return all
}

// addressesIn calls add for the addresses in the strings of v.
func addressesIn(v cty.Value, add func(string)) {
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if v, _ = v.Unmark(); v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
			return true, nil
		}
		for _, found := range writtenAddress.FindAllString(v.AsString(), -1) {
			add(found)
		}
		if hostOnly.MatchString(v.AsString()) {
			add(v.AsString())
		}
		return true, nil
	})
}
