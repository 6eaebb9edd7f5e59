package buildfile

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A jsonConverter turns a JSON text into the syntax tree that the same file in HCL's own syntax has, so that everything behind it
// sees one language. Strings are templates, and one that is a single interpolation is that expression.
type jsonConverter struct {
	src   *source
	diags *Diagnostics
	// labels are how many labels a block type has.
	labels func(blockType string) (n int, known bool)
	broken bool
	// written are what blocks were made of.
	written map[*hclsyntax.Block]writtenBlock
}

// A writtenBlock is a block as it is written.
type writtenBlock struct {
	label *jsonNode
	at    hcl.Range
	body  *jsonNode
}

// again makes a block once more.
func (c *jsonConverter) again(b *hclsyntax.Block) *hclsyntax.Block {
	quiet := &jsonConverter{src: c.src, diags: new(Diagnostics), labels: c.labels, written: make(map[*hclsyntax.Block]writtenBlock)}
	w := c.written[b]
	var body hclsyntax.Body
	quiet.block(&body, b.Type, w.label, w.at, w.body)
	return body.Blocks[0]
}

func (c *jsonConverter) mistake(rng hcl.Range, summary, detail string) {
	c.broken = true
	c.diags.add(c.src, rng, summary, detail)
}

// file converts the text of a file.
func (c *jsonConverter) file(n *jsonNode) *hclsyntax.Body {
	body := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: n.rng, EndRange: n.rng}
	if n.kind != '{' {
		c.mistake(n.rng, "Invalid build file", "It is an object whose members are blocks, as in {\"run\": {\"NAME\": {…}}}.")
		return body
	}
	for _, m := range n.members {
		if m.name.text != "//" { // a comment
			c.blocks(body, m, false)
		}
	}
	return body
}

// blocks converts the member m, which holds blocks of one type, in a rule if inner is set.
func (c *jsonConverter) blocks(body *hclsyntax.Body, m jsonMember, inner bool) {
	labels, known := c.labels(m.name.text)
	if inner && (m.name.text == "param" || m.name.text == "output") {
		labels, known = 1, true
	}
	switch {
	case !known && !holdsBlocks(&m.jsonNode):
		body.Blocks = append(body.Blocks, &hclsyntax.Block{
			Type: m.name.text, TypeRange: m.name.rng, OpenBraceRange: m.name.rng, CloseBraceRange: m.name.rng,
			Body: &hclsyntax.Body{Attributes: hclsyntax.Attributes{}},
		})
	case known && labels == 0:
		c.each(&m.jsonNode, func(n *jsonNode) { c.block(body, m.name.text, nil, m.name.rng, n) })
	default: // a rule that a block declares is called like those of cbuild
		c.each(&m.jsonNode, func(n *jsonNode) { c.labelled(body, m.name, n) })
	}
}

// holdsBlocks reports whether n is an object from names to objects.
func holdsBlocks(n *jsonNode) bool {
	for _, m := range n.members {
		if m.kind != '{' && m.kind != '[' && m.name.text != "//" {
			return false
		}
	}
	return n.kind == '{' && len(n.members) > 0
}

// each calls f for n, or for its elements if it is an array.
func (c *jsonConverter) each(n *jsonNode, f func(*jsonNode)) {
	if n.kind != '[' {
		f(n)
		return
	}
	for _, e := range n.elems {
		f(e)
	}
}

// labelled converts an object from names to blocks.
func (c *jsonConverter) labelled(body *hclsyntax.Body, typeName *jsonNode, n *jsonNode) {
	blockType := typeName.text
	if n.kind != '{' {
		c.mistake(n.rng, "Invalid "+blockType, fmt.Sprintf("Write {%q: {\"NAME\": {…}}}.", blockType))
		return
	}
	for _, m := range n.members {
		if m.name.text == "//" {
			continue
		}
		c.each(&m.jsonNode, func(n *jsonNode) { c.block(body, blockType, m.name, m.name.rng, n) })
	}
}

func (c *jsonConverter) block(body *hclsyntax.Body, blockType string, label *jsonNode, at hcl.Range, n *jsonNode) {
	if n.kind != '{' {
		c.mistake(n.rng, "Invalid "+blockType, "A block is an object of its attributes.")
		return
	}
	b := &hclsyntax.Block{
		Type: blockType, TypeRange: at, Body: &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: n.rng, EndRange: n.rng},
		OpenBraceRange:  hcl.Range{Filename: n.rng.Filename, Start: n.rng.Start, End: n.rng.Start},
		CloseBraceRange: hcl.Range{Filename: n.rng.Filename, Start: n.rng.End, End: n.rng.End},
	}
	if label != nil {
		b.Labels, b.LabelRanges = []string{label.text}, []hcl.Range{label.rng}
	}
	for _, m := range n.members {
		if m.name.text == "//" {
			continue
		}
		if blockType == "rule" && m.name.text != "description" {
			c.blocks(b.Body, m, true)
			continue
		}
		if had := b.Body.Attributes[m.name.text]; had != nil {
			c.mistake(m.name.rng, redefined, fmt.Sprintf("The attribute %q was already set at %s.", m.name.text, where(had.NameRange)))
			continue
		}
		expr := c.expr(&m.jsonNode)
		if (blockType == "variable" || blockType == "param") && m.name.text == "type" && m.kind == '"' {
			expr = c.native(&m.jsonNode)
		}
		b.Body.Attributes[m.name.text] = &hclsyntax.Attribute{
			Name: m.name.text, Expr: expr, SrcRange: hcl.RangeBetween(m.name.rng, m.rng), NameRange: m.name.rng, EqualsRange: m.name.rng,
		}
	}
	body.Blocks = append(body.Blocks, b)
	c.written[b] = writtenBlock{label, at, n}
}

// expr converts a value to an expression.
func (c *jsonConverter) expr(n *jsonNode) hclsyntax.Expression {
	literal := func(v cty.Value) hclsyntax.Expression { return &hclsyntax.LiteralValueExpr{Val: v, SrcRange: n.rng} }
	switch n.kind {
	case 't', 'f':
		return literal(cty.BoolVal(n.kind == 't'))
	case 'n':
		return literal(cty.NullVal(cty.DynamicPseudoType))
	case '0':
		v, err := cty.ParseNumberVal(n.text)
		if err != nil {
			c.mistake(n.rng, "Invalid number", sentence(err))
			v = cty.Zero
		}
		return literal(v)
	case '"':
		return c.template(n)
	case '[':
		list := &hclsyntax.TupleConsExpr{SrcRange: n.rng, OpenRange: n.rng}
		for _, e := range n.elems {
			list.Exprs = append(list.Exprs, c.expr(e))
		}
		return list
	}
	obj := &hclsyntax.ObjectConsExpr{SrcRange: n.rng, OpenRange: n.rng}
	for _, m := range n.members {
		key := &hclsyntax.ObjectConsKeyExpr{Wrapped: c.template(m.name), ForceNonLiteral: true}
		obj.Items = append(obj.Items, hclsyntax.ObjectConsItem{KeyExpr: key, ValueExpr: c.expr(&m.jsonNode)})
	}
	return obj
}

// template converts a string.
func (c *jsonConverter) template(n *jsonNode) hclsyntax.Expression {
	if !strings.Contains(n.text, "${") && !strings.Contains(n.text, "%{") {
		return &hclsyntax.LiteralValueExpr{Val: cty.StringVal(n.text), SrcRange: n.rng}
	}
	e := c.parse(n, func(text []byte, at hcl.Pos) (hclsyntax.Expression, hcl.Diagnostics) {
		tokens, _ := hclsyntax.LexTemplate(text, n.rng.Filename, at)
		if why := tooDeepTokens(tokens); why != "" {
			return nil, failed(n.rng, "Too deeply nested", why)
		}
		return hclsyntax.ParseTemplate(text, n.rng.Filename, at)
	})
	if wrap, ok := e.(*hclsyntax.TemplateWrapExpr); ok {
		return wrap.Wrapped
	}
	return e
}

// native converts a string that holds an expression as it is written in HCL.
func (c *jsonConverter) native(n *jsonNode) hclsyntax.Expression {
	return c.parse(n, func(text []byte, at hcl.Pos) (hclsyntax.Expression, hcl.Diagnostics) {
		if why := tooDeep(text); why != "" {
			return nil, failed(n.rng, "Too deeply nested", why)
		}
		return hclsyntax.ParseExpression(text, n.rng.Filename, at)
	})
}

// parse parses the text of n. Where the text is not what stands in the file, everything in it has the place of the whole string.
func (c *jsonConverter) parse(n *jsonNode, f func([]byte, hcl.Pos) (hclsyntax.Expression, hcl.Diagnostics)) hclsyntax.Expression {
	at := n.rng.Start
	at.Column++
	at.Byte++
	e, diags := f([]byte(n.text), at)
	if n.escaped {
		for _, d := range diags {
			d.Subject = &n.rng
		}
		if e != nil {
			_ = hclsyntax.VisitAll(e, func(node hclsyntax.Node) hcl.Diagnostics { setRanges(node, n.rng); return nil })
		}
	}
	if diags.HasErrors() {
		c.broken = true
		c.diags.hcl(c.src, diags)
		return &hclsyntax.LiteralValueExpr{Val: cty.DynamicVal, SrcRange: n.rng}
	}
	return e
}

var typeRange = reflect.TypeFor[hcl.Range]()

// setRanges gives node and the steps of a reference the place rng.
func setRanges(node hclsyntax.Node, rng hcl.Range) {
	switch n := node.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		setSteps(n.Traversal, rng)
	case *hclsyntax.RelativeTraversalExpr:
		setSteps(n.Traversal, rng)
	}
	v := reflect.ValueOf(node)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return
	}
	v = v.Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Type() == typeRange && f.CanSet() {
			f.Set(reflect.ValueOf(rng))
		}
	}
}

func setSteps(t hcl.Traversal, rng hcl.Range) {
	for i := range t {
		switch s := t[i].(type) {
		case hcl.TraverseRoot:
			s.SrcRange = rng
			t[i] = s
		case hcl.TraverseAttr:
			s.SrcRange = rng
			t[i] = s
		case hcl.TraverseIndex:
			s.SrcRange = rng
			t[i] = s
		}
	}
}
