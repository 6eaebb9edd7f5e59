package engine_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/engine"
)

// TestDemandedRowHasItsAxes demands an instance by its key while the axes of its target are not known yet.
func TestDemandedRowHasItsAxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuild(engine.Options{Jobs: 4, Window: 4},
			&engine.Target{Label: label("a"), Items: items("k1", "k2"), Plan: takes(0)},
			&engine.Target{
				Label: label("b"), Over: over("a"), Axes: []string{"x"}, Needs: stream("a"), Plan: takes(time.Second),
				Matrix: func(context.Context, engine.View) ([]engine.Axis, error) {
					time.Sleep(time.Minute)
					return []engine.Axis{{Name: "x", Keys: []string{"before", "after"}, Value: func(context.Context, string) (engine.Value, error) { return nil, nil }}}, nil
				},
			},
			&engine.Target{
				Label: label("c"), Over: over("a"), Axes: []string{"x"}, Needs: stream("a"), Plan: takes(time.Second),
				Matrix: func(context.Context, engine.View) ([]engine.Axis, error) {
					time.Sleep(time.Minute)
					return nil, &engine.InvalidError{Err: errors.New("no axes")}
				},
			})
		if err := b.Run(t.Context(), []engine.Want{{Label: label("b"), Keys: []string{"k2"}}, {Label: label("c"), Keys: []string{"k2"}}}); err != nil {
			t.Fatal(err)
		}
		want := []string{"a[k2] pass no", "b[k2 after] pass no", "b[k2 before] pass no", "c[] invalid no", "c[k2] invalid no"}
		if got := b.log.finished(); !slices.Equal(got, want) {
			t.Errorf("finished %v, want %v", got, want)
		}
	})
}

// TestKeysAfterWhere asks for the keys of a filtered target at different moments: the answer is always the same.
func TestKeysAfterWhere(t *testing.T) {
	for wait := range 5 {
		synctest.Test(t, func(t *testing.T) {
			var keys []string
			b := newBuild(engine.Options{Jobs: 1, Window: 1},
				&engine.Target{Label: label("a"), Items: items("k1", "k2", "k3", "k4"), Plan: takes(time.Second), Where: func(_ context.Context, _ engine.View, i engine.Instance) (bool, error) {
					time.Sleep(time.Second)
					return i.Key != "k2" && i.Key != "k4", nil
				}},
				&engine.Target{Label: label("b"), Needs: []engine.Need{{Label: label("a"), Mode: engine.InstanceMode}}, Plan: func(ctx context.Context, v engine.View, i engine.Instance) (p *engine.Plan, err error) {
					time.Sleep(time.Duration(wait) * time.Second)
					if keys, err = v.Keys(ctx, label("a")); err != nil {
						return nil, err
					}
					return takes(0)(ctx, v, i)
				}})
			b.run(t, "a", "b")
			if !slices.Equal(keys, []string{"k1", "k3"}) {
				t.Errorf("after %d s: %v", wait, keys)
			}
		})
	}
}

// TestWhatNobodyNeedsAnyMore ends a build while work is under way that was begun ahead: it is neither told nor counted.
func TestWhatNobodyNeedsAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuild(engine.Options{Jobs: 8, Window: 8},
			&engine.Target{Label: label("a"), Items: items(numbered(50)...), Plan: func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
				if i.Key == "k0000" {
					return takes(time.Second)(ctx, v, i)
				}
				return takes(time.Hour)(ctx, v, i)
			}},
			&engine.Target{Label: label("first"), Needs: stream("a"), Plan: func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
				for range v.Rows(ctx, label("a")) {
					break
				}
				return takes(0)(ctx, v, i)
			}})
		counts := b.run(t, "first")
		if want := []string{"a[k0000] pass no", "first[] pass no"}; !slices.Equal(b.log.finished(), want) || counts.Total != 2 {
			t.Errorf("finished %v, counts %+v", b.log.finished(), counts)
		}
	})
}

// TestCancelledOnce cancels while rows are under way that were asked for by their keys, or are the only ones of their targets.
func TestCancelledOnce(t *testing.T) {
	for _, drain := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			slow := func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
				select {
				case <-time.After(time.Minute):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				return takes(time.Hour)(ctx, v, i)
			}
			b := newBuild(engine.Options{Jobs: 1, Window: 1},
				&engine.Target{Label: label("a"), Items: items(numbered(9)...), Plan: slow},
				&engine.Target{Label: label("one"), Plan: slow})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stop := cancel
			if drain {
				stop = b.Drain
			}
			time.AfterFunc(time.Second, stop)
			if err := b.Run(ctx, []engine.Want{{Label: label("a"), Keys: []string{"k0003", "k0001"}}, {Label: label("one")}}); err != nil {
				t.Fatal(err)
			}
			want := []string{"a[k0001] cancelled no", "a[k0003] cancelled no", "one[] cancelled no"}
			got := b.log.finished()
			if got[0] == "a[] cancelled no" { // the rest of it, unless all that is wanted ended before
				got = got[1:]
			}
			if !slices.Equal(got, want) {
				t.Errorf("drain %v: finished %v, want %v", drain, got, want)
			}
		})
	}
}

// slowly is a cache that takes its time.
type slowly struct{ *cache }

func (s slowly) Lookup(ctx context.Context, k engine.Key, want engine.Conditions, mode engine.LookupMode) (*engine.Result, string, error) {
	time.Sleep(time.Second)
	return s.cache.Lookup(ctx, k, want, mode)
}

// TestStoredFailureIsForThoseWhoAllowIt has two targets that do the same; only one takes a stored failure for a result. They wait for
// one look-up.
func TestStoredFailureIsForThoseWhoAllowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran atomic.Int32
		c := &cache{}
		plan := func(allow bool, wait time.Duration) func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
			return func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
				time.Sleep(wait)
				p := &engine.Plan{Action: &action{key: "same", took: time.Second, do: func(context.Context) (*engine.Result, error) {
					ran.Add(1)
					return &engine.Result{Status: engine.Fail}, nil
				}}}
				if allow {
					p.Reuse = func(*engine.Result) bool { return true }
				}
				return p, nil
			}
		}
		build := func() *build {
			return newBuild(engine.Options{Jobs: 4, Cache: slowly{c}},
				&engine.Target{Label: label("allows"), Plan: plan(true, 0)},
				&engine.Target{Label: label("strict"), Plan: plan(false, time.Millisecond)})
		}
		build().run(t, "allows", "strict")
		if ran.Load() != 1 {
			t.Errorf("at first it ran %d times: what came about just now is for both", ran.Load())
		}
		b := build()
		b.run(t, "allows", "strict")
		if want := []string{"allows[] fail local", "strict[] fail no"}; !slices.Equal(b.log.finished(), want) || ran.Load() != 2 {
			t.Errorf("finished %v, ran %d times in all", b.log.finished(), ran.Load())
		}
	})
}

// TestDoneIsKept cancels a build at the moment at which an action ends.
func TestDoneIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := strict{&cache{}}
		b := newBuild(engine.Options{Jobs: 1, Cache: c}, &engine.Target{Label: label("a"), Plan: func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
			return &engine.Plan{Action: &action{key: "k", do: func(context.Context) (*engine.Result, error) {
				cancel()
				time.Sleep(time.Second) // nobody waits for it any more
				return &engine.Result{}, nil
			}}}, nil
		}})
		if err := b.Run(ctx, []engine.Want{{Label: label("a")}}); err != nil {
			t.Fatal(err)
		}
		if len(c.records) != 1 {
			t.Error("what was done is lost")
		}
	})
}

// strict is a cache that does nothing for a context that has ended.
type strict struct{ *cache }

func (s strict) Record(ctx context.Context, r engine.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.cache.Record(ctx, r)
}

// TestReadersOfOneFeed has several stream readers of a feed under the tightest bounds: one is fast, one dawdles, one joins and never
// reads on, one comes late and reads everything from the beginning.
func TestReadersOfOneFeed(t *testing.T) {
	for _, tail := range []int{2, 512} {
		defer engine.SetTailRows(tail)()
		synctest.Test(t, func(t *testing.T) {
			const n = 60
			read := map[string]*atomic.Int32{}
			var worst atomic.Int32
			reader := func(name string, each func(ctx context.Context, v engine.View, place int) error) *engine.Target {
				read[name] = &atomic.Int32{}
				needs := stream("a")
				if name == "stuck" {
					needs = append(needs, engine.Need{Label: label("fast"), Mode: engine.InstanceMode})
				}
				return &engine.Target{Label: label(name), Needs: needs, Plan: func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
					place := 0
					for r, err := range v.Rows(ctx, label("a")) {
						if err != nil {
							return nil, err
						}
						if want := fmt.Sprintf("k%04d", place); r.Key != want || r.Value != want {
							return nil, fmt.Errorf("%s is at %d", r.Key, place)
						}
						place++
						read[name].Add(1)
						if err := each(ctx, v, place); err != nil {
							return nil, err
						}
					}
					return takes(0)(ctx, v, i)
				}}
			}
			scratch := &spool{}
			b := newBuild(engine.Options{Jobs: 1, Window: 1, DiskAhead: 1, Spool: func() (engine.Spool, error) { return scratch, nil }},
				&engine.Target{Label: label("a"), Items: items(numbered(n)...), Plan: func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
					var place, fastest int32
					fmt.Sscanf(i.Key, "k%d", &place)
					for _, r := range read {
						fastest = max(fastest, r.Load())
					}
					worst.Store(max(worst.Load(), place-fastest))
					p, err := takes(time.Second)(ctx, v, i)
					p.Ahead = func(*engine.Result) int64 { return 1000 }
					return p, err
				}},
				reader("fast", func(context.Context, engine.View, int) error { return nil }),
				reader("slow", func(context.Context, engine.View, int) error { time.Sleep(5 * time.Second); return nil }),
				reader("stuck", func(ctx context.Context, v engine.View, place int) error {
					if place < 3 {
						return nil
					}
					_, err := v.Row(ctx, label("fast"), "") // reads on only when another one is through
					return err
				}),
				&engine.Target{Label: label("late"), Needs: []engine.Need{{Label: label("fast"), Mode: engine.WholeMode}, {Label: label("a"), Mode: engine.StreamMode}}, Plan: func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
					if _, err := v.Row(ctx, label("fast"), ""); err != nil {
						return nil, err
					}
					rows := 0
					for _, err := range v.Rows(ctx, label("a")) {
						if err != nil {
							return nil, err
						}
						rows++
					}
					if rows != n {
						return nil, fmt.Errorf("%d rows", rows)
					}
					return takes(0)(ctx, v, i)
				}})
			counts := b.run(t, "fast", "slow", "stuck", "late")
			if counts.Classes[engine.ClassPass] != n+4 {
				t.Errorf("finished %v", b.log.finished())
			}
			if worst.Load() > 2 {
				t.Errorf("it ran %d rows ahead of the fastest reader", worst.Load())
			}
			if sealed := len(scratch.data) > 0; sealed != (tail == 2) {
				t.Errorf("tail %d: %d bytes sealed", tail, len(scratch.data))
			}
		})
	}
}

// TestDemandWhileBlockedUpstream demands keys that never come from targets whose producers wait for a slow upstream.
func TestDemandWhileBlockedUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] {
			return func(yield func(engine.Item, error) bool) {
				for _, k := range numbered(5) {
					time.Sleep(time.Hour)
					if !yield(engine.Item{Key: k}, nil) {
						return
					}
				}
			}
		}
		ask := func(key string) func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
			return func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
				if _, err := v.Row(ctx, label("c"), key); err != nil {
					return nil, err
				}
				return takes(0)(ctx, v, i)
			}
		}
		need := []engine.Need{{Label: label("c"), Mode: engine.InstanceMode}}
		b := newBuild(engine.Options{Jobs: 1, Window: 1, DiskAhead: 1},
			&engine.Target{Label: label("a"), Items: slow, Plan: takes(time.Second)},
			&engine.Target{Label: label("b"), Over: over("a"), Needs: stream("a"), Plan: takes(time.Second)},
			&engine.Target{Label: label("c"), Over: over("b"), Needs: stream("b"), Plan: takes(time.Second)},
			&engine.Target{Label: label("never"), Needs: need, Plan: ask("nope")},
			&engine.Target{Label: label("last"), Needs: need, Plan: ask("k0004")})
		b.run(t, "never", "last")
		got := strings.Join(b.log.finished(), "; ")
		want := "a[k0004] pass no; b[k0004] pass no; c[k0004] pass no; last[] pass no; never[] error no"
		if got != want {
			t.Errorf("finished %s, want %s", got, want)
		}
	})
}

// TestWholeOfWhatWasNotNeeded asks after the build for the rows of a target that it did not touch.
func TestWholeOfWhatWasNotNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuild(engine.Options{Jobs: 1}, &engine.Target{Label: label("a"), Plan: takes(0)}, &engine.Target{Label: label("b"), Items: items("k"), Plan: takes(0)})
		b.run(t, "a")
		for r, err := range b.Whole(t.Context(), label("b")) {
			t.Errorf("%v, %v", r, err)
		}
	})
}
