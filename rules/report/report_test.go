package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"cbuild/cas"
	"cbuild/engine"
)

// hostile are texts that want to be more than text.
var hostile = []string{
	`<script>alert(1)</script>`, `</script><script>alert(2)</script>`, `<!--`, `]]>`, `</pre><img src=x onerror=alert(3)>`, `</noscript><b>`,
	`" onmouseover="alert(4)`, `' autofocus onfocus='alert(5)`, `&lt;b&gt;&amp;`, `javascript:alert(6)`,
	`=cmd|' /C calc'!A0`, `+1+1`, `-2+3`, `@SUM(A1)`, "\t=1", "\r=1", `=HYPERLINK("http://x")`,
	"\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "\x1bc", "\x9b31m", "\x07\x00\x7f",
	"abc\u202edcba", "\u2066x\u2069", "zero\u200bwidth", "\ufeffbom", "line\nbreak", "cr\r\nlf", "para\u2028graph", "\u2029",
	"a,b", `say "hi"`, `back\slash`, "| a | b |", "`code`", "[x](http://y)", "<http://x>", "\xff\xfe", "\ufdd0", "日本語", "", "tag\U000e0041ged", "\U0001fffe",
}

// hostileRows has every text in every place.
func hostileRows() (*Head, []*Row) {
	h := &Head{
		Title: strings.Join(hostile, " "), Compare: []string{"a" + hostile[0], "b" + hostile[10]}, Axes: []string{hostile[1]},
		Columns: []string{hostile[2], hostile[10]}, Grouped: true, Summary: map[Class]int{Regressed: len(hostile)}, Count: len(hostile),
		Incomplete: map[string]int{"error": 1}, Trouble: strings.Join(hostile, " "),
	}
	var rows []*Row
	for _, s := range hostile {
		side := Side{Outcome: "fail", Ran: true, ExitCode: 1, Cause: s, Evidence: cas.Of([]byte(s))}
		side.Extra = Extra{Label: "//:try[" + s + "]", Log: cas.Of([]byte(s)), Texts: []Excerpt{{Name: s, Text: Clean(s), Note: ""}}, Trouble: s}
		rows = append(rows, &Row{
			Key: s, Class: Regressed, Axes: []string{s}, Sides: []Side{side, side}, Group: s, Problems: []string{s, ""},
			Columns: []engine.Value{s, engine.Object{s: []engine.Value{s, engine.Artifact{Name: s, Digest: cas.Of(nil)}}}},
		})
	}
	return h, rows
}

func each(rows []*Row) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func render(t testing.TB, h *Head, rows []*Row) (html, js, text, table string) {
	t.Helper()
	var a, b, c, d bytes.Buffer
	if err := Render(h, each(rows), NewHTML(&a, PageOptions{}), NewJSON(&b), NewMarkdown(&c), NewCSV(&d)); err != nil {
		t.Fatal(err)
	}
	return a.String(), b.String(), c.String(), d.String()
}

func TestHostileTextStaysText(t *testing.T) {
	h, rows := hostileRows()
	html, js, text, table := render(t, h, rows)
	for name, file := range map[string]string{"html": strings.Replace(html, pageScript, "", 1), "json": js, "md": text, "csv": table} {
		if i := strings.IndexFunc(file, func(r rune) bool { return hidden(r) && r != '\n' && r != '\r' && !(name == "html" && r == '\t') }); i >= 0 {
			t.Errorf("%s holds a hidden character: %q", name, file[max(0, i-20):i+5])
		}
		if !utf8.ValidString(file) {
			t.Errorf("%s is not UTF-8", name)
		}
	}
	checkPage(t, html, len(rows))
	checkTable(t, table, len(rows))

	var parsed struct {
		Title string
		Rows  []struct {
			Key   string
			Axes  map[string]string
			Group string
		}
	}
	if err := json.Unmarshal([]byte(js), &parsed); err != nil {
		t.Fatal(err)
	}
	for i, r := range parsed.Rows {
		if want := strings.ToValidUTF8(hostile[i], "\ufffd"); r.Key != strings.ReplaceAll(hostile[i], "\xff\xfe", "\ufffd\ufffd") && r.Key != want || r.Group != r.Key {
			t.Errorf("results.json has %q for %q", r.Key, hostile[i])
		}
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "<") || strings.HasPrefix(line, "| ") && !strings.HasSuffix(line, " |\n") {
			t.Errorf("summary.md has the line %q", line)
		}
	}
}

// checkPage looks for elements that we did not write.
func checkPage(t *testing.T, page string, rows int) {
	t.Helper()
	want := map[string]int{"style": 1, "title": 1, "h1": 1, "noscript": 1, "table": 1, "tr": rows + 1, "ul": 1}
	body := strings.Replace(strings.Replace(page, pageScript, "", 1), pageStyle, "", 1)
	// Those of the data and the script, and no others.
	want["script"] = 1 + len(regexp.MustCompile(`<script type="text/plain" (?:class="detail"|id="pack")>[A-Za-z0-9+/=]*</script>\n`).FindAllString(body, -1))
	got := map[string]int{}
	for _, m := range regexp.MustCompile(`<(/?[a-zA-Z!][a-zA-Z0-9-]*)`).FindAllStringSubmatch(body, -1) {
		got[strings.ToLower(m[1])]++
	}
	for name, n := range want {
		if got[name] != n || name != "tr" && got["/"+name] != n {
			t.Errorf("%d <%s> and %d </%s>, want %d", got[name], name, got["/"+name], name, n)
		}
	}
	for _, name := range []string{"img", "b", "!--", "pre", "a"} {
		if got[name] > 0 {
			t.Errorf("%d elements <%s> came from the data", got[name], name)
		}
	}
	p := readPage(t, page)
	p.check()
	keys := p.words("key")
	for i, text := range append(keys, append(p.words("side.0.label"), p.words("side.0.why")...)...) {
		if strings.ContainsFunc(strings.Replace(text, keyMark, "", 1), hidden) {
			t.Errorf("text %d of the page holds a hidden character: %q", i, text)
		}
	}
	if len(keys) != rows || len(p.details) != rows {
		t.Errorf("the page holds %d rows and %d details of %d", len(keys), len(p.details), rows)
	}
	for _, policy := range []string{"default-src 'none'", "script-src " + hashed(pageScript), "style-src " + hashed(pageStyle)} {
		if !strings.Contains(page, policy) {
			t.Errorf("the policy of the page lacks %s", policy)
		}
	}
}

func checkTable(t *testing.T, table string, rows int) {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil || len(records) != rows+1 {
		t.Fatalf("%d records: %v", len(records), err)
	}
	for _, cell := range slices.Concat(records...) {
		if cell != "" && strings.Contains("=+-@\t\r", cell[:1]) {
			t.Errorf("a spreadsheet computes the cell %q", cell)
		}
	}
}

func TestOurOwnPageHoldsNothingThatTheParserEnds(t *testing.T) {
	for _, end := range []string{"</script", "<script", "<!--", "</style"} {
		if strings.Contains(strings.ToLower(pageScript+pageStyle), end) {
			t.Errorf("the script or the style would end early at %s", end)
		}
	}
	// The library that puts elements into the page could do so with text as html; our sources never ask it to.
	sources, err := filepath.Glob("ui/src/*.ts*")
	if err != nil || len(sources) < 10 {
		t.Fatalf("sources %v: %v", sources, err)
	}
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, unsafe := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "dangerously", "document.write", "eval(", "new Function", "setAttribute(", "srcdoc", "import("} {
			if bytes.Contains(text, []byte(unsafe)) {
				t.Errorf("%s uses %s", name, unsafe)
			}
		}
	}
}

func TestEncodeDecode(t *testing.T) {
	_, rows := hostileRows()
	rows = append(rows, &Row{Key: "k", Class: New, Columns: []engine.Value{nil, int64(1)}, Sides: []Side{{}, {Outcome: "pass", Ran: true, Class: New}}})
	rows[0].Sides[0].Extra.Outs = []engine.Output{{Path: "o", Artifact: engine.Artifact{Name: "o", Digest: cas.Of(nil), Executable: true}}}
	for _, r := range rows {
		core, extra, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(core, extra)
		if err != nil {
			t.Fatal(err)
		}
		core2, extra2, err := back.Encode()
		if err != nil || !bytes.Equal(core, core2) || !bytes.Equal(extra, extra2) {
			t.Errorf("%q comes back as something else: %v", r.Key, err)
		}
	}
}

func TestSummaryIsBounded(t *testing.T) {
	h := &Head{Title: "t", Compare: []string{"a", "b"}, Columns: []string{}, Summary: map[Class]int{Fixed: 1203, SamePass: 5}, Count: 1208}
	var rows []*Row
	for range 1203 {
		rows = append(rows, &Row{Key: "k", Class: Fixed})
	}
	for range 5 {
		rows = append(rows, &Row{Key: "same", Class: SamePass})
	}
	_, _, text, _ := render(t, h, rows)
	if n := strings.Count(text, "| k |"); n != 500 {
		t.Errorf("%d rows listed, want 500", n)
	}
	for _, want := range []string{"1,208 rows · **0** regressed · **0** inconclusive · **1,203** fixed · **5** same-pass", "703 more rows are left out"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%.400s", want, text)
		}
	}
	if strings.Contains(text, "| same |") {
		t.Error("rows that need no look are listed")
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\ttext":                      "plain\n\ttext",
		"\x1b[1;31mred\x1b[0m":               "red",
		"\x1b]0;title\x07after":              "after",
		"\x1b]8;;http://x\x1b\\link\x1b[m":   "link",
		"cut \x1b[":                          "cut ",
		"cut \x1b":                           "cut ",
		"10%\r50%\r100%\ndone\r\n":           "100%\ndone\n",
		"a\x08\x00b":                         "ab",
		"x\u202ey":                           `x\u202ey`,
		"\xff":                               `\ufffd`,
		"\x1b]unended\nnext line stays here": "\nnext line stays here",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	long := "first\n" + strings.Repeat("all work and no play\n", 10000) + "last\n"
	got := Cut(long, 64<<10)
	if len(got) > 64<<10+100 || !strings.HasPrefix(got, "first\n") || !strings.HasSuffix(got, "last\n") || !strings.Contains(got, "bytes left out …") {
		t.Errorf("%d bytes: %.40q … %q", len(got), got, got[len(got)-40:])
	}
	if short := long[:1000]; Cut(short, 64<<10) != short {
		t.Error("a short text was cut")
	}
}

func TestNormalize(t *testing.T) {
	n := new(Normalizer)
	for in, want := range map[string]string{
		"ok  \tpkg\t0.012s":                                  "ok  \tpkg\t<time>",
		"took 1m2.5s, 12ms, 3µs and 1h0m0s":                  "took <time>, <time>, <time> and <time>",
		"in 0.25 seconds":                                    "in <time>",
		"version 1.18.10, 5 files, v2s, 10m high":            "version 1.18.10, 5 files, v2s, 10m high",
		"(/x/y/runs/run-000123/work): a.go:12:3":             "(<work>): a.go:12:3",
		"'/x/runs/run-000123/script': 4":                     "'<script>': 4",
		"/a/runs/run-1234567/tmp/go-build123456789/b001/x.o": "<tmp>/go-build<n>/b001/x.o",
		"/tmp/go-build2847593821/b001":                       "<tmp>/go-build<n>/b001",
		"/tmp/tmp.aZ3kQ9x/f and /tmp/keep/this":              "<tmp>/tmp.<n>/f and /tmp/keep/this",
		"panic at 0xc000012345, +0x1d":                       "panic at 0x<n>, +0x1d",
		"pid 1234, PID=77, process: 5":                       "pid <pid>, PID=<pid>, process: <pid>",
		"==4242== ERROR; goroutine 18 [running]:":            "==<pid>== ERROR; goroutine <pid> [running]:",
		"sshd[331]: a[3]: x":                                 "sshd[<pid>]: a[<pid>]: x",
		"2 files, 7 errors, line 3":                          "2 files, 7 errors, line 3",
		"commit 3e5f012s":                                    "commit 3e5f012s",
	} {
		if got := string(n.Normalize([]byte(in))); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	if err := n.Add(`took (\w+) \d+`, "took $1"); err != nil {
		t.Fatal(err)
	}
	if got := string(n.Normalize([]byte("it took about 17"))); got != "it took about" {
		t.Errorf("own pattern: %q", got)
	}
	if n.Add("(", "") == nil {
		t.Error("a broken pattern was accepted")
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range append(hostile, "/tmp/go-build12345/b001 0.12s pid 7 0xdeadbeef", "/runs/run-000001/tmp/x", "1m1m1m", "9.s", "/tmp/tmp.") {
		f.Add([]byte(s))
	}
	n := new(Normalizer)
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		once := bytes.Clone(n.Normalize(text))
		if !bytes.Equal(text, before) {
			t.Fatal("the text itself was changed")
		}
		if twice := n.Normalize(once); !bytes.Equal(twice, once) {
			t.Fatalf("%q becomes %q, then %q", text, once, twice)
		}
	})
}

func FuzzClean(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, got := range map[string]string{"Clean": Clean(text), "Name": Name(text), "Cut": Cut(Clean(text), 100)} {
			if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return hidden(r) && r != '\n' && r != '\t' }) {
				t.Fatalf("%s(%q) = %q", name, text, got)
			}
		}
		if data := appendString(nil, text); !json.Valid(data) || bytes.ContainsAny(data, "<>&\x1b") {
			t.Fatalf("%q as JSON: %s", text, data)
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	text := bytes.Repeat([]byte("=== RUN TestX\n--- PASS: TestX (0.01s)\n    x_test.go:12: /tmp/go-build123456/b001/x.test pid 17 at 0xc000123456\n"), 100)
	n := new(Normalizer)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		n.Normalize(text)
	}
}
