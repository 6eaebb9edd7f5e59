package cas

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"sync"

	"github.com/zeebo/blake3"
)

// Function says which hash function made a digest.
type Function uint8

// The hash functions of a Digest. BLAKE3 names everything in a store of ours; SHA256 is what registries and other servers give.
const (
	BLAKE3 Function = 1 + iota
	SHA256
)

// prefix is how a digest of the function is written: never bare hex, so that two functions cannot be mixed up.
func (f Function) prefix() string {
	switch f {
	case BLAKE3:
		return "b3:"
	case SHA256:
		return "sha256:"
	}
	return "?:"
}

// New returns a running hash of the function.
func (f Function) New() hash.Hash {
	if f == SHA256 {
		return sha256.New()
	}
	return blake3.New()
}

// Digest names a blob by its content. It is comparable, so it serves as a map key; the zero Digest names nothing.
type Digest struct {
	Function Function
	Hash     [32]byte
	// Size is in bytes; -1 where only the hash is known, as in a digest that a user typed.
	Size int64
}

// Of returns the BLAKE3 digest of data.
func Of(data []byte) Digest {
	h := hashers.Get().(*blake3.Hasher)
	defer hashers.Put(h)
	return Digest{Function: BLAKE3, Hash: sumOf(h, data), Size: int64(len(data))}
}

// hashers are for data that is at hand. A hasher is 10 KiB: on the stack, as blake3.Sum256 has it, it makes most goroutines of a build grow theirs.
var hashers = sync.Pool{New: func() any { return blake3.New() }}

func sumOf(h *blake3.Hasher, data []byte) (sum [32]byte) {
	h.Reset()
	h.Write(data)
	h.Sum(sum[:0])
	return sum
}

// Sum returns the digest of function f that h, a running hash of f over size bytes, has reached.
func Sum(f Function, h hash.Hash, size int64) Digest {
	d := Digest{Function: f, Size: size}
	h.Sum(d.Hash[:0])
	return d
}

// IsZero reports whether d names nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// Hex returns the 64 hexadecimal digits of the hash.
func (d Digest) Hex() string { return hex.EncodeToString(d.Hash[:]) }

// String writes d as "b3:…" or "sha256:…"; the size is not part of it. The zero Digest is the empty string.
func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Function.prefix() + d.Hex()
}

// ParseDigest reads what String writes. The size of the digest is -1: unknown.
func ParseDigest(s string) (Digest, error) {
	for _, f := range []Function{BLAKE3, SHA256} {
		digits, ok := strings.CutPrefix(s, f.prefix())
		if !ok {
			continue
		}
		d := Digest{Function: f, Size: -1}
		if len(digits) != 64 || strings.ToLower(digits) != digits {
			return Digest{}, fmt.Errorf("digest %q: want 64 lower-case hexadecimal digits after %q", s, f.prefix())
		}
		if _, err := hex.Decode(d.Hash[:], []byte(digits)); err != nil {
			return Digest{}, fmt.Errorf("digest %q: %w", s, err)
		}
		return d, nil
	}
	return Digest{}, fmt.Errorf(`digest %q: want "b3:…" or "sha256:…"`, s)
}

// Derive returns the BLAKE3 hash of material in key derivation mode, for the given purpose. Different purposes never collide.
func Derive(purpose string, material []byte) [32]byte {
	pool, ok := derivers.Load(purpose)
	if !ok {
		pool, _ = derivers.LoadOrStore(purpose, &sync.Pool{New: func() any { return blake3.NewDeriveKey(purpose) }})
	}
	h := pool.(*sync.Pool).Get().(*blake3.Hasher)
	defer pool.(*sync.Pool).Put(h)
	return sumOf(h, material)
}

// derivers holds a sync.Pool of hashers for each purpose.
var derivers sync.Map
