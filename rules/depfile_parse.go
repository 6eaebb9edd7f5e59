package rules

import (
	"context"
	"fmt"
	"strings"

	"cbuild/cas"
	"cbuild/engine"
)

// A badDepfile says what is wrong with a depfile; any other error is trouble.
type badDepfile string

func (e badDepfile) Error() string { return string(e) }

// readDepfile returns what the depfile among the outs of r names. The error may be a badDepfile.
func readDepfile(ctx context.Context, s cas.Store, r *engine.Result, name string) ([]string, error) {
	out, ok := r.Out(name)
	switch {
	case !ok:
		return nil, badDepfile("it is missing")
	case out.Kind != engine.FileKind:
		return nil, badDepfile("it is a directory")
	case out.Digest.Size > maxDepfile:
		return nil, badDepfile("it is larger than 64 MiB")
	}
	data, err := cas.ReadAll(ctx, s, out.Digest, maxDepfile)
	if err != nil {
		return nil, err
	}
	return parseDepfile(string(data))
}

var continued = strings.NewReplacer("\\\r\n", " ", "\\\n", " ")

// parseDepfile returns the prerequisites of the rules in text, as compilers write them for make: names are separated by spaces; a backslash
// stands before a space, a # or a colon that belongs to a name, and at the end of a line that goes on; $$ is a dollar sign.
func parseDepfile(text string) (deps []string, err error) {
	for line := range strings.Lines(continued.Replace(text)) {
		words, colon := makeRule(line, false)
		if colon < 0 {
			words, colon = makeRule(line, true)
		}
		switch {
		case len(words) > 0 && colon < 0:
			return nil, badDepfile(fmt.Sprintf("there is no colon in %.60q", strings.TrimSpace(line)))
		case len(words) > 0:
			deps = append(deps, words[colon:]...)
		}
	}
	return deps, nil
}

// makeRule splits a line into words, and counts those before the colon: the first one at the end of a word, as others may belong to names, or, if any
// will do, the first one; -1 if there is none.
func makeRule(line string, anyColon bool) (words []string, colon int) {
	const ends = " \t\r\n"
	colon = -1
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	for i := 0; i < len(line); i++ {
		b, rest := line[i], line[i+1:]
		switch {
		case strings.IndexByte(ends, b) >= 0:
			flush()
		case b == '#' && word.Len() == 0:
			i = len(line)
		case b == ':' && colon < 0 && (anyColon || rest == "" || strings.IndexByte(ends, rest[0]) >= 0):
			flush()
			colon = len(words)
		case b == '$' && strings.HasPrefix(rest, "$"):
			word.WriteByte('$')
			i++
		case b == '\\':
			name, n := escaped(line[i:])
			word.WriteString(name)
			i += n - 1
		default:
			word.WriteByte(b)
		}
	}
	flush()
	return words, colon
}

// escaped returns what the backslashes at the beginning of s stand for, and how many bytes of s that takes. As GCC writes them: in front of a space
// each is doubled, and one more makes it part of the name.
func escaped(s string) (name string, n int) {
	n = len(s) - len(strings.TrimLeft(s, `\`))
	slashes, rest := s[:n], s[n:]
	switch {
	case rest != "" && strings.IndexByte(" \t", rest[0]) >= 0 && n%2 == 1:
		return slashes[:n/2] + rest[:1], n + 1
	case rest != "" && strings.IndexByte("#:", rest[0]) >= 0:
		return slashes[1:] + rest[:1], n + 1
	}
	return slashes, n
}
