package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"cbuild/engine"
)

// Each line of the compressed rows is the row of results.json, and equal rows have equal bytes.
func TestRowsOneByOne(t *testing.T) {
	h, rows := hostileRows()
	write := func(w io.Writer, f func(io.Writer) Format) {
		if err := Render(h, each(rows), f(w)); err != nil {
			t.Fatal(err)
		}
	}
	var plain, first, second bytes.Buffer
	write(&plain, func(w io.Writer) Format { return NewJSON(w) })
	write(&first, func(w io.Writer) Format { return NewNDJSON(w) })
	write(&second, func(w io.Writer) Format { return NewNDJSON(w) })
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("equal rows, other bytes")
	}
	z, err := zstd.NewReader(&first)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var whole struct{ Rows []json.RawMessage }
	if err := json.Unmarshal(plain.Bytes(), &whole); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != len(rows) || len(whole.Rows) != len(rows) {
		t.Fatalf("%d lines and %d rows of %d", len(lines), len(whole.Rows), len(rows))
	}
	for i, line := range lines {
		if line != string(whole.Rows[i]) {
			t.Errorf("line %d: %s\nwant %s", i, line, whole.Rows[i])
		}
	}
}

// Whatever names and logs hold, the file is XML, and its counts are those of its cases.
func TestJUnitIsXML(t *testing.T) {
	h, rows := hostileRows()
	rows = append(rows, &Row{Key: "fine", Class: SamePass}, &Row{Key: "odd", Class: Inconclusive, Sides: []Side{{Outcome: "timeout"}, {Outcome: "pass"}}}, &Row{Key: "left out", Class: Skipped})
	h.Summary, h.Count = map[Class]int{}, len(rows)
	for _, r := range rows {
		h.Summary[r.Class]++
	}
	var out bytes.Buffer
	if err := Render(h, each(rows), NewJUnit(&out)); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Suite struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Errors   int `xml:"errors,attr"`
			Skipped  int `xml:"skipped,attr"`
			Cases    []struct {
				Failure []string `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(out.Bytes(), &read); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	failures := 0
	for _, c := range read.Suite.Cases {
		failures += len(c.Failure)
	}
	if s := read.Suite; failures != s.Failures || s.Tests != len(rows) || len(s.Cases) != len(rows) || s.Errors != 1 || s.Skipped != 1 || s.Failures != h.Summary[Regressed] {
		t.Errorf("%+v of %d rows", s, len(rows))
	}
}

func TestRetryListHoldsWhatDidNotPass(t *testing.T) {
	side := func(outcome, label string) Side {
		s := Side{Ran: true}
		s.Outcome = "pass"
		if outcome != "" {
			s.Outcome = engine.Class(outcome)
		}
		s.Extra.Label = label
		return s
	}
	rows := []*Row{
		{Key: "a", Class: Regressed, Sides: []Side{side("pass", "a0"), side("fail", "a1")}},
		{Key: "b", Class: Inconclusive, Sides: []Side{side("timeout", "b0"), side("error", "b1")}},
		{Key: "c", Class: SameFail, Sides: []Side{side("fail", "c0"), side("fail", "c1")}},
		{Key: "d", Class: Skipped, Sides: []Side{side("skipped", "d0"), side("pass", "d1")}},
	}
	for compared, want := range map[bool]string{true: "a1\nb0\nb1\n", false: "a1\nb0\nb1\nc0\nc1\n"} {
		h := &Head{Summary: map[Class]int{}}
		if compared {
			h.Compare = []string{"x", "y"}
		}
		var out bytes.Buffer
		if err := Render(h, each(rows), NewRetry(&out)); err != nil || out.String() != want {
			t.Errorf("compared %v: %q, %v", compared, out.String(), err)
		}
	}
}
