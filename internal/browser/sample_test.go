package browser

import (
	"bufio"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cbuild/engine"
	"cbuild/rules/report"
)

// A sample is a report that is made up: n rows that are compared on two or more sides, the same for the same n.
type sample struct {
	n     int
	sides []string
}

// shares are of how many rows in 100,000 each class has.
var shares = []struct {
	class report.Class
	share int
}{
	{report.Regressed, 255},
	{report.Inconclusive, 401},
	{report.Fixed, 78},
	{report.Changed, 966},
	{report.New, 120},
	{report.Gone, 45},
	{report.Skipped, 350},
	{report.SameFail, 9992},
	{report.SamePass, 87793},
}

func (s sample) counts() map[report.Class]int {
	counts, left := make(map[report.Class]int), s.n
	for _, c := range shares[:len(shares)-1] {
		counts[c.class] = max(c.share*s.n/100_000, 1)
		left -= counts[c.class]
	}
	counts[report.SamePass] = left
	return counts
}

var (
	syllables = strings.Fields("ser de to kio ra yon log re gex cla p an yhow ha sh brown byte s hy per ax um tow er tra it once lazy ce ll db pg sql ite web gui net rs core ut il macro gen")
	errorKind = []string{
		"error[E0308]: mismatched types", "error[E0432]: unresolved import `tokio::macros`", "error[E0599]: no method named `howstat` found",
		"error: linking with `cc` failed: undefined symbol `parsest`", "error[E0283]: type annotations needed", "error[E0119]: conflicting implementations of trait `From<u8>`",
		"test result: FAILED: assertion `left == right` failed", "thread 'main' panicked at src/lib.rs", "error: custom attribute panicked",
	}
)

func (s sample) head() *report.Head {
	return &report.Head{
		Title: "Crater: beta 1.97 on crates.io", Compare: s.sides, Columns: []string{"dependents"},
		Summary: s.counts(), Count: s.n,
	}
}

// rows yields the rows in the order in which a report shows them.
func (s sample) rows() iter.Seq2[*report.Row, error] {
	return func(yield func(*report.Row, error) bool) {
		r := rand.New(rand.NewPCG(1, uint64(s.n))) //nolint:gosec // it is a sample
		i := 0
		for _, c := range shares {
			for range s.counts()[c.class] {
				if !yield(s.row(r, i, c.class), nil) {
					return
				}
				i++
			}
		}
	}
}

// outcomes are those of the base and of the others in a class.
func outcomes(r *rand.Rand, class report.Class) (base, other engine.Class) {
	switch class {
	case report.Regressed:
		return "pass", "fail"
	case report.Fixed:
		return "fail", "pass"
	case report.Inconclusive:
		return "pass", []engine.Class{"timeout", "timeout", "oom", "error"}[r.IntN(4)]
	case report.New:
		return "", "pass"
	case report.Gone:
		return "pass", ""
	case report.Skipped:
		return "skipped", "skipped"
	case report.SameFail, report.Changed:
		return "fail", "fail"
	}
	return "pass", "pass"
}

func (s sample) row(r *rand.Rand, i int, class report.Class) *report.Row {
	key := ""
	for range 2 + r.IntN(3) {
		key += syllables[r.IntN(len(syllables))]
	}
	key = fmt.Sprintf("%s%d-%d.%d.%d", key, i, r.IntN(4), r.IntN(20), r.IntN(10))
	row := &report.Row{Key: key, Class: class, Columns: []engine.Value{int64(r.ExpFloat64() * 40)}}
	base, other := outcomes(r, class)
	took := time.Duration(float64(8*time.Second) * (0.05 + r.ExpFloat64()))
	for j, name := range s.sides {
		side := report.Side{Outcome: other}
		if j == 0 {
			side.Outcome = base
		} else {
			side.Class = class
			if len(s.sides) > 2 && j < len(s.sides)-1 { // only the last side is what the class says
				side.Outcome, side.Class = base, report.SamePass
			}
		}
		side.Ran = side.Outcome != "" && side.Outcome != "skipped" && side.Outcome != "error"
		if side.Outcome == "fail" {
			side.ExitCode = 101
		}
		if side.Outcome == "skipped" {
			side.Cause = fmt.Sprintf("fetch.source[%q] is unavailable: 404", key)
		}
		side.Extra = report.Extra{Label: "//crater:try[" + key + "][" + name + "]"}
		if side.Ran {
			side.Extra.Took = took + time.Duration(r.IntN(2000))*time.Millisecond
			side.Extra.Used.Memory = int64(50+r.IntN(900)) << 20
		}
		if side.Outcome == "error" {
			side.Extra.Trouble = "No space left in the store"
		}
		if r.IntN(3) == 0 {
			side.Extra.Cached = engine.CachedLocal
		}
		row.Sides = append(row.Sides, side)
	}
	if !class.Quiet() {
		s.explain(r, row)
	}
	return row
}

// explain adds what a page shows of a row that needs a look.
func (s sample) explain(r *rand.Rand, row *report.Row) {
	side := &row.Sides[max(row.Deciding(), 0)]
	kind := errorKind[min(int(r.ExpFloat64()*2.2), len(errorKind)-1)]
	log := "   Compiling " + row.Key + "\n" + strings.Repeat(fmt.Sprintf("   Compiling %s%d v1.%d.0\n", syllables[r.IntN(len(syllables))], r.IntN(1000), r.IntN(30)), 12) + kind + "\n --> src/lib.rs:12:5\n"
	row.Detail = &report.Detail{}
	row.Detail.Error, row.Detail.Cause = report.CauseOf(side, log)
	if side.Ran {
		side.Extra.Texts = []report.Excerpt{{Name: "log", Text: log}}
		row.Detail.Diffs = []report.Excerpt{{Name: "log", Text: "@@ -12,2 +12,3 @@\n    Compiling a\n-    Finished\n+" + kind + "\n+ --> src/lib.rs:12:5\n"}}
		side.Extra.Inputs = []string{"src: b3:0d1f…", "toolchain 0: b3:18ab…"}
	}
}

// build is what the page says of the build.
func (s sample) build() *report.Build {
	b := &report.Build{Began: time.Date(2026, 11, 22, 7, 42, 0, 0, time.UTC), Took: 6*time.Hour + 23*time.Minute, Jobs: 16, Lanes: 16}
	for _, t := range []struct {
		name, rule string
		n, cached  int
		failed     int
		took       time.Duration
	}{
		{"toolchain", "toolchain", 2, 2, 0, 41 * time.Second},
		{"index", "query", s.n, 0, 0, 41 * time.Second},
		{"download", "fetch", s.n, s.n * 97 / 100, s.n / 300, 32 * time.Minute},
		{"try", "run", 2 * s.n, 2 * s.n * 2 / 3, s.n / 8, 408 * time.Hour},
		{"report", "collate", 1, 0, 0, 0},
	} {
		b.Targets = append(b.Targets, report.Target{
			Label: "//crater:" + t.name, Name: t.name, Rule: t.rule, Done: t.n, Total: t.n, Cached: t.cached, Took: t.took,
			Counts: map[engine.Class]int{"pass": t.n - t.failed, "fail": t.failed},
		})
	}
	r := rand.New(rand.NewPCG(2, 2)) //nolint:gosec // it is a sample
	for lane := range b.Lanes {
		for at := time.Duration(0); at < b.Took; {
			took := time.Duration(float64(90*time.Second) * (0.1 + r.ExpFloat64()))
			outcome := engine.ClassPass
			if r.IntN(12) == 0 {
				outcome = "fail"
			}
			b.Spans = append(b.Spans, report.Span{Lane: lane, Start: at, Took: took, Target: 2 + r.IntN(2), Outcome: outcome})
			at += took + time.Duration(r.IntN(5000))*time.Millisecond
		}
	}
	return b
}

// write writes the page of a report, and returns its address.
func write(t *testing.T, h *report.Head, rows iter.Seq2[*report.Row, error], build *report.Build) (address, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "index.html")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	if err := report.Render(h, rows, report.NewHTML(w, report.PageOptions{Build: func() *report.Build { return build }})); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return "file://" + file, file
}

// page writes the page of s.
func (s sample) page(t *testing.T) (address, file string) {
	t.Helper()
	return write(t, s.head(), s.rows(), s.build())
}

// open shows the page of s in a tab.
func (s sample) open(t *testing.T) *tab {
	t.Helper()
	url, _ := s.page(t)
	b := newTab(t)
	b.open(url)
	return b
}

// two are the sides of most samples.
var two = []string{"1.96.0", "1.97.0-beta.3"}
