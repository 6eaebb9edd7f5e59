package sandbox

import (
	"context"
	"fmt"
	"os"
	"slices"

	"cbuild/cas"
	"cbuild/internal/checkout"
)

// A kept is a layer in the memory of a box. Commands find it below an overlay, where they can't change it.
type kept struct {
	key    cas.Digest
	name   string
	weight weight
}

// lay sees to it that the layers of p are in the box's memory.
func (r *run) lay(ctx context.Context, p *placing) error {
	if r.box == nil {
		return nil
	}
	r.box.inUse = 0
	for _, l := range p.layers {
		i := slices.IndexFunc(r.box.layers, func(k kept) bool { return k.key == l.key })
		if i < 0 {
			r.box.laid++
			k := kept{l.key, fmt.Sprintf("layer-%d", r.box.laid), l.weight}
			if err := r.writeLayer(ctx, k.name, &l); err != nil {
				_ = checkout.Remove(r.box.inMemory(k.name))
				return err
			}
			r.box.layers = append(r.box.layers, k)
		} else { // the last used ones are at the end
			k := r.box.layers[i]
			r.box.layers = append(slices.Delete(r.box.layers, i, i+1), k)
		}
	}
	r.box.inUse = len(p.layers)
	for _, k := range r.box.layers[len(r.box.layers)-r.box.inUse:] {
		r.layers = append(r.layers, k.name)
	}
	return nil
}

// writeLayer fills a directory of the box's memory as if it were the run's.
func (r *run) writeLayer(ctx context.Context, name string, l *layer) error {
	r.work = r.box.inMemory(name)
	if err := os.Mkdir(r.work, 0o755); err != nil {
		return err
	}
	if err := r.open(); err != nil {
		return err
	}
	return r.fill(ctx, l.inputs, nil, nil)
}

// trim removes layers that were not used for longest, as far as they are more than left, and never those that a command uses.
func (b *box) trim(left weight) {
	for i, k := range slices.Backward(b.layers) {
		if i < len(b.layers)-b.inUse && !left.has(k.weight) {
			for _, k := range b.layers[:i+1] {
				_ = checkout.Remove(b.inMemory(k.name))
			}
			b.layers = slices.Delete(b.layers, 0, i+1)
			return
		}
		left.files, left.bytes = left.files-k.weight.files, left.bytes-k.weight.bytes
	}
}
