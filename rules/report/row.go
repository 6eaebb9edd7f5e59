// Package report writes reports: rows into html, json, md and csv. Make a Head and a Format for each file, and call Render with the
// rows in the order in which they are to be shown. It reads no blobs and opens no files, and holds no more than a few hundred rows.
package report

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"cbuild/cas"
	"cbuild/engine"
)

// A Head is what a report says besides its rows.
type Head struct {
	Title string
	// Compare are the compared keys, the first is the base; empty without a comparison.
	Compare []string
	// Axes are the names of the axes whose keys are part of a row's key.
	Axes []string
	// Columns are the names of the rows' columns.
	Columns []string
	// Outcomes is set if the columns are those that a comparison has by itself: how each side ended.
	Outcomes bool
	// Grouped is set if rows have a group.
	Grouped bool
	// Summary counts the rows by class, Count all of them.
	Summary map[Class]int
	Count   int
	// Incomplete counts what is missing or in trouble, by outcome or by one of the words below; empty for a complete report.
	Incomplete map[string]int
	// Trouble says why the rows ended early. Like all of a row's Extra it is shown in the html only.
	Trouble string
}

// What makes a report incomplete, besides outcomes of instances.
const (
	EndedEarly   = "ended_early"
	BadColumns   = "columns"
	LostEvidence = "lost"
)

// A Row is a row of a report. Everything but the Extra of its sides and its Problems is part of the report's identity.
type Row struct {
	Key   string
	Class Class
	// Axes are the keys on Head.Axes.
	Axes []string
	// Sides are in the order of Head.Compare. Without a comparison there is one, or none for plain data.
	Sides []Side
	// Columns are plain data with Artifacts, nil where there is nothing to show.
	Columns []engine.Value
	Group   string
	// Problems says for columns that could not be evaluated why not; nil if all could.
	Problems []string
	// Detail is what a page shows of a row that needs a look; nil if it shows nothing. It is not encoded: whoever renders adds it.
	Detail *Detail
}

// A Detail says why a row is what it is.
type Detail struct {
	// Error is the line that says best what went wrong on the side that decided over the row's class.
	Error string
	Cause Cause
	// Diffs are the differences of the normalized evidence between the base and that side, by the name of what is compared.
	Diffs []Excerpt
}

// Deciding returns the index of the side that decided over the row's class: the one whose end needs an explanation. It is -1 if there is none.
func (r *Row) Deciding() int {
	if len(r.Sides) < 2 {
		return len(r.Sides) - 1
	}
	at := 1 + slices.IndexFunc(r.Sides[1:], func(s Side) bool { return s.Class == r.Class })
	switch base := &r.Sides[0]; {
	case r.Class == Fixed, r.Class == Gone:
		return 0
	case !r.Sides[at].alone(r.Class) && base.alone(r.Class):
		return 0
	}
	return at
}

// alone reports whether s makes the comparison of a row with class c inconclusive or skipped, whatever the other side is.
func (s *Side) alone(c Class) bool {
	switch o := s.Outcome; c {
	case Skipped:
		return o == engine.ClassSkipped || o == engine.ClassUnavailable
	case Inconclusive:
		return o != engine.ClassPass && o != "fail" && o != "crash"
	}
	return false
}

// A Side is an instance in a row.
type Side struct {
	// Outcome is empty for a side that does not exist.
	Outcome engine.Class
	// Class is that of this side against the base; empty for the base itself.
	Class Class
	// ExitCode is only known if it Ran.
	Ran      bool
	ExitCode int
	// Cause says why a skipped or invalid one did not run.
	Cause string
	// Evidence is the digest of the normalized evidence; zero for rows that are Quiet.
	Evidence cas.Digest
	Extra    Extra
}

// Extra is what may differ between equal rows. It is shown in the html and nowhere else.
type Extra struct {
	// Label addresses the instance on the command line.
	Label string
	// Key is that of its action.
	Key  engine.Key
	Log  cas.Digest
	Outs []engine.Output
	// Trouble is the error of an instance that did not run.
	Trouble string
	Cached  engine.Cached
	Took    time.Duration
	// Used is what a command took of the machine, and Shielded whether one ran at all and Used.Sandbox says how.
	Used     engine.Usage
	Shielded bool
	// Texts are excerpts of the log and the evidence. They are not encoded: whoever renders adds them.
	Texts []Excerpt
	// Inputs are the inputs of the action, a line each. They are not encoded, either.
	Inputs []string
}

// Encode returns the canonical encoding of what is the row's identity, and that of the rest.
func (r *Row) Encode() (core, extra []byte, err error) {
	sides, extras := make([]engine.Value, len(r.Sides)), make([]engine.Value, len(r.Sides))
	for i, s := range r.Sides {
		sides[i] = []engine.Value{string(s.Outcome), string(s.Class), s.Ran, int64(s.ExitCode), s.Cause, digestValue(s.Evidence)}
		outs := make([]engine.Value, 0, 2*len(s.Extra.Outs))
		for _, o := range s.Extra.Outs {
			outs = append(outs, o.Path, o.Artifact)
		}
		e := s.Extra
		extras[i] = []engine.Value{e.Label, digestValue(e.Log), outs, e.Trouble, int64(e.Cached), int64(e.Took), int64(e.Used.User), int64(e.Used.System), e.Used.Memory, int64(e.Used.Sandbox), e.Shielded, string(e.Key[:])}
	}
	core, err = engine.AppendValue(nil, []engine.Value{r.Key, string(r.Class), valuesOf(r.Axes), sides, r.Columns, r.Group}, nil)
	if err == nil {
		extra, err = engine.AppendValue(nil, []engine.Value{extras, valuesOf(r.Problems)}, nil)
	}
	return core, extra, err
}

// Decode reads what Encode returned.
func Decode(core, extra []byte) (*Row, error) {
	c, err := engine.DecodeValue(core, nil)
	if err != nil {
		return nil, err
	}
	x, err := engine.DecodeValue(extra, nil)
	if err != nil {
		return nil, err
	}
	return row(c.([]engine.Value), x.([]engine.Value)), nil
}

func row(c, x []engine.Value) *Row {
	r := &Row{
		Key: c[0].(string), Class: Class(c[1].(string)), Axes: stringList(c[2]),
		Columns: c[4].([]engine.Value), Group: c[5].(string), Problems: stringList(x[1]),
	}
	extras := x[0].([]engine.Value)
	for i, v := range c[3].([]engine.Value) {
		s, e := v.([]engine.Value), extras[i].([]engine.Value)
		side := Side{
			Outcome: engine.Class(s[0].(string)), Class: Class(s[1].(string)), Ran: s[2].(bool), ExitCode: int(s[3].(int64)),
			Cause: s[4].(string), Evidence: digestOf(s[5]),
			Extra: Extra{
				Label: e[0].(string), Log: digestOf(e[1]), Trouble: e[3].(string),
				Cached: engine.Cached(e[4].(int64)), Took: time.Duration(e[5].(int64)),
				Used: engine.Usage{
					User: time.Duration(e[6].(int64)), System: time.Duration(e[7].(int64)), Memory: e[8].(int64), Sandbox: engine.SandboxClass(e[9].(int64)),
				},
				Shielded: e[10].(bool),
			},
		}
		copy(side.Extra.Key[:], e[11].(string))
		outs := e[2].([]engine.Value)
		for j := 0; j < len(outs); j += 2 {
			side.Extra.Outs = append(side.Extra.Outs, engine.Output{Path: outs[j].(string), Artifact: outs[j+1].(engine.Artifact)})
		}
		r.Sides = append(r.Sides, side)
	}
	return r
}

func digestValue(d cas.Digest) engine.Value {
	if d.IsZero() {
		return nil
	}
	return engine.Artifact{Digest: d}
}

func digestOf(v engine.Value) cas.Digest {
	a, _ := v.(engine.Artifact)
	return a.Digest
}

func valuesOf(list []string) engine.Value {
	v := make([]engine.Value, len(list))
	for i, s := range list {
		v[i] = s
	}
	return v
}

func stringList(v engine.Value) []string {
	var list []string
	for _, s := range v.([]engine.Value) {
		list = append(list, s.(string))
	}
	return list
}

// A Format writes one file of a report. Begin comes first, then Row for each row in the order in which they are shown, then End.
type Format interface {
	Begin(h *Head) error
	Row(r *Row) error
	End() error
}

// Render passes the rows to all formats at once.
func Render(h *Head, rows iter.Seq2[*Row, error], formats ...Format) error {
	defer func() {
		for _, f := range formats {
			if t, ok := f.(*templated); ok {
				t.Abandon() // which does nothing at its end
			}
		}
	}()
	for _, f := range formats {
		if err := f.Begin(h); err != nil {
			return err
		}
	}
	for r, err := range rows {
		if err != nil {
			return fmt.Errorf("rows of the report: %w", err)
		}
		for _, f := range formats {
			if err := f.Row(r); err != nil {
				return err
			}
		}
	}
	for _, f := range formats {
		if err := f.End(); err != nil {
			return err
		}
	}
	return nil
}
