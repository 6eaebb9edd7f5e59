package buildfile

import (
	"context"

	"cbuild/engine"
)

// An Attribute is an attribute of a target as it is written, with its value for one instance.
type Attribute struct {
	Name string
	// Value is plain data in which artifacts are their digests, or the text of an expression that the rule evaluates itself, such as a
	// column for each row.
	Value any
}

// Attributes evaluates the attributes of an instance, in the order in which the rule has them. It is for people who want to know what an
// expression came to; rules are planned from typed attributes.
func (w *Workspace) Attributes(ctx context.Context, v engine.View, i engine.Instance) ([]Attribute, error) {
	t := w.byLabel[i.Target.Label]
	s := instanceScope(ctx, t.pkg, t, v, i)
	var list []Attribute
	for _, at := range t.attrs {
		if at.stream != nil || at.list != nil || at.named != nil || at.field.typ == typePageExpr || at.field.typ == typeExpr {
			list = append(list, Attribute{at.name, string(at.rng.SliceBytes(t.pkg.src.data))})
			continue
		}
		value, err := s.evalPlain(at.expr)
		if err != nil {
			return nil, err.outcome()
		}
		if value != nil { // null is absent
			list = append(list, Attribute{at.name, printable(value)})
		}
	}
	return list, nil
}

// Printable returns v as encoding/json writes it, with digests in place of artifacts.
func Printable(v engine.Value) any { return printable(v) }
