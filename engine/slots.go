package engine

import (
	"cmp"
	"container/heap"
	"context"
	"sync"
)

// priority orders those who wait for a slot: the target nearest to what was asked for first, then the earlier element. So an early
// element reaches its row early, and experiments come before further downloads.
type priority struct {
	level int
	index int
}

func (p priority) before(q priority) bool {
	if c := cmp.Compare(p.level, q.level); c != 0 {
		return c > 0
	}
	return p.index < q.index
}

// slots is a pool of equal slots, handed out by priority. A waiter that needs several holds back those behind it, so it is not
// starved.
type slots struct {
	closed <-chan struct{} // when it is closed, nobody gets a slot any more

	mu      sync.Mutex
	total   int
	free    int       // guarded by mu
	waiting slotQueue // guarded by mu
}

type slotWaiter struct {
	priority priority
	n        int
	granted  chan struct{}
	place    int // in the heap; -1 once granted or gone
}

func newSlots(n int, closed <-chan struct{}) *slots {
	return &slots{closed: closed, total: max(n, 1), free: max(n, 1)}
}

// acquire waits for n slots, at most all there are, and returns how many were taken. A slot is never granted once ctx has ended or
// the pool was closed, even if it comes free at the same moment.
func (s *slots) acquire(ctx context.Context, n int, p priority) (int, error) {
	if err := s.ended(ctx); err != nil {
		return 0, err
	}
	n = min(max(n, 1), s.total)
	s.mu.Lock()
	if s.free >= n && len(s.waiting) == 0 {
		s.free -= n
		s.mu.Unlock()
		return n, nil
	}
	w := &slotWaiter{priority: p, n: n, granted: make(chan struct{})}
	heap.Push(&s.waiting, w)
	s.grant()
	s.mu.Unlock()

	err := ErrCancelled
	select {
	case <-w.granted:
		if err = s.ended(ctx); err == nil {
			return n, nil
		}
	case <-s.closed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.place < 0 {
		s.free += n
	} else {
		heap.Remove(&s.waiting, w.place)
	}
	s.grant()
	return 0, err
}

// ended returns why no slot is granted any more, if so.
func (s *slots) ended(ctx context.Context) error {
	select {
	case <-s.closed:
		return ErrCancelled
	default:
		return ctx.Err()
	}
}

func (s *slots) release(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
	s.grant()
}

// grant hands free slots to the first waiters. s.mu is held.
func (s *slots) grant() {
	for len(s.waiting) > 0 && s.waiting[0].n <= s.free {
		w := heap.Pop(&s.waiting).(*slotWaiter)
		s.free -= w.n
		close(w.granted)
	}
}

type slotQueue []*slotWaiter

func (q slotQueue) Len() int           { return len(q) }
func (q slotQueue) Less(i, j int) bool { return q[i].priority.before(q[j].priority) }
func (q slotQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *slotQueue) Push(x any) {
	w := x.(*slotWaiter)
	w.place = len(*q)
	*q = append(*q, w)
}

func (q *slotQueue) Pop() any {
	old := *q
	w := old[len(old)-1]
	*q = old[:len(old)-1]
	w.place = -1
	return w
}
