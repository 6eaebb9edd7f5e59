package engine

import (
	"context"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// node is a target on its way through a build: it takes elements from what the target is repeated for, admits them as rows, and
// appends the finished rows to its feed. Looking ahead on behalf of stream readers is throttled; what is demanded is admitted at
// once, beyond every bound, because whoever demands it may be what the bound waits for.
type node struct {
	build  *Build
	target *Target
	use    func(ctx context.Context, r *Row, o *Outcome) error // of the Want
	level  int                                                 // longest path to a target without needs
	feed   feed

	once     sync.Once
	finished chan struct{} // closed when the feed is
	wake     chan struct{} // for the producer: something changed

	mu       sync.Mutex
	started  bool             // guarded by mu
	items    int              // guarded by mu; elements taken so far
	inflight int              // guarded by mu; rows admitted, unfinished and not backing off
	parked   int              // guarded by mu; rows that back off
	rows     map[string]*row  // guarded by mu; rows admitted and unfinished
	pending  map[string]Item  // guarded by mu; elements taken and not admitted
	queue    []string         // guarded by mu; keys of pending in order, some of which may be gone
	places   map[uint64]int32 // guarded by mu; where in the feed a key's row is; -1 if where dropped it
	dropped  []string         // guarded by mu; keys of rows that where dropped, as many as suggestions look at
	wanted   map[string]*want // guarded by mu; keys that somebody waits for and that have not come yet
	all      bool             // guarded by mu; somebody wants everything
	listing  bool             // guarded by mu; somebody wants all keys
	taken    bool             // guarded by mu; all elements were taken
	listed   chan struct{}    // closed when taken
	ready    chan struct{}    // closed when axes is set; never, if the axes are not known
	end      error            // guarded by mu; why there are no more elements
	axes     []Axis           // set before the first row is admitted
	index    map[string]int   // guarded by mu; the order of pending elements
	asked    atomic.Bool      // a query really asked
}

// row is a Row on its way.
type row struct {
	Row
	done   chan struct{}
	parked bool // guarded by node.mu
}

// want is a key that was demanded before its element came.
type want struct{ came chan struct{} }

var seed = maphash.MakeSeed()

func hashKey(key string) uint64 { return maphash.String(seed, key) }

// dropped is the place of a row that where dropped as a whole.
const dropped = -1

func newNode(b *Build, t *Target) *node {
	n := &node{
		build: b, target: t, level: -1,
		finished: make(chan struct{}), wake: make(chan struct{}, 1), listed: make(chan struct{}), ready: make(chan struct{}),
		rows: make(map[string]*row), pending: make(map[string]Item), index: make(map[string]int),
		places: make(map[uint64]int32), wanted: make(map[string]*want),
	}
	n.feed = feed{spool: b.spool, codec: rowCodec{b.nodes}, moved: n.poke}
	return n
}

// setLevel computes the level of n and of all that it needs. A cycle is a bug of the caller, found here rather than as a build that
// hangs.
func (n *node) setLevel(path []*node) int {
	if n.level >= 0 {
		return n.level
	}
	if slices.Contains(path, n) {
		panic(fmt.Sprintf("engine: cycle through %v", n.target.Label))
	}
	level := 0
	for _, need := range n.target.Needs {
		if other := n.build.nodes[need.Label]; other != nil {
			level = max(level, other.setLevel(append(path, n))+1)
		}
	}
	n.level = level
	return level
}

// poke tells the producer that something changed.
func (n *node) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// start begins producing rows. What the target needs begins with it: else a toolchain would delay the first experiment.
func (n *node) start() {
	n.once.Do(func() {
		n.mu.Lock()
		n.started = true
		n.mu.Unlock()
		for _, need := range n.target.Needs {
			other := n.build.nodes[need.Label]
			switch {
			case !other.target.Repeated, need.Mode == WholeMode, strings.HasPrefix(need.Attribute, "matrix"):
				other.demandAll()
			default:
				other.start()
			}
		}
		n.build.begin(n.produce)
	})
}

// demandAll makes n produce all its rows, whoever reads them.
func (n *node) demandAll() {
	n.mu.Lock()
	n.all = true
	n.mu.Unlock()
	n.start()
	n.poke()
}

// produce takes elements and admits rows until both are done.
func (n *node) produce(ctx context.Context) {
	err := n.takeAll(ctx)
	n.mu.Lock()
	n.end, n.taken = err, true
	close(n.listed)
	for key, w := range n.wanted {
		close(w.came)
		delete(n.wanted, key)
	}
	n.mu.Unlock()
	if aerr := n.admitPending(ctx); err == nil {
		err = aerr
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ErrCancelled
		}
		if !n.told() {
			n.build.finish(n.target, nil, performed{outcome: &Outcome{Err: err}})
		}
	} else if n.target.Query != nil {
		o := &Outcome{Result: &Result{}, Cached: CachedLocal}
		if n.asked.Load() {
			o.Cached = NotCached
		}
		n.build.finish(n.target, nil, performed{outcome: o})
	}
	n.feed.close(err)
	close(n.finished)
}

// told reports whether the only row of a target that is not repeated has told already what became of it.
func (n *node) told() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.target.Repeated && len(n.axes) == 0 && n.items > 0
}

// takeAll takes the elements one by one, admitting them as it may. Elements that are taken while none may be admitted, because
// somebody waits for a key that has not come, are kept for later.
func (n *node) takeAll(ctx context.Context) (err error) {
	defer recovered(&err)
	v := &view{node: n, rank: priority{level: n.level}}
	if n.target.Matrix != nil {
		if n.axes, err = n.target.Matrix(ctx, v); err != nil {
			return err
		}
	}
	close(n.ready)
	for item, err := range n.source(ctx, v) {
		if err != nil {
			return err
		}
		n.take(item)
		if item.Err != nil && n.target.Query != nil {
			n.build.finish(n.target, &Row{Target: n.target, Key: item.Key}, performed{outcome: &Outcome{Err: item.Err}})
		}
		if err := n.until(ctx, n.mayTake); err != nil {
			return err
		}
	}
	return nil
}

// source yields what the target is repeated for. The first element is taken only when something may be done with it.
func (n *node) source(ctx context.Context, v *view) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if err := n.until(ctx, n.mayTake); err != nil {
			yield(Item{}, err)
			return
		}
		switch t := n.target; {
		case t.Query != nil:
			t.Query(ctx, v)(yield)
		case t.Over != nil:
			n.over(ctx, v, yield)
		case t.Items != nil:
			t.Items(ctx, v)(yield)
		default:
			yield(Item{}, nil)
		}
	}
}

// over yields the elements of the collection that the target is repeated over.
func (n *node) over(ctx context.Context, v *view, yield func(Item, error) bool) {
	for r, err := range v.Rows(ctx, *n.target.Over) {
		if err != nil {
			yield(Item{}, n.endedBy(*n.target.Over, err))
			return
		}
		for _, item := range r.Elements() {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// endedBy returns what becomes of a target whose elements come from the collection of l, which ended with err.
func (n *node) endedBy(l Label, err error) error {
	if class := ClassOf(err); class != ClassCancelled {
		return &SkippedError{Cause: n.build.nodes[l].target.InstanceName("", nil) + " is " + string(class), Trouble: Troubled(err)}
	}
	return ErrCancelled
}

// take receives one element. Of elements with one key the first counts; a target repeated over a literal reports the others when
// it makes its elements.
func (n *node) take(item Item) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known(item.Key) {
		return
	}
	index := n.items
	n.items++
	w := n.wanted[item.Key]
	if n.build.stopped() || w == nil && !n.may() {
		n.pending[item.Key] = item
		n.index[item.Key] = index
		n.queue = append(n.queue, item.Key)
		return
	}
	n.admit(item, index)
	if w != nil {
		close(w.came)
		delete(n.wanted, item.Key)
	}
}

// known reports whether an element with key came before. n.mu is held.
func (n *node) known(key string) bool {
	if _, ok := n.pending[key]; ok {
		return true
	}
	if _, ok := n.rows[key]; ok {
		return true
	}
	_, ok := n.places[hashKey(key)]
	return ok
}

// may reports whether a row may be admitted without having been demanded. n.mu is held.
func (n *node) may() bool {
	window := n.build.opts.Window
	if n.inflight >= window || n.build.stopped() {
		return false
	}
	if n.all {
		return true
	}
	rows, bytes, readers := n.feed.lead()
	return readers > 0 && rows+n.inflight < window && (rows == 0 || bytes < n.build.opts.DiskAhead)
}

// mayTake reports whether the next element may be taken: a row may be admitted, or somebody waits for a key. n.mu is held.
func (n *node) mayTake() bool {
	return len(n.wanted) > 0 || n.listing || len(n.pending) == 0 && n.may()
}

// until waits for condition, which is called with n.mu held, admitting pending elements meanwhile.
func (n *node) until(ctx context.Context, condition func() bool) error {
	for {
		n.mu.Lock()
		n.admitSome()
		ok := condition()
		n.mu.Unlock()
		if n.build.draining() {
			return ErrCancelled
		}
		if ok {
			return nil
		}
		select {
		case <-n.wake:
		case <-n.build.drained:
			return ErrCancelled
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// admitPending admits what is left when all elements were taken, and waits until every row is finished.
func (n *node) admitPending(ctx context.Context) error {
	err := n.until(ctx, func() bool { return len(n.pending) == 0 && len(n.rows) == 0 })
	if err == nil {
		return nil
	}
	// Rows under way end soon: they see the same end. Their outcomes belong into the feed. If they are all there are, nothing is
	// left of which the target as a whole would have to tell.
	for {
		n.mu.Lock()
		var r *row
		for _, r = range n.rows {
			break
		}
		left := len(n.pending)
		n.mu.Unlock()
		switch {
		case r != nil:
			<-r.done
		case left == 0:
			return nil
		default:
			return err
		}
	}
}

// admitSome admits pending elements in their order, as many as may be. n.mu is held.
func (n *node) admitSome() {
	for len(n.pending) > 0 && n.may() {
		key := n.queue[0]
		n.queue = n.queue[1:]
		if item, ok := n.pending[key]; ok { // else it was demanded meanwhile
			n.admitPendingItem(item)
		}
	}
}

// admitPendingItem admits one of the pending elements. n.mu is held.
func (n *node) admitPendingItem(item Item) {
	index := n.index[item.Key]
	delete(n.pending, item.Key)
	delete(n.index, item.Key)
	n.admit(item, index)
}

// admit makes a row of item. n.mu is held.
func (n *node) admit(item Item, index int) {
	r := &row{Row: Row{Target: n.target, Key: item.Key, Index: index, Value: item.Value, Err: item.Err}, done: make(chan struct{})}
	if n.target.Query != nil {
		n.keep(r)
		return
	}
	n.rows[item.Key] = r
	n.inflight++
	n.build.begin(func(ctx context.Context) { n.run(ctx, r) })
}

// keep appends a finished row to the feed. n.mu is held.
func (n *node) keep(r *row) {
	n.places[hashKey(r.Key)] = int32(n.feed.len())
	n.feed.append(&r.Row)
}
