package buildfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"cbuild/engine"
	"cbuild/internal/mask"
)

// A secret stands in expressions as a marker like those of artifacts, so functions leave it alone, and its value is found out only when it
// is used: a build in which nothing needs it runs without it. Only headers and secret_env may mention one.

// secretMark begins the markers of secrets; the index into the table of the workspace follows.
var secretMark = markPrefix + "s"

func hasSecret(s string) bool { return strings.Contains(s, secretMark) }

// A secret is a declared one. Exactly one of env, file and command is set.
type secret struct {
	name  string
	block *hclsyntax.Block
	pkg   *pkg
	index int // in the table of the workspace

	env, file string
	command   []string

	mu    sync.Mutex
	value string // guarded by mu; "" until it is known
}

var secretAttrs = []string{"command", "env", "file"}

func (p *pkg) declareSecret(b *hclsyntax.Block) {
	name, ok := p.labelled(b)
	p.noBlocks(b)
	if !ok {
		return
	}
	if had := p.secrets[name]; had != nil {
		p.diags.addf(p.src, b.LabelRanges[0], "Duplicate secret", "%q is already declared at %s.", name, where(had.block.TypeRange))
		return
	}
	s := &secret{name: name, block: b, pkg: p, index: len(p.ws.secrets)}
	p.secrets[name] = s
	p.ws.secrets = append(p.ws.secrets, &engine.Secret{Name: "secret." + name, Reveal: s.reveal})
}

// resolveSecrets evaluates what says where secrets come from.
func (p *pkg) resolveSecrets() {
	for _, name := range sortedKeys(p.secrets) {
		s := p.secrets[name]
		for _, a := range attributes(s.block.Body) {
			switch a.Name {
			case "env":
				p.constAttr(a, func(v cty.Value) error { return decodeString(&s.env, v) })
			case "file":
				p.constAttr(a, func(v cty.Value) error { return decodeString(&s.file, v) })
			case "command":
				p.constAttr(a, func(v cty.Value) error { return decodeStrings(&s.command, v) })
			default:
				p.unknownAttr(a, "secret", secretAttrs)
			}
		}
		if n := len(s.block.Body.Attributes); n != 1 && !p.broken {
			p.diags.add(p.src, s.block.DefRange(), "A secret has one source", "Write one of env = \"NAME\", file = \"PATH\" and command = [\"PROGRAM\", …].")
		}
	}
}

// reveal finds out the value, once.
func (s *secret) reveal(ctx context.Context) (string, error) {
	s.mu.Lock() // also while its command runs: it is asked once
	defer s.mu.Unlock()
	if s.value != "" {
		return s.value, nil
	}
	value, err := s.find(ctx)
	if err != nil {
		return "", &engine.TroubleError{Err: fmt.Errorf("secret.%s: %w", s.name, err)}
	}
	s.value = value
	return value, nil
}

func (s *secret) find(ctx context.Context) (string, error) {
	value, from, err := s.ask(ctx)
	if err != nil {
		return "", err
	}
	value = strings.TrimRight(value, "\r\n")
	switch {
	case value == "":
		return "", fmt.Errorf("%s is empty", from)
	case len(value) < mask.MinLength:
		return "", fmt.Errorf("%s has less than %d bytes, which can't be kept out of logs", from, mask.MinLength)
	case strings.ContainsRune(value, 0):
		return "", fmt.Errorf("%s holds a NUL byte", from)
	}
	return value, nil
}

// ask returns what the source says, and what it is called in messages.
func (s *secret) ask(ctx context.Context) (value, from string, err error) {
	opts := &s.pkg.ws.opts
	switch {
	case s.env != "":
		from = "the environment variable " + s.env
		ok := false
		if opts.LookupEnv != nil {
			value, ok = opts.LookupEnv(s.env)
		}
		if !ok {
			return "", from, fmt.Errorf("%s is not set", from)
		}
		return value, from, nil
	case s.file != "":
		data, err := readBounded(s.path())
		return string(data), "the file " + s.file, err
	case opts.Output == nil:
		return "", "", errors.New("there are no commands here")
	}
	value, err = opts.Output(ctx, s.dir(), s.command)
	if err != nil {
		err = fmt.Errorf("command %s: %w", s.command[0], err)
	}
	return value, "what " + s.command[0] + " prints", err
}

func (s *secret) dir() string { return filepath.Join(s.pkg.ws.Root, filepath.FromSlash(s.pkg.dir)) }

// path returns where the file is: relative to the package, absolute, or in the user's home.
func (s *secret) path() string {
	name := s.file
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			name = filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.dir(), filepath.FromSlash(name))
}

// secret replaces the reference e to a secret.
func (c *compiler) secret(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step) hclsyntax.Expression {
	name, ok := firstWord(steps)
	switch {
	case !ok:
		c.mistake(root.SrcRange, "Incomplete reference", "Write secret.NAME.")
		return e
	case c.pkg.secrets[name] == nil:
		c.mistake(steps[0].rng, "Unknown secret "+name, didYouMean(name, mapKeys(c.pkg.secrets), fmt.Sprintf("Declare it: secret %q { env = … }.", name)))
		return e
	}
	c.mentions(root.SrcRange, "secret."+name)
	return &constNode{e, cty.StringVal(secretMark + strconv.Itoa(c.pkg.secrets[name].index) + markClose), steps[1:]}
}

// mentions notes that the expression holds a secret, as what.
func (c *compiler) mentions(rng hcl.Range, what string) {
	c.out.secret = true
	if !c.allow.secrets {
		c.mistake(rng, "No secret here", what+" can stand in headers and secret_env only: elsewhere it would be kept.")
	}
}

// confidential decodes a string that may hold secrets, and no artifacts.
func (s *scope) confidential(v cty.Value) (c engine.Confidential, err error) {
	str, err := stringOf(v)
	if err != nil {
		return nil, err
	}
	for {
		lit, rest, found := strings.Cut(str, secretMark)
		if hasMarks(lit) {
			return nil, errMarked
		}
		if lit != "" || len(c) == 0 && !found {
			c = append(c, engine.ConfidentialPart{Lit: lit})
		}
		if !found {
			return c, nil
		}
		index, after, _ := strings.Cut(rest, markClose)
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(s.pkg.ws.secrets) {
			return nil, errMarked
		}
		c = append(c, engine.ConfidentialPart{Secret: s.pkg.ws.secrets[i]})
		str = after
	}
}

// named writes the secrets in str by their names, for people.
func (s *scope) named(str string) string {
	if !hasSecret(str) {
		return str
	}
	names := make([]string, 0, 2*len(s.pkg.ws.secrets))
	for i, sec := range s.pkg.ws.secrets {
		names = append(names, secretMark+strconv.Itoa(i)+markClose, "${"+sec.Name+"}")
	}
	return strings.NewReplacer(names...).Replace(str)
}
