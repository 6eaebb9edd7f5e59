package rules

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"testing"

	"cbuild/engine"
	"cbuild/rules/report"
)

// seen is what the header of a snapshot says.
type seen struct {
	Count   int
	Summary map[string]int
	Causes  []struct{ Text string }
}

func lookAt(t *testing.T, s *report.Snapshot) (h seen) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(s.Pack))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data[8:8+binary.LittleEndian.Uint32(data[4:])], &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// While the rows of a report come in, and after that, whoever asks sees all of them that there are.
func TestReportCanBeSeenWhileItGrows(t *testing.T) {
	ct := newCollateTest(t, versions)
	var g Growing
	defer g.Close()
	ct.rt.Growing = &g
	label := engine.Label{Name: "report"}
	if s, err := g.Snapshot(t.Context(), label); s != nil || err != nil {
		t.Errorf("of nothing: %v, %v", s, err)
	}
	pass, fail := ct.ran(engine.Pass, "ok\n").Result, ct.ran(engine.Fail, "error: no such thing\n").Result
	look := make(chan chan seen)
	rows := func(context.Context) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			for i := range 300 {
				after := pass
				if i%3 == 0 {
					after = fail
				}
				key := fmt.Sprintf("k%03d", i)
				cells := []*engine.Outcome{{Axes: []string{"before"}, Result: pass}, {Axes: []string{"after"}, Result: after}}
				if !yield(engine.Item{Key: key, Value: &engine.Row{Target: ct.target, Key: key, Cells: cells}}, nil) {
					return
				}
				if i == 199 {
					answer := make(chan seen)
					look <- answer
					if got := <-answer; got.Count != 200 || got.Summary["regressed"] != 67 || got.Summary["same-pass"] != 133 || got.Causes[0].Text != "error: no such thing" {
						t.Errorf("after 200 rows: %+v", got)
					}
				}
			}
		}
	}
	done := make(chan struct{})
	go func() { // it ends with the rows
		defer close(done)
		answer := <-look
		for l, n := range g.Rows() {
			s, err := g.Snapshot(t.Context(), l)
			if err != nil || n != 200 {
				t.Errorf("%v: %d rows, %v", l, n, err)
				answer <- seen{}
				return
			}
			answer <- lookAt(t, s)
		}
	}()
	plan, err := ct.plan(&Collate{Compare: []string{"before", "after"}, Rows: rows})
	if err != nil {
		t.Fatal(err)
	}
	<-done
	if _, err := plan.Action.Do(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for l := range g.Rows() {
		s, err := g.Snapshot(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if got := lookAt(t, s); got.Count != 300 || got.Summary["regressed"] != 100 {
			t.Errorf("in the end: %+v", got)
		}
	}
}
