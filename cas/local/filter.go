package local

import "encoding/binary"

// A filter tells for nearly every hash that a pack does not hold it, from memory. It is a split block Bloom filter (Putze, Sanders and
// Singler: Cache-, Hash- and Space-Efficient Bloom Filters): a hash belongs to one block of 32 bytes, in which it sets one bit of each of
// eight words. With 16 bits for each hash one in a thousand or so is taken for present.
type filter []byte

const (
	filterBlock = 32
	filterBits  = 16 // for each hash
)

// newFilter returns an empty filter for n hashes.
func newFilter(n int) filter { return make(filter, filterBlock*max(1, (n*filterBits+255)/256)) }

// filterSalts are odd numbers; those of the Parquet format.
var filterSalts = [8]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31}

// block returns the block of a hash and what chooses the bits in it. Hashes are uniform, so their bytes serve as they are.
func (f filter) block(hash *[32]byte) (block []byte, bits uint32) {
	which := uint64(binary.LittleEndian.Uint32(hash[8:])) * uint64(len(f)/filterBlock) >> 32
	return f[which*filterBlock:][:filterBlock], binary.LittleEndian.Uint32(hash[12:])
}

func (f filter) add(hash *[32]byte) {
	block, bits := f.block(hash)
	for i, salt := range filterSalts {
		bit := bits * salt >> 27
		block[4*i+int(bit/8)] |= 1 << (bit % 8)
	}
}

// has reports whether hash may have been added.
func (f filter) has(hash *[32]byte) bool {
	block, bits := f.block(hash)
	for i, salt := range filterSalts {
		bit := bits * salt >> 27
		if block[4*i+int(bit/8)]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}
