package local

import "sync"

// maxChecked bounds each of the two generations that a checked remembers: some 2 MiB.
const maxChecked = 1 << 16

// A checked remembers which blobs this process found sound or wrote itself. It forgets the oldest, which are then checked again.
type checked struct {
	mu        sync.Mutex
	new, last map[[16]byte]struct{} // guarded by mu
}

// half is enough of a hash: it need only tell our own blobs apart.
func half(hash [32]byte) [16]byte { return [16]byte(hash[:16]) }

func (c *checked) add(hash [32]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.new) >= maxChecked {
		c.last, c.new = c.new, nil
	}
	if c.new == nil {
		c.new = make(map[[16]byte]struct{})
	}
	c.new[half(hash)] = struct{}{}
}

func (c *checked) has(hash [32]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.new[half(hash)]; ok {
		return true
	}
	_, ok := c.last[half(hash)]
	return ok
}

func (c *checked) remove(hash [32]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.new, half(hash))
	delete(c.last, half(hash))
}
