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
	label := "//:report"
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
		for _, r := range g.Reports() {
			s, err := g.Snapshot(t.Context(), r.Label)
			if err != nil || r.Rows != 200 {
				t.Errorf("%+v: %v", r, err)
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
	for _, r := range g.Reports() {
		s, err := g.Snapshot(t.Context(), r.Label)
		if err != nil {
			t.Fatal(err)
		}
		if got := lookAt(t, s); got.Count != 300 || got.Summary["regressed"] != 100 {
			t.Errorf("in the end: %+v", got)
		}
	}
}

// A collate of any number of instances keeps few of them to be looked at, each under its own label; the others are made all the same.
func TestManyReportsGrowAtOnce(t *testing.T) {
	ct := newCollateTest(t, versions)
	var g Growing
	defer g.Close()
	ct.rt.Growing = &g
	target := &engine.Target{Label: engine.Label{Name: "report"}, Rule: "collate", Repeated: true}
	rows := func(context.Context) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			row := ct.row("k", ct.ran(engine.Pass, "ok", "before"), ct.ran(engine.Pass, "ok", "after"))
			yield(engine.Item{Key: "k", Value: row}, nil)
		}
	}
	var plans []*engine.Plan
	for i := range maxGrowing + 2 {
		r := &Collate{Compare: versions.Keys, Rows: rows}
		plan, err := r.Plan(t.Context(), ct.rt, Self{Instance: engine.Instance{Target: target, Key: fmt.Sprint(i)}})
		if err != nil {
			t.Fatal(err)
		}
		plans = append(plans, plan)
	}
	for i, plan := range plans {
		if _, err := plan.Action.Do(t.Context(), nil); err != nil {
			t.Fatalf("report %d: %v", i, err)
		}
	}
	all := g.Reports()
	if len(all) != maxGrowing || all[0] != (GrowingReport{"//:report[0]", target.Label, 1}) {
		t.Errorf("%d reports: %+v", len(all), all[0])
	}
	if s, err := g.Snapshot(t.Context(), "//:report[1]"); err != nil || lookAt(t, s).Count != 1 {
		t.Errorf("%v, %v", s, err)
	}
	if s, err := g.Snapshot(t.Context(), fmt.Sprintf("//:report[%d]", maxGrowing)); err != nil || s != nil {
		t.Errorf("of one that is not kept: %v, %v", s, err)
	}
}
