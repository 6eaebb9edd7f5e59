package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync/atomic"

	"cbuild/cas"

	"github.com/bmatcuk/doublestar/v4"
)

// A builder collects the entries of a tree and enforces what holds for all of them. Only store may be called concurrently.
type builder struct {
	cas     cas.Store
	opts    Options
	size    int64 // of the archive
	rooted  bool  // whether absolute links start at the root of the archive
	limits  Limits
	most    int64 // bytes that the files may have in all
	seen    int   // entries, those that are dropped or occur again included
	names   int64 // bytes that names and targets may still have
	total   atomic.Int64
	entries []cas.Entry
	said    []string       // names of entries, as the archive writes them
	digests []*cas.Digest  // of entries, filled while they are stored; hard links share one
	index   map[string]int // path -> index in entries
}

func newBuilder(s cas.Store, o Options, size int64) *builder {
	l := o.Limits.withDefaults(size)
	most := l.Bytes
	if byRatio := max(ratioFree, size*l.Ratio); size < 1<<40 && byRatio < most {
		most = byRatio
	}
	return &builder{cas: s, opts: o, size: size, limits: l, most: most, names: max(namesFree, namesRatio*size), index: map[string]int{}}
}

// add adds an entry under the archive's name for it and returns its index, or -1 if it is dropped. The digest of a file is set in
// digests later: entries may move while it is being made.
func (b *builder) add(name string, e cas.Entry) (int, error) {
	if b.seen++; b.seen > b.limits.Entries {
		return -1, &LimitError{What: "has many entries", Most: int64(b.limits.Entries)}
	}
	if b.names -= int64(len(name) + len(e.Target)); b.names < 0 {
		return -1, &LimitError{What: "has many long names", Most: max(namesFree, namesRatio*b.size)}
	}
	clean, refused := cleanName(name, b.limits.Depth)
	if refused != "" {
		return -1, &EntryError{name, refused}
	}
	if clean == "." && e.Kind != cas.DirEntry {
		return -1, &EntryError{name, "stands for the root"}
	}
	if b.rooted && e.Kind == cas.SymlinkEntry && strings.HasPrefix(e.Target, "/") {
		e.Target = strings.Repeat("../", strings.Count(clean, "/")) + strings.TrimLeft(e.Target, "/")
	}
	where, refused := b.opts.place(clean)
	if refused != "" {
		return -1, &EntryError{name, refused}
	}
	if where == "" {
		if e.Kind != cas.DirEntry && b.opts.Prefix != "" {
			return -1, &EntryError{name, "is not a directory but stands at the prefix " + b.opts.Prefix}
		}
		return -1, nil
	}
	e.Path = where
	if e.Kind == cas.FileEntry {
		e.Executable = e.Executable || matchAny(b.opts.Executable, where)
	}
	if old, ok := b.index[where]; ok {
		if e.Kind == cas.DirEntry && b.entries[old].Kind == cas.DirEntry {
			return old, nil
		}
		return -1, &EntryError{name, "occurs twice"}
	}
	b.index[where] = len(b.entries)
	b.entries = append(b.entries, e)
	b.said = append(b.said, name)
	b.digests = append(b.digests, new(cas.Digest))
	return len(b.entries) - 1, nil
}

func matchAny(globs []string, name string) bool {
	for _, g := range globs {
		if doublestar.MatchUnvalidated(g, name) {
			return true
		}
	}
	return false
}

// store stores the content of the file called name.
func (b *builder) store(ctx context.Context, name string, r io.Reader) (cas.Digest, error) {
	body := &countedReader{r: r, b: b, name: name}
	d, err := b.cas.Put(ctx, body)
	switch {
	case body.err != nil: // the archive's fault, not the store's
		return cas.Digest{}, body.err
	case err != nil:
		return cas.Digest{}, fmt.Errorf("storing %q: %w", name, err)
	}
	return d, nil
}

// A countedReader reads an entry, counts it towards the sum of all, and keeps the error that ended it.
type countedReader struct {
	r    io.Reader
	b    *builder
	name string
	err  error
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.b.total.Add(int64(n)) > c.b.most {
		c.err = c.b.tooLarge(c.name)
		return n, c.err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = damaged(c.name, err)
	}
	return n, err
}

// tooLarge refuses the entry called name because of its size.
func (b *builder) tooLarge(name string) error {
	return &EntryError{name, fmt.Sprintf("makes the archive unpack to more than %d bytes", b.most)}
}

// finish checks what can only be seen when all entries are known, and returns them.
func (b *builder) finish() ([]cas.Entry, error) {
	for i := range b.entries {
		b.entries[i].Digest = *b.digests[i]
	}
	for i, e := range b.entries {
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			above, ok := b.index[dir]
			if !ok {
				continue
			}
			switch b.entries[above].Kind {
			case cas.FileEntry:
				return nil, &EntryError{b.said[i], fmt.Sprintf("lies below the file %q", dir)}
			case cas.SymlinkEntry:
				return nil, &EntryError{b.said[i], fmt.Sprintf("lies below the symbolic link %q", dir)}
			}
		}
		if e.Kind == cas.SymlinkEntry {
			if refused := b.follow(e); refused != "" {
				return nil, &EntryError{b.said[i], refused}
			}
		}
	}
	return b.entries, nil
}

// maxHops is how many links the kernel follows in one path.
const maxHops = 40

// follow walks the target of the link e through the tree, links in between included, and returns why it is refused: it must not leave
// the root on the way. A link to nothing, or in a circle, leads nowhere and is kept.
func (b *builder) follow(e cas.Entry) (refused string) {
	if strings.HasPrefix(e.Target, "/") || foreignPath(e.Target) && !strings.HasPrefix(e.Target, "../") {
		return fmt.Sprintf("is a symbolic link to the absolute path %q", e.Target)
	}
	if e.Target == "" || len(e.Target) > maxName || strings.ContainsRune(e.Target, 0) {
		return "is a symbolic link without a proper target"
	}
	at := parent(e.Path)
	rest := strings.Split(e.Target, "/")
	for hops := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "" {
				return fmt.Sprintf("is a symbolic link that leaves the archive: %q", e.Target)
			}
			at = parent(at)
			continue
		}
		next := path.Join(at, part)
		i, ok := b.index[next]
		if !ok || b.entries[i].Kind != cas.SymlinkEntry {
			at = next
			continue
		}
		if hops++; hops > maxHops {
			return ""
		}
		target := b.entries[i].Target
		if strings.HasPrefix(target, "/") {
			return fmt.Sprintf("is a symbolic link that leaves the archive through %q", next)
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return ""
}

// parent returns the directory of p, "" for what lies in the root.
func parent(p string) string {
	if dir := path.Dir(p); dir != "." {
		return dir
	}
	return ""
}
