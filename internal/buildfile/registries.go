package buildfile

import (
	"regexp"
	"slices"
)

var (
	writtenRegistry  = regexp.MustCompile(`\bregistry"?\s*[=:]\s*"([a-z.-]+)"`)
	writtenToolchain = regexp.MustCompile(`\bkind"?\s*[=:]\s*"(go|node|rust|zig)"`)
)

// Registries returns the names of the registries, and the kinds of toolchains, that the build files name: what a build of this workspace may
// ask.
func (w *Workspace) Registries() (registries, toolchains []string) {
	find := func(r *regexp.Regexp) (names []string) {
		for _, dir := range sortedKeys(w.packages) {
			for _, m := range r.FindAllSubmatch(w.packages[dir].src.data, -1) {
				names = append(names, string(m[1]))
			}
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	return find(writtenRegistry), find(writtenToolchain)
}
