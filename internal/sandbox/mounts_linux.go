package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"cbuild/internal/checkout"
)

// A view is a command's world as it is seen from here: descriptors of /build in it, through which all that is mounted there can be reached, and of
// the mounts, which stay as long as somebody has that.
type view struct{ dir, mounts int }

// path returns where the run's directory is.
func (v *view) path() string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", v.dir, filepath.Base(boxWork))
}

func (v *view) close() { closeAll([]int{v.dir, v.mounts}) }

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// memoryDir is where this run may copy into memory.
func (r *run) memoryDir() string { return r.box.inMemory(filepath.Base(r.root)) }

// inMemory is where a directory of the box's memory is.
func (b *box) inMemory(name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", b.memory, name) }

// world returns what the command finds around it, without what is not on the disk.
func (r *run) world() *world {
	w := &world{Root: filepath.Base(r.root), Script: r.c.Script != ""}
	for _, t := range r.c.Tools {
		w.Tools = append(w.Tools, t.Digest.Hex())
	}
	return w
}

// enter has the box make the command's world now, and makes the run's directory the one in it.
func (r *run) enter(ctx context.Context, p *placing) error {
	w := r.world()
	w.Memory, w.Layers = p.memory, r.layers
	for _, m := range p.shared {
		_, done, err := r.tools.Use(ctx, m.Digest)
		if err != nil {
			return lost(fmt.Errorf("input %s: %w", m.Path, err), m.Digest)
		}
		r.done = append(r.done, done)
		w.Trees = append(w.Trees, m.Path, m.Digest.Hex())
	}
	err := r.uppers(w)
	if err == nil {
		r.view, err = r.box.make(w)
	}
	if errors.Is(err, errBoxEnded) {
		r.boxes.drop(r.box)
		r.box = nil
	}
	if err != nil {
		return err
	}
	r.work = r.view.path()
	return r.open()
}

// leave ends the view, and what is in memory for it. The command's mounts end then.
func (r *run) leave() {
	if r.view != nil {
		r.view.close()
		r.view = nil
	}
	if r.box != nil && r.box.memory >= 0 {
		_ = checkout.Remove(r.memoryDir())
		r.box.inUse = 0
		r.box.trim(weight{2 * keptLayers.files, 2 * keptLayers.bytes})
	}
}

// uppers makes directories for the changes to what w mounts.
func (r *run) uppers(w *world) error { return makeUppers(r.root, w, r.box.user) }

func makeUppers(root string, w *world, user int) error {
	for _, m := range w.mounts() {
		upper, work := filepath.Join(root, m.upper), filepath.Join(root, m.work)
		for _, dir := range []string{upper, work} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
		}
		if err := os.Chmod(upper, 0o755); err != nil {
			return err
		}
		if err := os.Chtimes(upper, checkout.Epoch, checkout.Epoch); err != nil {
			return err
		}
		if err := os.Lchown(upper, user, user); err != nil {
			return err
		}
	}
	return nil
}

// An overlay shows the directory lower in the box, or several with colons between them, at a place in the run's directory. Changes go to upper, below the run's root.
type overlay struct{ at, lower, upper, work string }

// mounts lists the overlays of w, in the order in which they are to be mounted.
func (w *world) mounts() (all []overlay) {
	add := func(at, lower string) {
		n := strconv.Itoa(len(all))
		all = append(all, overlay{at, lower, "upper" + n, "index" + n})
	}
	if w.Memory {
		lower := filepath.Join(boxMemory, w.Root)
		for _, l := range w.Layers {
			lower += ":" + filepath.Join(boxMemory, l)
		}
		add(boxWork, lower)
	}
	for i := 0; i < len(w.Trees); i += 2 {
		add(filepath.Join(boxWork, w.Trees[i]), filepath.Join(boxInputs, w.Trees[i+1]))
	}
	return all
}

// make has the helper make a world.
func (b *box) make(w *world) (*view, error) {
	if err := b.send(msgWorld, w.encode()); err != nil {
		return nil, err
	}
	kind, body, files, err := receive(b.socket)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errBoxEnded, err)
	case kind != msgMade:
		closeAll(files)
		return nil, fmt.Errorf("%w: %w", errBoxEnded, errMessage)
	case len(body) > 0 || len(files) != 2:
		closeAll(files)
		return nil, &worldError{string(body)}
	}
	return &view{files[0], files[1]}, nil
}

// user is who gets what is written for the command.
func (r *run) user() int {
	if r.box == nil || r.box.user == os.Getuid() {
		return checkout.Ours
	}
	return r.box.user
}

// give gives a directory to the user of the command, unless it is his already: in an overlay, what is given is copied.
func (r *run) give(path string) error {
	user := r.user()
	if user == checkout.Ours {
		return nil
	}
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	if int(stat.Uid) == user {
		return nil
	}
	return os.Lchown(path, user, user)
}

// tryOverlays finds out whether b can make overlays that are what they should be: the command's own, and without effect on what is below.
func (bs *boxes) tryOverlays(b *box) error {
	root, err := os.MkdirTemp(bs.runs, "try-")
	if err != nil {
		return err
	}
	defer func() { _ = checkout.Remove(root) }()
	tree := filepath.Join(bs.trees.Dir(), "probe") // which stays: it never changes
	memory := b.inMemory(filepath.Base(root))
	defer os.RemoveAll(memory)
	for _, dir := range []string{root + "/tmp", tree + "/d/e", memory + "/t"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	w := &world{Root: filepath.Base(root), Memory: true, Trees: []string{"t", filepath.Base(tree)}}
	if err := makeUppers(root, w, b.user); err != nil {
		return err
	}
	v, err := b.make(w)
	if err != nil {
		return err
	}
	defer v.close()
	at := v.path() + "/t/d"
	var stat unix.Stat_t
	if err := unix.Lstat(at, &stat); err != nil {
		return err
	}
	if int(stat.Uid) != b.user {
		return errors.New("a mounted tree does not belong to its user")
	}
	if err := errors.Join(os.RemoveAll(at), os.Mkdir(at, 0o700)); err != nil {
		return err
	}
	if now, err := os.ReadDir(at); err != nil || len(now) > 0 {
		return fmt.Errorf("a directory that was removed is there again (%w)", err)
	}
	if _, err := os.Lstat(tree + "/d/e"); err != nil {
		return fmt.Errorf("a change came through: %w", err)
	}
	return nil
}
