package buildfile

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"cbuild/engine"
)

// Advice says what may be done about a failure of an instance of t, given the end of its log; "" where there is nothing to say. If the log
// misses a file that the package has, that is no input of it.
func (w *Workspace) Advice(t *engine.Target, instance []string, log []byte) string {
	src := w.byLabel[t.Label]
	if src == nil || src.rule != "run" {
		return ""
	}
	for line := range bytes.Lines(log) {
		if !missing.Match(line) {
			continue
		}
		for _, word := range pathsIn(string(line)) {
			if name := src.missed(instance, word); name != "" {
				return fmt.Sprintf("%s exists in the package but is not an input of %s. Add with = [%q].", name, src.ref(), name)
			}
			if advice := w.beyond(src, word); advice != "" {
				return advice
			}
		}
	}
	return ""
}

// seenDirs are directories of this machine, or of a sandbox, that a run sees.
var seenDirs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/dev", "/build", "/tools"}

// beyond says what may be done about a file or directory that only this machine has, or another package; "" if there is no such thing.
func (w *Workspace) beyond(t *target, name string) string {
	seen := func(dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }
	if !path.IsAbs(name) || name != path.Clean(name) || name == "/" || slices.ContainsFunc(seenDirs, seen) {
		return ""
	}
	if _, err := os.Stat(name); err != nil {
		return ""
	}
	if rel, err := filepath.Rel(w.Root, name); err == nil && filepath.IsLocal(rel) {
		return fmt.Sprintf("%s is a file of the workspace but not an input of %s. Add with = [\"//%s\"] and use that path.", rel, t.ref(), filepath.ToSlash(rel))
	}
	return fmt.Sprintf("%s exists on this machine but %s does not see it. Copy it into the package and add it to inputs, or make it with a target.", name, t.ref())
}

// missing matches how programs say that a file is not there: those that show the system's words, shells, and make.
var missing = regexp.MustCompile(`(?i)no such file|cannot open|: not found|no rule to make target`)

var quoted = regexp.MustCompile("'([^']+)'|\"([^\"]+)\"|`([^`']+)[`']|‘([^’]+)’|“([^”]+)”")

// position matches the place in a file at the beginning of a message. That file is there: it was read.
var position = regexp.MustCompile(`^\S+:\d+(:\d+)?: `)

// pathsIn returns what may be paths in a line of a message: what is in quotes or between colons, which may hold blanks, and then all words.
func pathsIn(line string) (all []string) {
	line = position.ReplaceAllString(line, "")
	for _, m := range quoted.FindAllStringSubmatch(line, -1) {
		all = append(all, strings.Join(m[1:], ""))
	}
	for part := range strings.SplitSeq(line, ": ") {
		all = append(all, strings.TrimPrefix(strings.TrimSpace(part), "cannot open "))
	}
	return append(all, strings.FieldsFunc(line, notInPath)...)
}

// notInPath reports whether r parts a path from what surrounds it in a message.
func notInPath(r rune) bool { return strings.ContainsRune(" \t\r\n:;,'\"`‘’“”()[]<>", r) }

// missed returns the path in the package of the file that an instance of t, which said that there is no name, would find if it were an input;
// "" if there is none.
func (t *target) missed(instance []string, name string) string {
	if path.IsAbs(name) || slices.Contains(strings.Split(name, "/"), "..") || !strings.ContainsAny(name, "./") && len(name) < 2 {
		return ""
	}
	name = path.Clean(name)
	rel := path.Join(t.pkg.dir, name)
	if info, err := t.pkg.ws.files.root.Stat(rel); err != nil || info.IsDir() || hidden(path.Base(name)) || t.pkg.ws.owner(rel) != t.pkg.dir {
		return ""
	}
	for _, at := range t.attrs {
		if at.field.source && at.covers(t, instance, name) {
			return "" // it is there, but the command looks elsewhere
		}
	}
	return name
}

// covers reports whether the file is among the sources that at has for an instance of t, as far as that is known without the build.
func (at *attribute) covers(t *target, instance []string, file string) (found bool) {
	one := func(in string) {
		in = path.Clean(in)
		found = found || in == file || in == "." || strings.HasPrefix(file, in+"/")
	}
	literals(at.expr.Expression, func(in string, _ hcl.Range) { one(in) })
	if at.fold != nil {
		if v, err := at.fold.value(); err == nil {
			sources(v, one)
		}
	} else if len(at.expr.uses) == 0 && len(t.axes) == 0 && len(instance) > 0 {
		items := t.items[:min(len(t.items), maxChecked)]
		if i := slices.IndexFunc(items, func(item engine.Item) bool { return item.Key == instance[0] }); i >= 0 {
			v := reflect.New(at.field.typ).Elem()
			if eachScope(noContext, t.pkg, t, nil, items[i]).decodeAttr(at, v) == nil {
				sources(v, one)
			}
		}
	}
	return found
}
