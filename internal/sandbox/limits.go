package sandbox

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/checkout"
)

// limits is how an executor limits what its commands take of the machine. A group for each command that has limits does it for all of its
// processes together; where this machine has none, each process is limited on its own, and is denied what goes beyond.
type limits struct {
	find   sync.Once
	groups *cgroups // nil if there are none
	soft   func(why error)
	weak   atomic.Bool // set once a command was limited without a group
}

// Limits has told called once if memory can only be limited for each process, which a command meets as a failure like any other. It is called
// before the first command.
func (x *Executor) Limits(told func(why error)) { x.limits.soft = told }

// openGroup opens the group of the command, nil if it needs or gets none.
func (r *run) openGroup() (*group, error) {
	if r.c.Memory <= 0 && r.c.CPU <= 0 {
		return nil, nil
	}
	l := &r.limits
	l.find.Do(func() {
		var why error
		if l.groups, why = findCgroups(); why != nil && l.soft != nil {
			l.soft(why)
		}
		l.weak.Store(l.groups == nil)
	})
	if l.groups == nil {
		return nil, nil
	}
	g, err := l.groups.open(r.c.Memory, r.c.CPU)
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	return g, nil
}

// processLimits are limits of single processes, in bytes; 0 is none.
type processLimits struct{ Data, File int64 }

// processLimits returns those of the command: what a group does for all of them is not needed.
func (r *run) processLimits(g *group) processLimits {
	p := processLimits{File: r.c.Disk}
	if g == nil {
		p.Data = r.c.Memory
	}
	return p
}

// account says in the result what the group saw.
func (r *run) account(g *group, res *engine.Result) {
	if g == nil {
		return
	}
	peak, ranOut := g.used()
	if peak > 0 {
		res.Used.Memory = peak
	}
	// A command that passed without one of its processes did not do what it would have done with more.
	if ranOut && res.Status != engine.Timeout {
		res.Status = engine.OOM
		fmt.Fprintf(&r.log, "\ncbuild: out of memory: its limit is memory = %q\n", size(r.c.Memory))
	}
}

// A budgetStore takes blobs as long as they are not too many. It is used by one goroutine.
type budgetStore struct {
	cas.Store
	left int64 // bytes
	over bool
}

// Put implements cas.Store. Its error wraps checkout.ErrContent for what is too much.
func (s *budgetStore) Put(ctx context.Context, r io.Reader) (cas.Digest, error) {
	var size int64
	if f, ok := r.(*os.File); ok {
		info, err := f.Stat()
		if err != nil {
			return cas.Digest{}, err
		}
		size = info.Size()
	}
	if s.left -= size; s.left < 0 {
		s.over = true
		return cas.Digest{}, fmt.Errorf("%w: it is too large", checkout.ErrContent)
	}
	return s.Store.Put(ctx, r)
}

// filled reports whether a file that the command left has the size of its limit: then something was not written, whatever the command says. One may
// have more: what the command wrote before it was limited, just after its start.
func (r *run) filled() (found bool) {
	for _, dir := range []string{r.work, filepath.Join(r.root, "tmp")} {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // what can't be read is not collected either
			}
			info, err := d.Info()
			found = found || err == nil && info.Size() >= r.c.Disk
			return nil
		})
	}
	return found
}

// size writes a number of bytes as people write sizes.
func size(n int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}} {
		if n > 0 && n%unit.size == 0 {
			return fmt.Sprintf("%d%s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprint(n)
}
