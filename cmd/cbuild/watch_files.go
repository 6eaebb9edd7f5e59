package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"cbuild/cas"
	"cbuild/internal/buildfile"
)

// single lists the files that a build reads and that may lie outside of the workspace.
func (w *watching) single() (files []string) {
	names := append(w.cli.configFiles(), w.parsed.varFiles...)
	if w.parsed.file != "" {
		names = append(names, w.parsed.file)
	}
	for _, a := range slices.Concat(w.args, w.parsed.exclude) {
		if name, ok := strings.CutPrefix(a, "@"); ok && strings.ContainsAny(name, "/.") {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if path, err := filepath.Abs(name); err == nil {
			files = append(files, path)
		}
	}
	return files
}

// learn finds out where builds write, which depends on the configuration. What is wrong with that is said by the build.
func (w *watching) learn() error {
	c := w.cli
	stderr := c.stderr
	c.stderr = io.Discard
	defer func() { c.stderr = stderr }()
	names := []string{c.flags.events, c.flags.profile, c.flags.out}
	for _, dir := range []func() (string, error){c.storeDir, c.stateDir} {
		if name, err := dir(); err == nil {
			names = append(names, name)
		}
	}
	w.written = nil
	for _, name := range names {
		path, err := filepath.Abs(name)
		if name == "" || err != nil {
			continue
		}
		if rel, err := filepath.Rel(path, w.root); err == nil && filepath.IsLocal(rel) {
			return usagef("%s holds the workspace: what is built there can't be told from what it is built of", name)
		}
		w.written = append(w.written, path)
	}
	return nil
}

// ignore reports whether a path is of no interest: what builds write, the repository, and what editors keep beside a file.
func (w *watching) ignore(path string) bool {
	name := filepath.Base(path)
	switch {
	case name == outName, name == ".git", name == ".DS_Store",
		strings.HasSuffix(name, "~"), strings.HasPrefix(name, ".#"), strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#"),
		strings.HasPrefix(name, ".") && swapFile.MatchString(name):
		return true
	}
	return w.isOutput(path) || slices.ContainsFunc(w.written, func(dir string) bool {
		return path == dir || strings.HasPrefix(path, dir+string(filepath.Separator))
	})
}

// isOutput reports whether path is a file to which the shell has redirected what cbuild says.
func (w *watching) isOutput(path string) bool {
	if len(w.outputs) == 0 {
		return false
	}
	info, err := os.Lstat(path)
	return err == nil && slices.ContainsFunc(w.outputs, func(o os.FileInfo) bool { return os.SameFile(o, info) })
}

// outputs returns the regular files among standard output and standard error.
func (c *cli) outputs() (files []os.FileInfo) {
	for _, to := range []io.Writer{c.stdout.to, c.stderr} {
		if f, ok := to.(*os.File); ok {
			if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
				files = append(files, info)
			}
		}
	}
	return files
}

// swapFile matches what vim keeps beside a file, but for the dot in front.
var swapFile = regexp.MustCompile(`\.sw[a-p]$`)

// lockContent tells the content of the lock files. Builds write them, so an event of theirs says nothing; but what somebody else writes there
// counts.
func (w *watching) lockContent() string {
	var b strings.Builder
	for _, name := range []string{buildfile.LockName, buildfile.LockDir} {
		_ = filepath.WalkDir(filepath.Join(w.root, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil //nolint:nilerr // what is not there has no content
			}
			if data, err := os.ReadFile(path); err == nil {
				fmt.Fprintf(&b, "%q %v\n", path, cas.Of(data))
			}
			return nil
		})
	}
	return b.String()
}

// isLock reports whether path is one of the lock files.
func (w *watching) isLock(path string) bool {
	dir := filepath.Join(w.root, buildfile.LockDir)
	return path == filepath.Join(w.root, buildfile.LockName) || path == dir || strings.HasPrefix(path, dir+string(filepath.Separator))
}
