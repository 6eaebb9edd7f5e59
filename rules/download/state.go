package download

import (
	"fmt"
	"time"
)

// A HostState says how a host is doing, for people.
type HostState struct {
	// Host is its name, with a port if that is unusual.
	Host string
	// Waiting is how many downloads wait for it.
	Waiting int
	// Paused is for how much longer it is left alone, because it asked for that. Probe is when it is asked again, because it
	// does not answer; Why says what it does instead.
	Paused, Probe time.Duration
	Why           string
	// Down is set if it was given up: Failures in a row within Took.
	Down     bool
	Failures int
	Took     time.Duration
}

func (s HostState) String() string {
	switch {
	case s.Down:
		return fmt.Sprintf("host %s: given up (%s), %s waiting", s.Host, s.Why, downloads(s.Waiting))
	case s.Paused > 0:
		return fmt.Sprintf("host %s: paused %s, %s waiting", s.Host, clockTime(s.Paused), downloads(s.Waiting))
	}
	return fmt.Sprintf("host %s: %s; asked again in %s, %s waiting", s.Host, s.Why, clockTime(s.Probe), downloads(s.Waiting))
}

func downloads(n int) string {
	if n == 1 {
		return "1 download"
	}
	return fmt.Sprintf("%d downloads", n)
}

// clockTime writes a wait as minutes and seconds.
func clockTime(d time.Duration) string {
	s := int((d + time.Second - 1) / time.Second)
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// states returns how the hosts are doing that others wait for.
func (h *hosts) states() (all []HostState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range h.byID {
		one.mu.Lock()
		if s := one.state(); s.Down || s.Paused > 0 || s.Probe > 0 {
			all = append(all, s)
		}
		one.mu.Unlock()
	}
	return all
}

// state returns how h is doing. h.mu is held.
func (h *host) state() HostState {
	now := time.Now()
	s := HostState{Host: h.id, Waiting: h.waiting, Paused: max(h.until.Sub(now), 0), Down: h.down, Failures: h.row}
	if h.row > 0 {
		s.Took, s.Why = h.lastAt.Sub(h.since), why(h.last)
	}
	if h.open() {
		s.Probe = max(h.probe.Sub(now), time.Second)
	}
	return s
}

// announce tells how h is doing. h.mu is held; tell must not call back.
func (h *host) announce(now time.Time) {
	if h.tell != nil {
		h.told = now
		h.tell(h.state())
	}
}
