package rules

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"path"
	"slices"

	"cbuild/cas"
	"cbuild/engine"
)

// attached are the files in columns that lie beside a page, so that it can link to them. They are few and small: a report of a whole ecosystem
// names its artifacts by their digests.
type attached struct {
	store   cas.Store
	entries map[string]cas.Entry // by path
	bytes   int64
}

// attachedDir is where they lie.
const attachedDir = "files"

const (
	maxAttached      = 200
	maxAttachedBytes = 16 << 20
)

func newAttached(store cas.Store) *attached {
	return &attached{store: store, entries: make(map[string]cas.Entry)}
}

// link returns the address of a, relative to the page, and attaches it; "" if it can't be. Only what lies in the store is: nothing is made
// again to be linked to.
func (at *attached) link(ctx context.Context, a engine.Artifact) string {
	if a.Kind != engine.FileKind || a.Digest.IsZero() {
		return ""
	}
	name := path.Base(a.Name)
	if cas.CheckName(name) != nil {
		name = "file"
	}
	dir := attachedDir + "/" + a.Digest.Hex()[:16]
	e := cas.Entry{Path: dir + "/" + name, Digest: a.Digest, Executable: a.Executable}
	if _, ok := at.entries[e.Path]; !ok {
		if len(at.entries) == maxAttached || at.bytes+a.Digest.Size > maxAttachedBytes || !at.has(ctx, a.Digest) {
			return ""
		}
		at.entries[e.Path] = e
		at.bytes += a.Digest.Size
	}
	return dir + "/" + url.PathEscape(name)
}

func (at *attached) has(ctx context.Context, d cas.Digest) bool {
	missing, err := at.store.Missing(ctx, []cas.Digest{d})
	return err == nil && len(missing) == 0
}

// all returns the entries, sorted by path.
func (at *attached) all() []cas.Entry {
	return slices.SortedFunc(maps.Values(at.entries), func(x, y cas.Entry) int { return cmp.Compare(x.Path, y.Path) })
}
