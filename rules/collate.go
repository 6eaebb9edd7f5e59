package rules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/rules/report"
)

// Collate are the attributes of a collate: rows into a report.
type Collate struct {
	Common
	Rows      Rows                 `hcl:"rows,required" doc:"What the rows are: a collection, a map or a list."`
	Columns   []engine.Named[Expr] `hcl:"columns" default:"the outcome of each compared key" doc:"Columns by name: expressions over each."`
	Compare   []string             `hcl:"compare" doc:"Two or more keys of one axis; the first is the base."`
	Evidence  string               `hcl:"evidence" one:"log out both" default:"\"log\"" doc:"What must be equal for same-…: the log, the outs (of any outcome), or both."`
	Normalize []Normalization      `hcl:"normalize" doc:"Replacements applied to evidence before it is compared, added to the built-in ones."`
	Group     Expr                 `hcl:"group" doc:"Expression over each by which rows are grouped."`
	Sort      []Expr               `hcl:"sort" default:"class, then key" doc:"Expressions over each by which rows are sorted."`
	Title     string               `hcl:"title" default:"the name of the target" doc:"Title of the report."`
	Template  Templates            `hcl:"template,source" doc:"Further files of the report, from templates in the language of Go's text/template: x.md.tmpl makes x.md. In a map each makes the file of its name. What makes a file in .html is escaped as html/template does."`
	Formats   []string             `hcl:"formats" one:"html md json csv ndjson retry junit" default:"[\"html\", \"md\", \"json\", \"csv\"]" doc:"Formats to write. Beside the usual ones: \"ndjson\" (compressed), \"retry\" (labels for cbuild @./retry-list.txt) and \"junit\"."`
	Out       string               `hcl:"out" default:"\"report/\"" doc:"Directory of the report."`
}

// Templates are files of a report that its user wrote: the file that each makes, if it is named, and its text.
type Templates []engine.Input

// A Normalization replaces what differs between equal runs in evidence.
type Normalization struct {
	Pattern string `hcl:"pattern,required"`
	Replace string `hcl:"replace,required"`
}

// A reportFormat is a file of a report.
type reportFormat struct {
	name, file string
	// usual is set for those that are written if the target does not say.
	usual bool
	// texts is set if it shows excerpts of logs, labels if it shows labels of instances: these are in no row.
	texts, labels bool
	new           func(io.Writer, *collateAction) report.Format
}

var reportFormats = []reportFormat{
	{"csv", "results.csv", true, false, false, func(w io.Writer, _ *collateAction) report.Format { return report.NewCSV(w) }},
	{"html", "index.html", true, true, false, func(w io.Writer, a *collateAction) report.Format {
		return report.NewHTML(w, report.PageOptions{Build: a.build, Link: a.link})
	}},
	{"json", "results.json", true, false, false, func(w io.Writer, _ *collateAction) report.Format { return report.NewJSON(w) }},
	{"junit", "junit.xml", false, true, true, func(w io.Writer, _ *collateAction) report.Format { return report.NewJUnit(w) }},
	{"md", "summary.md", true, false, false, func(w io.Writer, _ *collateAction) report.Format { return report.NewMarkdown(w) }},
	{"ndjson", "results.ndjson.zst", false, false, false, func(w io.Writer, _ *collateAction) report.Format { return report.NewNDJSON(w) }},
	{"retry", "retry-list.txt", false, false, true, func(w io.Writer, _ *collateAction) report.Format { return report.NewRetry(w) }},
}

// maxTemplate is the largest template in bytes.
const maxTemplate = 1 << 20

// templates returns the user's own formats, and the digests of their texts.
func (r *Collate) templates(ctx context.Context, rt *Runtime, dir string, others []reportFormat) (own []reportFormat, texts []cas.Digest, err error) {
	taken := []string{attachedDir + "/…"}
	for _, f := range others {
		taken = append(taken, f.file)
	}
	for _, in := range r.Template {
		a, ok := in.Text.Single()
		if source, literal := in.Text.IsLiteral(); literal {
			if a, err = rt.Sources.Source(ctx, dir, source); err != nil {
				return nil, nil, err
			}
		} else if !ok || a.Kind != engine.FileKind {
			return nil, nil, invalidf("template: it is a file")
		}
		name := cmpOr(in.Dest, strings.TrimSuffix(path.Base(a.Name), ".tmpl"))
		switch {
		case !inside(name) || strings.HasSuffix(name, "/") || path.Clean(name) != name:
			return nil, nil, invalidf("template: %q is no file inside the report", name)
		case slices.Contains(taken, name):
			return nil, nil, invalidf("template: two files of the report are %s", name)
		}
		for _, other := range taken {
			if strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/") {
				return nil, nil, invalidf("template: %s and %s can't be files of one report", name, other)
			}
		}
		taken = append(taken, name)
		text, err := cas.ReadAll(ctx, rt.Store, a.Digest, maxTemplate)
		if err != nil {
			return nil, nil, fmt.Errorf("template: %w", err)
		}
		t, err := report.ParseTemplate(name, string(text))
		if err != nil {
			return nil, nil, invalidf("template: %s", strings.TrimPrefix(err.Error(), "template: "))
		}
		own = append(own, reportFormat{name: "template", file: name, new: func(w io.Writer, a *collateAction) report.Format { return t.To(w, a.ended) }})
		texts = append(texts, a.Digest)
	}
	return own, texts, nil
}

// Plan follows the rows to their end and makes an action that writes the report. All that decides over the report is known then: its
// key is over the rows. A report of rows with trouble, or whose rows ended with an error, is incomplete; it has no key.
func (r *Collate) Plan(ctx context.Context, rt *Runtime, self Self) (*engine.Plan, error) {
	formats, err := r.formats()
	if err != nil {
		return nil, err
	}
	out := path.Clean(cmpOr(r.Out, "report"))
	if !inside(out) || out == "." {
		return nil, invalidf("out: %q is not inside a directory", r.Out)
	}
	own, texts, err := r.templates(ctx, rt, self.Instance.Target.Label.Dir, formats)
	if err != nil {
		return nil, err
	}
	c, err := newCollation(r, rt, self)
	if err != nil {
		return nil, err
	}
	followed := rt.Growing.follow(c)
	if err := c.collect(ctx, r.Rows(ctx)); err != nil {
		if !followed {
			c.rows.close()
		}
		return nil, err
	}
	a := &collateAction{rt: rt, head: &c.head, rows: c.rows, formats: append(formats, own...), templates: texts, out: out, evidence: c.evidence, of: c.labels(), self: self.Instance.Target.Label, followed: followed, timeout: r.Timeout}
	if a.digest, a.order, err = c.seal(); err != nil {
		return nil, err
	}
	return &engine.Plan{
		Action: a,
		Always: true,
		// The page shows logs, times and what was cached. If anything was done, those of the last time are old.
		Refresh: c.ran,
		Shape:   engine.OutSpec{Path: out, Dir: true},
		Notes:   map[string]string{"cached": strconv.Itoa(c.cached)},
	}, nil
}

// formats returns what is to be written, in the order of reportFormats.
func (r *Collate) formats() ([]reportFormat, error) {
	var names []string
	for _, f := range reportFormats {
		names = append(names, f.name)
	}
	for _, name := range r.Formats {
		if !slices.Contains(names, name) {
			return nil, invalidf("formats: there is no format %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	if r.Formats != nil && len(r.Formats) == 0 && len(r.Template) == 0 {
		return nil, invalidf("formats: a report needs at least one of %s", strings.Join(names, ", "))
	}
	return slices.DeleteFunc(slices.Clone(reportFormats), func(f reportFormat) bool {
		return r.Formats == nil && !f.usual || r.Formats != nil && !slices.Contains(r.Formats, f.name)
	}), nil
}

// collateAction writes a report of rows that are all known.
type collateAction struct {
	rt      *Runtime
	head    *report.Head
	rows    *reportRows
	formats []reportFormat
	// templates are the texts of the last of formats.
	templates []cas.Digest
	out       string
	evidence  *evidence
	// of are the labels of the targets whose instances the rows hold, sorted.
	of []string
	// self is the label of the report.
	self engine.Label
	// followed is set if a Growing closes the rows.
	followed bool
	timeout  time.Duration // for writing it; none if it is 0
	// link returns the address of an artifact beside the page, "" if it has none; it is set while the report is written.
	link func(engine.Artifact) string
	// ended returns an error once nobody waits for the report any longer; it is set while that is written.
	ended func() error
	// digest is that of the rows in the order of their keys; order is that of the order in which they are shown, if it is not the
	// usual one.
	digest, order cas.Digest
}

// build says what is known of the build; it is in no key. Who reads the report sees that it is done.
func (a *collateAction) build() *report.Build {
	if a.rt.Build == nil {
		return &report.Build{}
	}
	b := a.rt.Build(a.self)
	for i := range b.Targets {
		if t := &b.Targets[i]; t.Label == a.self.String() {
			t.Done, t.Open = t.Total, false
		}
	}
	return b
}

// Key is zero for an incomplete report.
func (a *collateAction) Key() engine.Key {
	if len(a.head.Incomplete) > 0 {
		return engine.Key{}
	}
	return a.builder().Sum()
}

func (a *collateAction) Preimage() []byte { return a.builder().Preimage() }

func (a *collateAction) builder() *engine.KeyBuilder {
	b := engine.NewKey("collate", 2)
	b.Digest("rows", a.digest)
	if !a.order.IsZero() {
		b.Digest("order", a.order)
	}
	b.String("title", a.head.Title)
	b.Strings("compare", a.head.Compare)
	b.Strings("axes", a.head.Axes)
	b.Strings("columns", a.head.Columns)
	b.Bool("grouped", a.head.Grouped)
	b.String("evidence", a.evidence.kind)
	for _, f := range a.formats {
		b.String("format", f.name)
		if f.labels {
			b.Strings("of", a.of)
		}
	}
	for i, d := range a.templates {
		b.Digest("template "+a.formats[len(a.formats)-len(a.templates)+i].file, d)
	}
	b.String("out", a.out)
	return b
}

// Do writes the report, in at most its timeout.
func (a *collateAction) Do(ctx context.Context, _ func(engine.Event)) (*engine.Result, error) {
	if !a.followed {
		defer a.rows.close()
	}
	if a.timeout <= 0 {
		return a.write(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	res, err := a.write(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("report: not written after %v: %w", a.timeout, err)
	}
	return res, err
}

// write writes the files of the report side by side, in one pass over the rows.
func (a *collateAction) write(ctx context.Context) (*engine.Result, error) {
	var files []*scratch
	defer func() {
		for _, f := range files {
			f.close()
		}
	}()
	a.ended = ctx.Err
	beside := newAttached(a.rt.Store)
	a.link = func(f engine.Artifact) string { return beside.link(ctx, f) }
	var formats []report.Format
	texts := false
	for _, f := range a.formats {
		s, err := newScratch(a.rt.Temp)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		files = append(files, s)
		formats = append(formats, f.new(s, a))
		texts = texts || f.texts
	}
	rows := a.rows.all()
	if texts {
		rows = newShowing(a.rt, a.evidence, a.head).explained(ctx, rows)
	}
	err := report.Render(a.head, rows, formats...)
	switch {
	case errors.As(err, new(*report.TemplateError)):
		return nil, invalidf("template: %w", err)
	case err != nil:
		return nil, err
	}
	entries := make([]cas.Entry, len(files))
	for i, s := range files {
		d, err := s.put(ctx, a.rt.Store)
		if err != nil {
			return nil, fmt.Errorf("report: %s: %w", a.formats[i].file, err)
		}
		entries[i] = cas.Entry{Path: a.formats[i].file, Digest: d}
	}
	tree, err := cas.PutTree(ctx, a.rt.Store, append(entries, beside.all()...))
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	artifact := engine.Artifact{Kind: engine.TreeKind, Digest: tree, Name: a.out}
	return &engine.Result{Outs: []engine.Output{{Path: a.out, Artifact: artifact}}, Facts: a.facts()}, nil
}

func (a *collateAction) facts() map[string]string {
	facts := map[string]string{
		"rows":    a.digest.String(),
		"count":   strconv.Itoa(a.head.Count),
		"summary": a.head.SummaryJSON(),
	}
	if len(a.head.Compare) > 0 {
		facts["compared"] = "yes"
	}
	if len(a.head.Incomplete) > 0 {
		facts["incomplete"] = "yes"
	}
	return facts
}

// joinKey joins the key of an element and keys on axes as in a label: key[axis][axis].
func joinKey(key string, axes []string) string {
	var b strings.Builder
	b.WriteString(key)
	for _, a := range axes {
		if b.Len() == 0 {
			b.WriteString(a)
			continue
		}
		b.WriteString("[" + a + "]")
	}
	return b.String()
}
