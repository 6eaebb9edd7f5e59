package engine

import (
	"strings"

	"cbuild/cas"
)

// Value is plain data between the storeys: nil, bool, int64, float64, string, Artifact, Text (a path in an artifact), []Value,
// Object, or *Row where an element is an instance of another target. Values are immutable once they are handed over.
type Value = any

// Object is a Value with named members.
type Object = map[string]Value

// Kind is the kind of an Artifact.
type Kind uint8

// The kinds of an Artifact.
const (
	FileKind Kind = iota
	TreeKind
)

// An Artifact is a file or a directory tree in the store, with the name under which it is promised to a run. It is comparable:
// artifacts with equal content and name are one.
type Artifact struct {
	Kind       Kind
	Digest     cas.Digest
	Executable bool
	// Name is the out path that made it, the last element of a fetch's URL, or "tree" for what was unpacked. For a source it is
	// the path in its package or workspace, where it also stands in a run's directory.
	Name string
	// Source marks a file or directory of the workspace: it stands at Name, never at in/N/Name.
	Source bool
	// Tool marks the tree of a toolchain: it is mounted at ToolDir(n), never copied.
	Tool bool
}

// A Part is a piece of a Text.
type Part struct {
	// Lit is literal text; it is used if Artifact is nil.
	Lit string
	// Artifact stands for the path at which the run sees it.
	Artifact *Artifact
}

// A Text is a string in which the paths of artifacts, not known before a run's directory is laid out, still stand open.
type Text []Part

// Literal returns the Text that is s.
func Literal(s string) Text { return Text{{Lit: s}} }

// IsLiteral reports whether t mentions no artifact, and then what it says.
func (t Text) IsLiteral() (string, bool) {
	switch {
	case len(t) == 0:
		return "", true
	case len(t) == 1 && t[0].Artifact == nil:
		return t[0].Lit, true
	}
	var b strings.Builder
	for _, p := range t {
		if p.Artifact != nil {
			return "", false
		}
		b.WriteString(p.Lit)
	}
	return b.String(), true
}

// Single returns the artifact that t is, if it is one artifact and nothing else.
func (t Text) Single() (Artifact, bool) {
	if len(t) == 1 && t[0].Artifact != nil {
		return *t[0].Artifact, true
	}
	return Artifact{}, false
}

// Render writes t with the path that place gives for each artifact.
func (t Text) Render(place func(Artifact) string) string {
	if s, ok := t.IsLiteral(); ok {
		return s
	}
	var b strings.Builder
	for _, p := range t {
		if p.Artifact != nil {
			b.WriteString(place(*p.Artifact))
		} else {
			b.WriteString(p.Lit)
		}
	}
	return b.String()
}

// An Input is one element of a run's inputs: at Dest if the inputs are a map, under its own name in the directory Dest if that ends in a
// slash, else at the place of what it is. A Text without an artifact is a source path.
type Input struct {
	Dest string
	Text Text
}

// An OutSpec is one promised output.
type OutSpec struct {
	// Path is relative to the run's directory, clean, with forward slashes.
	Path string
	// Dir is set where a directory is promised: the path was written with a trailing slash.
	Dir bool
	// Optional outs may be missing without turning a pass into a fail.
	Optional bool
}

// A Shape is an `out` as it was written: an OutSpec, a []Value of shapes, or an Object of shapes. What is read has the same shape,
// with artifacts in place of the specs.
type Shape = Value

// A Toolchain is a tree whose programs come first in PATH.
type Toolchain struct {
	Root Artifact
	// Bin is the directory of the programs, relative to the root.
	Bin string
	// Env is added to the environment; "${ROOT}" in a value stands for the directory of the toolchain.
	Env map[string]string
}

// An Item is one element that a target is repeated for.
type Item struct {
	Key   string
	Value Value
	// Err, if set, says why the element can't be used; it is what becomes of every instance that is made of it. It is one of the
	// error types of Outcome.
	Err error
}

// Named is a member of an object whose order counts.
type Named[T any] struct {
	Name  string
	Value T
}
