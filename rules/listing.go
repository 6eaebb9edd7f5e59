package rules

import (
	"context"
	"path"
	"strings"
	"sync"

	"cbuild/cas"
)

// A listing is a tree as a narrowing looks at it.
type listing struct {
	// names is the digest of all paths, with what each is, and where links lead.
	names cas.Digest
	files map[string]listedFile
	// called has all entries by the last element of their path.
	called map[string][]listed
	// leaves is set if a link may lead out of the tree.
	leaves bool
}

type listedFile struct {
	digest     cas.Digest
	executable bool
}

type listed struct {
	path        string
	plain, link bool
}

// kindOf returns what stands before a path for what it is.
func kindOf(kind cas.EntryKind, executable bool) string {
	switch {
	case kind == cas.DirEntry:
		return "directory "
	case kind == cas.SymlinkEntry:
		return "link "
	case executable:
		return "executable "
	}
	return "file "
}

// listings keeps the trees that were looked at last.
type listings struct {
	mu    sync.Mutex
	trees map[cas.Digest]*listing // guarded by mu
}

// maxListings is how many trees are kept.
const maxListings = 64

func (l *listings) of(ctx context.Context, s cas.Store, root cas.Digest) (*listing, error) {
	l.mu.Lock()
	t := l.trees[root]
	l.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := listTree(ctx, s, root)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trees == nil {
		l.trees = make(map[cas.Digest]*listing)
	}
	for other := range l.trees {
		if len(l.trees) < maxListings {
			break
		}
		delete(l.trees, other) // any: what is used by many is soon there again
	}
	l.trees[root] = t
	return t, nil
}

func listTree(ctx context.Context, s cas.Store, root cas.Digest) (*listing, error) {
	t := &listing{files: make(map[string]listedFile), called: make(map[string][]listed)}
	var names []byte
	for e, err := range cas.Walk(ctx, s, root) {
		if err != nil {
			return nil, err
		}
		// No name and no target holds a zero.
		names = append(append(append(names, kindOf(e.Kind, e.Executable)...), e.Path...), 0)
		if e.Kind == cas.SymlinkEntry {
			names = append(append(names, e.Target...), 0)
			t.leaves = t.leaves || mayLeave(e.Path, e.Target)
		}
		if e.Kind == cas.FileEntry {
			t.files[e.Path] = listedFile{e.Digest, e.Executable}
		}
		base := path.Base(e.Path)
		t.called[base] = append(t.called[base], listed{e.Path, e.Kind == cas.FileEntry, e.Kind == cas.SymlinkEntry})
	}
	t.names = cas.Of(names)
	return t, nil
}

// mayLeave reports whether the target of the link at a path of a tree may be outside the tree. What stands behind another link is that link's business,
// but for .. there.
func mayLeave(at, target string) bool {
	up := strings.Count(at, "/")
	rest := target
	for strings.HasPrefix(rest, "../") || rest == ".." {
		rest = strings.TrimPrefix(rest[len(".."):], "/")
		up--
	}
	return path.IsAbs(target) || up < 0 || strings.Contains("/"+rest+"/", "/../")
}
