package rules

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"testing"
	"time"

	"cbuild/engine"
)

// manyRows yields n rows of two sides, made on the way, of which one in hundred regressed.
func manyRows(ct *collateTest, n int) Rows {
	logs := make([]*engine.Outcome, 50)
	for i := range logs {
		logs[i] = ct.ran(engine.Fail, fmt.Sprintf("x_test.go:%d: got 3\nFAIL 0.12s\n", i))
	}
	ok := ct.ran(engine.Pass, "ok\n").Result
	return func(context.Context) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			for i := range n {
				key := fmt.Sprintf("github.com/some-owner/module-%06d@v1.%d.0", i*7919%n, i%7)
				a := &engine.Outcome{Axes: []string{"before"}, Result: ok, Cached: engine.CachedLocal}
				b := &engine.Outcome{Axes: []string{"after"}, Result: ok, Cached: engine.CachedLocal}
				if i%100 == 0 {
					b.Result = logs[i/100%len(logs)].Result
				}
				if !yield(engine.Item{Key: key, Value: &engine.Row{Target: ct.target, Key: key, Cells: []*engine.Outcome{a, b}}}, nil) {
					return
				}
			}
		}
	}
}

const benchRows = 100_000

func BenchmarkCollate100000(b *testing.B) {
	ct := newCollateTest(b, versions)
	rows := manyRows(ct, benchRows)
	before := liveHeap()
	peak := peakHeap(b)
	for b.Loop() {
		start := time.Now()
		plan, err := ct.plan(&Collate{Compare: []string{"before", "after"}, Rows: rows})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "plan-ms")
		if _, err := plan.Action.Do(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(peak()-before)/(1<<20), "peak-MiB")
}

// peakHeap watches how much of the heap is in use, until it is asked for the most.
func peakHeap(b *testing.B) (peak func() int64) {
	b.Helper()
	var most int64
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, int64(m.HeapAlloc))
			case <-stop:
				return
			}
		}
	})
	return func() int64 {
		close(stop)
		watching.Wait()
		return most
	}
}

// TestRowsInMemory measures what the rows of a report hold on to until it is written.
func TestRowsInMemory(t *testing.T) {
	ct := newCollateTest(t, versions)
	rows := manyRows(ct, benchRows)
	before := liveHeap()
	plan, err := ct.plan(&Collate{Compare: []string{"before", "after"}, Rows: rows})
	if err != nil {
		t.Fatal(err)
	}
	per := float64(liveHeap()-before) / benchRows
	plan.Action.(*collateAction).rows.close()
	t.Logf("%.0f bytes a row", per)
	if per > 300 {
		t.Errorf("%.0f bytes of heap for each row, want at most 300", per)
	}
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
