// Package castest holds what the implementations of cas.Store and engine.ActionCache are tested with: the suites Store and
// ActionCache that each must pass, the implementations in memory that tests of other packages use, and decorators that damage.
package castest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"cbuild/cas"
	"cbuild/engine"
)

// A Memory is a store in memory.
type Memory struct {
	mu    sync.Mutex
	blobs map[[32]byte][]byte // guarded by mu
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{blobs: map[[32]byte][]byte{}} }

func (m *Memory) get(d cas.Digest) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.blobs[d.Hash]
	return data, ok && d.Function == cas.BLAKE3 && (d.Size < 0 || d.Size == int64(len(data)))
}

// Open is cas.Store's.
func (m *Memory) Open(ctx context.Context, d cas.Digest) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	data, ok := m.get(d)
	if !ok {
		return nil, fmt.Errorf("%v: %w", d, cas.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Put is cas.Store's.
func (m *Memory) Put(ctx context.Context, r io.Reader) (cas.Digest, error) {
	data, err := io.ReadAll(until{ctx, r})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return cas.Digest{}, err
	}
	d := cas.Of(data)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blobs[d.Hash] = data
	return d, nil
}

// An until is a reader that ends with its context.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// Missing is cas.Store's.
func (m *Memory) Missing(ctx context.Context, ds []cas.Digest) ([]cas.Digest, error) {
	var missing []cas.Digest
	for _, d := range ds {
		if _, ok := m.get(d); !ok {
			missing = append(missing, d)
		}
	}
	return missing, ctx.Err()
}

// Delete makes the store lose d.
func (m *Memory) Delete(d cas.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.blobs, d.Hash)
}

// Len returns the number of blobs.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.blobs)
}

// A MemoryActionCache is an action cache in memory.
type MemoryActionCache struct {
	mu      sync.Mutex
	records map[engine.Key]engine.Record // guarded by mu
}

// NewMemoryActionCache returns an empty action cache.
func NewMemoryActionCache() *MemoryActionCache {
	return &MemoryActionCache{records: map[engine.Key]engine.Record{}}
}

// Lookup is engine.ActionCache's.
func (m *MemoryActionCache) Lookup(ctx context.Context, k engine.Key, want engine.Conditions, mode engine.LookupMode) (*engine.Result, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	if mode == engine.LookupBypass {
		return nil, "it is to be done again", nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[k]
	if !ok {
		return nil, "no result is stored", nil
	}
	if ok, reason := r.Conditions.Serve(r.Result.Status, want); !ok {
		return nil, reason, nil
	}
	return r.Result, "", nil
}

// Record is engine.ActionCache's.
func (m *MemoryActionCache) Record(ctx context.Context, r engine.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.Key.IsZero() {
		return errors.New("record: the zero key is never stored")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.records[r.Key]; !ok || old.YieldsTo(&r) {
		m.records[r.Key] = r
	}
	return nil
}

// Withdraw is engine.ActionCache's.
func (m *MemoryActionCache) Withdraw(ctx context.Context, k engine.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, k)
	return ctx.Err()
}
