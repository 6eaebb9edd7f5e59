package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Change is one component in which two keys differ.
type Change struct {
	// Component is its name, as in `input src/a.c`, `env.EDITION`, `command[2]` or `system: libc6`.
	Component string
	// Before and After are the values; "" where a side has none.
	Before, After string
}

func (c Change) String() string {
	switch {
	case c.Before == "":
		return c.Component + " added: " + c.After
	case c.After == "":
		return c.Component + " removed: " + c.Before
	}
	return c.Component + " " + c.Before + " → " + c.After
}

// Reason says in a few words that c is why something is done again.
func (c Change) Reason() string {
	switch {
	case c.Before == "":
		return c.Component + " added"
	case c.After == "":
		return c.Component + " removed"
	}
	return c.Component + " changed"
}

// Differences compares two pre-images by component, in the order of the later one.
func Differences(before, after []byte) []Change {
	had, _ := components(before)
	has, order := components(after)
	for name := range had {
		if _, ok := has[name]; !ok {
			order = append(order, name)
		}
	}
	slices.Sort(order[len(has):])
	var changes []Change
	for _, name := range order {
		if b, a := had[name], has[name]; b != a {
			changes = append(changes, Change{Component: name, Before: b, After: a})
		}
	}
	return changes
}

// components splits a pre-image into values by name, and lists the names in order.
func components(preimage []byte) (values map[string]string, order []string) {
	values = make(map[string]string)
	for line := range strings.Lines(string(preimage)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok {
			continue
		}
		name, value = nameComponent(name, value)
		for n, base := 2, name; values[name] != ""; n++ {
			name = fmt.Sprintf("%s (%d)", base, n)
		}
		values[name] = value
		order = append(order, name)
	}
	return values, order
}

// nameComponent moves what identifies one of several lines of a name from the value to the name.
func nameComponent(name, value string) (string, string) {
	value = Legible(value)
	text, err := strconv.Unquote(value)
	if err != nil {
		if digest, rest, ok := strings.Cut(value, ":"); ok && len(rest) > 12 {
			return name, digest + ":" + rest[:12] + "…"
		}
		return name, value
	}
	switch name {
	case "env":
		variable, v, _ := strings.Cut(text, "=")
		return "env." + variable, strconv.Quote(v)
	case "system":
		what, rest, _ := strings.Cut(text, " ")
		if who, version, ok := strings.Cut(rest, " "); ok && (what == "package" || what == "program") {
			return "system: " + who, version
		}
		return "system: " + what, rest
	}
	return name, value
}
