package local

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// condemned are the frames that were found damaged: nobody can take them out of their packs, so they are marked. A mark is a file in
// quarantine with what was found in place of the frame, under the name of the pack and the offset.
type condemned struct {
	mu     sync.RWMutex
	frames map[frameRef]struct{} // guarded by mu
}

type frameRef struct {
	pack   packID
	offset uint32
}

func (r frameRef) String() string {
	return r.pack.String() + "@" + strconv.FormatUint(uint64(r.offset), 10)
}

func (c *condemned) add(r frameRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frames == nil {
		c.frames = make(map[frameRef]struct{})
	}
	c.frames[r] = struct{}{}
}

func (c *condemned) has(p *pack, e entry) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.frames) == 0 {
		return false
	}
	_, ok := c.frames[frameRef{p.id, e.offset}]
	return ok
}

// any reports whether frames of a pack are marked.
func (c *condemned) any(id packID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for r := range c.frames {
		if r.pack == id {
			return true
		}
	}
	return false
}

// load reads the marks. Without them damage is found again.
func (c *condemned) load(l *Local) {
	for _, dir := range l.dirs {
		entries, _ := l.fs.ReadDir(filepath.Join(dir, "quarantine"))
		for _, e := range entries {
			name, offset, ok := strings.Cut(e.Name(), "@")
			id, ok2 := parsePackID(name)
			n, err := strconv.ParseUint(offset, 10, 32)
			if ok && ok2 && err == nil {
				c.add(frameRef{id, uint32(n)})
			}
		}
	}
}

// condemn marks the frame at e, whose content is certain to be wrong.
func (l *Local) condemn(p *pack, e entry) {
	ref := frameRef{p.id, e.offset}
	l.condemned.add(ref)
	l.counters.damaged.Add(1)
	if l.readOnly {
		return
	}
	found := make([]byte, headerSize+int(e.length))
	if f, err := p.open(); err == nil {
		n, _ := f.ReadAt(found, int64(e.offset))
		found = found[:n]
	}
	_ = l.writeFile(filepath.Join(l.own, "quarantine", ref.String()), found) // else it is found damaged again
}

// quarantine moves a damaged file out of the way and keeps it for whoever looks for the cause. In a store that can't be written it
// stays, and is found damaged again. Another process may just have replaced the file by a sound one: then that one is lost, which is
// a miss and no worse.
func (l *Local) quarantine(name string) {
	l.counters.damaged.Add(1)
	if l.readOnly {
		return
	}
	dir := filepath.Join(l.own, "quarantine")
	to := filepath.Join(dir, filepath.Base(name))
	if err := l.fs.Rename(name, to); err != nil && l.fs.MkdirAll(dir, 0o777) == nil {
		_ = l.fs.Rename(name, to)
	}
}
