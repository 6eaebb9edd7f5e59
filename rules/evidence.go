package rules

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/report"
)

// maxEvidence is the most, in bytes, that is read of a log or a file to normalize it. Longer ones are compared as they are.
const maxEvidence = 16 << 20

// evidence compares what runs left behind. It is for one goroutine.
type evidence struct {
	kind      string // as written: "log", "out" or "both"
	log, outs bool
	store     cas.Store
	normalize report.Normalizer
	// known are digests of normalized blobs by those of the blobs.
	known map[cas.Digest]cas.Digest
}

// maxKnown bounds evidence.known.
const maxKnown = 4096

func newEvidence(r *Collate, store cas.Store) (*evidence, error) {
	e := &evidence{kind: cmpOr(r.Evidence, "log"), store: store, known: make(map[cas.Digest]cas.Digest)}
	switch e.kind {
	case "log":
		e.log = true
	case "out":
		e.outs = true
	case "both":
		e.log, e.outs = true, true
	default:
		return nil, invalidf("evidence: %q is not known: want \"log\", \"out\" or \"both\"", r.Evidence)
	}
	for i, n := range r.Normalize {
		if err := e.normalize.Add(n.Pattern, n.Replace); err != nil {
			return nil, invalidf("normalize[%d].pattern: %w", i, err)
		}
	}
	return e, nil
}

// same reports whether a and b left the same evidence. Nothing is read of what is equal without normalization.
func (e *evidence) same(ctx context.Context, a, b *engine.Result) (bool, error) {
	if e.log && a.Log != b.Log {
		if same, err := e.sameBlob(ctx, a.Log, b.Log, true); err != nil || !same {
			return false, err
		}
	}
	if !e.outs {
		return true, nil
	}
	outs, others := a.Read(), b.Read()
	if len(outs) != len(others) {
		return false, nil
	}
	for i, x := range outs {
		y := others[i]
		if x.Path != y.Path || x.Kind != y.Kind || x.Executable != y.Executable {
			return false, nil
		}
		if x.Digest == y.Digest {
			continue
		}
		if same, err := e.sameOut(ctx, x, y); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func (e *evidence) sameOut(ctx context.Context, x, y engine.Output) (bool, error) {
	if x.Kind == engine.FileKind {
		return e.sameBlob(ctx, x.Digest, y.Digest, false)
	}
	a, err := e.tree(ctx, x.Digest)
	if err != nil {
		return false, err
	}
	b, err := e.tree(ctx, y.Digest)
	return a == b, err
}

func (e *evidence) sameBlob(ctx context.Context, a, b cas.Digest, log bool) (bool, error) {
	x, err := e.blob(ctx, a, log)
	if err != nil {
		return false, err
	}
	y, err := e.blob(ctx, b, log)
	return x == y, err
}

// digest returns the digest of all evidence of a result, normalized.
func (e *evidence) digest(ctx context.Context, r *engine.Result) (cas.Digest, error) {
	var canon []byte
	add := func(kind byte, path string, d cas.Digest) {
		canon = binary.AppendUvarint(append(canon, kind), uint64(len(path)))
		canon = append(append(canon, path...), d.Hash[:]...)
	}
	if e.log {
		d, err := e.blob(ctx, r.Log, true)
		if err != nil {
			return cas.Digest{}, err
		}
		add('l', "", d)
	}
	if !e.outs {
		return cas.Of(canon), nil
	}
	for _, o := range r.Read() {
		kind, read := fileLetter(o.Executable), func(ctx context.Context, d cas.Digest) (cas.Digest, error) { return e.blob(ctx, d, false) }
		if o.Kind == engine.TreeKind {
			kind, read = 't', e.tree
		}
		d, err := read(ctx, o.Digest)
		if err != nil {
			return cas.Digest{}, fmt.Errorf("%s: %w", o.Path, err)
		}
		add(kind, o.Path, d)
	}
	return cas.Of(canon), nil
}

func fileLetter(executable bool) byte {
	if executable {
		return 'x'
	}
	return 'f'
}

// tree returns the digest of the normalized content of a tree.
func (e *evidence) tree(ctx context.Context, root cas.Digest) (cas.Digest, error) {
	if d, ok := e.known[root]; ok {
		return d, nil
	}
	h := cas.BLAKE3.New()
	for entry, err := range cas.Walk(ctx, e.store, root) {
		if err != nil {
			return cas.Digest{}, err
		}
		var d cas.Digest
		kind := byte('d')
		switch entry.Kind {
		case cas.FileEntry:
			kind = fileLetter(entry.Executable)
			if d, err = e.blob(ctx, entry.Digest, false); err != nil {
				return cas.Digest{}, fmt.Errorf("%s: %w", entry.Path, err)
			}
		case cas.SymlinkEntry:
			kind, d = 's', cas.Of([]byte(entry.Target))
		}
		line := binary.AppendUvarint([]byte{kind}, uint64(len(entry.Path)))
		h.Write(append(append(line, entry.Path...), d.Hash[:]...))
	}
	d := cas.Sum(cas.BLAKE3, h, 0)
	e.remember(root, d)
	return d, nil
}

// blob returns the digest of a normalized blob: of a log always, of a file only if it is text. The zero digest is an empty log.
func (e *evidence) blob(ctx context.Context, d cas.Digest, log bool) (cas.Digest, error) {
	switch {
	case d.Size == 0:
		return cas.Of(nil), nil
	case d.Size > maxEvidence:
		return d, nil
	}
	if n, ok := e.known[d]; ok {
		return n, nil
	}
	data, err := cas.ReadAll(ctx, e.store, d, maxEvidence)
	if err != nil {
		return cas.Digest{}, err
	}
	n := d
	if log || isText(data) {
		n = cas.Of(e.normalize.Normalize(data))
	}
	e.remember(d, n)
	return n, nil
}

func (e *evidence) remember(d, normalized cas.Digest) {
	if len(e.known) >= maxKnown {
		clear(e.known)
	}
	e.known[d] = normalized
}

// isText reports whether data is text as far as its beginning shows.
func isText(data []byte) bool {
	head := data[:min(len(data), 8<<10)]
	return bytes.IndexByte(head, 0) < 0 && (len(data) > len(head) || utf8.Valid(head))
}
