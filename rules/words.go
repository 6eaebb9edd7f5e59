package rules

import (
	"maps"
	"slices"
	"strings"

	"cbuild/engine"
)

// checkWords refuses what no program can be started with. The machine would refuse it, too, but only when the command starts, and in words
// that name no attribute.
func (r *Run) checkWords(c *engine.Command) error {
	attr := "command"
	if r.Script != nil {
		attr = "shell"
	}
	if c.Argv[0] == "" {
		return invalidf("%s: the program has no name", attr)
	}
	for _, arg := range c.Argv {
		if strings.ContainsRune(arg, 0) {
			return invalidf("%s: the argument %q holds a NUL, which no program takes", attr, arg)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.SecretEnv)) {
		if badName(name) {
			return invalidf("secret_env: %q is no name of a variable", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		if badName(name) {
			return invalidf("env: %q is no name of a variable", name)
		}
		if strings.ContainsRune(r.Env[name].Render(func(engine.Artifact) string { return "" }), 0) {
			return invalidf("env: the value of %s holds a NUL, which no program takes", name)
		}
	}
	return nil
}

// badName reports whether no variable of the environment can have the name.
func badName(name string) bool { return name == "" || strings.ContainsAny(name, "=\x00") }
