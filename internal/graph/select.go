package graph

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"cbuild/engine"
)

// A World is what expressions speak of.
type World struct {
	// Targets are all of the workspace; what is selected comes in their order.
	Targets []*engine.Target
	// Match returns the targets that a pattern names.
	Match func(pattern string) ([]*engine.Target, error)
	// Written returns an attribute of a target as it is written in the file; ok is false if it is not. The error says that no target can have it.
	Written func(t *engine.Target, attribute string) (text string, ok bool, err error)
}

// Select returns the targets that an expression selects:
//
//	PATTERN  (X)  X + Y  X - Y  X ^ Y     union, difference, intersection: from the left to the right, with spaces around them
//	deps(X)  deps(X, DEPTH)               X and what it refers to, and so on
//	rdeps(X)  rdeps(X, DEPTH)             X and what refers to it, and so on
//	path(X, Y)                            all that lies on a chain of references from X to Y
//	kind(REGEXP, X)                       those of the rules of which the whole name matches
//	attr(NAME, REGEXP, X)                 those with the attribute, as it is written, in which something matches
//
// A pattern or regular expression in quotes may hold anything. The error is of type *SyntaxError for what can't be read, else from w.
func Select(expression string, w World) ([]*engine.Target, error) {
	n, err := parse(expression)
	if err != nil {
		return nil, err
	}
	e := &evaluation{World: w, graph: New(w.Targets)}
	found, err := n.eval(e)
	if err != nil {
		return nil, err
	}
	var list []*engine.Target
	for _, t := range w.Targets {
		if found[t.Label] {
			list = append(list, t)
		}
	}
	return list, nil
}

type set map[engine.Label]bool

type evaluation struct {
	World
	graph *Graph
}

// A node is a part of an expression.
type node interface {
	eval(e *evaluation) (set, error)
}

type pattern string

func (p pattern) eval(e *evaluation) (set, error) {
	targets, err := e.Match(string(p))
	found := make(set)
	for _, t := range targets {
		found[t.Label] = true
	}
	return found, err
}

type operation struct {
	operator    byte
	left, right node
}

func (o *operation) eval(e *evaluation) (set, error) {
	left, err := o.left.eval(e)
	if err != nil {
		return nil, err
	}
	right, err := o.right.eval(e)
	if err != nil {
		return nil, err
	}
	found := make(set)
	for l := range left {
		if o.operator == '+' || right[l] == (o.operator == '^') {
			found[l] = true
		}
	}
	if o.operator == '+' {
		for l := range right {
			found[l] = true
		}
	}
	return found, nil
}

// A call is a function with its arguments: words before the sets, depth behind them (-1 for any).
type call struct {
	function *function
	words    []string
	sets     []node
	depth    int
}

type function struct {
	name        string
	usage       string
	words, sets int
	depth       bool // may have one
	check       func(words []string) error
	do          func(e *evaluation, c *call, sets []set) (set, error)
}

var functions = []*function{
	{name: "deps", usage: "deps(X) or deps(X, DEPTH)", sets: 1, depth: true, do: func(e *evaluation, c *call, sets []set) (set, error) {
		return reach(sets[0], c.depth, e.graph.needs), nil
	}},
	{name: "rdeps", usage: "rdeps(X) or rdeps(X, DEPTH)", sets: 1, depth: true, do: func(e *evaluation, c *call, sets []set) (set, error) {
		return reach(sets[0], c.depth, e.graph.readersOf), nil
	}},
	{name: "path", usage: "path(X, Y)", sets: 2, do: func(e *evaluation, _ *call, sets []set) (set, error) {
		found := reach(sets[0], -1, e.graph.needs)
		back := reach(sets[1], -1, e.graph.readersOf)
		for l := range found {
			if !back[l] {
				delete(found, l)
			}
		}
		return found, nil
	}},
	{name: "kind", usage: "kind(REGEXP, X)", words: 1, sets: 1, check: func(words []string) error { return isRegexp(words[0]) }, do: func(e *evaluation, c *call, sets []set) (set, error) {
		re := regexp.MustCompile(`^(?:` + c.words[0] + `)$`)
		return e.keep(sets[0], func(t *engine.Target) (bool, error) { return re.MatchString(t.Rule), nil })
	}},
	{name: "attr", usage: "attr(NAME, REGEXP, X)", words: 2, sets: 1, check: func(words []string) error { return isRegexp(words[1]) }, do: func(e *evaluation, c *call, sets []set) (set, error) {
		re := regexp.MustCompile(c.words[1])
		return e.keep(sets[0], func(t *engine.Target) (bool, error) {
			text, ok, err := e.Written(t, c.words[0])
			return ok && re.MatchString(text), err
		})
	}},
}

func isRegexp(s string) error {
	_, err := regexp.Compile(s)
	return err
}

func (g *Graph) readersOf(l engine.Label) []engine.Label { return g.readers[l] }

func (e *evaluation) keep(from set, keeps func(*engine.Target) (bool, error)) (set, error) {
	found := make(set)
	for l := range from {
		ok, err := keeps(e.graph.targets[l])
		if err != nil {
			return nil, err
		}
		if ok {
			found[l] = true
		}
	}
	return found, nil
}

func (c *call) eval(e *evaluation) (set, error) {
	var sets []set
	for _, n := range c.sets {
		s, err := n.eval(e)
		if err != nil {
			return nil, err
		}
		sets = append(sets, s)
	}
	return c.function.do(e, c, sets)
}

// take puts one argument where it belongs.
func (c *call) take(arg node, word string, plain bool) error {
	f := c.function
	switch {
	case len(c.words) < f.words:
		if !plain {
			return fmt.Errorf("the first of %s are words", f.usage)
		}
		c.words = append(c.words, word)
		if len(c.words) == f.words && f.check != nil {
			return f.check(c.words)
		}
	case len(c.sets) < f.sets:
		c.sets = append(c.sets, arg)
	case f.depth && c.depth < 0:
		n, err := strconv.Atoi(word)
		if err != nil || n < 0 || !plain {
			return fmt.Errorf("DEPTH in %s is a number", f.usage)
		}
		c.depth = n
	default:
		return fmt.Errorf("too many arguments: it is %s", f.usage)
	}
	return nil
}

func (c *call) complete() error {
	if len(c.sets) < c.function.sets {
		return fmt.Errorf("an argument is missing: it is %s", c.function.usage)
	}
	return nil
}

func functionNamed(name string) *function {
	if i := slices.IndexFunc(functions, func(f *function) bool { return f.name == name }); i >= 0 {
		return functions[i]
	}
	return nil
}
