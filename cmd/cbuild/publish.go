package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"cbuild/engine"
	"cbuild/internal/checkout"
)

// outName is the directory in the workspace root in which requested targets are published.
const outName = "cbuild-out"

// publish copies the outputs of the requested targets to cbuild-out, each target's folder replaced whole, and returns what to print:
// a line for each target that has outputs.
func (r *run) publish() (lines []string, err error) {
	root := filepath.Join(r.workspace.Root, outName)
	if r.cli.flags.out != "" {
		if root, err = filepath.Abs(r.cli.flags.out); err != nil {
			return nil, err
		}
	}
	removeLeftovers(root)
	for _, t := range r.targets {
		line, err := r.publishTarget(t, root)
		if err != nil {
			return lines, fmt.Errorf("%v: %w", t.Label, err)
		}
		if line != "" {
			lines = append(lines, relative(line))
		}
	}
	return lines, nil
}

// temporary begins the names of folders on their way; dots are escaped in names of targets' folders.
const temporary = ".new-"

// removeLeftovers removes what killed builds left.
func removeLeftovers(root string) {
	old, _ := filepath.Glob(filepath.Join(root, temporary+"*"))
	for _, path := range old {
		var pid int
		if fmt.Sscanf(filepath.Base(path), temporary+"%d-", &pid); pid != os.Getpid() && !alive(pid) {
			checkout.Remove(path)
		}
	}
}

// publishTarget publishes one target below root and returns the path to print: its single file, the page of a report, or its
// folder. It returns "" for a target without outputs.
func (r *run) publishTarget(t *engine.Target, root string) (string, error) {
	ctx := context.Background()
	place := filepath.Join(root, packageFolder(t.Label.Dir), escape(t.Label.Name))
	tmp := ""
	files := 0
	single := ""
	for row, err := range r.build.Whole(ctx, t.Label) {
		if err != nil {
			break // what became of the rest is told by its outcome
		}
		for _, o := range row.Cells {
			for _, out := range outputs(o) {
				if tmp == "" {
					if err := os.MkdirAll(root, 0o755); err != nil {
						return "", err
					}
					if tmp, err = os.MkdirTemp(root, fmt.Sprintf("%s%d-", temporary, os.Getpid())); err != nil {
						return "", err
					}
					defer checkout.Remove(tmp)
				}
				at := filepath.Join(instanceFolder(row, o), filepath.FromSlash(out.Path))
				if t.Rule == "collate" {
					at = "." // a report lies in the target's folder itself
				}
				if err := r.copy(ctx, out.Artifact, filepath.Join(tmp, "new", at)); err != nil {
					return "", err
				}
				files++
				single = at
			}
		}
	}
	if files == 0 {
		return "", nil
	}
	if err := replace(filepath.Join(tmp, "new"), place, filepath.Join(tmp, "old")); err != nil {
		return "", err
	}
	return printed(t, place, single, files), nil
}

// printed returns what stdout shows for a target published at place.
func printed(t *engine.Target, place, single string, files int) string {
	if t.Rule == "collate" {
		if page := filepath.Join(place, "index.html"); exists(page) {
			return page
		}
		return place
	}
	if files == 1 && !t.Repeated && len(t.Axes) == 0 {
		return filepath.Join(place, single)
	}
	return place
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// outputs lists what an instance that passed promises and has.
func outputs(o *engine.Outcome) []engine.Output {
	if !o.OK() {
		return nil
	}
	return o.Result.Outs
}

// copy writes an artifact to path.
func (r *run) copy(ctx context.Context, a engine.Artifact, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if a.Kind == engine.TreeKind {
		return checkout.Write(ctx, r.store, a.Digest, path)
	}
	return checkout.File(ctx, r.store, a.Digest, a.Executable, path)
}

// replace puts the directory from in the place of what is at place, which goes to old.
func replace(from, place, old string) error {
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	if exists(place) {
		if err := os.Rename(place, old); err != nil {
			return err
		}
	}
	return os.Rename(from, place)
}

// packageFolder is the folder of a package that is not the root: "@dir+sub".
func packageFolder(dir string) string {
	if dir == "" {
		return ""
	}
	parts := strings.Split(dir, "/")
	for i, p := range parts {
		parts[i] = escape(p)
	}
	return "@" + strings.Join(parts, "+")
}

// instanceFolder is the folder of an instance in its target's.
func instanceFolder(row *engine.Row, o *engine.Outcome) string {
	var parts []string
	if row.Target.Repeated {
		parts = append(parts, escapeKey(row.Key))
	}
	for _, a := range o.Axes {
		parts = append(parts, escapeKey(a))
	}
	return filepath.Join(parts...)
}

// maxName is how long a file name may get; longer ones end in a hash.
const maxName = 120

// escape makes a name safe as a file name: characters outside [A-Za-z0-9._@-] and leading dots are %-escaped.
func escape(name string) string {
	return escapeBytes(name, func(c byte) bool { return 'A' <= c && c <= 'Z' })
}

// escapeKey is escape for keys of instances, of which two may differ only in case: upper-case letters are escaped, too.
func escapeKey(key string) string {
	return escapeBytes(key, func(byte) bool { return false })
}

func escapeBytes(name string, also func(byte) bool) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		plain := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '@' || c == '-' || c == '.' && i > 0 || also(c)
		if plain {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	s := b.String()
	if len(s) > maxName {
		sum := sha256.Sum256([]byte(name))
		s = s[:maxName-17] + "-" + hex.EncodeToString(sum[:8])
	}
	return s
}

// alive reports whether a process with this id exists.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
