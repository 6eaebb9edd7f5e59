package download

import (
	"errors"
	"net/http"
	"time"

	"cbuild/engine"
)

// done says how the request ended: err is what Copy returns for it, and progress is set if it brought something that need not be asked
// for again.
func (t *turn) done(err error, progress bool) {
	h := t.host
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inflight--
	if t.probe {
		h.probing = false
	}
	trouble, ok := errors.AsType[*engine.TroubleError](err)
	switch {
	case ok && trouble.Wait:
	case ok && trouble.Retry && progress:
		h.request(t.address).failed = true
	case ok && trouble.Retry:
		h.failed(err, t)
	case err == nil, Status(err) != 0, errors.Is(err, errRestart):
		h.succeeded(t)
	default:
		// The end of the build, a full disk, a limit, a broken certificate: that says nothing of the next request.
	}
	h.wake(max(1, h.room()-h.inflight))
}

// request returns what is known of an address. h.mu is held.
func (h *host) request(address string) *request {
	r := h.asked[address]
	if r == nil {
		r = &request{}
		h.asked[address] = r
	}
	return r
}

// succeeded notes an answer. h.mu is held.
func (h *host) succeeded(t *turn) {
	if r := h.asked[t.address]; r != nil && r.waiting {
		h.waiting-- // another fetch of the same address
	}
	delete(h.asked, t.address)
	h.row, h.since, h.last, h.probe, h.probes, h.down = 0, time.Time{}, nil, time.Time{}, 0, false
	h.tokens = min(budget, h.tokens+budgetReward)
	h.limit = min(float64(h.most), h.limit+1/h.limit)
	if took := time.Since(t.began); h.took == 0 {
		h.took = took
	} else {
		h.took += (took - h.took) / 8
	}
}

// failed notes trouble that the host made. h.mu is held.
func (h *host) failed(err error, t *turn) {
	now := time.Now()
	h.request(t.address).failed = true
	h.tokens = max(0, h.tokens-1)
	if h.row++; h.row == 1 {
		h.since = t.began
	}
	h.last, h.lastAt = err, now
	if code := Status(err); (code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable) && t.began.After(h.slowed) {
		h.limit = max(1, h.limit/2) // once for all that were under way together
		h.slowed = now
	}
	switch {
	case t.probe:
		h.probe = now.Add(probeEvery)
		if h.probes++; h.probes >= giveUpProbes && now.Sub(h.since) >= giveUpAfter {
			h.down = true
		}
		h.announce(now)
	case h.row >= breakAfter && !h.open():
		h.probe = now.Add(probeEvery)
		h.announce(now)
	}
	if h.open() || h.down {
		h.wake(len(h.queue))
	}
}

// pause makes later requests wait for d, or longer if h is paused for longer already.
func (h *host) pause(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); d > 0 && now.Add(d).After(h.until) {
		h.until = now.Add(d)
		h.wake(len(h.queue))
		h.announce(now)
	}
}
