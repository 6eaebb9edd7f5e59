package ui

import (
	"errors"
	"slices"

	"cbuild/engine"
)

// An Unreachable is a host that could not be reached, and how many downloads wait for it.
type Unreachable struct {
	Host, Why string
	Waiting   int
}

// Unreachable returns the hosts because of which instances ended in trouble.
func (c *Console) Unreachable() []Unreachable {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lost)
}

// unreachable notes the host if it is that because of which an instance has no result. Thousands wait for one host: it is told once, at
// the end.
func (c *Console) unreachable(err error) bool {
	var u interface {
		error
		Unreachable() (host, why string)
	}
	if err == nil || engine.ClassOf(err) != engine.ClassError || !errors.As(err, &u) {
		return false
	}
	host, why := u.Unreachable()
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.lost, func(l Unreachable) bool { return l.Host == host })
	if at < 0 {
		at = len(c.lost)
		c.lost = append(c.lost, Unreachable{Host: host, Why: why})
	}
	c.lost[at].Waiting++
	return true
}
