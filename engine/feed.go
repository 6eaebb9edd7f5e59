package engine

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"sync"
)

// A Spool is scratch space for rows that nobody reads right now. It is gone when the process is.
type Spool interface {
	// Append writes p and returns where it begins. It may be called concurrently.
	Append(p []byte) (offset int64, err error)
	io.ReaderAt
}

// feed is an append-only list of rows that readers follow while it grows. It gives paging, overlap of targets, and replay. Only
// its tail is in memory: older rows are sealed into chunks of a Spool and read back by the readers that lag.
type feed struct {
	spool func() (Spool, error)
	codec rowCodec

	mu      sync.Mutex
	tail    []*Row        // guarded by mu; rows from place sealed on
	sealed  int           // guarded by mu; how many rows the chunks hold
	chunks  []chunk       // guarded by mu
	closed  bool          // guarded by mu
	err     error         // guarded by mu; why the feed ended early
	changed chan struct{} // guarded by mu; closed at the next change, nil if nobody waits
	fastest int           // guarded by mu; the place up to which the fastest stream reader has read
	readers int           // guarded by mu; stream readers under way
	ahead   int64         // guarded by mu; bytes of the rows that no stream reader has taken
	moved   func()        // called, without mu, after a stream reader took a row, came or went
}

// chunk is where a run of sealed rows lies in the spool.
type chunk struct {
	first  int
	spool  Spool
	offset int64
	ends   []uint32 // where each row ends, from offset
}

// tailRows is how many rows a feed keeps in memory before it seals the older half of them. It is a variable for tests.
var tailRows = 512

func (f *feed) append(r *Row) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tail = append(f.tail, r)
	f.ahead += r.ahead
	f.notify()
	if len(f.tail) <= tailRows || f.spool == nil {
		return
	}
	if err := f.seal(tailRows / 2); err != nil {
		f.spool = nil // without scratch space rows stay in memory: a larger process, not a wrong one
	}
}

// seal moves the first n rows of the tail to the spool. f.mu is held: readers of other rows wait for a write to a scratch file,
// which costs less than a second lock.
func (f *feed) seal(n int) error {
	spool, err := f.spool()
	if err != nil {
		return err
	}
	var data []byte
	ends := make([]uint32, n)
	for i, r := range f.tail[:n] {
		if data, err = f.codec.append(data, r); err != nil {
			return err
		}
		if len(data) > math.MaxUint32 {
			return errors.New("rows too large to be sealed")
		}
		ends[i] = uint32(len(data))
	}
	offset, err := spool.Append(data)
	if err != nil {
		return err
	}
	f.chunks = append(f.chunks, chunk{first: f.sealed, spool: spool, offset: offset, ends: ends})
	f.sealed += n
	f.tail = append(make([]*Row, 0, tailRows+1), f.tail[n:]...)
	return nil
}

// close ends the feed. Err is what readers get after the last row; nil if the collection is complete.
func (f *feed) close(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed, f.err = true, err
	f.notify()
}

// end returns what the feed was closed with.
func (f *feed) end() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// notify wakes all who wait for a change. f.mu is held.
func (f *feed) notify() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

func (f *feed) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sealed + len(f.tail)
}

// lead returns how many rows, and how many bytes, no stream reader has taken yet, and how many such readers there are.
func (f *feed) lead() (rows int, bytes int64, readers int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sealed + len(f.tail) - f.fastest, f.ahead, f.readers
}

// cursor reads a feed from some place on. It is for one goroutine.
type cursor struct {
	feed   *feed
	place  int
	chunk  chunk
	loaded []*Row // the rows of chunk
	stream bool   // counts for the look-ahead
	random bool   // reads single rows, not whole chunks
}

// next returns the row at the cursor and moves on. It waits if the feed may still grow. At the end it returns nil and the error with
// which the feed was closed.
func (c *cursor) next(ctx context.Context) (*Row, error) {
	for {
		row, changed, err := c.poll()
		if row != nil || changed == nil {
			return row, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// poll returns the row at the cursor, or the channel that is closed when to ask again, or neither at the end.
func (c *cursor) poll() (row *Row, changed <-chan struct{}, err error) {
	f := c.feed
	f.mu.Lock()
	switch {
	case c.place < f.sealed:
		at := f.chunkOf(c.place)
		f.mu.Unlock()
		row, err = c.read(at)
		return row, nil, err
	case c.place < f.sealed+len(f.tail):
		row = f.tail[c.place-f.sealed]
		c.place++
		moved := c.stream && c.place > f.fastest
		if moved {
			f.fastest = c.place
			f.ahead -= row.ahead
		}
		f.mu.Unlock()
		if moved && f.moved != nil {
			f.moved()
		}
		return row, nil, nil
	case f.closed:
		defer f.mu.Unlock()
		return nil, nil, f.err
	}
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return nil, f.changed, nil
}

// chunkOf returns the chunk that holds place. f.mu is held.
func (f *feed) chunkOf(place int) chunk {
	lo, hi := 0, len(f.chunks)-1
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if f.chunks[mid].first <= place {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return f.chunks[lo]
}

// read returns the row at the cursor from the sealed chunk at, and moves on.
func (c *cursor) read(at chunk) (*Row, error) {
	if c.random {
		i := c.place - at.first
		rows, err := c.feed.load(at, i, i+1)
		if err != nil {
			return nil, err
		}
		c.place++
		return rows[0], nil
	}
	if c.loaded == nil || c.chunk.first != at.first {
		rows, err := c.feed.load(at, 0, len(at.ends))
		if err != nil {
			return nil, err
		}
		c.chunk, c.loaded = at, rows
	}
	row := c.loaded[c.place-at.first]
	c.place++
	f := c.feed
	f.mu.Lock()
	if c.stream && c.place > f.fastest {
		f.fastest = c.place
		f.ahead -= row.ahead
	}
	f.mu.Unlock()
	if c.stream && f.moved != nil {
		f.moved()
	}
	return row, nil
}

// load returns the rows from begin to end of a chunk.
func (f *feed) load(at chunk, begin, end int) ([]*Row, error) {
	from := uint32(0)
	if begin > 0 {
		from = at.ends[begin-1]
	}
	data := make([]byte, at.ends[end-1]-from)
	if n, err := at.spool.ReadAt(data, at.offset+int64(from)); n < len(data) {
		return nil, err
	}
	return f.codec.decodeAll(data, end-begin)
}

// at returns the row at place, which must exist.
func (f *feed) at(place int) (*Row, error) {
	c := cursor{feed: f, place: place, random: true}
	row, _, err := c.poll()
	return row, err
}

// rows follows the feed from its beginning to its end. As a stream reader it counts for the look-ahead.
func (f *feed) rows(ctx context.Context, stream bool) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		if stream {
			f.join(1)
			defer f.join(-1)
		}
		c := cursor{feed: f, stream: stream}
		for {
			row, err := c.next(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			if row == nil || !yield(row, nil) {
				return
			}
		}
	}
}

// join adds n stream readers.
func (f *feed) join(n int) {
	f.mu.Lock()
	f.readers += n
	f.mu.Unlock()
	if f.moved != nil {
		f.moved()
	}
}
