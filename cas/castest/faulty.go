package castest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"cbuild/cas"
)

// A Faulty is a store that fails, loses and damages on demand.
type Faulty struct {
	under cas.Store
	n     int64
	err   error
	calls atomic.Int64

	mu      sync.Mutex
	lost    map[[32]byte]bool // guarded by mu
	damaged map[[32]byte]bool // guarded by mu
}

// NewFaulty returns a store whose n-th call, counted from 1, fails with err, and that passes the others on to under. With n = 0 none
// fails.
func NewFaulty(under cas.Store, n int, err error) *Faulty {
	return &Faulty{under: under, n: int64(n), err: err, lost: map[[32]byte]bool{}, damaged: map[[32]byte]bool{}}
}

// Calls returns how many calls there were so far.
func (f *Faulty) Calls() int { return int(f.calls.Load()) }

// Lose makes d missing until it is put again.
func (f *Faulty) Lose(d cas.Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost[d.Hash] = true
}

// Damage makes d fail at its end with an error that wraps ErrNotFound, as a damaged blob does; then it is missing until it is put
// again.
func (f *Faulty) Damage(d cas.Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.damaged[d.Hash] = true
}

func (f *Faulty) call(op string) error {
	if f.calls.Add(1) == f.n {
		return fmt.Errorf("%s: %w", op, f.err)
	}
	return nil
}

// state reports what is wrong with d, and turns a damaged blob into a lost one.
func (f *Faulty) state(d cas.Digest, open bool) (lost, damaged bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	lost, damaged = f.lost[d.Hash], f.damaged[d.Hash]
	if open && damaged && !lost {
		delete(f.damaged, d.Hash)
		f.lost[d.Hash] = true
	}
	return lost, damaged
}

// Open is cas.Store's.
func (f *Faulty) Open(ctx context.Context, d cas.Digest) (io.ReadCloser, error) {
	if err := f.call("open"); err != nil {
		return nil, err
	}
	lost, damaged := f.state(d, true)
	if lost {
		return nil, fmt.Errorf("%v: %w", d, cas.ErrNotFound)
	}
	r, err := f.under.Open(ctx, d)
	if err != nil || !damaged {
		return r, err
	}
	return &damagedReader{r, d}, nil
}

// Put is cas.Store's.
func (f *Faulty) Put(ctx context.Context, r io.Reader) (cas.Digest, error) {
	if err := f.call("put"); err != nil {
		return cas.Digest{}, err
	}
	data, err := io.ReadAll(until{ctx, r})
	if err != nil {
		return cas.Digest{}, err
	}
	d, err := f.under.Put(ctx, bytes.NewReader(data))
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.lost, d.Hash)
		delete(f.damaged, d.Hash)
	}
	return d, err
}

// Missing is cas.Store's.
func (f *Faulty) Missing(ctx context.Context, ds []cas.Digest) ([]cas.Digest, error) {
	if err := f.call("missing"); err != nil {
		return nil, err
	}
	var missing []cas.Digest
	for _, d := range ds {
		if lost, _ := f.state(d, false); lost {
			missing = append(missing, d)
			continue
		}
		m, err := f.under.Missing(ctx, []cas.Digest{d})
		if err != nil {
			return nil, err
		}
		missing = append(missing, m...)
	}
	return missing, nil
}

// A damagedReader yields the content and then says that it was wrong.
type damagedReader struct {
	io.ReadCloser
	digest cas.Digest
}

func (r *damagedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err == io.EOF {
		err = fmt.Errorf("%v: its content does not match: %w", r.digest, cas.ErrNotFound)
	}
	return n, err
}
