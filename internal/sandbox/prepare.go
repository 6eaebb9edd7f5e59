package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/checkout"
)

// prepare makes the directory with the inputs at their places and the parents of the outs.
func (r *run) prepare(ctx context.Context) (err error) {
	if err := r.tokens(ctx); err != nil {
		return err
	}
	p := placing{now: r.c.Mounts}
	if r.box != nil && r.boxes.overlays {
		if p, err = r.place(ctx, r.c); err != nil {
			return err
		}
	}
	err = r.assemble(ctx, &p)
	if err == nil || p.plain() || !errors.As(err, new(*worldError)) {
		return err
	}
	// What a box can do was tried; but something about these inputs is too much for it.
	r.takeApart()
	if err := checkout.Remove(r.root); err != nil {
		return err
	}
	return r.assemble(ctx, &placing{now: r.c.Mounts})
}

// assemble makes the directory as p says.
func (r *run) assemble(ctx context.Context, p *placing) error {
	if err := r.lay(ctx, p); err != nil {
		return err
	}
	if err := r.begin(p); err != nil {
		return err
	}
	outs := r.c.Outs
	if len(p.shared) > 0 {
		outs = nil // their parents may be in a shared tree, or reached through a link that is
	}
	if err := r.fill(ctx, p.now, p.shared, outs); err != nil {
		return err
	}
	if r.c.Script != "" {
		if err := r.writeScript(); err != nil {
			return err
		}
	}
	if r.box == nil {
		return nil
	}
	if err := r.give(filepath.Join(r.root, "tmp")); err != nil || p.plain() {
		return err
	}
	if err := r.enter(ctx, p); err != nil {
		return err
	}
	if len(p.shared) == 0 && len(p.later) == 0 {
		return nil
	}
	if outs == nil {
		outs = r.c.Outs
	}
	return r.fill(ctx, p.later, nil, outs)
}

// begin makes the empty directory.
func (r *run) begin(p *placing) error {
	r.work = filepath.Join(r.root, "work")
	if p.memory {
		r.work = r.memoryDir()
	}
	for _, dir := range []string{r.work, filepath.Join(r.root, "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return r.open()
}

// open opens the run's directory, where it is now.
func (r *run) open() (err error) {
	r.shut()
	if r.inside, err = os.OpenRoot(r.work); err != nil {
		return err
	}
	r.made, err = os.Lstat(r.work)
	return err
}

func (r *run) shut() {
	if r.inside != nil {
		r.inside.Close()
		r.inside = nil
	}
}

// tokens checks the toolchains out and says what the tokens in the command's strings stand for.
func (r *run) tokens(ctx context.Context) error {
	if len(r.c.Tools) > maxTools {
		return &engine.InvalidError{Err: fmt.Errorf("%d toolchains; a command can have %d", len(r.c.Tools), maxTools)}
	}
	work := filepath.Join(r.root, "work")
	tokens := []string{engine.WorkDir, work, engine.ScriptPath, r.script()}
	portable := []string{work, boxWork, r.script(), boxScript}
	if r.box != nil {
		tokens = []string{engine.WorkDir, boxWork, engine.ScriptPath, boxScript}
	}
	for i, t := range r.c.Tools {
		dir, err := r.tools.Tree(ctx, t.Digest)
		if err != nil {
			return lost(err, t.Digest)
		}
		boxed := fmt.Sprintf("%s/%d", boxTools, i)
		portable = append(portable, dir, boxed)
		if r.box != nil {
			dir = boxed
		}
		tokens = append(tokens, engine.ToolDir(i), dir)
	}
	r.expand, r.portable = strings.NewReplacer(tokens...), strings.NewReplacer(portable...)
	return nil
}

func (r *run) script() string { return filepath.Join(r.root, "script") }

// fill puts inputs into the run's directory, and makes places for trees and the parents of outs. All of it is the command's.
func (r *run) fill(ctx context.Context, inputs, places []engine.Mount, outs []engine.OutSpec) error {
	made := map[string]bool{".": true}
	w := checkout.NewWriter(r.store, r.user())
	defer w.Close()
	for _, m := range inputs {
		if err := r.mount(ctx, w, m, made); err != nil {
			return lost(fmt.Errorf("input %s: %w", m.Path, err), m.Digest)
		}
	}
	for _, m := range places {
		if err := r.makeDir(m.Path, made); err != nil {
			return fmt.Errorf("input %s: %w", m.Path, err)
		}
	}
	for _, o := range outs {
		if err := r.makeDir(path.Dir(o.Path), made); err != nil {
			return fmt.Errorf("out %s: %w", o.Path, err)
		}
	}
	return r.settle(made)
}

// writeScript writes the script beside the run's directory.
func (r *run) writeScript() error {
	if err := os.WriteFile(r.script(), []byte(r.expand.Replace(r.c.Script)), 0o644); err != nil {
		return err
	}
	return os.Chmod(r.script(), 0o644)
}

// path returns where the path p of the run's directory is.
func (r *run) path(p string) string { return filepath.Join(r.work, filepath.FromSlash(p)) }

// mount puts an input in its place. The parents are made through the directory's os.Root: a link in another input must not lead
// outside. Made collects the directories.
func (r *run) mount(ctx context.Context, w *checkout.Writer, m engine.Mount, made map[string]bool) error {
	at := r.path(m.Path)
	if m.Kind == engine.TreeKind {
		if r.brought(m) {
			return nil
		}
		if err := r.makeDir(m.Path, made); err != nil {
			return err
		}
		return misplaced(w.Tree(ctx, m.Digest, at))
	}
	if err := r.makeDir(path.Dir(m.Path), made); err != nil {
		return err
	}
	err := w.File(ctx, m.Digest, m.Executable, at)
	if errors.Is(err, fs.ErrExist) && holds(at, m.Digest) {
		return nil // the directory that it lies in is an input too
	}
	return misplaced(err)
}

// brought reports whether the source directory m came with another one that it lies in.
func (r *run) brought(m engine.Mount) bool {
	if !m.Source {
		return false
	}
	within := slices.ContainsFunc(r.c.Mounts, func(outer engine.Mount) bool {
		return outer.Source && outer.Kind == engine.TreeKind && strings.HasPrefix(m.Path, outer.Path+"/")
	})
	info, err := r.inside.Lstat(m.Path)
	return within && err == nil && info.IsDir()
}

// holds reports whether the regular file at has the content d.
func holds(at string, d cas.Digest) bool {
	info, err := os.Lstat(at)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	data, err := os.ReadFile(at)
	return err == nil && cas.Of(data).Hash == d.Hash
}

// makeDir makes the directory p and its parents, as far as they are not there.
func (r *run) makeDir(p string, made map[string]bool) error {
	if made[p] {
		return nil
	}
	for d := p; !made[d]; d = path.Dir(d) {
		made[d] = true
	}
	return misplaced(r.inside.MkdirAll(p, 0o755))
}

// misplaced turns the errors that say that something else stands in a place into a mistake of who wrote the inputs: waiting does not
// help. What is no system error at all is that of an os.Root whose directory a path would leave.
func misplaced(err error) error {
	var errno syscall.Errno
	switch {
	case err == nil, errors.Is(err, cas.ErrNotFound), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ELOOP):
		return &engine.InvalidError{Err: fmt.Errorf("another input stands there: %w", err)}
	case errors.As(err, new(*fs.PathError)) && !errors.As(err, &errno):
		return &engine.InvalidError{Err: fmt.Errorf("a link in another input leads out of the run's directory: %w", err)}
	}
	return err
}

// settle gives the directories that were made the mode, the time and the owner that everything has, the innermost first.
func (r *run) settle(made map[string]bool) error {
	dirs := make([]string, 0, len(made))
	for d := range made {
		dirs = append(dirs, d)
	}
	slices.SortFunc(dirs, func(x, y string) int { return len(y) - len(x) })
	for _, d := range dirs {
		at := r.path(d)
		if err := os.Chmod(at, 0o755); err != nil {
			return err
		}
		if err := os.Chtimes(at, checkout.Epoch, checkout.Epoch); err != nil {
			return err
		}
		if err := r.give(at); err != nil {
			return err
		}
	}
	return nil
}
