package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/checkout"
)

// outName is the directory in the workspace root in which requested targets are published.
const outName = "cbuild-out"

// publication copies the outputs of one requested target beside cbuild-out while they are made; finish puts them in their place.
type publication struct {
	selection buildfile.Selection
	store     cas.Store
	root      string // cbuild-out

	mu      sync.Mutex
	tmp     string   // guarded by mu; "" before the first output
	files   int      // guarded by mu
	single  string   // guarded by mu; the last output
	reports []string // guarded by mu; the folders of reports
	torn    bool     // guarded by mu; whether an output could not be copied whole
}

// publishRoot returns the directory in which targets are published, without what killed builds left there.
func (r *run) publishRoot() (string, error) {
	root := filepath.Join(r.workspace.Root, outName)
	if r.cli.flags.out != "" {
		var err error
		if root, err = filepath.Abs(r.cli.flags.out); err != nil {
			return "", err
		}
	}
	removeLeftovers(root)
	return root, nil
}

// temporary begins the names of folders on their way; dots are escaped in names of targets' folders.
const temporary = ".new-"

// removeLeftovers removes what killed builds left.
func removeLeftovers(root string) {
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		var pid int
		rest, temporaryOne := strings.CutPrefix(e.Name(), temporary)
		if _, err := fmt.Sscanf(rest, "%d-", &pid); temporaryOne && (err != nil || pid != os.Getpid() && !alive(pid)) {
			checkout.Remove(filepath.Join(root, e.Name()))
		}
	}
}

// use copies the outputs of an instance. A lost one is an *engine.LostError: it is made again.
func (p *publication) use(ctx context.Context, row *engine.Row, o *engine.Outcome) error {
	if !o.OK() || !p.selection.Includes(row.Key, o.Axes) {
		return nil
	}
	for _, out := range o.Result.Shown() {
		at := filepath.Join(instanceFolder(row, o), filepath.FromSlash(out.Path))
		if p.selection.Target.Rule == "collate" {
			at = cmp.Or(instanceFolder(row, o), ".") // a report lies in the folder itself
		}
		err := p.copy(ctx, out.Artifact, at)
		if errors.Is(err, cas.ErrNotFound) {
			return &engine.LostError{Digest: out.Digest, Err: err}
		}
		if err != nil {
			p.mu.Lock()
			p.torn = true
			p.mu.Unlock()
			return fmt.Errorf("cannot publish %s: %w", out.Path, err)
		}
	}
	return nil
}

// copy writes an artifact to the path at in the folder to come.
func (p *publication) copy(ctx context.Context, a engine.Artifact, at string) error {
	path, err := p.place(at)
	if err != nil {
		return err
	}
	if err := checkout.Remove(path); err != nil { // the first attempt, if an output was lost on the way
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if a.Kind == engine.TreeKind {
		return checkout.Write(ctx, p.store, a.Digest, path)
	}
	return checkout.File(ctx, p.store, a.Digest, a.Executable, path)
}

func (p *publication) place(at string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tmp == "" {
		if err := os.MkdirAll(p.root, 0o755); err != nil {
			return "", err
		}
		tmp, err := os.MkdirTemp(p.root, fmt.Sprintf("%s%d-", temporary, os.Getpid()))
		if err != nil {
			return "", err
		}
		p.tmp = tmp
	}
	if p.files++; p.selection.Target.Rule == "collate" {
		p.reports = append(p.reports, at)
	}
	p.single = at
	return filepath.Join(p.tmp, "new", at), nil
}

// folder is where the target is published.
func (p *publication) folder() string {
	return filepath.Join(p.root, packageFolder(p.selection.Target.Label.Dir), escape(p.selection.Target.Label.Name))
}

// finish replaces the target's folder and returns the path to print: its single file, the page of a report, or its folder. It
// returns "" for a target without outputs: if that is settled, what an earlier build published goes, for it is none of this one's. Where
// something could not be copied, what an earlier build published stays: half a file is worse.
func (p *publication) finish(settled bool) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	place := p.folder()
	if p.tmp == "" {
		if settled && !p.torn {
			return "", checkout.Remove(place)
		}
		return "", nil
	}
	defer checkout.Remove(p.tmp)
	if p.torn {
		return "", nil
	}
	if err := replace(filepath.Join(p.tmp, "new"), place, filepath.Join(p.tmp, "old")); err != nil {
		return "", err
	}
	return printed(p.selection.Target, place, p.single, p.files), nil
}

// printed returns what stdout shows for a target published at place.
func printed(t *engine.Target, place, single string, files int) string {
	if t.Rule == "collate" && !repeated(t) {
		if page := filepath.Join(place, "index.html"); exists(page) {
			return page
		}
		return place
	}
	if files == 1 && !repeated(t) {
		return filepath.Join(place, single)
	}
	return place
}

// repeated reports whether t may have any number of instances.
func repeated(t *engine.Target) bool { return t.Repeated || len(t.Axes) > 0 }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// replace puts the directory from in the place of what is at place, which goes to a directory whose name begins with old. Builds
// that do so at the same time take turns: the last one stays.
func replace(from, place, old string) error {
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	for n := 0; ; n++ {
		err := os.Rename(place, fmt.Sprintf("%s-%d", old, n))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		err = os.Rename(from, place)
		if !errors.Is(err, fs.ErrExist) || n == maxTurns { // it is there again: another build's
			return err
		}
	}
}

// maxTurns is how often replace gives way to others.
const maxTurns = 100

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

// escapeKey is escape for keys of instances, of which two may differ only in case: upper-case letters are escaped, too. The empty key has a
// folder like any other.
func escapeKey(key string) string {
	if key == "" {
		return "%"
	}
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
