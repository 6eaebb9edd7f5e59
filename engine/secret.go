package engine

import (
	"context"
	"strings"
)

// A Secret is a value that nothing may keep: it stands in no key, log, report and store, and is found out only when it is used.
type Secret struct {
	// Name is what expressions call it, as in secret.token.
	Name string
	// Reveal finds it out. The error says what to do.
	Reveal func(ctx context.Context) (string, error)
}

// A Confidential is a string in which secrets still stand open.
type Confidential []ConfidentialPart

// A ConfidentialPart is a piece of a Confidential: a secret, or literal text if Secret is nil.
type ConfidentialPart struct {
	Lit    string
	Secret *Secret
}

// Plain returns the Confidential that is s, without secrets.
func Plain(s string) Confidential { return Confidential{{Lit: s}} }

// HasSecret reports whether c holds a secret.
func (c Confidential) HasSecret() bool {
	for _, p := range c {
		if p.Secret != nil {
			return true
		}
	}
	return false
}

// String writes c with stars in place of secrets.
func (c Confidential) String() string {
	var b strings.Builder
	for _, p := range c {
		if p.Secret != nil {
			b.WriteString("***")
		}
		b.WriteString(p.Lit)
	}
	return b.String()
}

// Reveal writes c with its secrets, and lists them.
func (c Confidential) Reveal(ctx context.Context) (text string, secrets []string, err error) {
	var b strings.Builder
	for _, p := range c {
		b.WriteString(p.Lit)
		if p.Secret == nil {
			continue
		}
		value, err := p.Secret.Reveal(ctx)
		if err != nil {
			return "", nil, err
		}
		b.WriteString(value)
		secrets = append(secrets, value)
	}
	return b.String(), secrets, nil
}

// RevealAll reveals the values of a map, and lists all secrets in them.
func RevealAll(ctx context.Context, m map[string]Confidential) (texts map[string]string, secrets []string, err error) {
	texts = make(map[string]string, len(m))
	for name, c := range m {
		text, some, err := c.Reveal(ctx)
		if err != nil {
			return nil, nil, err
		}
		texts[name] = text
		secrets = append(secrets, some...)
	}
	return texts, secrets, nil
}
