package buildfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"cbuild/engine"
)

// Artifacts stand in expressions as strings: a noncharacter, a nonce of this process, a colon, an index into the table of the
// evaluation, and another noncharacter. Foreign text that holds one of the two is refused, so nothing can forge a marker.
const (
	markOpen  = "\uFDD0"
	markClose = "\uFDD1"
)

var markPrefix = markOpen + newNonce() + ":"

func newNonce() string {
	var b [12]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	return hex.EncodeToString(b[:])
}

// hasMarks reports whether s holds a noncharacter that markers and tokens are made of.
func hasMarks(s string) bool {
	// Both begin with the bytes EF B7, then 90 or 91.
	for {
		i := strings.Index(s, "\xef\xb7")
		if i < 0 {
			return false
		}
		if rest := s[i+2:]; rest != "" && (rest[0] == 0x90 || rest[0] == 0x91) {
			return true
		}
		s = s[i+2:]
	}
}

var errForeignMark = errors.New("the text contains the noncharacter U+FDD0 or U+FDD1, which cbuild reserves for itself")

// foreign checks text that comes from outside.
func foreign(s string) error {
	if hasMarks(s) {
		return errForeignMark
	}
	return nil
}

// mark returns the marker of a.
func (s *scope) mark(a engine.Artifact) string {
	s.artifacts = append(s.artifacts, a)
	return markPrefix + strconv.Itoa(len(s.artifacts)-1) + markClose
}

// text splits an evaluated string at the markers of artifacts. Secrets, which stand only where no Text is wanted, become their names.
func (s *scope) text(str string) engine.Text {
	str = s.named(str)
	if !strings.Contains(str, markPrefix) {
		return engine.Literal(str)
	}
	var t engine.Text
	for {
		lit, rest, found := strings.Cut(str, markPrefix)
		if lit != "" {
			t = append(t, engine.Part{Lit: lit})
		}
		if !found {
			return t
		}
		index, after, _ := strings.Cut(rest, markClose)
		if i, err := strconv.Atoi(index); err == nil && i >= 0 && i < len(s.artifacts) {
			t = append(t, engine.Part{Artifact: &s.artifacts[i]})
		}
		str = after
	}
}
