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
func (r *run) prepare(ctx context.Context) error {
	for _, dir := range []string{r.work, filepath.Join(r.root, "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := r.tokens(ctx); err != nil {
		return err
	}
	var err error
	if r.inside, err = os.OpenRoot(r.work); err != nil {
		return err
	}
	if r.made, err = os.Lstat(r.work); err == nil {
		err = r.fill(ctx)
	}
	if err == nil && r.box != nil {
		err = r.own()
	}
	if err != nil {
		r.inside.Close()
	}
	return err
}

// tokens checks the toolchains out and says what the tokens in the command's strings stand for.
func (r *run) tokens(ctx context.Context) error {
	if len(r.c.Tools) > maxTools {
		return &engine.InvalidError{Err: fmt.Errorf("%d toolchains; a command can have %d", len(r.c.Tools), maxTools)}
	}
	tokens := []string{engine.WorkDir, r.work, engine.ScriptPath, r.script()}
	portable := []string{r.work, boxWork, r.script(), boxScript}
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

// fill puts everything into the run's directory that belongs there before the command starts.
func (r *run) fill(ctx context.Context) error {
	made := map[string]bool{".": true}
	for _, m := range r.c.Mounts {
		if err := r.mount(ctx, m, made); err != nil {
			return lost(fmt.Errorf("input %s: %w", m.Path, err), m.Digest)
		}
	}
	for _, o := range r.c.Outs {
		if err := r.makeDir(path.Dir(o.Path), made); err != nil {
			return fmt.Errorf("out %s: %w", o.Path, err)
		}
	}
	if r.c.Script != "" {
		if err := os.WriteFile(r.script(), []byte(r.expand.Replace(r.c.Script)), 0o644); err != nil {
			return err
		}
		if err := os.Chmod(r.script(), 0o644); err != nil {
			return err
		}
	}
	return r.settle(made)
}

// path returns where the path p of the run's directory is.
func (r *run) path(p string) string { return filepath.Join(r.work, filepath.FromSlash(p)) }

// mount puts an input in its place. The parents are made through the directory's os.Root: a link in another input must not lead
// outside. Made collects the directories.
func (r *run) mount(ctx context.Context, m engine.Mount, made map[string]bool) error {
	at := r.path(m.Path)
	if m.Kind == engine.TreeKind {
		if r.brought(m) {
			return nil
		}
		if err := r.makeDir(m.Path, made); err != nil {
			return err
		}
		return misplaced(checkout.Write(ctx, r.store, m.Digest, at))
	}
	if err := r.makeDir(path.Dir(m.Path), made); err != nil {
		return err
	}
	err := checkout.File(ctx, r.store, m.Digest, m.Executable, at)
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

// settle gives the directories that were made the mode and the time that everything has, the innermost first.
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
	}
	return nil
}
