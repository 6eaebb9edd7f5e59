package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"cbuild/cas"
)

// A KeyBuilder makes a Key and its readable pre-image side by side, from named components in the order in which they are added.
// The encoding is injective: names and strings are length-prefixed, lists are counted.
type KeyBuilder struct {
	canon    []byte
	readable bytes.Buffer
}

// Contract is the version of what an executor promises to every action (times, user, umask, locale, places): part of every key.
const Contract = "v1"

// keyPurpose separates these hashes from all other uses of BLAKE3.
const keyPurpose = "cbuild action v1"

// NewKey starts the key of an action of rule, whose meaning of the components is at version schema.
func NewKey(rule string, schema int) *KeyBuilder {
	b := &KeyBuilder{canon: []byte{1}}
	b.String("rule", rule+" "+strconv.Itoa(schema))
	b.String("contract", Contract)
	return b
}

func (b *KeyBuilder) raw(s string) {
	b.canon = binary.AppendUvarint(b.canon, uint64(len(s)))
	b.canon = append(b.canon, s...)
}

// line adds a line to the pre-image. Values are quoted, so that each component stays one line.
func (b *KeyBuilder) line(name, value string) {
	b.readable.WriteString(name)
	b.readable.WriteString(": ")
	b.readable.WriteString(value)
	b.readable.WriteByte('\n')
}

// String adds a component that is one string.
func (b *KeyBuilder) String(name, value string) {
	b.canon = append(b.canon, 's')
	b.raw(name)
	b.raw(value)
	b.line(name, strconv.Quote(value))
}

// Strings adds a component that is a list, in its order.
func (b *KeyBuilder) Strings(name string, values []string) {
	b.canon = append(b.canon, 'l')
	b.raw(name)
	b.canon = binary.AppendUvarint(b.canon, uint64(len(values)))
	for i, v := range values {
		b.raw(v)
		b.line(name+"["+strconv.Itoa(i)+"]", strconv.Quote(v))
	}
}

// Bool adds a component that is true or false.
func (b *KeyBuilder) Bool(name string, value bool) { b.String(name, strconv.FormatBool(value)) }

// Digest adds a component that is a blob.
func (b *KeyBuilder) Digest(name string, d cas.Digest) {
	b.canon = append(b.canon, 'd', byte(d.Function))
	b.raw(name)
	b.canon = append(b.canon, d.Hash[:]...)
	b.line(name, d.String())
}

// Artifact adds a component that is a file or a tree, mounted where name says. The artifact's own name is not part of it.
func (b *KeyBuilder) Artifact(name string, a Artifact) {
	b.canon = append(b.canon, 'a', byte(a.Kind), boolByte(a.Executable))
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

// Preimage returns the readable form of what was added so far.
func (b *KeyBuilder) Preimage() []byte { return bytes.Clone(b.readable.Bytes()) }

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
	mounts := slices.SortedFunc(slices.Values(c.Mounts), func(x, y Mount) int { return bytes.Compare([]byte(x.Path), []byte(y.Path)) })
	for _, m := range mounts {
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
