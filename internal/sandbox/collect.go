package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/checkout"
)

// collect stores what the command printed and left in the places of its outs.
func (r *run) collect(ctx context.Context, res *engine.Result) error {
	var budget *budgetStore
	if r.c.Disk > 0 {
		budget = &budgetStore{Store: r.store, left: r.c.Disk}
		r.store = budget
	}
	outs := r.c.Outs
	if !r.stands() {
		fmt.Fprintln(&r.log, "cbuild: the run's directory was removed or replaced; there are no outs")
		outs = nil
	}
	for _, o := range outs {
		a, err := r.out(ctx, o)
		var bad *badOutError
		switch {
		case errors.Is(err, errMissing):
		case errors.As(err, &bad):
			fmt.Fprintf(&r.log, "cbuild: out %s: %v\n", o.Path, err)
		case err != nil:
			return err
		default:
			res.Outs = append(res.Outs, engine.Output{Path: o.Path, Artifact: a})
		}
	}
	if budget != nil {
		r.store = budget.Store
		if r.filled() && res.Status == engine.Pass {
			res.Status = engine.Fail
			fmt.Fprintf(&r.log, "cbuild: a file reached disk = %q\n", size(r.c.Disk))
		}
		if budget.over && res.Status == engine.Pass {
			res.Status = engine.Fail
			fmt.Fprintf(&r.log, "cbuild: the outs take more than disk = %q\n", size(r.c.Disk))
		}
	}
	slices.SortFunc(res.Outs, func(x, y engine.Output) int { return strings.Compare(x.Path, y.Path) })
	var err error
	if text, whole := r.text.content(); !whole {
		res.Facts = map[string]string{"text": "too long"}
	} else if len(text) > 0 {
		if res.Stdout, err = cas.PutBytes(ctx, r.store, text); err != nil {
			return err
		}
	}
	if log := r.log.content(); len(log) > 0 {
		res.Log, err = cas.PutBytes(ctx, r.store, log)
	}
	return err
}

// stands reports whether the run's directory is still the one that the command got. In class none a command can put a link in its
// place. What it made unreadable is made readable.
func (r *run) stands() bool {
	now, err := os.Lstat(r.work)
	if errors.Is(err, fs.ErrPermission) && os.Chmod(r.root, 0o700) == nil {
		now, err = os.Lstat(r.work)
	}
	return err == nil && os.SameFile(r.made, now)
}

// errMissing says that there is nothing in the place of an out.
var errMissing = errors.New("missing")

// A badOutError says that what stands in the place of an out is not what was promised.
type badOutError struct{ why error }

func (e *badOutError) Error() string { return e.why.Error() }

// out stores what stands in the place of o.
func (r *run) out(ctx context.Context, o engine.OutSpec) (engine.Artifact, error) {
	a := engine.Artifact{Name: o.Path}
	at, info, err := r.find(o.Path)
	if err != nil {
		return a, err
	}
	switch {
	case o.Dir && info.IsDir():
		a.Kind = engine.TreeKind
		a.Digest, err = checkout.Capture(ctx, r.store, at)
	case o.Dir:
		return a, &badOutError{errors.New("not a directory")}
	case info.IsDir():
		return a, &badOutError{errors.New("a directory; one is promised with a trailing slash")}
	case info.Mode().IsRegular():
		a.Digest, a.Executable, err = checkout.CaptureFile(ctx, r.store, at)
	default:
		return a, &badOutError{errors.New("not a regular file")}
	}
	if errors.Is(err, checkout.ErrContent) {
		err = &badOutError{err}
	}
	return a, err
}

// find returns what stands at the path p of the run's directory. Symbolic links on the way, and p itself, are followed; they must not
// leave the directory.
func (r *run) find(p string) (at string, info fs.FileInfo, err error) {
	if _, err := os.Lstat(r.path(p)); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return "", nil, errMissing
	}
	work := r.work
	if r.box == nil { // whose commands see the links on the way to it
		if work, err = filepath.EvalSymlinks(work); err != nil {
			return "", nil, err
		}
	}
	to, err := r.follow(work, filepath.FromSlash(p))
	if _, lerr := os.Lstat(r.path(p)); errors.Is(lerr, fs.ErrNotExist) { // which could not be seen above, for want of rights
		return "", nil, errMissing
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "", nil, &badOutError{errors.New("a link to nothing")}
	case errors.Is(err, fs.ErrPermission):
		return "", nil, err
	case err != nil:
		return "", nil, &badOutError{err}
	}
	info, err = os.Lstat(to)
	return to, info, err
}

// errLeaves says that a link leads out of the run's directory, errLoop that there is no end to it.
var (
	errLeaves = errors.New("a link that leaves the run's directory")
	errLoop   = errors.New("too many links")
)

// follow returns where the path p, seen from the directory work, leads. Absolute links are seen from inside: in a box they begin with the
// place that the directory has there.
func (r *run) follow(work, p string) (string, error) {
	inside := work
	if r.box != nil {
		inside = boxWork
	}
	at, rest := work, strings.Split(p, string(filepath.Separator))
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if at == work {
				return "", errLeaves
			}
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrPermission) && os.Chmod(at, 0o700) == nil { // it can't be searched
			info, err = os.Lstat(next)
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if links++; links > 40 {
			return "", errLoop
		}
		if filepath.IsAbs(to) {
			to, at = filepath.Clean(to), work
			within, ok := strings.CutPrefix(to+"/", inside+"/")
			if !ok {
				return "", errLeaves
			}
			to = within
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return at, nil
}
