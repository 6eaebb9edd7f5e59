package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"cbuild/cas"
	"cbuild/internal/typo"
	"cbuild/internal/vfs"

	"golang.org/x/text/unicode/norm"
)

// A Source is a file or directory of the workspace that is in the store.
type Source struct {
	// Name is its path in the package, or in the workspace if it was asked for by "//…".
	Name   string
	Digest cas.Digest
	// Tree is set for directories, Executable for files with the owner's executable bit.
	Tree, Executable bool
}

// Sources stores files of the workspace. A source that was stored once stays what it was until the process ends, so that a build sees
// one state of it. All methods may be called concurrently.
type Sources struct {
	fs    vfs.FS
	root  string
	store cas.Store
	table *StatTable

	fresh bool // read everything, whatever the table knows

	mu   sync.Mutex
	memo map[string]Source // guarded by mu
}

// NewSources returns the sources of the workspace at root, an absolute path.
func NewSources(fsys vfs.FS, root string, store cas.Store, table *StatTable) *Sources {
	return &Sources{fs: fsys, root: root, store: store, table: table, memo: map[string]Source{}}
}

// Source stores what name names, seen from the package dir: a path in the package, or "//dir/file" for a file that lies in no package
// but the root's or dir's own. A directory is stored without the packages below it, the lock files, cbuild-out and .git; symlinks
// in it are kept if they stay inside the workspace. The error for what does not exist names the nearest name that does.
func (s *Sources) Source(ctx context.Context, dir, name string) (Source, error) {
	memo := dir + "\x00" + name
	s.mu.Lock()
	src, ok := s.memo[memo]
	s.mu.Unlock()
	if ok {
		return src, nil
	}
	src, err := s.load(ctx, dir, name)
	if err != nil {
		return Source{}, fmt.Errorf("source %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, ok := s.memo[memo]; ok {
		return first, nil
	}
	s.memo[memo] = src
	return src, nil
}

// Restore stores the sources with the digest d again, because the store lost something of them. It is an error if there are none, or if
// they changed meanwhile.
func (s *Sources) Restore(ctx context.Context, d cas.Digest) error {
	again := &Sources{fs: s.fs, root: s.root, store: s.store, table: s.table, fresh: true}
	s.mu.Lock()
	memo := maps.Clone(s.memo)
	s.mu.Unlock()
	found := false
	for key, src := range memo {
		if src.Digest != d {
			continue
		}
		found = true
		dir, name, _ := strings.Cut(key, "\x00")
		now, err := again.load(ctx, dir, name)
		if err != nil {
			return fmt.Errorf("source %q: %w", name, err)
		}
		if now.Digest != d {
			return fmt.Errorf("source %q changed during the build: build again", name)
		}
	}
	if !found {
		return fmt.Errorf("no source is %v", d)
	}
	return nil
}

func (s *Sources) load(ctx context.Context, dir, name string) (Source, error) {
	rel, clean, err := place(dir, name)
	if err != nil {
		return Source{}, err
	}
	if err := s.checkOwner(dir, rel); err != nil {
		return Source{}, err
	}
	file, err := s.resolve(rel)
	if err != nil {
		return Source{}, err
	}
	fi, err := s.fs.Lstat(s.abs(file))
	if err != nil {
		return Source{}, err
	}
	src := Source{Name: clean, Tree: fi.IsDir()}
	if src.Tree {
		src.Digest, err = s.tree(ctx, file)
		return src, err
	}
	src.Digest, src.Executable, err = s.file(ctx, file, fi)
	return src, err
}

// abs returns where the workspace-relative path rel is on this machine.
func (s *Sources) abs(rel string) string { return filepath.Join(s.root, filepath.FromSlash(rel)) }

// place returns the path of a source in the workspace, and the clean form of its name.
func place(dir, name string) (rel, clean string, err error) {
	inner, workspace := strings.CutPrefix(name, "//")
	switch {
	case name == "":
		return "", "", errors.New("empty path")
	case path.IsAbs(inner):
		return "", "", errors.New(`an absolute path: write it relative to the package, or as "//dir/file"`)
	case strings.Contains("/"+inner+"/", "/../"):
		return "", "", errors.New(`".." leaves the package: write "//dir/file" for a file of the workspace`)
	}
	clean = path.Clean(inner)
	for elem := range strings.SplitSeq(clean, "/") {
		if err := checkName(elem); err != nil && clean != "." {
			return "", "", err
		}
	}
	if workspace {
		return clean, clean, nil
	}
	return path.Join(dir, clean), clean, nil
}

// checkName is cas.CheckName and refuses names that expressions would change: HCL normalizes strings to NFC.
func checkName(name string) error {
	if err := cas.CheckName(name); err != nil {
		return err
	}
	if !norm.NFC.IsNormalString(name) {
		return fmt.Errorf("name %q: not in Unicode's normal form NFC, so BUILD.hcl can't name it; rename it", name)
	}
	return nil
}

// isPackage reports whether the directory rel is a package.
func (s *Sources) isPackage(rel string) (bool, error) {
	for _, build := range []string{"BUILD.hcl", "BUILD.hcl.json"} {
		fi, err := s.fs.Stat(s.abs(path.Join(rel, build)))
		switch {
		case err == nil && !fi.IsDir():
			return true, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
	}
	return false, nil
}

// checkOwner makes sure that rel lies in no package but dir and the root.
func (s *Sources) checkOwner(dir, rel string) error {
	owner := ""
	prefix := ""
	for elem := range strings.SplitSeq(rel, "/") {
		prefix = path.Join(prefix, elem)
		if fi, err := s.fs.Stat(s.abs(prefix)); err != nil || !fi.IsDir() {
			break // resolve says what is wrong with it, if anything is
		}
		is, err := s.isPackage(prefix)
		if err != nil {
			return err
		}
		if is && prefix != "." {
			owner = prefix
		}
	}
	if owner != "" && owner != dir {
		return fmt.Errorf("it belongs to the package //%s: refer to a target of that package", owner)
	}
	return nil
}

// maxLinks is how many symlinks a path may go through.
const maxLinks = 40

// resolve follows the symlinks of rel as long as they stay inside the workspace, and returns the path without any.
func (s *Sources) resolve(rel string) (string, error) {
	done, rest, links := ".", strings.Split(rel, "/"), 0
	for len(rest) > 0 {
		elem := rest[0]
		rest = rest[1:]
		next := path.Join(done, elem)
		if leaves(next) {
			return "", fmt.Errorf("the symlink at %q leaves the workspace", rel)
		}
		if next == "." {
			continue
		}
		fi, err := s.fs.Lstat(s.abs(next))
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%w%s", fs.ErrNotExist, s.suggest(rel, done, elem))
		}
		if err != nil {
			return "", err
		}
		if fi.Mode().Type() != fs.ModeSymlink {
			done = next
			continue
		}
		target, err := s.fs.Readlink(s.abs(next))
		if err != nil {
			return "", err
		}
		if links++; links > maxLinks || path.IsAbs(target) {
			return "", fmt.Errorf("the symlink %q to %q leaves the workspace or leads in a circle", next, target)
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return done, nil
}

// suggest names the nearest name to elem in dir, as a source is written.
func (s *Sources) suggest(rel, dir, elem string) string {
	entries, err := s.fs.ReadDir(s.abs(dir))
	if err != nil {
		return ""
	}
	best, distance := "", len(elem)/2+2
	for _, e := range entries {
		if d := typo.Distance(strings.ToLower(e.Name()), strings.ToLower(elem)); d < distance {
			best, distance = e.Name(), d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" in %q. Did you mean %q?", "//"+strings.TrimPrefix(path.Dir(rel), "."), best)
}
