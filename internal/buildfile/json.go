package buildfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// JSONName is the name of a build file that a program wrote.
const JSONName = FileName + ".json"

// A jsonNode is a value of a JSON text with its place. Exactly one of its forms holds, by kind: the first byte of the value, where '0'
// stands for every number.
type jsonNode struct {
	kind    byte
	rng     hcl.Range
	text    string // of a string, decoded; of a number, as written
	escaped bool   // a string's text is not what stands in the file
	elems   []*jsonNode
	members []jsonMember
}

type jsonMember struct {
	name *jsonNode
	jsonNode
}

// A jsonParser reads a text that encoding/json found to be valid.
type jsonParser struct {
	data []byte
	name string
	pos  hcl.Pos
}

// parseJSON reads one JSON text.
func parseJSON(data []byte, name string) (*jsonNode, *Diagnostic) {
	src := &source{name: name, data: data}
	p := &jsonParser{data: data, name: name, pos: hcl.InitialPos}
	if at, err := checkJSON(data); err != nil {
		p.skip(at)
		return nil, &Diagnostic{Summary: "Invalid JSON", Detail: sentence(err), src: src, rng: hcl.Range{Filename: name, Start: p.pos, End: p.pos}}
	}
	return p.value(), nil
}

// checkJSON finds the first mistake in data, and where it is.
func checkJSON(data []byte) (offset int, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	for depth := 0; ; {
		t, err := d.Token()
		var syntax *json.SyntaxError
		switch {
		case errors.Is(err, io.EOF) && d.InputOffset() == 0, errors.Is(err, io.ErrUnexpectedEOF):
			return len(data), errors.New("the text ends too early")
		case errors.As(err, &syntax):
			return int(syntax.Offset) - 1, err
		case err != nil:
			return int(d.InputOffset()), err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxDepth {
			return int(d.InputOffset()) - 1, fmt.Errorf("brackets are nested more than %d deep", maxDepth)
		}
		if depth == 0 {
			if rest := bytes.TrimSpace(data[d.InputOffset():]); len(rest) > 0 {
				return len(data) - len(rest), errors.New("something follows the JSON text")
			}
			return 0, nil
		}
	}
}

// skip moves to the byte offset to.
func (p *jsonParser) skip(to int) {
	to = min(max(to, p.pos.Byte), len(p.data))
	for p.pos.Byte < to {
		r, n := utf8.DecodeRune(p.data[p.pos.Byte:])
		p.pos.Byte += n
		p.pos.Column++
		if r == '\n' {
			p.pos.Line, p.pos.Column = p.pos.Line+1, 1
		}
	}
}

// next skips blanks, commas and colons and returns the byte after them.
func (p *jsonParser) next() byte {
	at := p.pos.Byte
	for at < len(p.data) && bytes.IndexByte([]byte(" \t\r\n,:"), p.data[at]) >= 0 {
		at++
	}
	p.skip(at)
	if at == len(p.data) {
		return 0
	}
	return p.data[at]
}

func (p *jsonParser) value() *jsonNode {
	n := &jsonNode{kind: p.next()}
	n.rng = hcl.Range{Filename: p.name, Start: p.pos}
	switch n.kind {
	case '{':
		p.skip(p.pos.Byte + 1)
		for c := p.next(); c != '}' && c != 0; c = p.next() {
			name := p.value()
			n.members = append(n.members, jsonMember{name, *p.value()})
		}
		p.skip(p.pos.Byte + 1)
	case '[':
		p.skip(p.pos.Byte + 1)
		for c := p.next(); c != ']' && c != 0; c = p.next() {
			n.elems = append(n.elems, p.value())
		}
		p.skip(p.pos.Byte + 1)
	case '"':
		p.text(n)
	default:
		p.word(n)
	}
	n.rng.End = p.pos
	return n
}

func (p *jsonParser) text(n *jsonNode) {
	end := p.pos.Byte + 1
	for end < len(p.data) && p.data[end] != '"' {
		if p.data[end] == '\\' {
			n.escaped = true
			end++
		}
		end++
	}
	raw := p.data[p.pos.Byte:min(end+1, len(p.data))]
	_ = json.Unmarshal(raw, &n.text) // it is valid
	p.skip(p.pos.Byte + len(raw))
}

func (p *jsonParser) word(n *jsonNode) {
	end := p.pos.Byte
	for end < len(p.data) && bytes.IndexByte([]byte(" \t\r\n,:]}"), p.data[end]) < 0 {
		end++
	}
	n.text = string(p.data[p.pos.Byte:end])
	if n.kind != 't' && n.kind != 'f' && n.kind != 'n' {
		n.kind = '0'
	}
	p.skip(max(end, p.pos.Byte+1))
}

// hasCbuildMember reports whether the object in data has a member cbuild.
func hasCbuildMember(data []byte) bool {
	if !bytes.Contains(data, []byte("cbuild")) {
		return false
	}
	n, diag := parseJSON(data, JSONName)
	if diag != nil {
		return false
	}
	for _, m := range n.members {
		if m.name.text == "cbuild" {
			return true
		}
	}
	return false
}
