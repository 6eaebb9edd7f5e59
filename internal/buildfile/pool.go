package buildfile

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
	"cbuild/rules"
)

// A pool is a declared one. In expressions it is a value that only the attribute pool takes.
type pool struct {
	label engine.Label
	block *hclsyntax.Block
	spec  engine.PoolSpec
}

var poolType = cty.Capsule("pool", reflect.TypeFor[pool]())

// name is what plans call it.
func (p *pool) name() string { return p.label.String() }

var poolAttrs = []string{"burst", "limit", "rate"}

func (p *pkg) declarePool(b *hclsyntax.Block) {
	name, ok := p.labelled(b)
	p.noBlocks(b)
	if !ok {
		return
	}
	if had := p.pools[name]; had != nil {
		p.diags.addf(p.src, b.LabelRanges[0], "Duplicate pool", "%q is already declared at %s.", name, where(had.block.TypeRange))
		return
	}
	p.pools[name] = &pool{label: engine.Label{Dir: p.dir, Name: name}, block: b}
}

// resolvePools evaluates what pools bound.
func (p *pkg) resolvePools() {
	for _, name := range sortedKeys(p.pools) {
		pool := p.pools[name]
		body := pool.block.Body
		for _, a := range attributes(body) {
			switch a.Name {
			case "limit":
				p.constAttr(a, unlessNull(func(v cty.Value) error { return decodeFrom1(&pool.spec.Limit, v) }))
			case "burst":
				p.constAttr(a, unlessNull(func(v cty.Value) error { return decodeFrom1(&pool.spec.Burst, v) }))
			case "rate":
				p.constAttr(a, unlessNull(func(v cty.Value) error { return decodeRate(&pool.spec.Rate, v) }))
			default:
				p.unknownAttr(a, "pool", poolAttrs)
			}
		}
		switch {
		case p.broken:
		case body.Attributes["limit"] == nil && body.Attributes["rate"] == nil:
			p.diags.add(p.src, pool.block.DefRange(), "A pool bounds something", "Write limit = 4, rate = \"10/s\", or both.")
		case body.Attributes["burst"] != nil && body.Attributes["rate"] == nil:
			p.diags.add(p.src, body.Attributes["burst"].NameRange, "burst without rate", "burst is how many may begin at once where a rate bounds them: add rate = \"10/s\".")
		}
	}
}

func decodeFrom1(dst *int, v cty.Value) error {
	if err := decodeInt(dst, v); err != nil {
		return err
	}
	if *dst == 0 {
		return errors.New("it is at least 1")
	}
	return nil
}

// decodeRate reads a number and a unit of time, as in "10/s", "0.5/s", "100/m" or "1/90s".
func decodeRate(dst *float64, v cty.Value) error {
	var text string
	if err := decodeString(&text, v); err != nil {
		return err
	}
	count, per, ok := strings.Cut(text, "/")
	n, err := strconv.ParseFloat(strings.TrimSpace(count), 64)
	per = strings.TrimSpace(per)
	if per != "" && (per[0] < '0' || per[0] > '9') {
		per = "1" + per
	}
	d, derr := time.ParseDuration(per)
	if !ok || err != nil || derr != nil || !(n > 0 && n <= 1e9) || d <= 0 {
		return fmt.Errorf("%q is no rate: write how many in which time, as in \"10/s\", \"100/m\" or \"1/90s\"", text)
	}
	*dst = n / d.Seconds()
	return nil
}

// poolRef replaces the reference e to a pool.
func (c *compiler) poolRef(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step) hclsyntax.Expression {
	name, ok := firstWord(steps)
	switch {
	case !ok:
		c.mistake(root.SrcRange, "Incomplete reference", "Write pool.NAME.")
		return e
	case c.pkg.pools[name] == nil:
		c.mistake(steps[0].rng, "Unknown pool "+name, didYouMean(name, mapKeys(c.pkg.pools), fmt.Sprintf("Declare it: pool %q { limit = 1 }.", name)))
		return e
	}
	return &constNode{e, cty.CapsuleVal(poolType, c.pkg.pools[name]), steps[1:]}
}

// decodePools takes a pool, or a list of them.
func decodePools(dst *rules.Pools, v cty.Value) error {
	return flat(v, func(e cty.Value) error {
		if e.IsNull() || e.Type() != poolType {
			return wantType("pool.NAME, or a list of them", e)
		}
		*dst = append(*dst, e.EncapsulatedValue().(*pool).name())
		return nil
	})
}

// Pools returns the pools of all packages by the names that plans have for them.
func (w *Workspace) Pools() map[string]engine.PoolSpec {
	all := make(map[string]engine.PoolSpec)
	for _, p := range w.packages {
		for _, pool := range p.pools {
			all[pool.name()] = pool.spec
		}
	}
	return all
}
