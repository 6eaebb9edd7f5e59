package registry

import (
	"sync"

	"cbuild/engine"
	"cbuild/rules/download"
)

// A kept is what the configuration of an ecosystem says: found out at the first request, by whoever comes first while the others wait, and kept
// for the life of the process. What could not be found out is asked again.
type kept[T any] struct {
	mu    sync.Mutex
	value T    // guarded by mu
	known bool // guarded by mu
}

// get returns what find finds. Offline nothing is asked, and no program started for nothing.
func (k *kept[T]) get(c *download.Client, find func() (T, error)) (T, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known {
		return k.value, nil
	}
	if c.Offline() {
		return k.value, &engine.TroubleError{Err: download.ErrOffline}
	}
	value, err := find()
	if err == nil {
		k.value, k.known = value, true
	}
	return value, err
}

// peek returns what is known, the zero value if that is nothing.
func (k *kept[T]) peek() T {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.value
}
