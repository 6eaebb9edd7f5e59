// Package cas is the vocabulary of content-addressed storage: digests, the Store interface, and directory trees in their
// canonical encoding. Call Of to name bytes and Store.Put to keep them. It holds no implementation: cas/local is the shared
// directory, cas/castest the one in memory and the suite that each must pass.
package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// ErrNotFound is wrapped by the error of every look-up that found nothing, damage included: a damaged blob is a missing one.
var ErrNotFound = errors.New("not found")

// A Store keeps blobs by the digest of their content. All methods may be called concurrently.
type Store interface {
	// Open returns the bytes of d. The error wraps ErrNotFound if the store has no sound copy. The caller closes the reader, and
	// must take an error of Read or Close for a miss as well: content is checked on the way at the first use.
	Open(ctx context.Context, d Digest) (io.ReadCloser, error)

	// Put stores what r holds and returns its BLAKE3 digest. When it returns without an error, a later Open finds the blob even
	// if this process is killed at once.
	Put(ctx context.Context, r io.Reader) (Digest, error)

	// Missing returns those of ds that Open would not find, in the given order, without reading their content.
	Missing(ctx context.Context, ds []Digest) ([]Digest, error)
}

// ReadAll returns the whole content of d, which must be at most max bytes.
func ReadAll(ctx context.Context, s Store, d Digest, max int64) ([]byte, error) {
	if d.Size > max {
		return nil, fmt.Errorf("%v: %d bytes, more than %d", d, d.Size, max)
	}
	r, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("%v: more than %d bytes", d, max)
	}
	return data, err
}

// PutBytes stores data and returns its digest.
func PutBytes(ctx context.Context, s Store, data []byte) (Digest, error) {
	return s.Put(ctx, bytes.NewReader(data))
}
