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

// A probe is what a hash sets and looks for in a block, the same in every filter.
type probe struct {
	which uint64 // chooses the block
	bits  [filterBlock / 8]uint64
}

// probeOf returns the probe of a hash. Hashes are uniform, so their bytes serve as they are.
func probeOf(hash *[32]byte) (p probe) {
	p.which = uint64(binary.LittleEndian.Uint32(hash[8:]))
	bits := binary.LittleEndian.Uint32(hash[12:])
	for i, salt := range filterSalts {
		p.bits[i/2] |= 1 << (bits*salt>>27 + 32*uint32(i%2))
	}
	return p
}

// block returns the block of a probe.
func (f filter) block(p *probe) *[filterBlock]byte {
	which := p.which * uint64(len(f)/filterBlock) >> 32
	return (*[filterBlock]byte)(f[which*filterBlock:])
}

func (f filter) add(hash *[32]byte) {
	p := probeOf(hash)
	block := f.block(&p)
	for i, bits := range p.bits {
		word := block[8*i : 8*i+8]
		binary.LittleEndian.PutUint64(word, binary.LittleEndian.Uint64(word)|bits)
	}
}

// has reports whether the hash of p may have been added.
func (f filter) has(p *probe) bool {
	b := f.block(p)
	missing := p.bits[0]&^binary.LittleEndian.Uint64(b[0:]) |
		p.bits[1]&^binary.LittleEndian.Uint64(b[8:]) |
		p.bits[2]&^binary.LittleEndian.Uint64(b[16:]) |
		p.bits[3]&^binary.LittleEndian.Uint64(b[24:])
	return missing == 0
}
