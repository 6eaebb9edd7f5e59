package ui

import (
	"strings"
	"unicode"
)

// clean makes hostile text harmless: no escape sequence, control, line separator, or invisible character that changes the direction or
// the place of others reaches the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return r
		}
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Noncharacter_Code_Point) {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// Text makes hostile text harmless and keeps it in one line.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		return r
	}, clean(s))
}
