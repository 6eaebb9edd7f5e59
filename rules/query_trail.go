package rules

import (
	"fmt"
	"hash/maphash"
)

// A trail is the way from page to page of one start. It notices when that leads in a circle: pages that link to themselves under ever new
// addresses would else be followed for ever.
type trail struct {
	seed  maphash.Seed
	pages map[uint64]int      // the addresses, with the index of the page
	texts map[uint64]bool     // the answers
	keys  map[uint64]struct{} // the items
	items int                 // of this page
	fresh bool                // whether this page brought a new one
	stale int                 // how many pages in a row brought nothing new
}

const (
	// maxStale is how many pages in a row may bring nothing new: a page may be read twice where a list shifts while it is read.
	maxStale = 20
	// maxPages is how many pages a start may have.
	maxPages = 1 << 20
)

func newTrail() *trail {
	return &trail{seed: maphash.MakeSeed(), pages: map[uint64]int{}, texts: map[uint64]bool{}, keys: map[uint64]struct{}{}}
}

// leads says what is wrong with going from a page to an address: a page that leads back is not worth keeping.
func (t *trail) leads(from int, to string) error {
	if n, again := t.pages[maphash.String(t.seed, to)]; again {
		return fmt.Errorf("next: page %d leads back to page %d, %s", from, n, to)
	}
	return nil
}

// step notes the address of the page p.
func (t *trail) step(p *Page) error {
	if err := t.leads(p.Index-1, p.URL); err != nil {
		return err
	}
	if p.Index >= maxPages {
		return fmt.Errorf("next: there is no end after %d pages, at %s", p.Index, p.URL)
	}
	t.pages[maphash.String(t.seed, p.URL)] = p.Index
	t.items, t.fresh = 0, false
	return nil
}

// item notes an item of the page.
func (t *trail) item(key string) {
	h := maphash.String(t.seed, key)
	t.items++
	if _, known := t.keys[h]; !known {
		t.keys[h] = struct{}{}
		t.fresh = true
	}
}

// brought says whether to go on after the page p: what brings the same answer or the same items again and again has no end.
func (t *trail) brought(p *Page) error {
	h := maphash.String(t.seed, p.Text)
	same := t.texts[h]
	t.texts[h] = true
	if t.fresh || t.items == 0 && !same {
		t.stale = 0
		return nil
	}
	if t.stale++; t.stale >= maxStale {
		return fmt.Errorf("next: pages %d to %d brought nothing new, the last is %s: next leads in a circle", p.Index-t.stale+1, p.Index, p.URL)
	}
	return nil
}
