package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
)

// Options are what a Build is made of.
type Options struct {
	// Targets are all declared targets; their Needs form no cycle.
	Targets []*Target
	Cache   ActionCache
	// Leases keep other builds over the same Cache from doing equal work at the same time; nil does without.
	Leases Leaser
	// Observer is told what happens; it may be nil.
	Observer Observer
	// Jobs and Connections are the sizes of the pools; less than 1 means 1.
	Jobs, Connections int
	// Memory is how many bytes all that is done at a time may be promised by its limits; 0 is any number.
	Memory int64
	// Pools are further ones, by the names that plans know them by.
	Pools map[string]PoolSpec
	// Window is how many elements of a target may be under way, and how many may be finished ahead of the fastest reader. Less
	// than 1 means 1.
	Window int
	// DiskAhead is how many bytes may lie finished and unread, in all instances of a target.
	DiskAhead int64
	// Spool makes the scratch space for rows; it is called once, at the first need. Nil keeps all rows in memory.
	Spool func() (Spool, error)
	// FailFast stops the build at the first failure that is not allowed, and at the first trouble.
	FailFast bool
	// Again does every action but downloads again, once, although a result is stored.
	Again bool
	// Check, if set, has what is stored done again.
	Check Checker
	// Stored does nothing but look up: any stored result will do, also one that a build would not use again, and what has none ends
	// with ErrNotStored.
	Stored bool
	// Dry does nothing but look up what a build would use: what would have to be done ends with ErrNotStored and the reason.
	Dry bool
	// Explain returns why the action of an instance, named as in expressions, has no stored result under its key, or "" if it does not know
	// better than the cache. It may be nil.
	Explain func(t *Target, name string, a Action) string
}

// ErrNotStored is the outcome of an action that would have to be done in a build that only looks up.
var ErrNotStored = errors.New("no result is stored")

// A Want is what a build is asked for: all instances of a target, or those with the given keys and those whose keys match.
type Want struct {
	Label Label
	Keys  []string
	// Match, if set, reports whether an instance with this key is wanted. It is called when all keys are known.
	Match func(key string) bool
	// Use, if set, is called with each instance of the target that has a result, from several goroutines. A *LostError makes the
	// engine do the instance again; any other error is what becomes of it.
	Use func(ctx context.Context, r *Row, o *Outcome) error
}

// A Build evaluates targets on demand. Make it with New, call Run once; then the collections of the targets can be read with Whole.
type Build struct {
	opts  Options
	nodes map[Label]*node
	cpu   *pool
	net   *pool
	// memory is counted in MiB, rounded up.
	memory *pool
	pools  map[string]*pool
	spool  func() (Spool, error)

	flights   flights
	remakes   remakes
	durations durations
	fresh     sync.Map // keys of actions that were done in this build
	checked   sync.Map // keys of actions that were done again to be checked
	unstored  atomic.Int64
	// complete is set when everything that was wanted is there, so that what else was begun just ends.
	complete atomic.Bool
	drained  chan struct{}
	drain    sync.Once
	// begin starts a goroutine of Run's, with Run's context; over is closed soon after that one ends. Both are set before the first
	// target starts.
	begin func(f func(ctx context.Context))
	over  <-chan struct{}

	mu     sync.Mutex
	counts map[Label]*Counts // guarded by mu
	bug    error             // guarded by mu; the first panic
}

// New returns a build over opts.Targets.
func New(opts Options) *Build {
	opts.Window = max(opts.Window, 1)
	drained := make(chan struct{})
	b := &Build{
		opts:    opts,
		nodes:   make(map[Label]*node, len(opts.Targets)),
		cpu:     newPool(PoolSpec{Limit: max(opts.Jobs, 1)}, drained),
		net:     newPool(PoolSpec{Limit: max(opts.Connections, 1)}, drained),
		pools:   make(map[string]*pool, len(opts.Pools)),
		drained: drained,
		counts:  make(map[Label]*Counts),
	}
	if opts.Spool != nil {
		b.spool = sync.OnceValues(opts.Spool)
	}
	if opts.Memory > 0 {
		b.memory = newPool(PoolSpec{Limit: mebibytes(opts.Memory)}, drained)
	}
	for name, spec := range opts.Pools {
		b.pools[name] = newPool(spec, drained)
	}
	for _, t := range opts.Targets {
		b.nodes[t.Label] = newNode(b, t)
	}
	for _, n := range b.nodes {
		n.setLevel(nil)
	}
	return b
}

// Run evaluates what is wanted. When ctx ends, work under way ends, and what was not done is cancelled. Every goroutine that Run
// started has ended when it returns. The error is a bug in cbuild; what goes wrong in the outside world is an outcome.
func (b *Build) Run(ctx context.Context, wanted []Want) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group, reading sync.WaitGroup
	b.begin = func(f func(ctx context.Context)) { group.Go(func() { deepen(0); f(ctx) }) }
	b.over = ctx.Done()
	for _, w := range wanted {
		b.nodes[w.Label].use = w.Use
	}
	for _, w := range wanted {
		reading.Go(func() { b.nodes[w.Label].want(ctx, w) })
	}
	reading.Wait()
	b.complete.Store(ctx.Err() == nil)
	cancel() // targets that nobody reads any more
	group.Wait()
	if n := b.unstored.Load(); n > 1 {
		b.warn(nil, fmt.Sprintf("%d results could not be stored", n))
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bug
}

// want waits for the rows that w names, or for all of them. What becomes of them is told as it happens.
func (n *node) want(ctx context.Context, w Want) {
	if w.Keys == nil && w.Match == nil {
		n.demandAll()
		<-n.finished
		return
	}
	// Rows are demanded side by side: all of them are wanted, and one may take long.
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() { n.wantMatching(ctx, w) })
	for _, key := range w.Keys {
		reading.Go(func() {
			if _, err := n.demand(ctx, key); err != nil && !n.tells(key) {
				n.build.finish(n.target, &Row{Target: n.target, Key: key}, performed{outcome: &Outcome{Err: notWanted(err)}})
			}
		})
	}
}

// tells reports whether the row of key tells itself what becomes of it.
func (n *node) tells(key string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, running := n.rows[key]
	place, finished := n.places[hashKey(key)]
	return running || finished && place != dropped
}

// notWanted says what it means for who asked for a row by its key that there is none.
func notWanted(err error) error {
	no, ok := errors.AsType[*NoRowError](err)
	switch {
	case !ok:
		return err
	case no.Dropped:
		return &SkippedError{Cause: no.Error()}
	case len(no.Nearest) > 0:
		return &InvalidError{Err: fmt.Errorf("%w. Did you mean %q?", err, no.Nearest[0])}
	}
	return &InvalidError{Err: err}
}

// wantMatching waits for the rows whose keys match, once all keys are known, but for those that w names.
func (n *node) wantMatching(ctx context.Context, w Want) {
	if w.Match == nil {
		return
	}
	keys, err := n.candidates(ctx)
	if err != nil {
		return // what became of the target as a whole was told when it ended
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	for _, key := range keys {
		if w.Match(key) && !slices.Contains(w.Keys, key) {
			reading.Go(func() { _, _ = n.demand(ctx, key) }) // a row's outcome is told when it is known; what where dropped has none
		}
	}
}

// candidates waits for the keys that rows of n may have, without waiting for a result: of a target that is repeated over another
// they are that one's.
func (n *node) candidates(ctx context.Context) ([]string, error) {
	if n.target.Over != nil {
		if over := n.build.nodes[*n.target.Over]; over.target.Repeated {
			return over.candidates(ctx)
		}
	}
	return n.elementKeys(ctx)
}

// Drain starts nothing new from now on: what runs is finished, everything else is cancelled. It may be called at any time, and
// more than once.
func (b *Build) Drain() { b.drain.Do(func() { close(b.drained) }) }

func (b *Build) draining() bool { return closed(b.drained) }

// stopped reports whether nothing new is to be begun.
func (b *Build) stopped() bool { return b.draining() || closed(b.over) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Whole yields the rows of a target in the order of their keys, after Run, followed by the error that ended it early, if any.
// What nobody needed has none.
func (b *Build) Whole(ctx context.Context, l Label) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		n := b.nodes[l]
		n.mu.Lock()
		started := n.started
		n.mu.Unlock()
		if started { // else its feed will never be closed
			n.whole(ctx)(yield)
		}
	}
}

func (b *Build) emit(e Event) {
	if b.opts.Observer != nil {
		b.opts.Observer.Observe(e)
	}
}

// finish counts what became of an instance of row, or of t as a whole if row is nil, and tells the observer. What was begun ahead and
// nobody wants any more, because the build is complete, is no outcome.
func (b *Build) finish(t *Target, row *Row, done performed) {
	o := done.outcome
	if b.complete.Load() && o.Class() == ClassCancelled {
		return
	}
	b.mu.Lock()
	c := b.counts[t.Label]
	if c == nil {
		c = newCounts()
		b.counts[t.Label] = c
	}
	c.add(o)
	if bug := (*PanicError)(nil); b.bug == nil && errors.As(o.Err, &bug) {
		b.bug = bug
	}
	b.mu.Unlock()
	if done.why == "" && o.Err != nil {
		done.why = o.Err.Error()
	}
	b.emit(Event{Type: EventFinished, Target: t, Instance: instanceKeys(row, o), Outcome: o, Why: done.why, Took: done.took})
	if b.opts.FailFast && o.Err != nil && o.Class() != ClassSkipped {
		b.Drain()
	}
}

// instanceKeys lists the keys of an instance as events show them.
func instanceKeys(row *Row, o *Outcome) []string {
	if row == nil || !row.Target.Repeated {
		return o.Axes
	}
	return append([]string{row.Key}, o.Axes...)
}

// view is the View of one instance, or of a target as a whole.
type view struct {
	node *node
	park func() // called when the instance starts to back off
	rank priority
}

var _ View = (*view)(nil)

func (v *view) other(l Label) *node {
	n := v.node.build.nodes[l]
	if n == nil {
		panic("engine: " + v.node.target.Label.String() + " needs " + l.String() + ", which is not declared")
	}
	return n
}

func (v *view) Row(ctx context.Context, l Label, key string) (*Row, error) {
	return v.other(l).demand(ctx, key)
}

func (v *view) Rows(ctx context.Context, l Label) iter.Seq2[*Row, error] {
	n := v.other(l)
	n.start()
	return n.feed.rows(ctx, true)
}

func (v *view) Whole(ctx context.Context, l Label) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		n := v.other(l)
		n.demandAll()
		select {
		case <-n.finished:
		case <-ctx.Done():
			yield(nil, ctx.Err())
			return
		}
		n.whole(ctx)(yield)
	}
}

func (v *view) Keys(ctx context.Context, l Label) ([]string, error) { return v.other(l).keys(ctx) }

func (v *view) Perform(ctx context.Context, name string, p *Plan) *Outcome {
	o := v.node.build.perform(ctx, v, name, p).outcome
	if o.Result != nil && o.Cached == NotCached {
		v.node.asked.Store(true)
	}
	v.node.build.ended(v.node.target, name, o)
	return o
}

// ended tells that what was started under name, on behalf of t as a whole, has ended. Instances tell with EventFinished.
func (b *Build) ended(t *Target, name string, o *Outcome) {
	if o.Cached == NotCached {
		b.emit(Event{Type: EventProgress, Target: t, Text: name, Done: 1, Total: 1})
	}
}

func (v *view) Emit(e Event) {
	e.Target = v.node.target
	v.node.build.emit(e)
}

// whole yields the rows in the order of their keys, once the feed is closed.
func (n *node) whole(ctx context.Context) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		type place struct {
			key   string
			place int
		}
		var places []place
		var end error
		for row, err := range n.feed.rows(ctx, false) {
			if err != nil {
				end = err
				break
			}
			places = append(places, place{row.Key, len(places)})
		}
		slices.SortFunc(places, func(x, y place) int {
			if x.key < y.key {
				return -1
			}
			return 1
		})
		c := cursor{feed: &n.feed, random: true}
		for _, p := range places {
			c.place = p.place
			row, err := c.next(ctx)
			if err != nil || !yield(row, nil) {
				if err != nil {
					yield(nil, err)
				}
				return
			}
		}
		if end != nil {
			yield(nil, end)
		}
	}
}

// deepen lets the stack of its goroutine grow at once to what evaluating an instance takes. Growing step by step, with ever more on it to be copied, was
// an eighth of a build in which everything is cached.
//
//go:noinline
func deepen(i int) byte {
	var room [15 << 10]byte
	return room[i]
}
