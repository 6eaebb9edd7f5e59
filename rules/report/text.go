package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An Excerpt is a text that a report shows: a log, or a file that is evidence.
type Excerpt struct {
	Name string
	// Text is clean: see Clean.
	Text string
	// Note says what is left out, or why there is no text.
	Note string
}

// Cut returns the beginning and the end of text, at most most bytes in all, cut at the ends of lines where there are any. What went wrong is
// mostly said at the end: it gets three quarters.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	head, tail := text[:most/4], text[len(text)-most*3/4:]
	if i := strings.LastIndexByte(head, '\n'); i >= 0 {
		head = head[:i+1]
	}
	if i := strings.IndexByte(tail, '\n'); i >= 0 && i < len(tail)-1 {
		tail = tail[i+1:]
	}
	left := len(text) - len(head) - len(tail)
	return strings.ToValidUTF8(head, "") + fmt.Sprintf("\n… %d bytes left out …\n", left) + strings.ToValidUTF8(tail, "")
}

// Clean returns what a person should see of text that a program printed: without escape sequences of terminals and control
// characters, with what a carriage return overwrote dropped, and with characters that change the direction of text spelled out.
func Clean(text string) string {
	if plainText(text) {
		return text
	}
	out := make([]byte, 0, len(text))
	line := 0 // where the current line starts in out
	for i := 0; i < len(text); {
		if text[i] == 0x1b {
			i += escape(text[i:])
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		i += n
		switch {
		case r == '\n':
			out = append(out, '\n')
			line = len(out)
		case r == '\r' && !lineEnds(text[i:]):
			out = out[:line]
		case r == '\t':
			out = append(out, '\t')
		case hidden(r):
			if r > 0x9f {
				out = fmt.Appendf(out, `\u%04x`, r)
			}
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return string(out)
}

func lineEnds(rest string) bool { return rest == "" || rest[0] == '\n' || rest[0] == '\r' }

func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\n' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}

// escape returns the length of the escape sequence that s begins with.
func escape(s string) int {
	if len(s) < 2 {
		return 1
	}
	switch s[1] {
	case '[': // CSI: parameters, then a final byte
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
			if s[i] < 0x20 || s[i] > 0x7e {
				return i
			}
		}
		return len(s)
	case ']', 'P', 'X', '^', '_': // strings, up to BEL or ST; never across lines
		for i := 2; i < len(s); i++ {
			switch {
			case s[i] == 0x07:
				return i + 1
			case s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\':
				return i + 2
			case s[i] == '\n':
				return i
			}
		}
		return len(s)
	}
	if s[1] < 0x20 || s[1] > 0x7e {
		return 1
	}
	return 2
}

// hidden reports whether r is no visible character, or one that changes how others are shown.
func hidden(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' ||
		unicode.Is(unicode.Noncharacter_Code_Point, r)
}

// Name returns a name as a person should see it: on one line, with everything spelled out that is hidden.
func Name(s string) string {
	if plainText(s) && !strings.ContainsAny(s, "\n\t") {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
