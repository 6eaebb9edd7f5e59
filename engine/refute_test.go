package engine_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cbuild/engine"
)

// hostileGraph makes random targets with everything that can go wrong: elements that end in an error half-way, queries that fail on
// a page, where that drops, failures, trouble, keys that do not exist, readers that stop early or dawdle, matrices over filtered
// targets, and equal keys. What becomes of an instance depends on nothing but the seed.
func hostileGraph(seed uint64) []*engine.Target {
	g := &grapher{rng: rand.New(rand.NewPCG(seed, 7)), keys: numbered(9)}
	for n := range 9 {
		g.add(fmt.Sprintf("t%d", n), n == 8)
	}
	return g.targets
}

type grapher struct {
	rng     *rand.Rand
	keys    []string
	targets []*engine.Target
}

var (
	errHalfWay = errors.New("the elements end in an error")
	errPage    = &engine.UnavailableError{Err: errors.New("no such page")}
)

// read is something that an instance does before its action.
type read func(ctx context.Context, v engine.View, i engine.Instance) error

func (g *grapher) chance(n int) bool { return g.rng.IntN(n) == 0 }

func (g *grapher) shuffled() []string {
	keys := slices.Clone(g.keys)
	g.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

func (g *grapher) add(name string, last bool) {
	t := &engine.Target{Label: label(name)}
	var reads []read
	for _, other := range g.targets {
		if r := g.reading(t, other, last); r != nil {
			reads = append(reads, r)
		}
	}
	switch {
	case t.Over != nil:
		t.Needs = append(t.Needs, engine.Need{Label: *t.Over, Mode: engine.StreamMode, Attribute: "for_each"})
	case !last && g.chance(4):
		t.Query = g.query(name)
	case !last && g.chance(3) || g.chance(2):
		t.Items = g.elements()
	}
	t.Repeated = t.Items != nil || t.Over != nil || t.Query != nil
	if t.Query == nil {
		g.where(t)
		g.matrix(t)
		t.Plan = g.plan(reads)
	}
	g.targets = append(g.targets, t)
}

// reading makes t need other in a random way, or not at all.
func (g *grapher) reading(t, other *engine.Target, last bool) read {
	l := other.Label
	need := func(m engine.Mode) { t.Needs = append(t.Needs, engine.Need{Label: l, Mode: m}) }
	mode := g.rng.IntN(14)
	if last {
		mode %= 7
	}
	switch mode {
	case 0:
		need(engine.WholeMode)
		return func(ctx context.Context, v engine.View, _ engine.Instance) error {
			return drainSeq(v.Whole(ctx, l), -1, 0)
		}
	case 1, 2:
		need(engine.InstanceMode)
		key := ""
		if other.Repeated {
			key = append(g.shuffled(), "nope")[g.rng.IntN(len(g.keys)+1)]
		}
		return func(ctx context.Context, v engine.View, _ engine.Instance) error {
			_, err := v.Row(ctx, l, key)
			return err
		}
	case 3:
		need(engine.InstanceMode)
		return func(ctx context.Context, v engine.View, i engine.Instance) error {
			key := i.Key
			if !other.Repeated {
				key = ""
			}
			_, err := v.Row(ctx, l, key)
			return err
		}
	case 4:
		need(engine.StreamMode)
		return func(ctx context.Context, v engine.View, _ engine.Instance) error {
			return drainSeq(v.Rows(ctx, l), -1, 0)
		}
	case 5: // one that stops early or takes its time
		need(engine.StreamMode)
		most, pause := g.rng.IntN(4), time.Duration(g.rng.IntN(5))*time.Second
		return func(ctx context.Context, v engine.View, _ engine.Instance) error {
			_ = drainSeq(v.Rows(ctx, l), most, pause)
			return ctx.Err()
		}
	case 6: // one that joins the stream, then waits for the last element
		need(engine.StreamMode)
		key := ""
		if other.Repeated {
			key = g.keys[g.rng.IntN(len(g.keys))]
		}
		return func(ctx context.Context, v engine.View, _ engine.Instance) (err error) {
			for range v.Rows(ctx, l) {
				_, err = v.Row(ctx, l, key)
				break
			}
			return err
		}
	case 7, 8:
		if other.Repeated && t.Over == nil {
			t.Over = &l
		}
	case 9:
		need(engine.InstanceMode)
		return func(ctx context.Context, v engine.View, _ engine.Instance) error {
			_, err := v.Keys(ctx, l)
			return err
		}
	}
	return nil
}

// drainSeq reads at most so many rows, with a pause after each; -1 reads all.
func drainSeq(rows iter.Seq2[*engine.Row, error], most int, pause time.Duration) error {
	n := 0
	for _, err := range rows {
		if err != nil {
			return err
		}
		if n++; n == most {
			return nil
		}
		if pause > 0 {
			time.Sleep(pause)
		}
	}
	return nil
}

func (g *grapher) elements() func(context.Context, engine.View) iter.Seq2[engine.Item, error] {
	keys, bad, slow := g.shuffled(), -1, g.chance(3)
	if g.chance(4) {
		bad = g.rng.IntN(len(keys) + 1)
	}
	return func(ctx context.Context, _ engine.View) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			for i, k := range keys {
				if i == bad {
					yield(engine.Item{}, errHalfWay)
					return
				}
				if slow {
					time.Sleep(time.Second)
				}
				if !yield(engine.Item{Key: k, Value: k}, nil) {
					return
				}
			}
		}
	}
}

func (g *grapher) query(name string) func(context.Context, engine.View) iter.Seq2[engine.Item, error] {
	keys, bad, keyed := g.shuffled(), -1, g.chance(2)
	if g.chance(3) {
		bad = g.rng.IntN(3)
	}
	return func(ctx context.Context, v engine.View) iter.Seq2[engine.Item, error] {
		return func(yield func(engine.Item, error) bool) {
			for page := range 3 {
				a := &action{took: time.Second}
				if keyed {
					a.key = name + strconv.Itoa(page)
				}
				if page == bad {
					a.do = func(context.Context) (*engine.Result, error) { return nil, errPage }
				}
				if o := v.Perform(ctx, name+" page "+strconv.Itoa(page), &engine.Plan{Pool: engine.NetPool, Action: a}); o.Err != nil {
					yield(engine.Item{}, o.Err)
					return
				}
				for _, k := range keys[page*3 : page*3+3] {
					if !yield(engine.Item{Key: k, Value: k}, nil) {
						return
					}
				}
			}
		}
	}
}

func (g *grapher) where(t *engine.Target) {
	if !g.chance(3) {
		return
	}
	salt, bad := g.rng.IntN(3), g.chance(5)
	t.Where = func(_ context.Context, _ engine.View, i engine.Instance) (bool, error) {
		h := sum(i.Key+strings.Join(i.Axes, ",")) + salt
		if bad && h%4 == 0 {
			return false, &engine.InvalidError{Err: errors.New("where")}
		}
		return h%3 > 0, nil
	}
}

func sum(s string) (n int) {
	for _, c := range s {
		n += int(c)
	}
	return n
}

func (g *grapher) matrix(t *engine.Target) {
	if !g.chance(3) {
		return
	}
	t.Axes = []string{"x"}
	var over *engine.Target
	if len(g.targets) > 0 && g.chance(2) {
		if over = g.targets[g.rng.IntN(len(g.targets))]; !over.Repeated {
			over = nil
		} else {
			t.Needs = append(t.Needs, engine.Need{Label: over.Label, Mode: engine.StreamMode, Attribute: "matrix"})
		}
	}
	t.Matrix = func(ctx context.Context, v engine.View) ([]engine.Axis, error) {
		axis := engine.Axis{Name: "x", Keys: []string{"before", "after"}, Value: func(context.Context, string) (engine.Value, error) { return nil, nil }}
		if over != nil {
			keys, err := v.Keys(ctx, over.Label)
			if err != nil {
				return nil, err
			}
			slices.Sort(keys)
			axis.Keys = keys[:min(len(keys), 3)]
			axis.Value = func(ctx context.Context, key string) (engine.Value, error) { return v.Row(ctx, over.Label, key) }
		}
		return []engine.Axis{axis}, nil
	}
}

func (g *grapher) plan(reads []read) func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
	took, salt, shared := time.Duration(g.rng.IntN(3))*time.Second, g.rng.IntN(100), g.chance(4)
	pool := []engine.PoolKind{engine.NoPool, engine.CPUPool, engine.NetPool}[g.rng.IntN(3)]
	return func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
		for _, r := range reads {
			if err := r(ctx, v, i); err != nil {
				return nil, err
			}
		}
		name := i.Name()
		if shared {
			name = fmt.Sprint("shared ", salt, sum(name)%3) // equal work for different instances
		}
		h := sum(name) + salt
		a := &action{key: name, took: took}
		tries := 0
		a.do = func(context.Context) (*engine.Result, error) {
			switch h % 11 {
			case 0:
				return &engine.Result{Status: engine.Fail, ExitCode: 1}, nil
			case 1:
				return nil, errPage
			case 2:
				return nil, errors.New("trouble that lasts")
			case 3:
				if tries++; tries < 3 {
					return nil, &engine.TroubleError{Err: errors.New("trouble that passes"), Retry: true, After: 5 * time.Second}
				}
			}
			return &engine.Result{}, nil
		}
		return &engine.Plan{Pool: pool, Slots: 1 + h%3, Retries: 3, Action: a, Ahead: func(*engine.Result) int64 { return 1000 }}, nil
	}
}

// outcomes returns the class of every finished instance, and complains about those that finished twice.
func (b *build) outcomes(t *testing.T) map[string]engine.Class {
	t.Helper()
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	classes := make(map[string]engine.Class)
	running := make(map[string]int)
	for _, e := range b.log.events {
		switch e.Type {
		case engine.EventStarted:
			running[e.Text]++
		case engine.EventProgress:
			delete(running, e.Text)
		case engine.EventFinished:
			name := e.Target.Label.Name + fmt.Sprintf("%q", e.Instance)
			if old, ok := classes[name]; ok {
				t.Errorf("%s is finished twice: %v, %v: %s", name, old, e.Outcome.Class(), e.Why)
			}
			classes[name] = e.Outcome.Class()
		}
	}
	return classes
}

func refuteSeeds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("CBUILD_SEEDS"), 10, 64); err == nil {
		return n
	}
	return 300
}

func options(seed uint64, jobs, window int, ahead int64) engine.Options {
	o := engine.Options{Jobs: jobs, Connections: 1 + jobs/8, Window: window, DiskAhead: ahead}
	if seed%2 == 0 {
		scratch := &spool{}
		o.Spool = func() (engine.Spool, error) { return scratch, nil }
	}
	return o
}

// TestSameOutcomesWhateverTheOrder builds hostile graphs one by one and in parallel, under tight bounds and without: what is asked
// for comes out the same, and so does all else that comes out at all.
func TestSameOutcomesWhateverTheOrder(t *testing.T) {
	defer engine.SetTailRows(2)()
	for seed := range refuteSeeds() {
		synctest.Test(t, func(t *testing.T) {
			var first map[string]engine.Class
			for _, o := range []engine.Options{options(seed, 1, 1, 1), options(seed, 16, 64, 1<<40), options(seed, 3, 2, 1)} {
				b := newBuild(o, hostileGraph(seed)...)
				b.run(t, "t8")
				got := b.outcomes(t)
				if first == nil {
					first = got
				}
				for name, class := range got {
					if want, ok := first[name]; ok && want != class || !ok && strings.HasPrefix(name, "t8") {
						t.Errorf("seed %d, -j%d: %s is %s, not %q", seed, o.Jobs, name, class, want)
					}
				}
				for name, class := range first {
					if _, ok := got[name]; !ok && strings.HasPrefix(name, "t8") {
						t.Errorf("seed %d, -j%d: %s is not there, but was %s", seed, o.Jobs, name, class)
					}
					if class == engine.ClassCancelled {
						t.Errorf("seed %d: %s is cancelled in a build that nobody stopped", seed, name)
					}
				}
			}
		})
		if t.Failed() {
			return
		}
	}
}

// TestStoppedAtAnyMoment drains, cancels, or fails fast at random moments: the build ends, everything is told at most once, and
// nothing is started after a drain.
func TestStoppedAtAnyMoment(t *testing.T) {
	defer engine.SetTailRows(3)()
	for seed := range refuteSeeds() {
		rng := rand.New(rand.NewPCG(seed, 99))
		synctest.Test(t, func(t *testing.T) {
			o := options(seed, 1+rng.IntN(16), 1+rng.IntN(8), int64(rng.IntN(2))*(1<<40)+1)
			o.FailFast = rng.IntN(3) == 0
			graph := hostileGraph(seed)
			b := newBuild(o, graph...)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			drained := -1
			done := make(chan struct{})
			at := time.Duration(rng.IntN(30_000)) * time.Millisecond
			if rng.IntN(3) == 0 {
				at = at.Truncate(time.Second) // just when something else happens
			}
			how := rng.IntN(3)
			go func() {
				defer close(done)
				time.Sleep(at)
				if how != 1 {
					b.Drain()
					synctest.Wait()
					b.log.mu.Lock()
					drained = len(b.log.events)
					b.log.mu.Unlock()
				}
				if how == 2 {
					time.Sleep(500 * time.Millisecond)
				}
				if how > 0 {
					cancel()
				}
			}()
			wants := []engine.Want{{Label: label("t8")}}
			if graph[3].Repeated && rng.IntN(2) == 0 {
				wants = append(wants, engine.Want{Label: label("t3"), Keys: []string{"k0003", "k0008", "nope"}})
			}
			if err := b.Run(ctx, wants); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			<-done
			b.outcomes(t)
			if drained >= 0 {
				for _, e := range b.log.events[drained:] {
					if e.Type == engine.EventStarted {
						t.Errorf("seed %d: %s was started after the drain", seed, e.Text)
					}
				}
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
