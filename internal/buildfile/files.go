package buildfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/text/unicode/norm"
)

// maxText is the largest file that expressions read, in bytes.
const maxText = 64 << 20

// files gives expressions the files of the workspace, and nothing outside it: not through "..", and not through a link.
type files struct {
	root *os.Root
	fsys fs.FS
}

func openFiles(dir string) (*files, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &files{root: root, fsys: root.FS()}, nil
}

// resolve turns a path as written in the package dir into one from the root.
func (f *files) resolve(dir, p string) (string, error) {
	rest, abs := strings.CutPrefix(p, "//")
	if abs {
		dir, p = "", rest
	}
	switch {
	case hasMarks(p):
		return "", errMarked
	case p == "" || path.IsAbs(p) || strings.ContainsRune(p, 0):
		return "", fmt.Errorf("%q is not a path inside the workspace", p)
	case slices.Contains(strings.Split(p, "/"), ".."):
		return "", fmt.Errorf("%q leaves its package: write //DIR/FILE from the workspace's root", p)
	}
	return path.Join(dir, p), nil
}

// read returns the text of a file.
func (f *files) read(dir, p string) ([]byte, error) {
	name, err := f.resolve(dir, p)
	if err != nil {
		return nil, err
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, f.missing(dir, p, name, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxText+1))
	if err == nil && len(data) > maxText {
		err = fmt.Errorf("%s is larger than 64 MiB", name)
	}
	return data, err
}

// missing explains why a file cannot be opened.
func (f *files) missing(dir, p, name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	names := make(map[string]bool)
	entries, _ := fs.ReadDir(f.fsys, path.Dir(name))
	for _, e := range entries {
		names[path.Join(path.Dir(p), e.Name())] = true
	}
	where := "//" + dir
	return fmt.Errorf("there is no file %s in %s. %s", p, where, didYouMean(p, mapKeys(names), "Paths are relative to the package"))
}

func (f *files) exists(dir, p string) (bool, error) {
	name, err := f.resolve(dir, p)
	if err != nil {
		return false, err
	}
	_, err = f.root.Stat(name)
	return err == nil, nil
}

// hidden reports whether name, somewhere in the tree, is never matched: what cbuild itself writes, the repository, and what belongs to a
// machine, which must not enter a key.
func hidden(name string) bool {
	return name == ".git" || name == "cbuild-out" || name == LockName || name == LockDir || name == ConfigName
}

// glob returns the files of the package dir that match any of patterns and none of exclude, sorted. It enters no sub-package.
func (f *files) glob(dir string, patterns, exclude []string) ([]string, error) {
	for _, p := range append(slices.Clone(patterns), exclude...) {
		if !doublestar.ValidatePattern(p) {
			return nil, fmt.Errorf("%q is not a valid pattern", p)
		}
		if slices.Contains(strings.Split(p, "/"), "..") || path.IsAbs(p) {
			return nil, fmt.Errorf("the pattern %q leaves its package", p)
		}
	}
	start := path.Join(dir, ".")
	if start == "" {
		start = "."
	}
	var found []string
	err := fs.WalkDir(f.fsys, start, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(name, start), "/")
		if start == "." {
			rel = name
		}
		switch {
		case name == start:
			return nil
		case hidden(d.Name()) && d.IsDir():
			return fs.SkipDir
		case hidden(d.Name()):
			return nil
		case d.IsDir():
			if f.isPackage(name) || !couldMatch(patterns, rel) {
				return fs.SkipDir
			}
			return nil
		}
		if !matchAny(patterns, rel) || matchAny(exclude, rel) {
			return nil
		}
		if err := checkName(rel); err != nil {
			return err
		}
		found = append(found, rel)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	slices.Sort(found)
	return found, err
}

func (f *files) isPackage(dir string) bool {
	for _, n := range []string{FileName, JSONName} {
		if _, err := fs.Stat(f.fsys, path.Join(dir, n)); err == nil {
			return true
		}
	}
	return false
}

// couldMatch reports whether anything below the directory rel could match a pattern.
func couldMatch(patterns []string, rel string) bool {
	depth := strings.Count(rel, "/") + 1
	for _, p := range patterns {
		parts := strings.Split(p, "/")
		if slices.Contains(parts, "**") || strings.ContainsAny(p, "{") {
			return true
		}
		if len(parts) > depth && matchAny([]string{strings.Join(parts[:depth], "/")}, rel) {
			return true
		}
	}
	return false
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := doublestar.Match(p, name)
		return ok && err == nil
	})
}

// checkName refuses file names that an expression would change or that cannot be told apart on every machine.
func checkName(name string) error {
	switch {
	case !utf8.ValidString(name):
		return fmt.Errorf("the name of the file %q is not UTF-8: rename it", name)
	case !norm.NFC.IsNormalString(name):
		return fmt.Errorf("the name of the file %q is not in Unicode's normal form C: rename it", name)
	case hasMarks(name):
		return errForeignMark
	}
	return nil
}

// text checks that data can be a string in expressions.
func text(name string, data []byte) (string, error) {
	if !utf8.Valid(data) {
		return "", fmt.Errorf("%s is not UTF-8 text", name)
	}
	return string(data), foreign(string(data))
}
