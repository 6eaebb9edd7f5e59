package buildfile

import (
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
)

func (s *scope) decodeInputs(dst *[]engine.Input, v cty.Value) error {
	add := func(dest string) func(cty.Value) error {
		return func(e cty.Value) error {
			in := engine.Input{Dest: dest}
			err := s.decodeText(&in.Text, e)
			*dst = append(*dst, in)
			return err
		}
	}
	if isList(v) {
		return flat(v, add(""))
	}
	if !isObject(v) {
		return wantType("a list, or an object from destination to artifact", v)
	}
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		dest := strings.TrimSuffix(k.AsString(), "/")
		if err := checkPath(dest); err != nil {
			return err
		}
		if e.IsNull() {
			continue
		}
		if isList(e) || strings.HasSuffix(k.AsString(), "/") {
			dest += "/" // a directory: each stands in it under its own name
		}
		if err := flat(e, add(dest)); err != nil {
			return fmt.Errorf("%s: %w", k.AsString(), err)
		}
	}
	return nil
}

// decodeToolchains takes instances of toolchains, in lists or objects.
func (s *scope) decodeToolchains(dst *[]engine.Toolchain, v cty.Value) error {
	switch {
	case v.IsNull():
		return nil
	case v.Type() == cellType:
		t, err := s.toolchain(v.EncapsulatedValue().(*cell))
		*dst = append(*dst, t)
		return err
	case isList(v) || isObject(v):
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			if err := s.decodeToolchains(dst, e); err != nil {
				return err
			}
		}
		return nil
	}
	return wantType("toolchains, as in toolchains = [toolchain.NAME]", v)
}

func (s *scope) toolchain(c *cell) (t engine.Toolchain, err error) {
	out, err := s.read(c, "out")
	if err != nil {
		return t, err
	}
	root, ok := out.(engine.Artifact)
	if !ok || c.row.Target.Rule != "toolchain" {
		return t, fmt.Errorf("%s is no toolchain", c.name())
	}
	t.Root = root
	bin, err := s.read(c, "bin")
	if err != nil {
		return t, err
	}
	t.Bin = strings.TrimPrefix(strings.TrimPrefix(fromRoot(bin), "${ROOT}"), "/")
	env, err := s.read(c, "env")
	if err != nil {
		return t, err
	}
	members, _ := env.(engine.Object)
	t.Env = make(map[string]string, len(members))
	for name, v := range members {
		t.Env[name] = fromRoot(v)
	}
	return t, nil
}

// fromRoot writes a path in a toolchain with ${ROOT} for the toolchain's tree.
func fromRoot(v engine.Value) string {
	switch v := v.(type) {
	case string:
		return v
	case engine.Artifact:
		return "${ROOT}"
	case engine.Text:
		return v.Render(func(engine.Artifact) string { return "${ROOT}" })
	}
	return ""
}
