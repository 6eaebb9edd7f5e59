package rules

import (
	"slices"
	"sync"

	"cbuild/cas"
	"cbuild/engine"
)

// Uses remembers which actions of this build used which toolchains and shared inputs, in case one turns out to have been changed meanwhile. All
// methods may be called concurrently; a nil Uses remembers nothing.
type Uses struct {
	// Shared reports whether there is a shared copy of an input; nil means never.
	Shared func(root cas.Digest) bool

	mu   sync.Mutex
	keys map[cas.Digest][]engine.Key // guarded by mu
}

// add notes that the action k is about to use what c names.
func (u *Uses) add(c *engine.Command, k engine.Key) {
	if u == nil {
		return
	}
	for _, t := range c.Tools {
		u.addOne(t.Digest, k)
	}
	if c.System == engine.SystemRoot {
		u.addOne(c.Root.Digest, k)
	}
	u.eachInput(c, func(root cas.Digest) { u.addOne(root, k) })
}

func (u *Uses) addOne(root cas.Digest, k engine.Key) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.keys == nil {
		u.keys = make(map[cas.Digest][]engine.Key)
	}
	u.keys[root] = append(u.keys[root], k)
}

// eachInput calls f for every tree among the inputs of c, if any may be shared.
func (u *Uses) eachInput(c *engine.Command, f func(root cas.Digest)) {
	if u.Shared == nil {
		return
	}
	for _, m := range c.Mounts {
		if m.Kind == engine.TreeKind {
			f(m.Digest)
		}
	}
}

// settle forgets the inputs of c that were not shared after all: there are too many of them to remember.
func (u *Uses) settle(c *engine.Command, k engine.Key) {
	if u == nil {
		return
	}
	u.eachInput(c, func(root cas.Digest) {
		if u.Shared(root) {
			return
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		left := slices.DeleteFunc(u.keys[root], func(x engine.Key) bool { return x == k })
		if u.keys[root] = left; len(left) == 0 {
			delete(u.keys, root)
		}
	})
}

// Keys returns the keys of the actions that used the tree root.
func (u *Uses) Keys(root cas.Digest) []engine.Key {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.keys[root]
}

// Forget forgets who used the tree root: it was not changed until it was removed.
func (u *Uses) Forget(root cas.Digest) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.keys, root)
}
