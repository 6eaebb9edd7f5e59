package buildfile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"cbuild/engine"
)

// Resolve returns the targets that patterns name: name, :name, dir:name, //dir:name, //dir/..., //..., tag:TAG. Without patterns
// these are the defaults: those of the cbuild block, else the targets of the current package that nobody refers to. Instances are
// left to Select.
func (w *Workspace) Resolve(patterns []string) ([]*engine.Target, *Diagnostics) {
	diags := new(Diagnostics)
	var found []*target
	if len(patterns) == 0 {
		found = w.defaultTargets()
		if len(found) == 0 {
			diags.plain("Nothing to build", "There is no target in //"+w.Package+".")
		}
	}
	for _, pattern := range w.expand(patterns, true, diags) {
		targets, err := w.match(pattern, w.Package)
		if err != nil {
			diags.plain("Unknown target "+pattern, sentence(err))
			continue
		}
		for _, t := range targets {
			if !slices.Contains(found, t) {
				found = append(found, t)
			}
		}
	}
	var out []*engine.Target
	for _, t := range found {
		if t.engine != nil {
			out = append(out, t.engine)
		}
	}
	return out, diags
}

func (w *Workspace) defaultTargets() []*target {
	if w.hasDefaults && w.Package == "" {
		return w.defaults
	}
	p := w.packages[w.Package]
	if p == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.order), func(t *target) bool { return t.referred })
}

// match returns the targets that pattern names, seen from the package dir.
func (w *Workspace) match(pattern, dir string) ([]*target, error) {
	pattern = strings.TrimPrefix(pattern, "./")
	switch {
	case strings.ContainsAny(pattern, "[]"):
		return nil, errors.New("here it takes a whole target, without [KEY]")
	case strings.HasPrefix(pattern, "@"):
		return nil, errors.New(didYouMean(pattern, mapKeys(w.opts.Sets), "There are @failed, @changed, and @PATH for patterns in a file; the path has a slash or a dot"))
	case slices.Contains(strings.FieldsFunc(pattern, func(r rune) bool { return r == '/' || r == ':' }), ".."):
		return nil, errors.New("a label never has \"..\": write //DIR:NAME from the workspace's root")
	case strings.HasPrefix(pattern, "tag:"):
		return w.tagged(strings.TrimPrefix(pattern, "tag:"))
	}
	where, name, labelled := strings.Cut(pattern, ":")
	if !labelled {
		where, name = "", pattern
		if strings.HasPrefix(pattern, "//") || strings.HasSuffix(pattern, "...") {
			return w.below(pattern, dir)
		}
	}
	switch abs, ok := strings.CutPrefix(where, "//"); {
	case ok:
		dir = abs
	case where != "":
		dir = path.Join(dir, where)
	}
	p := w.packages[dir]
	if p == nil {
		if near := nearest(dir, mapKeys(w.packages)); near != "" {
			return nil, fmt.Errorf("there is no package //%s. Did you mean %q?", dir, "//"+near+":"+name)
		}
		return nil, fmt.Errorf("there is no package //%s", dir)
	}
	if t := p.targets[name]; t != nil {
		return []*target{t}, nil
	}
	return nil, errors.New(p.suggestName(name))
}

// suggestName says what name may have meant on the command line.
func (p *pkg) suggestName(name string) string {
	if rule, rest, ok := strings.Cut(name, "."); ok && p.targets[rest] != nil {
		return fmt.Sprintf("On the command line a target goes by its name, without %q. Did you mean %q?", rule, rest)
	}
	if s := nearest(name, mapKeys(p.targets)); s != "" {
		return fmt.Sprintf("Did you mean %q?", s)
	}
	if sub := path.Join(p.dir, name); p.ws.packages[sub] != nil {
		return fmt.Sprintf("//%s is a package: write %s:NAME for a target, or %s/... for all.", sub, name, name)
	}
	for _, dir := range sortedKeys(p.ws.packages) {
		if p.ws.packages[dir].targets[name] != nil {
			return fmt.Sprintf("Did you mean %q?", "//"+dir+":"+name)
		}
	}
	if verb := nearest(name, slices.Values(verbs)); verb != "" {
		return fmt.Sprintf("There is no such target, nor such a command. Did you mean %q?", "cbuild "+verb)
	}
	where := "The package //" + p.dir
	if p.dir == "" {
		where = "The root package"
	}
	return cmpOr(oneOf(where+" has", firstOf(sortedKeys(p.targets), 12)), where+" has no targets.")
}

// below returns the targets of all packages at and under a directory.
func (w *Workspace) below(pattern, dir string) ([]*target, error) {
	prefix, recursive := strings.CutSuffix(pattern, "...")
	if !recursive {
		// //dir alone is the target named like its directory.
		d := strings.TrimPrefix(pattern, "//")
		return w.match("//"+d+":"+path.Base(d), dir)
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if rest, abs := strings.CutPrefix(prefix, "/"); abs {
		prefix = strings.TrimPrefix(rest, "/")
	} else {
		prefix = path.Join(dir, prefix)
	}
	var found []*target
	for _, d := range sortedKeys(w.packages) {
		if prefix == "" || d == prefix || strings.HasPrefix(d, prefix+"/") {
			found = append(found, w.packages[d].order...)
		}
	}
	if len(found) == 0 {
		if s := nearest(prefix, mapKeys(w.packages)); s != "" {
			return nil, fmt.Errorf("there is no target below //%s. Did you mean %q?", prefix, "//"+s+"/...")
		}
		return nil, fmt.Errorf("there is no target below //%s", prefix)
	}
	return found, nil
}

func (w *Workspace) tagged(tag string) ([]*target, error) {
	var found []*target
	known := make(map[string]bool)
	for _, d := range sortedKeys(w.packages) {
		for _, t := range w.packages[d].order {
			for _, name := range t.tags {
				known[name] = true
			}
			if slices.Contains(t.tags, tag) {
				found = append(found, t)
			}
		}
	}
	switch s := nearest(tag, mapKeys(known)); {
	case len(found) > 0:
		return found, nil
	case s != "":
		return nil, fmt.Errorf("no target has the tag %q. Did you mean %q?", tag, "tag:"+s)
	}
	return nil, fmt.Errorf("no target has the tag %q. %s", tag, cmpOr(oneOf("There are", firstOf(sortedKeys(known), 12)), "None has any"))
}

// Info is what is known of a target before a build.
type Info struct {
	Rule, Description string
	Tags              []string
	Private           bool
	// File is relative to the workspace root.
	File  string
	Line  int
	Needs []engine.Need
}

// Info describes t.
func (w *Workspace) Info(t *engine.Target) Info {
	src := w.byLabel[t.Label]
	return Info{
		Rule: t.Rule, Description: src.description, Tags: src.tags, Private: src.private,
		File: src.rng.Filename, Line: src.rng.Start.Line, Needs: t.Needs,
	}
}

// Written returns an attribute of t as it is written in the file; ok is false if it is not. The error says that no target can have it.
func (w *Workspace) Written(t *engine.Target, attribute string) (text string, ok bool, err error) {
	src := w.byLabel[t.Label]
	a := attr(src, attribute)
	if a != nil {
		r := a.Expr.Range()
		return string(src.pkg.src.data[r.Start.Byte:r.End.Byte]), true, nil
	}
	names := make(map[string]bool)
	for _, k := range w.kinds {
		for _, n := range k.names {
			names[n] = true
		}
	}
	if !names[attribute] {
		err = fmt.Errorf("no target has an attribute %q. %s", attribute, didYouMean(attribute, mapKeys(names), "cbuild help language names them all"))
	}
	return "", false, err
}

// A Variable describes a variable, for lists of them.
type Variable struct {
	Dir, Name, Description, Value string
	// Allowed are the values that it may have, as the command line gives them; nil if there is no list of them.
	Allowed []string
	// Missing is set if it has no value, and needs one.
	Missing bool
}

// Variables returns the variables of all packages, by package and name.
func (w *Workspace) Variables() []Variable {
	var list []Variable
	for _, dir := range sortedKeys(w.packages) {
		for _, name := range sortedKeys(w.packages[dir].variables) {
			v := w.packages[dir].variables[name]
			value := ""
			if v.ok {
				value = show(v.value)
			}
			list = append(list, Variable{Dir: dir, Name: name, Description: v.description, Value: value, Allowed: v.choices(), Missing: v.missing})
		}
	}
	return list
}

// Validate evaluates what is the same for every instance but reads files, which Load leaves until it is needed, and returns the
// mistakes in it.
func (w *Workspace) Validate() *Diagnostics {
	diags := new(Diagnostics)
	for _, dir := range sortedKeys(w.packages) {
		for _, t := range w.packages[dir].order {
			for _, at := range t.attrs {
				if at.fold == nil {
					continue
				}
				if at.expr.sources && w.runtime() == nil {
					continue // it holds artifacts
				}
				if _, err := at.fold.value(); err != nil {
					diags.list = append(diags.list, err.diagnostic())
				}
			}
		}
	}
	return diags
}
