package rules

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/report"
)

// What a report shows of the evidence, in bytes: in all, and of one text at least and at most. A report of few rows shows much of each.
const (
	maxTexts  = 48 << 20
	leastText = 2 << 10
	mostText  = 64 << 10
)

// maxDiffed is the most that is read of a text to compare it line by line, and maxDiff the most that is shown of the differences.
const (
	maxDiffed = 1 << 20
	maxDiff   = 16 << 10
)

// A showing adds to rows that need a look what explains them: the logs of their sides and what else is evidence, how the evidence differs, why
// the deciding side ended as it did, and the inputs.
type showing struct {
	*evidence
	inputs func(context.Context, engine.Key) []string
	budget int // bytes of texts that may still be shown
	each   int // bytes of one text
}

// newShowing returns what adds explanations to the rows that h counts.
func newShowing(rt *Runtime, e *evidence, h *report.Head) *showing {
	needy := 0
	for class, n := range h.Summary {
		if !class.Quiet() {
			needy += n
		}
	}
	sides := needy * max(len(h.Compare), 1)
	return &showing{evidence: e, inputs: rt.inputs, budget: maxTexts, each: min(max(maxTexts/2/max(sides, 1), leastText), mostText)}
}

// explained yields the rows with their explanations.
func (s *showing) explained(ctx context.Context, rows iter.Seq2[*report.Row, error]) iter.Seq2[*report.Row, error] {
	return func(yield func(*report.Row, error) bool) {
		for r, err := range rows {
			if err == nil && !r.Class.Quiet() {
				s.explain(ctx, r)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func (s *showing) explain(ctx context.Context, r *report.Row) {
	at := r.Deciding()
	if at < 0 {
		return
	}
	r.Detail = &report.Detail{}
	log := s.read(ctx, r.Sides[at].Extra.Log)
	r.Detail.Error, r.Detail.Cause = report.CauseOf(&r.Sides[at], report.Clean(string(log)))
	if s.budget <= 0 {
		return
	}
	for i := range r.Sides {
		x := &r.Sides[i].Extra
		x.Texts = s.texts(ctx, x)
		x.Inputs = s.inputs(ctx, x.Key)
	}
	if len(r.Sides) > 1 {
		s.compare(ctx, r, max(at, 1))
	}
}

// compare adds how the evidence of a side differs from that of the base. Where a program printed nothing, what it left behind says why it
// failed.
func (s *showing) compare(ctx context.Context, r *report.Row, side int) {
	base, other := &r.Sides[0], &r.Sides[side]
	if base.Outcome == "" || other.Outcome == "" {
		return
	}
	if s.log {
		s.diff(ctx, r, "log", engine.Artifact{Digest: base.Extra.Log}, engine.Artifact{Digest: other.Extra.Log})
	}
	for _, pair := range pairs(base.Extra.Outs, other.Extra.Outs) {
		s.diff(ctx, r, pair.name, pair.base, pair.other)
	}
	if c := &r.Detail.Cause; r.Detail.Error == "" && c.Kind == report.CauseError {
		sign := byte('+')
		if r.Deciding() == 0 {
			sign = '-'
		}
		for _, d := range r.Detail.Diffs {
			if line := firstOf(d.Text, sign); line != "" {
				r.Detail.Error = d.Name + ": " + line
				c.Text = d.Name + ": " + report.Common(line)
				return
			}
		}
	}
}

// firstOf returns the first line of a diff that only one side has.
func firstOf(text string, sign byte) string {
	for line := range strings.Lines(text) {
		if line[0] == sign {
			if line = strings.TrimSpace(line[1:]); line != "" {
				return line
			}
		}
	}
	return ""
}

// A pair are the outputs at one path.
type pair struct {
	name        string
	base, other engine.Artifact
}

// pairs pairs outputs, which are sorted by path.
func pairs(base, other []engine.Output) (all []pair) {
	for len(base) > 0 || len(other) > 0 {
		switch {
		case len(other) == 0 || len(base) > 0 && base[0].Path < other[0].Path:
			all = append(all, pair{base[0].Path, base[0].Artifact, engine.Artifact{}})
			base = base[1:]
		case len(base) == 0 || other[0].Path < base[0].Path:
			all = append(all, pair{other[0].Path, engine.Artifact{}, other[0].Artifact})
			other = other[1:]
		default:
			all = append(all, pair{base[0].Path, base[0].Artifact, other[0].Artifact})
			base, other = base[1:], other[1:]
		}
	}
	return all
}

// diff adds the differences of two normalized texts, or of the lists of files of two trees.
func (s *showing) diff(ctx context.Context, r *report.Row, name string, base, other engine.Artifact) {
	if base.Digest == other.Digest {
		return
	}
	x := report.Excerpt{Name: name}
	a, okA := s.comparable(ctx, base, name == "log")
	b, okB := s.comparable(ctx, other, name == "log")
	switch {
	case !okA || !okB:
		x.Note = "they differ, and are no short texts"
	case bytes.Equal(a, b):
		return
	default:
		text := hunks(diff.Diff("", a, "", b))
		x.Text = report.Clean(report.Cut(text, maxDiff))
		s.budget -= len(x.Text)
	}
	r.Detail.Diffs = append(r.Detail.Diffs, x)
}

// hunks returns a diff without the lines that name the files.
func hunks(text []byte) string {
	if i := bytes.Index(text, []byte("\n@@")); i >= 0 {
		text = text[i+1:]
	}
	return string(text)
}

// comparable returns what is compared line by line, and reports whether that can be.
func (s *showing) comparable(ctx context.Context, a engine.Artifact, log bool) ([]byte, bool) {
	switch {
	case a.Digest.Size == 0:
		return nil, true
	case a.Kind == engine.TreeKind:
		return s.listing(ctx, a.Digest)
	case a.Digest.Size > maxDiffed:
		return nil, false
	}
	data := s.read(ctx, a.Digest)
	if data == nil || !log && !isText(data) {
		return nil, false
	}
	return s.normalize.Normalize(data), true
}

// listing lists the files of a tree, with their sizes and the beginnings of their digests.
func (s *showing) listing(ctx context.Context, root cas.Digest) ([]byte, bool) {
	var b bytes.Buffer
	for entry, err := range cas.Walk(ctx, s.store, root) {
		if err != nil || b.Len() > maxDiffed {
			return nil, false
		}
		switch entry.Kind {
		case cas.FileEntry:
			fmt.Fprintf(&b, "%s  %d bytes %.11s\n", entry.Path, entry.Digest.Size, entry.Digest)
		case cas.SymlinkEntry:
			fmt.Fprintf(&b, "%s -> %s\n", entry.Path, entry.Target)
		}
	}
	return b.Bytes(), true
}

// read returns a blob, or nil for one that is too large or not there.
func (s *showing) read(ctx context.Context, d cas.Digest) []byte {
	if d.Size == 0 || d.Size > maxEvidence {
		return nil
	}
	data, err := cas.ReadAll(ctx, s.store, d, maxEvidence)
	if err != nil {
		return nil
	}
	return data
}

func (s *showing) texts(ctx context.Context, x *report.Extra) []report.Excerpt {
	var list []report.Excerpt
	if x.Log.Size != 0 {
		list = append(list, s.excerpt(ctx, "log", x.Log))
	}
	for _, o := range x.Outs {
		if o.Kind == engine.FileKind && o.Digest.Size != 0 {
			list = append(list, s.excerpt(ctx, o.Path, o.Digest))
		}
	}
	return list
}

// excerpt returns what a page shows of a blob.
func (s *showing) excerpt(ctx context.Context, name string, d cas.Digest) report.Excerpt {
	x := report.Excerpt{Name: name}
	if d.Size > maxEvidence {
		x.Note = fmt.Sprintf("left out: %d bytes", d.Size)
		return x
	}
	data, err := cas.ReadAll(ctx, s.store, d, maxEvidence)
	switch {
	case err != nil:
		x.Note = "not in the store"
	case name != "log" && !isText(data):
		x.Note = fmt.Sprintf("no text: %d bytes", len(data))
	default:
		x.Text = report.Cut(report.Clean(string(data)), s.each)
		s.budget -= len(x.Text)
	}
	return x
}

// inputs lists the inputs of the action with a key, as its record says.
func (rt *Runtime) inputs(ctx context.Context, key engine.Key) (list []string) {
	if rt.Preimage == nil || key.IsZero() {
		return nil
	}
	for line := range strings.Lines(string(rt.Preimage(ctx, key))) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "input "); ok && len(list) < maxInputs {
			list = append(list, name)
		}
	}
	return list
}

// maxInputs is how many inputs are listed of a side.
const maxInputs = 100
