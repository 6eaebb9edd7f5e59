package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"cbuild/internal/typo"
)

// demand waits for the row of key, admitting it at once. While its element has not come, elements are taken to find it.
func (n *node) demand(ctx context.Context, key string) (*Row, error) {
	n.start()
	if n.target.Over != nil {
		if err := n.demandOver(ctx, key); err != nil {
			return nil, err
		}
	}
	for {
		r, w, err := n.reach(key)
		if err != nil {
			return nil, err
		}
		var wait <-chan struct{}
		if r != nil {
			wait = r.done
		} else if w != nil {
			wait = w.came
		} else {
			return n.finishedRow(key)
		}
		n.poke()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// demandOver demands key from the collection that n is repeated over, so that its row is not reached only when its turn comes.
func (n *node) demandOver(ctx context.Context, key string) error {
	n.mu.Lock()
	known := n.known(key)
	n.mu.Unlock()
	if known {
		return nil
	}
	over := n.build.nodes[*n.target.Over]
	if !over.target.Repeated {
		return nil // its elements are keys of an axis: they come all at once
	}
	r, err := over.demand(ctx, key)
	if err != nil {
		if no := (*NoRowError)(nil); errors.As(err, &no) {
			return &NoRowError{Target: n.target, Key: key, Dropped: no.Dropped, Nearest: no.Nearest}
		}
		return err
	}
	select {
	case <-n.ready:
		n.takeDemanded(r.Elements())
	case <-n.listed: // the axes are not known: neither is any row
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// takeDemanded receives elements that were demanded.
func (n *node) takeDemanded(items []Item) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, item := range items {
		if !n.known(item.Key) && !n.build.stopped() {
			n.items++
			n.admit(item, n.items-1)
		}
	}
}

// reach returns the row of key if it is under way, or what to wait for if its element has not come; neither if it is finished.
func (n *node) reach(key string) (*row, *want, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if item, ok := n.pending[key]; ok {
		if n.build.stopped() {
			return nil, nil, ErrCancelled
		}
		n.admitPendingItem(item)
	}
	if r := n.rows[key]; r != nil {
		return r, nil, nil
	}
	if _, ok := n.places[hashKey(key)]; ok {
		return nil, nil, nil
	}
	if n.taken {
		if n.end != nil {
			return nil, nil, n.end
		}
		return nil, nil, &NoRowError{Target: n.target, Key: key, Nearest: n.nearest(key)}
	}
	w := n.wanted[key]
	if w == nil {
		w = &want{came: make(chan struct{})}
		n.wanted[key] = w
	}
	return nil, w, nil
}

// finishedRow returns the row of key from the feed.
func (n *node) finishedRow(key string) (*Row, error) {
	n.mu.Lock()
	place := n.places[hashKey(key)]
	n.mu.Unlock()
	if place == dropped {
		return nil, &NoRowError{Target: n.target, Key: key, Dropped: true}
	}
	r, err := n.feed.at(int(place))
	if err == nil && r.Key != key {
		return nil, &NoRowError{Target: n.target, Key: key}
	}
	return r, err
}

// keys waits until all keys are known and returns them in order. Where drops instances, that is when all of them are finished: else
// the answer would depend on how far they are.
func (n *node) keys(ctx context.Context) ([]string, error) {
	if n.target.Where == nil {
		return n.elementKeys(ctx)
	}
	n.demandAll()
	select {
	case <-n.finished:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := n.feed.end(); err != nil {
		return nil, err
	}
	return n.knownKeys(ctx)
}

// elementKeys waits until every element was taken and returns their keys in order. Some of those that where drops may be among them.
func (n *node) elementKeys(ctx context.Context) ([]string, error) {
	n.mu.Lock()
	n.listing = true
	n.mu.Unlock()
	n.start()
	n.poke()
	select {
	case <-n.listed:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	err := n.end
	n.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return n.knownKeys(ctx)
}

func (n *node) knownKeys(ctx context.Context) ([]string, error) {
	type numbered struct {
		key   string
		index int
	}
	n.mu.Lock()
	var all []numbered
	for key, r := range n.rows {
		all = append(all, numbered{key, r.Index})
	}
	for key, index := range n.index {
		all = append(all, numbered{key, index})
	}
	finished := n.feed.len()
	n.mu.Unlock()
	c := cursor{feed: &n.feed}
	for range finished {
		r, err := c.next(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, numbered{r.Key, r.Index})
	}
	slices.SortFunc(all, func(x, y numbered) int { return x.index - y.index })
	keys := make([]string, len(all))
	for i, k := range all {
		keys[i] = k.key
	}
	return keys, nil
}

// nearest returns keys of elements that resemble key, the nearest first, at most three. It is called when all elements were taken, and looks
// at all of them, whatever has become of their rows: the answer stands in reports, so it must not depend on how far the build is. n.mu
// is held.
func (n *node) nearest(key string) []string {
	if n.items > nearestScan {
		return nil
	}
	type near struct {
		key  string
		cost int
	}
	var all []near
	consider := func(k string) {
		if c := typo.Distance(key, k); c <= max(len(key)/3, 2) {
			all = append(all, near{k, c})
		}
	}
	for k := range n.rows {
		consider(k)
	}
	for k := range n.pending {
		consider(k)
	}
	for _, k := range n.dropped {
		consider(k)
	}
	c := cursor{feed: &n.feed}
	for range n.feed.len() {
		r, _, err := c.poll()
		if err != nil || r == nil {
			break
		}
		consider(r.Key)
	}
	slices.SortFunc(all, func(x, y near) int {
		return cmp.Or(cmp.Compare(x.cost, y.cost), cmp.Compare(x.key, y.key))
	})
	var keys []string
	for _, x := range all[:min(len(all), 3)] {
		keys = append(keys, x.key)
	}
	return keys
}

// nearestScan is how many elements are compared with a key that does not exist; where there are more, none is.
const nearestScan = 10_000
