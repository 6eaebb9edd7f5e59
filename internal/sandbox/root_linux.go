package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// systemDirs are the parts of the system "host". Where one is a link, as with a merged /usr, so it is in the box.
var systemDirs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// systemFiles are the parts of /etc that programs of the system need to work at all; those of network are for commands that may use it.
var (
	systemFiles  = []string{"/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"}
	networkFiles = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/ssl", "/etc/ca-certificates", "/etc/pki", "/etc/services", "/etc/protocols"}
)

// made are the files of /etc that are the same everywhere.
var made = map[string]string{
	"/etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nbuild:x:1000:1000:build:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"/etc/group":         "root:x:0:\nbuild:x:1000:\nnogroup:x:65534:\n",
	"/etc/hosts":         "127.0.0.1 localhost cbuild\n::1 localhost\n",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	"/etc/resolv.conf":   "",
	"/etc/services":      "",
	"/etc/protocols":     "",
}

var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// A source is something of the machine that will be mounted in the box: a detached copy of its mounts.
type source struct {
	at   string
	fd   int
	dir  bool
	open bool // may be written to
}

// detach makes detached copies of the mounts at a path, before anything is mounted over it.
func detach(path, at string, writable bool) (source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return source{}, err
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return source{}, fmt.Errorf("open_tree %s: %w", path, err)
	}
	return source{at: at, fd: fd, dir: info.IsDir(), open: writable}, nil
}

// sources takes everything of the machine that a box shows.
func (h *helper) sources(runs, trees string) (g gathering, err error) {
	g.links = make(map[string]string)
	tree, rooted := strings.CutPrefix(h.system, systemTree)
	switch {
	case rooted:
		err = g.graft(filepath.Join(trees, tree), "/")
	case h.system == systemHost:
		err = g.host()
	}
	if err == nil && !h.offline {
		err = g.network(h.system == systemHost)
	}
	for _, p := range devices {
		if err == nil {
			err = g.add(p, p, true)
		}
	}
	if err == nil {
		err = g.add(trees, boxTrees, false)
	}
	switch {
	case err != nil:
		return g, err
	case h.inputs >= 0:
		g.all = append(g.all, source{at: boxInputs, fd: h.inputs, dir: true, open: true}) // it is read-only already
	default:
		err = g.add(trees, boxInputs, false)
	}
	if err != nil {
		return g, err
	}
	return g, g.add(runs, boxRuns, true)
}

// makeRoot makes the root directory that every command of this box gets a copy of: the system, read-only, and places for what is the
// command's own. Then nothing else of the machine can be reached any more.
func (h *helper) makeRoot(runs, trees string, hidden []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts: %w", err)
	}
	g, err := h.sources(runs, trees)
	if err != nil {
		return err
	}
	for i, dir := range hidden { // as they are now: their links lead elsewhere in the new root
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			hidden[i] = real
		}
	}
	// Any directory will do as the place of the new root: what is under it was taken already.
	if err := unix.Mount("tmpfs", runs, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=1m"); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	r := rootBuilder{root: runs}
	r.furnish(g.links)
	for _, s := range g.all {
		r.attach(s)
	}
	for _, dir := range hidden {
		if h.system == systemHost {
			r.hide(dir)
		}
	}
	if r.err != nil {
		return r.err
	}
	if err := unix.Mount("proc", filepath.Join(runs, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	if h.offline {
		// A port of which a connection was closed is taken for a minute otherwise, and the next command of this box would find it so.
		_ = os.WriteFile(filepath.Join(runs, "proc/sys/net/ipv4/tcp_max_tw_buckets"), []byte("0"), 0)
	}
	// The keys of the session that cbuild was started in are not for commands, not even their names.
	if err := unix.Mount(os.DevNull, filepath.Join(runs, "proc/keys"), "", unix.MS_BIND, ""); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("keys: %w", err)
	}
	if err := unix.Mount("tmpfs", filepath.Join(runs, boxMemory), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, memoryOptions); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	if err := unix.Chdir(runs); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil { // the old root, which lies over the new one
		return fmt.Errorf("old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := restrict(unix.AT_FDCWD, "/", 0); err != nil {
		return err
	}
	h.memory, err = unix.Open(boxMemory, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return err
}

// restrict makes mounts read-only.
func restrict(fd int, path string, flags uint) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(fd, path, flags, &attr); err != nil {
		return fmt.Errorf("mount_setattr %s: %w", path, err)
	}
	return nil
}

// rootBuilder fills a root directory; the first error stays.
type rootBuilder struct {
	root string
	err  error
}

func (r *rootBuilder) do(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *rootBuilder) path(p string) string { return filepath.Join(r.root, p) }
func (r *rootBuilder) dir(p string)         { r.do(os.MkdirAll(r.path(p), 0o755)) }

func (r *rootBuilder) file(p, text string) {
	r.dir(filepath.Dir(p))
	r.do(os.WriteFile(r.path(p), []byte(text), 0o644))
}

// ownLinks are links that every box has.
var ownLinks = map[string]string{
	"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	"/dev/shm": "/tmp", "/var/tmp": "/tmp", "/etc/mtab": "/proc/self/mounts",
}

// furnish makes what is not the system's, and links that are.
func (r *rootBuilder) furnish(links map[string]string) {
	for at, to := range links {
		r.dir(path.Dir(at))
		r.do(os.Symlink(to, r.path(at)))
	}
	for _, d := range []string{"/proc", "/dev", "/etc", "/tmp", "/var", "/run", "/root", "/home", boxWork, boxTools, boxNone, boxMemory} {
		if links[d] == "" {
			r.dir(d)
		}
	}
	for i := range maxTools {
		r.dir(fmt.Sprintf("%s/%d", boxTools, i))
	}
	r.file(boxScript, "")
	for name, text := range made {
		r.file(name, text)
	}
	for at, to := range ownLinks {
		r.do(os.Symlink(to, r.path(at)))
	}
}

// hide mounts an empty directory over one that came with the system. A part of the system itself, such as /usr/local, is not hidden.
func (r *rootBuilder) hide(dir string) {
	if below, ok := strings.CutPrefix(dir, "/usr/"); !ok || !strings.Contains(below, "/") {
		return
	}
	if info, err := os.Lstat(r.path(dir)); err != nil || !info.IsDir() || r.err != nil {
		return
	}
	if err := unix.Mount(r.path(boxNone), r.path(dir), "", unix.MS_BIND, ""); err != nil {
		r.do(fmt.Errorf("hide %s: %w", dir, err))
	}
}

// attach mounts s in its place.
func (r *rootBuilder) attach(s source) {
	defer unix.Close(s.fd)
	if s.dir {
		r.dir(s.at)
	} else {
		if _, err := os.Lstat(r.path(s.at)); err != nil {
			r.file(s.at, "")
		}
	}
	if r.err != nil {
		return
	}
	if !s.open {
		r.do(restrict(s.fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE))
	}
	if err := unix.MoveMount(s.fd, "", unix.AT_FDCWD, r.path(s.at), unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		r.do(fmt.Errorf("move_mount %s: %w", s.at, err))
	}
}
