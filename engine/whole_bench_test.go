package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"cbuild/engine"
)

// BenchmarkWhole reads sealed rows in the order of their keys, which came in another one.
func BenchmarkWhole(b *testing.B) {
	for _, n := range []int{10_000, 40_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			keys := make([]string, n)
			for i := range keys {
				keys[i] = fmt.Sprintf("k%06d", i)
			}
			rand.New(rand.NewPCG(1, 1)).Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			scratch := &spool{}
			bld := newBuild(engine.Options{Jobs: 4, Window: 64, Spool: func() (engine.Spool, error) { return scratch, nil }},
				&engine.Target{Label: label("a"), Items: items(keys...), Plan: takes(0)})
			if err := bld.Run(b.Context(), []engine.Want{{Label: label("a")}}); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				read := 0
				for _, err := range bld.Whole(b.Context(), label("a")) {
					if err != nil {
						b.Fatal(err)
					}
					read++
				}
				if read != n {
					b.Fatal(read)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/row")
		})
	}
}
