package graph

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"cbuild/internal/typo"
)

// maxNested is how deep parentheses may nest.
const maxNested = 500

// IsExpression reports whether s is more than a pattern, which has no spaces, parentheses and quotes but in brackets and in the name of a file.
func IsExpression(s string) bool {
	tokens := lex(s)
	if strings.HasPrefix(s, "@") && !strings.Contains(s, "(") {
		// The name of a file, which has a slash or a dot, or of a set.
		return len(tokens) > 1 && !strings.ContainsAny(tokens[0].text, "/.") && tokens[1].kind == word && operators[tokens[1].text] != 0
	}
	return len(tokens) > 1 || len(tokens) == 1 && tokens[0].kind != word
}

// A SyntaxError says what can't be read, and where.
type SyntaxError struct {
	Expression string
	Offset     int // in bytes
	Message    string
}

func (e *SyntaxError) Error() string {
	before := utf8.RuneCountInString(e.Expression[:e.Offset])
	return fmt.Sprintf("%s\n  %s\n  %s^", e.Message, e.Expression, strings.Repeat(" ", before))
}

type tokenKind uint8

const (
	word tokenKind = iota
	quoted
	mark // ( ) or ,
	broken
)

type token struct {
	kind tokenKind
	text string
	at   int
}

// lex cuts an expression into words, quoted strings and the marks ( ) and comma. Brackets belong to a word, with all that they hold.
func lex(s string) (tokens []token) {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case unicode.IsSpace(r):
			i += size
		case strings.ContainsRune("(),", r):
			tokens = append(tokens, token{mark, s[i : i+1], i})
			i++
		case r == '"' || r == '\'':
			end := strings.IndexRune(s[i+1:], r)
			if end < 0 {
				return append(tokens, token{broken, "the quote does not end", i})
			}
			tokens = append(tokens, token{quoted, s[i+1 : i+1+end], i})
			i += end + 2
		default:
			n := wordLength(s[i:])
			tokens = append(tokens, token{word, s[i : i+n], i})
			i += n
		}
	}
	return tokens
}

func wordLength(s string) int {
	depth := 0
	for i, r := range s {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case depth <= 0 && (unicode.IsSpace(r) || strings.ContainsRune("(),\"'", r)):
			return i
		}
	}
	return len(s)
}

type parser struct {
	text   string
	tokens []token
	depth  int
}

func parse(s string) (node, error) {
	p := &parser{text: s, tokens: lex(s)}
	n, err := p.expression()
	if err == nil && len(p.tokens) > 0 {
		err = p.fail(`an operator (+, -, ^) or the end is expected here`)
	}
	return n, err
}

func (p *parser) fail(format string, args ...any) error {
	at := len(p.text)
	if len(p.tokens) > 0 {
		at = p.tokens[0].at
		if p.tokens[0].kind == broken {
			format, args = "%s", []any{p.tokens[0].text}
		}
	}
	return &SyntaxError{p.text, at, fmt.Sprintf(format, args...)}
}

// next takes the next token if it is the mark.
func (p *parser) next(m string) bool {
	if len(p.tokens) > 0 && p.tokens[0].kind == mark && p.tokens[0].text == m {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

// operators by all their names: those of set theory, and those that users of bazel query know.
var operators = map[string]byte{"+": '+', "union": '+', "-": '-', "except": '-', "^": '^', "&": '^', "intersect": '^'}

func (p *parser) operator() byte {
	if len(p.tokens) == 0 || p.tokens[0].kind != word {
		return 0
	}
	return operators[p.tokens[0].text]
}

func (p *parser) expression() (node, error) {
	if p.depth++; p.depth > maxNested {
		return nil, p.fail("parentheses are nested more than %d deep", maxNested)
	}
	defer func() { p.depth-- }()
	left, err := p.operand()
	for err == nil && p.operator() != 0 {
		o := &operation{operator: p.operator(), left: left}
		p.tokens = p.tokens[1:]
		o.right, err = p.operand()
		left = o
	}
	return left, err
}

func (p *parser) operand() (node, error) {
	if p.next("(") {
		n, err := p.expression()
		if err == nil && !p.next(")") {
			err = p.fail("a closing parenthesis is expected here")
		}
		return n, err
	}
	if len(p.tokens) == 0 || p.tokens[0].kind == mark || p.tokens[0].kind == broken || p.operator() != 0 {
		return nil, p.fail("a pattern, a function or a parenthesis is expected here")
	}
	t := p.tokens[0]
	if len(p.tokens) > 1 && t.kind == word && p.tokens[1].kind == mark && p.tokens[1].text == "(" {
		return p.call()
	}
	p.tokens = p.tokens[1:]
	return pattern(t.text), nil
}

func (p *parser) call() (node, error) {
	c := &call{function: functionNamed(p.tokens[0].text), depth: -1}
	if c.function == nil {
		return nil, p.fail("%s", unknownFunction(p.tokens[0].text))
	}
	at := p.tokens
	p.tokens = p.tokens[2:]
	for {
		first := p.tokens
		plain := len(first) > 1 && first[0].kind <= quoted && first[1].kind == mark && first[1].text != "("
		var arg node
		text := ""
		if plain { // whatever it is, also an operator
			arg, text = pattern(first[0].text), first[0].text
			p.tokens = first[1:]
		} else {
			var err error
			if arg, err = p.expression(); err != nil {
				return nil, err
			}
		}
		if err := c.take(arg, text, plain); err != nil {
			p.tokens = first
			return nil, p.fail("%v", err)
		}
		if p.next(",") {
			continue
		}
		if !p.next(")") {
			return nil, p.fail("a comma or a closing parenthesis is expected here")
		}
		if err := c.complete(); err != nil {
			p.tokens = at
			return nil, p.fail("%v", err)
		}
		return c, nil
	}
}

func unknownFunction(name string) string {
	all := make([]string, len(functions))
	best, least := "", 3
	for i, f := range functions {
		all[i] = f.name
		if d := typo.Distance(name, f.name); d < least {
			best, least = f.name, d
		}
	}
	if best != "" {
		return fmt.Sprintf("There is no function %s. Did you mean %q?", name, best)
	}
	return fmt.Sprintf("There is no function %s; there are %s.", name, strings.Join(all, ", "))
}
