package buildfile

import (
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// fresh returns a copy of a block of p as it was parsed, with the same places. To compile a block changes its expressions, so what is compiled
// more than once, each time with other meanings of its names, needs a copy for each.
func (p *pkg) fresh(b *hclsyntax.Block) *hclsyntax.Block {
	if p.json != nil {
		return p.json.again(b)
	}
	from := b.TypeRange.Start
	f, _ := hclsyntax.ParseConfig(p.src.data[from.Byte:b.CloseBraceRange.End.Byte], p.src.name, from) // it was parsed before
	return f.Body.(*hclsyntax.Body).Blocks[0]
}
