package manual

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

const sample = `# Title

A paragraph with ` + "`code that is long`" + `, *emphasis*, check[serde-*][b*], [a link](#there)
and a second line…

- ` + "`-j, --jobs N`" + ` how many
- ` + "`--a-flag-that-is-too-wide-for-this`" + ` what it
  means
- no term

| name | type | default | meaning |
|---|---|---|---|
| ` + "`x`" + ` | a \| b | | one |
| ` + "`y`" + ` | c | 1 | two |

  indented 'code'

` + "```" + `
.fenced *code*
` + "```" + `
`

func TestText(t *testing.T) {
	const want = "Title\n" + `
A paragraph with ` + "`code that is" + `
long` + "`" + `, emphasis, check[serde-*][b*],
a link and a second line…

  -j, --jobs N  how many
  --a-flag-that-is-too-wide-for-this
                what it means
  - no term

  x  (a | b)         one
  y  (c; default 1)  two

  indented 'code'

  .fenced *code*
`
	if text := Text(sample, 36); text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}

func TestPage(t *testing.T) {
	const want = `.TH X\-Y 7 2026-11-26 "x 1" "The \(dqmanual\(dq"
.SH NAME
x\-y \- what it is
.SH TITLE
A paragraph with \fBcode that is long\fR, \fIemphasis\fR, check[serde\-*][b*], a link and a second line\[u2026]
.TP
\fB\-j, \-\-jobs N\fR
how many
.TP
\fB\-\-a\-flag\-that\-is\-too\-wide\-for\-this\fR
what it means
.IP \(bu 2
no term
.TP
\fBx\fR  (a | b)
one
.TP
\fBy\fR  (c; default 1)
two
.PP
.RS 4
.nf
indented \(aqcode\(aq
.fi
.RE
.PP
.RS 4
.nf
\&.fenced *code*
.fi
.RE
`
	got := Page(Head{Name: "x-y", Section: 7, Date: "2026-11-26", Version: "x 1", Manual: `The "manual"`, About: "what it is"}, sample)
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// Whatever a chapter holds, its lines fit, and no line of a page is a request but ours.
func FuzzMarkdown(f *testing.F) {
	f.Add(sample, uint8(40))
	f.Add("|\n", uint8(1))
	f.Add("- `\n", uint8(0))
	f.Add("```", uint8(80))
	f.Add("| |\n\n|a|\n|b|", uint8(80))
	f.Add("# `[`*a*](b)\n\\.x\n'y", uint8(20))
	f.Fuzz(func(t *testing.T, text string, width uint8) {
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\r\x00\v\f\u0085\u00a0") {
			return
		}
		quoted := strings.Contains(text, "```") || strings.Contains(text, "  ") || strings.Contains(text, "\t")
		for line := range strings.Lines(Text(text, int(width))) {
			line = strings.TrimSuffix(line, "\n")
			if words := strings.Fields(line); utf8.RuneCountInString(line) > int(width) && len(words) > 2 && !quoted && !strings.ContainsAny(text, "#|-*0123456789`") {
				t.Errorf("%d columns: %q", utf8.RuneCountInString(line), line)
			}
		}
		for line := range strings.Lines(Page(Head{Name: "x", Section: 1, Date: "2026-11-26"}, text)) {
			known := false
			for _, ours := range []string{".TH ", ".SH ", ".PP\n", ".TP\n", ".IP \\(bu 2\n", ".RS 4\n", ".RE\n", ".nf\n", ".fi\n"} {
				known = known || strings.HasPrefix(line, ours)
			}
			if (line[0] == '.' || line[0] == '\'') && !known {
				t.Errorf("a request: %q", line)
			}
		}
	})
}

// What a chapter holds is shown by groff as it is: nothing in it steers it.
func TestPageEscapes(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("SKIPPED: there is no groff here")
	}
	const odd = `x \n(.g \fBx \\ 'a' "b" -- ~^ ` + "\n\n```\n.so /etc/passwd\n'br\n\\\n```\n"
	path := filepath.Join(t.TempDir(), "x.1")
	if err := os.WriteFile(path, []byte(Page(Head{Name: "x", Section: 1, Date: "2026-11-26", About: "odd"}, odd)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), groff, "-man", "-Tascii", "-P-cbou", "-ww", path).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`x \n(.g \fBx \\ 'a' "b" -- ~^`, "    .so /etc/passwd\n", "    'br\n", "    \\\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not shown: %s", want, out)
		}
	}
}
