package ui

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// fit cuts a line so that it is narrower than the terminal. Terminals differ in how wide a character with its marks is, or an emoji of several
// parts: it fits in all of them. What colours the rest stays, so that a colour ends.
func fit(line string, columns int) string {
	most := max(columns-1, 0)
	if len(line) <= most {
		return line // no character is wider than it has bytes
	}
	var b strings.Builder
	used, whole := 0, -1 // columns; where the ellipsis goes if the line turns out to be too long
	for rest := line; rest != ""; {
		seq, width, n, _ := ansi.DecodeSequence(rest, ansi.NormalState, nil)
		rest = rest[n:]
		if width = widest(seq, width); width > 0 {
			if whole < 0 && used+width >= most {
				whole = b.Len()
			}
			if used += width; used > most {
				return cut(b.String()[:whole], line, most)
			}
		}
		b.WriteString(seq)
	}
	return line
}

// cut ends the begin of a line with an ellipsis and all colours that it had and that come in what is left out.
func cut(begin, line string, most int) string {
	if most > 0 {
		begin += "…"
	}
	if strings.Contains(line, "\x1b[") {
		begin += "\x1b[0m"
	}
	return begin
}

// widest returns how wide a character is where each of its parts has a width of its own, if that is wider.
func widest(seq string, width int) int {
	if len(seq) == 1 || seq[0] == '\x1b' {
		return width
	}
	sum := 0
	for _, r := range seq {
		if sum += ansi.StringWidthWc(string(r)); r == emojiStyle {
			sum++ // it makes the character before it as wide as an emoji
		}
	}
	return max(width, sum)
}

// emojiStyle asks for a character's form as an emoji.
const emojiStyle = '\ufe0f'
