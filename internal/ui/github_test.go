package ui_test

import (
	"strings"
	"testing"

	"cbuild/internal/ui"
)

// An annotation is one line, whatever it says, and says just that.
func TestAnnotations(t *testing.T) {
	for want, a := range map[string]ui.Annotation{
		"::error file=sub/BUILD.hcl,line=3,col=7,title=Unknown attribute::Did you mean this?\n": {Title: "Unknown attribute", Text: "Did you mean this?", File: "sub/BUILD.hcl", Line: 3, Column: 7},
		"::error title=run.check[\"a%2Cb%3A%3Ac%25\"]::exit 3, 100%25%0A::error::x\n":           {Title: `run.check["a,b::c%"]`, Text: "exit 3, 100%\n::error::x"},
		"::error title=two lines::a\uFFFD[2Jb\uFFFD%0Ac\n":                                      {Title: "two\nlines", Text: "a\x1b[2Jb\r\nc"},
	} {
		if got := a.String(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

// Nothing of what is shown is a command: not at the begin of a line, not behind blanks, not in its middle, however it is written.
func TestDisarm(t *testing.T) {
	text := "::add-mask::x\n  ::error::y\nfail ##[error]z\n:: ::\n a::b c:d\n##[x]\n\t::set\n:\n"
	commands := func(s string) (n int) {
		for line := range strings.Lines(s) {
			if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") {
				n++
			}
		}
		return n
	}
	if commands(text) != 6 {
		t.Fatalf("the text has %d commands", commands(text))
	}
	for size := range len(text) {
		var b strings.Builder
		w := ui.Disarm(&b)
		for rest := text; rest != ""; {
			n := min(size+1, len(rest))
			if m, err := w.Write([]byte(rest[:n])); m != n || err != nil {
				t.Fatal(m, err)
			}
			rest = rest[n:]
		}
		if n := commands(b.String()); n != 0 {
			t.Errorf("%d bytes at a time, %d commands are left: %q", size+1, n, b.String())
		}
		if got := strings.ReplaceAll(b.String(), "\u2060", ""); got != text {
			t.Errorf("it shows %q", got)
		}
	}
}
