package sandbox

import (
	"bytes"
	"fmt"
	"sync"
)

// The caps of a log: the first half and the last half of each are kept.
const (
	maxLogBytes = 5 << 20
	maxLogLines = 10_000
)

// capped keeps the head and the tail of what is written to it. The tail is cut when it has
// grown to twice its cap.
type capped struct {
	mu      sync.Mutex
	head    bytes.Buffer // guarded by mu
	lines   int          // guarded by mu; in head
	tail    []byte       // guarded by mu
	dropped int64        // guarded by mu; bytes
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rest := p
	if len(c.tail) == 0 && c.dropped == 0 {
		rest = c.fillHead(p)
	}
	c.tail = append(c.tail, rest...)
	if len(c.tail) > maxLogBytes {
		c.trim()
	}
	return len(p), nil
}

// fillHead takes what still belongs to the head and returns the rest.
func (c *capped) fillHead(p []byte) []byte {
	for len(p) > 0 && c.head.Len() < maxLogBytes/2 && c.lines < maxLogLines/2 {
		line := p
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			line = p[:i+1]
			c.lines++
		}
		line = line[:min(len(line), maxLogBytes/2-c.head.Len())]
		c.head.Write(line)
		p = p[len(line):]
	}
	return p
}

// trim drops the beginning of the tail down to its cap. It is called once for every half a cap that is written, or less.
func (c *capped) trim() {
	keep := c.tail[max(0, len(c.tail)-maxLogBytes/2):]
	if n := bytes.Count(keep, []byte("\n")) - maxLogLines/2; n > 0 {
		for range n {
			keep = keep[bytes.IndexByte(keep, '\n')+1:]
		}
	}
	c.dropped += int64(len(c.tail) - len(keep))
	c.tail = c.tail[:copy(c.tail, keep)]
}

// content returns what was kept, with a line that counts what was not.
func (c *capped) content() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trim()
	var b bytes.Buffer
	b.Write(c.head.Bytes())
	if c.dropped > 0 {
		fmt.Fprintf(&b, "\n… cbuild: %d bytes dropped …\n", c.dropped)
	}
	b.Write(c.tail)
	return b.Bytes()
}

// bounded keeps what is written to it as long as that is not more than maxText.
type bounded struct {
	mu   sync.Mutex
	buf  bytes.Buffer // guarded by mu
	over bool         // guarded by mu
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over = b.over || b.buf.Len()+len(p) > maxText; b.over {
		b.buf = bytes.Buffer{}
	} else {
		b.buf.Write(p)
	}
	return len(p), nil
}

// content returns what was written, and whether that is all of it.
func (b *bounded) content() (text []byte, whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Bytes(), !b.over
}
