package ui

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"
)

// Whatever a line holds, cut it is narrower than the terminal, and it is left alone if it was.
func TestFit(t *testing.T) {
	parts := rapid.SampledFrom([]string{"a", "long word ", "日本", "👍🏽", "👨", "\ufe0f", "e\u0301", "\u0301", "🇯🇵", "क्षि", "한", "\x1b[31m", "\x1b[0m", "…", "\t"})
	rapid.Check(t, func(t *rapid.T) {
		line := strings.Join(rapid.SliceOf(rapid.OneOf(parts, rapid.Map(rapid.String(), Text))).Draw(t, "line"), "")
		line = strings.ReplaceAll(line, "\t", " ")
		columns := rapid.IntRange(0, 60).Draw(t, "columns")
		got := fit(line, columns)
		if w := widthOfAll(got); w > max(columns-1, 0) {
			t.Errorf("%d columns: %q is cut to %q, %d wide", columns, line, got, w)
		}
		if 2*len([]rune(ansi.Strip(line))) < columns && got != line {
			t.Errorf("%d columns: %q is changed to %q", columns, line, got)
		}
		begin, _, _ := strings.Cut(ansi.Strip(got), "…")
		if !strings.HasPrefix(ansi.Strip(line), begin) {
			t.Errorf("%q is no begin of %q", begin, line)
		}
	})
}
