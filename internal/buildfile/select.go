package buildfile

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cbuild/engine"
)

// A Selection is what the patterns of a command line select of one target.
type Selection struct {
	Target *engine.Target
	// Keys are the elements that are named as they are. Both Keys and Match are nil where all of the target is selected, or all
	// but what is excluded.
	Keys []string
	// Match, if not nil, reports whether the instance with these keys is selected: in a target of whose instances only some are.
	Match func(key string, axes []string) bool

	// globs report whether some instance with the key may be selected, beyond Keys; nil if none.
	globs func(key string) bool
}

// Includes reports whether the instance with these keys is selected: of a row that is evaluated, all cells are, but only those that
// are included are shown and published.
func (s *Selection) Includes(key string, axes []string) bool {
	return s.Match == nil || s.Match(key, axes)
}

// Want returns what the engine is to be asked for.
func (s *Selection) Want() engine.Want {
	return engine.Want{Label: s.Target.Label, Keys: s.Keys, Match: s.globs}
}

// A pattern is one pattern of the command line, applied to one target.
type pattern struct {
	text string
	t    *target
	// keys are what stands in the brackets: for the key, if the target has one, then for its axes. None selects all.
	keys []keyPattern
}

// A keyPattern is a key, or a glob over keys.
type keyPattern struct {
	text string
	glob bool
}

func (k keyPattern) match(key string) bool {
	if k.glob {
		return globMatch(k.text, key)
	}
	return k.text == key
}

func (p *pattern) match(key string, axes []string) bool {
	all := axes
	if p.t.repeated {
		all = append([]string{key}, axes...)
	}
	if len(p.keys) > len(all) {
		return false
	}
	for i, k := range p.keys {
		if !k.match(all[i]) {
			return false
		}
	}
	return true
}

// Select returns what patterns select but exclude does not, by target. A pattern is one of Resolve, or one target with instances:
// check[KEY], check[KEY][AXISKEY], each a key or a glob in which * stands for any text and ? for any character. Without patterns
// the defaults are selected. Nothing is selected, and that is no mistake, if there is a set such as @failed and nothing in it.
func (w *Workspace) Select(patterns, exclude []string) ([]Selection, *Diagnostics) {
	diags := new(Diagnostics)
	var wanted []pattern
	if len(patterns) == 0 {
		for _, t := range w.defaultTargets() {
			wanted = append(wanted, pattern{t: t})
		}
	}
	wanted = append(wanted, w.patterns(w.expand(patterns, false, diags), diags)...)
	unwanted := w.patterns(w.expand(exclude, false, diags), diags)
	var list []Selection
	var order []*target
	known := make(map[*target]bool)
	for _, p := range wanted {
		if !known[p.t] {
			known[p.t] = true
			order = append(order, p.t)
		}
	}
	in, out := byTarget(wanted), byTarget(unwanted)
	for _, t := range order {
		if s, ok := selection(t, in[t], out[t]); ok {
			list = append(list, s)
		}
	}
	if len(list) == 0 && !diags.HasErrors() && !w.namesSet(patterns) {
		detail := "There is no target in //" + w.Package + "."
		if len(patterns) > 0 {
			detail = "Nothing was asked for: the file names no target."
		}
		if len(order) > 0 {
			detail = "Everything that was asked for is excluded."
		}
		diags.plain("Nothing to build", detail)
	}
	return list, diags
}

// expand puts the lines of files in the places of @PATH, which has a slash or a dot, and the instances of a set in that of its name, or their
// targets as a whole. Blank lines, and those that begin with #, say nothing.
func (w *Workspace) expand(patterns []string, whole bool, diags *Diagnostics) (all []string) {
	for _, text := range patterns {
		if w.isSet(text) {
			all = append(all, w.members(text, whole, diags)...)
			continue
		}
		if !isFile(text) {
			all = append(all, text)
			continue
		}
		lines, err := w.linesOf(text)
		if err != nil {
			diags.plain("Cannot read "+text[1:], sentence(errAsPath(err)))
		}
		for _, line := range lines {
			if w.isSet(line) {
				all = append(all, w.members(line, whole, diags)...)
			} else {
				all = append(all, line)
			}
		}
	}
	return all
}

// isFile reports whether a pattern is a file with patterns.
func isFile(pattern string) bool {
	return strings.HasPrefix(pattern, "@") && strings.ContainsAny(pattern, "/.")
}

// linesOf returns the patterns in a file of patterns.
func (w *Workspace) linesOf(file string) (all []string, err error) {
	name := file[1:]
	if !filepath.IsAbs(name) {
		name = filepath.Join(w.opts.Dir, name)
	}
	data, err := readBounded(name)
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, line)
		}
	}
	return all, err
}

// namesSet reports whether one of patterns is a set, or is in a file of patterns where one stands.
func (w *Workspace) namesSet(patterns []string) bool {
	for _, p := range patterns {
		if w.isSet(p) {
			return true
		}
		if !isFile(p) {
			continue
		}
		if lines, _ := w.linesOf(p); slices.ContainsFunc(lines, w.isSet) {
			return true
		}
	}
	return false
}

// isSet reports whether a pattern is the name of a set.
func (w *Workspace) isSet(pattern string) bool { return w.opts.Sets[pattern] != nil }

// members names what is in a set, as far as it is still there.
func (w *Workspace) members(set string, whole bool, diags *Diagnostics) (all []string) {
	err := w.opts.Sets[set](w.Root, func(target string, instance []string) {
		dir, name, _ := strings.Cut(strings.TrimPrefix(target, "//"), ":")
		t := w.byLabel[engine.Label{Dir: dir, Name: name}]
		if t == nil {
			return
		}
		var keys []keyPattern
		text := target
		for _, k := range instance {
			keys = append(keys, keyPattern{text: k})
			text += "[" + QuoteKey(k) + "]"
		}
		switch {
		case whole:
			all = append(all, target)
		case t.checkKeys(keys, 1) == nil:
			all = append(all, text)
		}
	})
	if err != nil {
		diags.plain("Cannot tell what "+set+" is", sentence(err))
	}
	return all
}

// byTarget sorts patterns by the targets that they concern.
func byTarget(patterns []pattern) map[*target][]pattern {
	all := make(map[*target][]pattern)
	for _, p := range patterns {
		all[p.t] = append(all[p.t], p)
	}
	return all
}

// patterns resolves each text to patterns of single targets.
func (w *Workspace) patterns(texts []string, diags *Diagnostics) []pattern {
	var list []pattern
	for _, text := range texts {
		name, keys, err := cutKeys(text)
		var targets []*target
		if err == nil {
			targets, err = w.match(name, w.Package)
		}
		if err != nil {
			diags.plain("Unknown target "+text, sentence(err))
			continue
		}
		for _, t := range targets {
			if err := t.checkKeys(keys, len(targets)); err != nil {
				diags.plain("Unknown instance "+text, sentence(err))
				break
			}
			list = append(list, pattern{text, t, keys})
		}
	}
	return list
}

// cutKeys splits name[key][key] into the name and its keys. A key in quotes is taken as it is.
func cutKeys(text string) (name string, keys []keyPattern, err error) {
	name, rest, found := strings.Cut(text, "[")
	if !found {
		if strings.Contains(text, "]") {
			return "", nil, errors.New("a ] without [: write NAME[KEY]")
		}
		return text, nil, nil
	}
	for {
		var key keyPattern
		if key, rest, err = cutKey(rest); err != nil {
			return "", nil, err
		}
		keys = append(keys, key)
		switch {
		case rest == "]":
			return name, keys, nil
		case !strings.HasPrefix(rest, "]["):
			return "", nil, errors.New("an instance is written NAME[KEY]")
		}
		rest = rest[len("]["):]
	}
}

// cutKey splits the first key from what follows the bracket before it.
func cutKey(text string) (key keyPattern, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return key, "", errors.New("a key has a quote that does not end")
		}
		key.text, _ = strconv.Unquote(quoted) // it is a prefix that can be
		return key, text[len(quoted):], nil
	}
	end := strings.Index(text, "][")
	if end < 0 && strings.HasSuffix(text, "]") {
		end = len(text) - 1
	}
	switch {
	case end < 0:
		return key, "", errors.New("an instance is written NAME[KEY]")
	case end == 0:
		return key, "", errors.New("a key is empty: write [*] for all")
	}
	return keyPattern{text[:end], strings.ContainsAny(text[:end], "*?")}, text[end:], nil
}

// QuoteKey writes the key of an instance so that a pattern names exactly this one.
func QuoteKey(key string) string {
	if key == "" || strings.ContainsAny(key, `*?"[]`) {
		return strconv.Quote(key)
	}
	return key
}

// KnownKeys returns what the files say of the keys of t's instances: those of for_each, if there is one, then those of each axis. What they
// don't say is nil.
func (w *Workspace) KnownKeys(t *engine.Target) (all [][]string) {
	src := w.byLabel[t.Label]
	dims := len(src.axes)
	if src.repeated {
		dims++
	}
	for i := range dims {
		keys, _ := src.knownKeys(i)
		all = append(all, keys)
	}
	return all
}

// checkKeys says what is wrong with keys for instances of t, as far as that is known before the build. Of is among how many targets
// t is.
func (t *target) checkKeys(keys []keyPattern, of int) error {
	if len(keys) == 0 {
		return nil
	}
	dims := len(t.axes)
	if t.repeated {
		dims++
	}
	switch {
	case of > 1:
		return errors.New("keys belong to one target, but the pattern names several")
	case dims == 0:
		return fmt.Errorf("%s has neither for_each nor matrix: write %s", t.ref(), t.label.Name)
	case len(keys) > dims:
		return fmt.Errorf("instances of %s have %s", t.ref(), plural(dims, "key"))
	}
	for i, k := range keys {
		known, what := t.knownKeys(i)
		if known == nil || slices.ContainsFunc(known, k.match) {
			continue
		}
		return errors.New(didYouMean(k.text, slices.Values(known), oneOf(fmt.Sprintf("No %s of %s is like this; there are", what, t.ref()), firstOf(known, 12))))
	}
	return nil
}

func firstOf(names []string, n int) []string {
	if len(names) > n {
		return append(slices.Clone(names[:n]), "…")
	}
	return names
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// knownKeys returns the keys of dimension i if the files say them, and what they are keys of.
func (t *target) knownKeys(i int) (keys []string, what string) {
	if t.repeated {
		if i == 0 {
			if t.keys == nil {
				return nil, "key"
			}
			return sortedKeys(t.keys), "key"
		}
		i--
	}
	if i < len(t.axisKeys) {
		return t.axisKeys[i], fmt.Sprintf("key on the axis %q", t.axes[i])
	}
	return nil, "key"
}

// selection returns what wanted selects of t but unwanted does not; ok is false if that is certainly nothing.
func selection(t *target, wanted, unwanted []pattern) (s Selection, ok bool) {
	if t.engine == nil {
		return s, false
	}
	whole := slices.ContainsFunc(wanted, func(p pattern) bool { return len(p.keys) == 0 })
	if slices.ContainsFunc(unwanted, func(p pattern) bool { return len(p.keys) == 0 }) {
		return s, false
	}
	s.Target = t.engine
	if whole && len(unwanted) == 0 {
		return s, true
	}
	in, out := newPatternSet(t, wanted), newPatternSet(t, unwanted)
	s.Match = func(key string, axes []string) bool { return in.match(key, axes) && !out.match(key, axes) }
	if !t.repeated {
		return s, true // its one row is evaluated as a whole
	}
	for _, key := range in.keys {
		if !out.whole(key) {
			s.Keys = append(s.Keys, key)
		}
	}
	if len(in.loose) > 0 {
		s.globs = func(key string) bool {
			return slices.ContainsFunc(in.loose, func(p pattern) bool { return len(p.keys) == 0 || p.keys[0].match(key) }) && !out.whole(key)
		}
	}
	return s, s.Keys != nil || s.globs != nil
}

// A patternSet finds among many patterns of a target those that may concern an instance: a file can name a hundred thousand.
type patternSet struct {
	t     *target
	exact map[string][]pattern // by the first key, which is no glob
	keys  []string             // of exact, in the order in which they were written
	loose []pattern            // the others
}

func newPatternSet(t *target, patterns []pattern) *patternSet {
	s := &patternSet{t: t, exact: make(map[string][]pattern)}
	for _, p := range patterns {
		if len(p.keys) == 0 || p.keys[0].glob {
			s.loose = append(s.loose, p)
			continue
		}
		first := p.keys[0].text
		if s.exact[first] == nil {
			s.keys = append(s.keys, first)
		}
		s.exact[first] = append(s.exact[first], p)
	}
	return s
}

// match reports whether one of the patterns takes the instance with these keys.
func (s *patternSet) match(key string, axes []string) bool {
	matches := func(p pattern) bool { return p.match(key, axes) }
	if !s.t.repeated && len(axes) > 0 {
		key = axes[0]
	}
	return slices.ContainsFunc(s.exact[key], matches) || slices.ContainsFunc(s.loose, matches)
}

// whole reports whether one of the patterns takes every instance with the first key.
func (s *patternSet) whole(key string) bool {
	whole := func(p pattern) bool { return len(p.keys) == 1 && p.keys[0].match(key) }
	return slices.ContainsFunc(s.exact[key], whole) || slices.ContainsFunc(s.loose, whole)
}

// globMatch reports whether text matches glob, in which * stands for any text, slashes included, and ? for any character. It takes
// time in proportion to the product of their lengths at worst.
func globMatch(glob, text string) bool {
	g, s := []rune(glob), []rune(text)
	i, j, star, mark := 0, 0, -1, 0
	for j < len(s) {
		switch {
		case i < len(g) && g[i] == '*':
			star, mark = i, j
			i++
		case i < len(g) && (g[i] == '?' || g[i] == s[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(g) && g[i] == '*' {
		i++
	}
	return i == len(g)
}
