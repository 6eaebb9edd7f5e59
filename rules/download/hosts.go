package download

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"cbuild/engine"
)

// The policy towards a host.
const (
	// budget is how many failures a host may make up for at once by retries that come right away; each success gives back a
	// tenth of one, each second one. While less than half is left, retries are delayed; none is ever refused (gRPC's A6 ends them).
	budget       = 10.0
	budgetReward = 0.1
	budgetRefill = 1.0 // per second
	// breakAfter failures in a row, without any success between, open the circuit: then one request every probeEvery finds out
	// whether the host is back. It is given up for this build if it has not been for giveUpAfter, and at least giveUpProbes failed.
	breakAfter   = 20
	probeEvery   = 30 * time.Second
	giveUpAfter  = time.Minute
	giveUpProbes = 2
	// probeTakes is when those that wait for a probe ask again.
	probeTakes = 2 * time.Second
	// tellEvery is how often it is told that more and more waits for a host.
	tellEvery = 10 * time.Second
)

// hosts holds what is known of each host, for all targets of the process.
type hosts struct {
	limit int
	tell  func(HostState)

	mu   sync.Mutex
	byID map[string]*host // guarded by mu
}

// A host is what is known of one host and port.
type host struct {
	id   string
	most int
	tell func(HostState)

	mu       sync.Mutex
	inflight int                 // guarded by mu; requests under way
	limit    float64             // guarded by mu; how many may be, now: it is halved and grows again
	slowed   time.Time           // guarded by mu; when it was halved
	took     time.Duration       // guarded by mu; how long a request takes, about
	queue    []chan struct{}     // guarded by mu; those who wait for one to end
	until    time.Time           // guarded by mu; it wants to be left alone
	rate     *rate.Limiter       // guarded by mu; nil without a limit
	tokens   float64             // guarded by mu; what is left of the budget, at filled
	filled   time.Time           // guarded by mu
	asked    map[string]*request // guarded by mu; by address
	waiting  int                 // guarded by mu; those of asked that wait
	row      int                 // guarded by mu; failures in a row
	since    time.Time           // guarded by mu; when the first of them was
	last     error               // guarded by mu; the last of them
	lastAt   time.Time           // guarded by mu; when it was
	probe    time.Time           // guarded by mu; when it may be asked again, if the circuit is open
	probing  bool                // guarded by mu
	probes   int                 // guarded by mu; those that failed
	down     bool                // guarded by mu; given up
	told     time.Time           // guarded by mu
}

// A request is what a host remembers of an address that it has not answered yet.
type request struct {
	failed  bool
	waiting bool      // it was told to come again
	turn    time.Time // its place among those that the rate admits
}

func (h *hosts) host(id string) *host {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byID == nil {
		h.byID = map[string]*host{}
	}
	one := h.byID[id]
	if one == nil {
		one = &host{id: id, most: h.limit, limit: float64(h.limit), tell: h.tell, tokens: budget, filled: time.Now(), asked: map[string]*request{}}
		h.byID[id] = one
	}
	return one
}

// open reports whether the circuit is open. h.mu is held.
func (h *host) open() bool { return !h.probe.IsZero() }

// A turn is a request to a host that was begun.
type turn struct {
	host    *host
	address string
	began   time.Time
	probe   bool
}

// take waits until h has room for a request to address. If that would take long, it returns an *engine.TroubleError with Wait instead:
// what is asked for is to be asked for again later. What can't be begun anew without asking twice (park is not set) waits here for
// all that is short.
func (h *host) take(ctx context.Context, address string, park bool) (*turn, error) {
	woken := false // out of the queue, to begin
	for {
		if err := ctx.Err(); err != nil {
			h.pass(woken)
			return nil, err
		}
		t, free, wait, err := h.try(address, park)
		if t != nil {
			return t, nil
		}
		h.pass(woken && free == nil)
		woken = false
		switch {
		case err != nil:
			return nil, err
		case free == nil:
			_ = sleep(ctx, wait)
			continue
		}
		select {
		case <-free:
			woken = true
		case <-ctx.Done():
			woken = !h.leave(free)
		}
	}
}

// pass hands the turn of who was woken, and does not begin, to the next in the queue.
func (h *host) pass(woken bool) {
	if woken {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.wake(1)
	}
}

// try begins a request, or returns why it is not to be begun now, or what to wait for: until free is closed, or for some time.
func (h *host) try(address string, park bool) (t *turn, free chan struct{}, wait time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	r := h.request(address)
	if r.waiting {
		r.waiting = false
		h.waiting--
	}
	switch {
	case h.down:
		return nil, nil, 0, h.lost()
	case h.until.After(now):
		return nil, nil, 0, h.later(r, h.until.Sub(now), "it asked to be left alone")
	case h.open() && (h.probing || h.probe.After(now)):
		return nil, nil, 0, h.later(r, max(h.probe.Sub(now), probeTakes), why(h.last))
	}
	probe := h.open()
	if wait := h.delay(r, now); wait > 0 && !probe {
		if park {
			return nil, nil, 0, h.later(r, wait, "it is asked slowly")
		}
		return nil, nil, wait, nil
	}
	if h.inflight >= h.room() && !probe {
		if park && h.room() < h.most && len(h.queue) >= h.room() {
			return nil, nil, 0, h.later(r, h.estimate(), "it is asked slowly")
		}
		free = make(chan struct{})
		h.queue = append(h.queue, free)
		return nil, free, 0, nil
	}
	h.inflight++
	h.probing = h.probing || probe
	return &turn{host: h, address: address, began: now, probe: probe}, nil, 0, nil
}

// room is how many requests may be under way. h.mu is held.
func (h *host) room() int { return max(1, int(h.limit)) }

// delay is how long r has to wait for the retry budget and for the rate. Its place among those that the rate admits is kept. h.mu is held.
func (h *host) delay(r *request, now time.Time) time.Duration {
	h.tokens = min(budget, h.tokens+now.Sub(h.filled).Seconds()*budgetRefill)
	h.filled = now
	if r.failed && h.tokens < budget/2 {
		return time.Duration((budget/2 - h.tokens) / budgetRefill * float64(time.Second))
	}
	if h.rate == nil {
		return 0
	}
	if r.turn.IsZero() {
		r.turn = now.Add(h.rate.ReserveN(now, 1).DelayFrom(now))
	}
	wait := r.turn.Sub(now)
	if wait <= 0 {
		r.turn = time.Time{}
	}
	return wait
}

// estimate is when one of those that wait may have its turn. h.mu is held.
func (h *host) estimate() time.Duration {
	return min(max(h.took*time.Duration((len(h.queue)+h.waiting)/h.room()+1), 50*time.Millisecond), 10*time.Second)
}

// later returns what tells the engine to come again. h.mu is held.
func (h *host) later(r *request, after time.Duration, why string) error {
	r.waiting = true
	h.waiting++
	if now := time.Now(); h.tell != nil && now.Sub(h.told) >= tellEvery && (h.probe.After(now) || h.until.After(now)) {
		h.told = now
		defer h.tell(h.state())
	}
	return &engine.TroubleError{Err: &waitError{h.id, why}, Retry: true, After: after, Wait: true}
}

// lost returns what becomes of requests to a host that was given up. h.mu is held.
func (h *host) lost() error {
	return &engine.TroubleError{Err: &HostError{Host: h.id, Why: why(h.last), Err: h.last}}
}

// leave gives up a place in the queue, and reports whether it was still one.
func (h *host) leave(free chan struct{}) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.queue)
	h.queue = slices.DeleteFunc(h.queue, func(c chan struct{}) bool { return c == free })
	return len(h.queue) < n
}

// wake lets the first n of the queue try again. h.mu is held.
func (h *host) wake(n int) {
	n = min(n, len(h.queue))
	for _, free := range h.queue[:n] {
		close(free)
	}
	h.queue = h.queue[n:]
}

// resting returns how long a request that is redirected to h should wait, 0 if it may go on.
func (h *host) resting() (time.Duration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	switch {
	case h.down:
		return 0, h.lost()
	case h.open() && h.probe.After(now):
		return h.probe.Sub(now), nil
	}
	return max(h.until.Sub(now), 0), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}
