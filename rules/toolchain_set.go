package rules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/archive"
)

// A toolset is the action that makes a toolchain out of archives that are laid over each other.
type toolset struct {
	rt    *Runtime
	parts []*toolPart
	// merge says which entries of a part belong to the toolchain; nil takes all. Layout names it in the key.
	merge  func(ctx context.Context, s cas.Store, tree cas.Digest) ([]cas.Entry, error)
	layout string
	facts  map[string]string
}

// A toolPart is one archive of a toolset.
type toolPart struct {
	fetch *fetch
	// into is the directory in the toolchain where it goes, "" for its root; links are added.
	into  string
	links []cas.Entry
	tree  *cas.Digest // once it is there: a retry does not get it again
}

// newPart returns the part that is at address, with the checksum want.
func (r *Toolchain) newPart(rt *Runtime, self Self, address, want string, o archive.Options) (*toolPart, error) {
	c, err := parseChecksum(want)
	if err != nil {
		return nil, err
	}
	if o.Format == "" {
		format, ok := archive.FormatOf(lastElement(address))
		if !ok {
			return nil, fmt.Errorf("the format of %q can't be told from its name", lastElement(address))
		}
		o.Format = format
	}
	o.Workers = toolWorkers
	return &toolPart{fetch: &fetch{rt: rt, self: self, urls: []string{address}, want: c, timeout: r.timeout(), most: maxDownload, name: treeName, unpack: &o}}, nil
}

// planSet returns the plan for s.
func (r *Toolchain) planSet(s *toolset) *engine.Plan {
	return &engine.Plan{Action: s, Pool: engine.NetPool, Pools: r.Pool, Retries: r.retries(netRetries), Shape: engine.OutSpec{Path: treeName, Dir: true}}
}

func (s *toolset) builder() *engine.KeyBuilder {
	b := engine.NewKey("toolchain", 1)
	b.String("layout", s.layout)
	for _, name := range []string{"version", "bin", "env"} {
		b.String(name, s.facts[name])
	}
	for i, p := range s.parts {
		n := strconv.Itoa(i)
		b.String("archive "+n, p.fetch.want.String())
		b.String("strip "+n, strconv.Itoa(p.fetch.unpack.Strip)+" "+p.fetch.unpack.Prefix+" "+string(p.fetch.unpack.Format))
		b.String("into "+n, p.into)
		for _, l := range p.links {
			b.String("link "+n, l.Path+" "+l.Target)
		}
	}
	return b
}

// Key implements engine.Action.
func (s *toolset) Key() engine.Key { return s.builder().Sum() }

// Preimage implements engine.Action.
func (s *toolset) Preimage() []byte { return s.builder().Preimage() }

// Do implements engine.Action.
func (s *toolset) Do(ctx context.Context, emit func(engine.Event)) (*engine.Result, error) {
	begun := time.Now()
	var all []cas.Entry
	where := map[string]int{}
	for _, p := range s.parts {
		entries, err := s.entries(ctx, p, emit)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if i, ok := where[e.Path]; ok {
				if !sameEntry(all[i], e) {
					return nil, &engine.UnavailableError{Err: fmt.Errorf("%s is in two of the archives, and not the same", e.Path)}
				}
				continue
			}
			where[e.Path] = len(all)
			all = append(all, e)
		}
	}
	d, err := cas.PutTree(ctx, s.rt.Store, all)
	if err != nil {
		return nil, err
	}
	out := engine.Artifact{Kind: engine.TreeKind, Digest: d, Name: treeName, Tool: true}
	return &engine.Result{Outs: []engine.Output{{Path: treeName, Artifact: out}}, Facts: s.facts, Took: time.Since(begun)}, nil
}

func sameEntry(a, b cas.Entry) bool {
	return a == b || a.Kind == cas.DirEntry && b.Kind == cas.DirEntry
}

// entries gets p and returns what it brings, with the paths of the toolchain.
func (s *toolset) entries(ctx context.Context, p *toolPart, emit func(engine.Event)) ([]cas.Entry, error) {
	if p.tree == nil {
		r, err := p.fetch.Do(ctx, emit)
		if err != nil {
			return nil, err
		}
		p.tree = &r.Outs[0].Artifact.Digest
	}
	merge := s.merge
	if merge == nil {
		merge = wholeTree
	}
	entries, err := merge(ctx, s.rt.Store, *p.tree)
	if err != nil {
		p.tree = nil // what was stored a moment ago may be lost: then it is made again
		return nil, err
	}
	for i := range entries {
		entries[i].Path = path.Join(p.into, entries[i].Path)
	}
	return slices.Concat(entries, p.links), nil
}

func wholeTree(ctx context.Context, s cas.Store, tree cas.Digest) (all []cas.Entry, err error) {
	for e, err := range cas.Walk(ctx, s, tree) {
		if err != nil {
			return nil, transientLoss(err)
		}
		all = append(all, e)
	}
	return all, nil
}

// transientLoss makes another attempt of what found nothing any more where something was stored a moment ago.
func transientLoss(err error) error {
	if errors.Is(err, cas.ErrNotFound) {
		return engine.Transient(err)
	}
	return err
}
