package engine

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"cbuild/cas"
)

// A KeyBuilder makes a Key from named components in the order in which they are added. The encoding is injective: names and strings
// are length-prefixed, lists are counted. It can be read back, so Preimage needs nothing else.
type KeyBuilder struct{ canon []byte }

// Contract is the version of what an executor promises to every action (times, user, umask, locale, places): part of every key.
const Contract = "v1"

// keyPurpose separates these hashes from all other uses of BLAKE3.
const keyPurpose = "cbuild action v1"

// The kinds of components, as they are encoded.
const (
	stringComponent   = 's'
	listComponent     = 'l'
	digestComponent   = 'd'
	artifactComponent = 'a'
)

// NewKey starts the key of an action of rule, whose meaning of the components is at version schema.
func NewKey(rule string, schema int) *KeyBuilder {
	b := &KeyBuilder{canon: append(make([]byte, 0, 512), 1)}
	b.String("rule", rule+" "+strconv.Itoa(schema))
	b.String("contract", Contract)
	return b
}

// String adds a component that is one string.
func (b *KeyBuilder) String(name, value string) {
	b.canon = appendString(append(b.canon, stringComponent), name)
	b.canon = appendString(b.canon, value)
}

// Strings adds a component that is a list, in its order.
func (b *KeyBuilder) Strings(name string, values []string) {
	b.canon = appendString(append(b.canon, listComponent), name)
	b.canon = binary.AppendUvarint(b.canon, uint64(len(values)))
	for _, v := range values {
		b.canon = appendString(b.canon, v)
	}
}

// Bool adds a component that is true or false.
func (b *KeyBuilder) Bool(name string, value bool) { b.String(name, strconv.FormatBool(value)) }

// Digest adds a component that is a blob.
func (b *KeyBuilder) Digest(name string, d cas.Digest) {
	b.canon = appendString(append(b.canon, digestComponent), name)
	b.canon = append(b.canon, byte(d.Function))
	b.canon = append(b.canon, d.Hash[:]...)
}

// Artifact adds a component that is a file or a tree, mounted where name says. The artifact's own name is not part of it.
func (b *KeyBuilder) Artifact(name string, a Artifact) {
	b.canon = append(b.canon, artifactComponent, byte(a.Kind)<<1|boolByte(a.Executable))
	b.Digest(name, a.Digest)
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// Sum returns the key of what was added so far.
func (b *KeyBuilder) Sum() Key { return cas.Derive(keyPurpose, b.canon) }

// Preimage returns what was added so far in readable form: a line `name: value` for each string, with quoted values, and for each
// element of a list.
func (b *KeyBuilder) Preimage() []byte {
	var out []byte
	line := func(name, value string) {
		out = append(append(append(append(out, name...), ": "...), value...), '\n')
	}
	suffix := ""
	for d := (decoder{data: b.canon[1:]}); len(d.data) > 0; {
		switch d.byte() {
		case stringComponent:
			line(d.string(), strconv.Quote(d.string()))
		case listComponent:
			name := d.string()
			for i := range d.count() {
				line(name+"["+strconv.Itoa(i)+"]", strconv.Quote(d.string()))
			}
		case artifactComponent:
			suffix = ""
			if d.byte()&1 != 0 {
				suffix = " executable"
			}
		case digestComponent:
			name := d.string()
			digest := cas.Digest{Function: cas.Function(d.byte())}
			copy(digest.Hash[:], d.take(len(digest.Hash), zeros[:]))
			line(name, digest.String()+suffix)
			suffix = ""
		}
	}
	return out
}

// Key returns a builder with everything about c that may influence its result: not its name and its limits. System lists what the
// action may use of the machine, in the order in which it is to be read.
func (c *Command) Key(system, platform []string) *KeyBuilder {
	b := NewKey("run", 1)
	b.Strings("command", c.Argv)
	b.String("script", c.Script)
	for _, e := range c.Env {
		b.String("env", e)
	}
	b.String("dir", c.Dir)
	b.Strings("platform", platform)
	for _, o := range c.Outs {
		b.Strings("out", []string{o.Path, kindWord(o.Dir), fmt.Sprint(o.Optional)})
	}
	b.String("stdout", c.Stdout)
	if !c.Stdin.IsZero() {
		b.Digest("stdin", c.Stdin)
	}
	for _, m := range c.Mounts {
		b.Artifact("input "+m.Path, m.Artifact)
	}
	for i, t := range c.Tools {
		b.Artifact("toolchain "+strconv.Itoa(i), t)
	}
	b.Bool("network", c.Network)
	for _, s := range system {
		b.String("system", s)
	}
	return b
}

func kindWord(dir bool) string {
	if dir {
		return "directory"
	}
	return "file"
}
