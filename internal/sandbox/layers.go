package sandbox

import (
	"encoding/binary"
	"maps"
	"path"
	"slices"
	"strings"

	"cbuild/cas"
	"cbuild/engine"
)

// A layer is the single inputs that a command has in one directory, if they are many: headers, mostly, which the next command has, too. A box keeps
// its layers in memory, and lays them below what commands change: making a file there and removing it again costs 14 to 20 µs, most of it in the system.
type layer struct {
	key    cas.Digest // of what is where
	inputs []engine.Mount
	weight weight
}

const (
	// maxLayers bounds how many layers a command has: their names have to fit into a page.
	maxLayers = 16
)

// A box keeps layers of this weight for commands to come. What is more is removed while the next command runs; beyond the double, at once.
var keptLayers = weight{1024, 4 << 20}

// layered takes what comes in layers out of p.now. Files are left there if anything stands in the way of one: only who puts all of it into one directory
// finds that out.
func (p *placing) layered(c *engine.Command) {
	groups := make(map[string][]engine.Mount)
	for _, m := range p.now {
		if m.Kind == engine.FileKind {
			dir := path.Dir(m.Path)
			groups[dir] = append(groups[dir], m)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(groups)) { // so that a command finds what it lists in the same order
		inputs := groups[dir]
		if len(inputs) <= fewFiles || obstructed(dir, inputs, c) || len(p.layers) == maxLayers {
			delete(groups, dir)
			continue
		}
		l := layer{key: keyOf(inputs), inputs: inputs}
		for _, m := range inputs {
			l.weight.files++
			l.weight.bytes += m.Digest.Size
		}
		p.layers = append(p.layers, l)
	}
	if len(groups) == 0 {
		return
	}
	var rest []engine.Mount
	for _, m := range p.now {
		if m.Kind != engine.FileKind || groups[path.Dir(m.Path)] == nil {
			rest = append(rest, m)
		}
	}
	p.now = rest
}

// obstructed reports whether another input than the files of a directory stands in the place of it, of a parent or of one of them, or if something
// is to stand inside of one of them.
func obstructed(dir string, inputs []engine.Mount, c *engine.Command) bool {
	files := make(map[string]bool, len(inputs))
	for _, m := range inputs {
		files[m.Path] = true
	}
	seen := 0
	for _, m := range c.Mounts {
		if files[m.Path] {
			seen++
		} else if m.Path == "." || m.Path == dir || strings.HasPrefix(dir, m.Path+"/") {
			return true
		}
		if reachedThrough(m.Path, files) {
			return true
		}
	}
	for _, o := range c.Outs {
		if reachedThrough(o.Path, files) {
			return true
		}
	}
	return seen != len(files) || seen != len(inputs)
}

// reachedThrough reports whether a parent of p is one of the files.
func reachedThrough(p string, files map[string]bool) bool {
	for i := strings.LastIndexByte(p, '/'); i > 0; i = strings.LastIndexByte(p[:i], '/') {
		if files[p[:i]] {
			return true
		}
	}
	return false
}

// keyOf digests what is where.
func keyOf(inputs []engine.Mount) cas.Digest {
	var buf []byte
	for _, m := range inputs {
		buf = binary.AppendUvarint(buf, uint64(len(m.Path)))
		buf = append(buf, m.Path...)
		buf = append(buf, m.Digest.Hash[:]...)
		executable := byte(0)
		if m.Executable {
			executable = 1
		}
		buf = append(buf, byte(m.Digest.Function), executable)
	}
	return cas.Of(buf)
}
