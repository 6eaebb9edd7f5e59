package rules

import (
	"sync"

	"cbuild/cas"
	"cbuild/engine"
)

// Uses remembers which actions of this build used which toolchains, in case one turns out to have been changed meanwhile. All
// methods may be called concurrently; a nil Uses remembers nothing.
type Uses struct {
	mu   sync.Mutex
	keys map[cas.Digest][]engine.Key // guarded by mu
}

func (u *Uses) add(tools []engine.Artifact, k engine.Key) {
	if u == nil || len(tools) == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.keys == nil {
		u.keys = make(map[cas.Digest][]engine.Key)
	}
	for _, t := range tools {
		u.keys[t.Digest] = append(u.keys[t.Digest], k)
	}
}

// Keys returns the keys of the actions that used the tree root.
func (u *Uses) Keys(root cas.Digest) []engine.Key {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.keys[root]
}
