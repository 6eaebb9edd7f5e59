package download

import (
	"context"
	"sync"
	"time"
)

// hosts holds what is known of each host: how many requests are under way, and until when it wants to be left alone.
type hosts struct {
	limit int

	mu   sync.Mutex
	byID map[string]*host // guarded by mu
}

type host struct {
	slots chan struct{}

	mu    sync.Mutex
	until time.Time // guarded by mu
}

func (h *hosts) host(id string) *host {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byID == nil {
		h.byID = map[string]*host{}
	}
	one := h.byID[id]
	if one == nil {
		one = &host{slots: make(chan struct{}, h.limit)}
		h.byID[id] = one
	}
	return one
}

// acquire waits until id is not paused and has a free slot, and returns what frees it.
func (h *hosts) acquire(ctx context.Context, id string) (release func(), err error) {
	one := h.host(id)
	for {
		select {
		case one.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		release = func() { <-one.slots }
		pause := one.paused()
		if pause <= 0 && ctx.Err() == nil {
			return release, nil
		}
		release() // no slot is held while the host rests
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// pause makes later requests to id wait for d, or longer if it is already paused for longer.
func (h *hosts) pause(id string, d time.Duration) {
	one := h.host(id)
	one.mu.Lock()
	defer one.mu.Unlock()
	if until := time.Now().Add(d); d > 0 && until.After(one.until) {
		one.until = until
	}
}

func (h *host) paused() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Until(h.until)
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
