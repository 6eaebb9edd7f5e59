package buildfile

import (
	"fmt"
	"hash/maphash"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// madeKeys notes the keys that a `for` makes of its elements. Only one element can have a key, and which one came first is a matter of
// luck while a collection grows, so a second one is a mistake, as it is where HCL has the whole of a collection.
type madeKeys struct {
	seeds [2]maphash.Seed
	seen  map[[2]uint64]struct{} // hashes, for there may be millions of them
}

// newMadeKeys returns nil where f can't make a key twice, or may: equal items of several pages are one.
func (st *stream) newMadeKeys(f *hclsyntax.ForExpr) *madeKeys {
	if st.page != nil || f.KeyExpr != nil && f.KeyVar != "" && isName(f.KeyExpr, f.KeyVar) {
		return nil
	}
	return &madeKeys{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, seen: make(map[[2]uint64]struct{})}
}

// add returns an error if key was added before.
func (k *madeKeys) add(key string) error {
	if k == nil {
		return nil
	}
	h := [2]uint64{maphash.String(k.seeds[0], key), maphash.String(k.seeds[1], key)}
	if _, twice := k.seen[h]; twice {
		return fmt.Errorf("two elements are both %q, but every instance needs a key of its own", key)
	}
	k.seen[h] = struct{}{}
	return nil
}
