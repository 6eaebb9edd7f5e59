package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"cbuild/engine"
	"cbuild/rules/report"
)

// number reads a number as people write it.
func number(t *testing.T, text string) int {
	t.Helper()
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.SplitN(text, " ", 2)[0])
	n, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatalf("%q holds no number", text)
	}
	return n
}

func class(name string) string { return hook("class") + `[data-class="` + name + `"]` }

// counted is how many rows the page says it shows.
func (b *tab) counted() int {
	b.t.Helper()
	return number(b.t, b.text(hook("count")))
}

// keys are those of the rows that are in the page.
func (b *tab) keys() []string {
	b.t.Helper()
	return eval[[]string](b, `[...document.querySelectorAll("[data-test=row]")].sort((a, b) => a.dataset.row - b.dataset.row).map(e => e.dataset.key)`)
}

// The headline says what was compared, and its classes add up to all rows.
func TestHeadlineAddsUp(t *testing.T) {
	s := sample{10_000, two}
	b := s.open(t)
	about := b.text(hook("about"))
	for _, want := range append(slices.Clone(two), "10,000") {
		if !strings.Contains(about, want) {
			t.Errorf("%q does not say %q", about, want)
		}
	}
	sum := 0
	for name, n := range s.counts() {
		shown := number(t, b.text(class(string(name))))
		if shown != n {
			t.Errorf("%s: %d are shown, there are %d", name, shown, n)
		}
		sum += shown
	}
	if all := number(t, b.text(class("all"))); all != sum || all != s.n {
		t.Errorf("all are %d, the classes add up to %d", all, sum)
	}
	if n := len(b.texts(hook("target"))); n != 5 {
		t.Errorf("%d targets in the pipeline: %q", n, b.texts(hook("target")))
	}
	if got := b.texts(hook("target"))[3]; !strings.Contains(got, "try") || !strings.Contains(got, "1,250") {
		t.Errorf("the pipeline says %q of try", got)
	}
	// Inconclusive is a headline even where there is none.
	url, _ := write(t, &report.Head{Title: "t", Compare: two, Columns: two, Summary: map[report.Class]int{report.SamePass: 1}, Count: 1}, func(yield func(*report.Row, error) bool) {
		yield(&report.Row{Key: "k", Class: report.SamePass, Columns: []engine.Value{"pass", "pass"}, Sides: []report.Side{{Outcome: "pass"}, {Outcome: "pass", Class: report.SamePass}}}, nil)
	}, &report.Build{})
	b.open(url)
	if got := b.text(class("inconclusive")); number(t, got) != 0 {
		t.Errorf("inconclusive: %q", got)
	}
}

// What is typed, clicked and linked to selects rows; the numbers are those of the sample.
func TestFilters(t *testing.T) {
	s := sample{10_000, two}
	b := s.open(t)
	counts := s.counts()
	if n := b.counted(); n != s.n {
		t.Errorf("%d rows at first", n)
	}
	b.click(class("regressed"))
	b.until("regressed are shown", fmt.Sprintf(`document.querySelector(%q).getAttribute("aria-pressed") === "true"`, class("regressed")))
	b.settle()
	if n := b.counted(); n != counts[report.Regressed] {
		t.Errorf("%d regressed", n)
	}
	b.click(class("fixed"))
	b.settle()
	if n := b.counted(); n != counts[report.Regressed]+counts[report.Fixed] {
		t.Errorf("%d regressed and fixed", n)
	}
	b.click(class("all"))
	b.settle()
	total := 0
	for row := range s.rows() {
		if strings.Contains(row.Key, "ser") {
			total++
		}
	}
	for query, want := range map[string]int{
		"ser":                          total,
		"-ser":                         s.n - total,
		"class:regressed":              counts[report.Regressed],
		"class:regressed,fixed":        counts[report.Regressed] + counts[report.Fixed],
		"-class:same-pass":             s.n - counts[report.SamePass],
		"class:fixed " + "1.96.0:fail": counts[report.Fixed],
		"-class:same-pass -class:same-fail -class:changed -class:regressed -class:inconclusive -class:fixed -class:new -class:gone": counts[report.Skipped],
		"nothing-has-this-name": 0,
	} {
		b.filter(query)
		if n := b.counted(); n != want {
			t.Errorf("%q: %d rows, want %d (%s)", query, n, want, b.text(hook("mistakes")))
		}
	}
	b.filter("error:E0308 class:regressed")
	if n := b.counted(); n == 0 || n >= counts[report.Regressed] {
		t.Errorf("%d rows with E0308", n)
	}
	slow := 0
	for row := range s.rows() {
		longest := max(row.Sides[0].Extra.Took, row.Sides[1].Extra.Took)
		if longest.Round(time.Millisecond) > 20*time.Second {
			slow++
		}
	}
	for _, query := range []string{"time>20", "time>20s"} {
		b.filter(query)
		if n := b.counted(); n != slow {
			t.Errorf("%q: %d rows, want %d", query, n, slow)
		}
	}
	b.filter("clas:regressed")
	if got := b.text(hook("mistakes")); !strings.Contains(got, "class") {
		t.Errorf("of a misspelt field it says %q", got)
	}
}

// A click on a cause shows its rows, and only those.
func TestCauses(t *testing.T) {
	s := sample{10_000, two}
	b := s.open(t)
	first := b.text(hook("cause"))
	want := number(t, b.text(hook("cause-rows")))
	b.click(hook("cause"))
	b.settle()
	if n := b.counted(); n != want {
		t.Errorf("%d rows of the first cause %q", n, first)
	}
	all := strings.Join(b.texts(hook("cause")), "\n")
	for _, text := range []string{"timed out", "out of memory"} {
		if !strings.Contains(all, text) {
			t.Errorf("no cause %q in %q", text, all)
		}
	}
}

// Rows are sorted by any column, up and down, and only those that can be seen are in the page.
func TestSort(t *testing.T) {
	s := sample{10_000, two}
	b := s.open(t)
	if n := len(b.keys()); n == 0 || n > 200 {
		t.Errorf("%d rows are in the page", n)
	}
	var keys []string
	for row := range s.rows() {
		keys = append(keys, row.Key)
	}
	slices.Sort(keys)
	b.click(hook("sort") + `[data-column="key"]`)
	b.settle()
	if got := b.keys(); got[0] != keys[0] || got[1] != keys[1] {
		t.Errorf("sorted by key: %v, want %v", got[:2], keys[:2])
	}
	b.click(hook("sort") + `[data-column="key"]`)
	b.settle()
	if got := b.keys(); got[0] != keys[len(keys)-1] {
		t.Errorf("sorted by key downwards: %v, want %v", got[0], keys[len(keys)-1])
	}
}

// The pane shows both sides, the differences, the log and how to run it again, and goes with the keyboard.
func TestDetail(t *testing.T) {
	s := sample{2000, two}
	b := s.open(t)
	keys := b.keys()
	b.click(hook("row"))
	b.until("the pane is open", `document.querySelector("[data-test=detail] pre")`)
	pane := eval[string](b, `document.querySelector("[data-test=detail]").textContent`)
	for _, want := range []string{keys[0], "pass", "fail", "Compiling", "+ --> src/lib.rs:12:5", "cbuild repro '//crater:try[" + keys[0] + "][", "cbuild log '//crater:try[", "src: b3:0d1f…"} {
		if !strings.Contains(pane, want) {
			t.Errorf("the pane does not show %q:\n%s", want, pane)
		}
	}
	b.do(chromedp.Focus(hook("table")), chromedp.KeyEvent(kb.ArrowDown))
	b.until("the next row is shown", fmt.Sprintf(`document.querySelector("[data-test=detail]").innerText.includes(%q)`, keys[1]))
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until("the pane is closed", `!document.querySelector("[data-test=detail]")`)
	b.do(chromedp.KeyEvent("/"))
	b.until("the filter has the focus", `document.activeElement.dataset.test === "filter"`)
}

// A link leads to the same rows and the same pane, and the way back leads back.
func TestLinks(t *testing.T) {
	s := sample{2000, two}
	url, _ := s.page(t)
	b := newTab(t)
	b.open(url)
	b.click(class("changed"))
	b.settle()
	b.filter("error:error")
	b.click(hook("row"))
	b.until("the pane is open", `document.querySelector("[data-test=detail]")`)
	n, key, hash := b.counted(), b.keys()[0], eval[string](b, "location.hash")
	other := newTab(t)
	other.open(url + hash)
	other.until("the pane is open", fmt.Sprintf(`document.querySelector("[data-test=detail]")?.innerText.includes(%q)`, key))
	if got := other.counted(); got != n || n == s.n {
		t.Errorf("%d rows behind the link, were %d", got, n)
	}
	b.do(chromedp.NavigateBack())
	b.until("the way back leads back", fmt.Sprintf(`location.hash !== %q`, hash))
}

// Dark and light follow the system, until somebody chooses.
func TestThemes(t *testing.T) {
	s := sample{1000, two}
	url, _ := s.page(t)
	b := newTab(t)
	background := func() string { return eval[string](b, "getComputedStyle(document.body).backgroundColor") }
	b.look("dark", 1440, 900)
	b.open(url)
	dark := background()
	b.shoot("dark")
	b.look("light", 1440, 900)
	light := background()
	b.shoot("light")
	if dark == light {
		t.Errorf("dark and light are both %s", dark)
	}
	for range 3 {
		if b.click(hook("theme")); background() == dark {
			break
		}
		b.settle()
	}
	if background() != dark {
		t.Error("the page can't be made dark")
	}
	b.look("dark", 400, 800)
	b.shoot("narrow")
	if wide := eval[int](b, "document.documentElement.scrollWidth"); wide > 400 {
		t.Errorf("at 400 pixels the page is %d wide", wide)
	}
}

// What is copied is Markdown, and the retry list holds the labels of the rows that are shown.
func TestCopyAndRetry(t *testing.T) {
	s := sample{2000, two}
	b := s.open(t)
	b.do(chromedp.Evaluate(`navigator.clipboard.writeText = async (text) => { window.copied = text }`, nil))
	b.click(class("regressed"))
	b.settle()
	b.click(hook("copy"))
	b.until("something is copied", "window.copied")
	text, n := eval[string](b, "window.copied"), b.counted()
	if lines := strings.Count(text, "\n| "); !strings.Contains(text, "|---") && !strings.Contains(text, "| ---") || lines < n || !strings.Contains(text, b.keys()[0]) {
		t.Errorf("%d rows as Markdown:\n%s", n, text)
	}
	b.click(hook("retry"))
	b.until("the list is shown", `document.querySelector("[data-test=text]")`)
	list := strings.Fields(eval[string](b, `document.querySelector("[data-test=text]").value`))
	if len(list) < n || !slices.ContainsFunc(list, func(l string) bool { return strings.HasPrefix(l, "//crater:try["+b.keys()[0]) }) {
		t.Errorf("%d labels for %d rows: %q", len(list), n, list)
	}
}

// On paper there is a table without windows and without what can only be clicked.
func TestPrint(t *testing.T) {
	s := sample{2000, two}
	b := s.open(t)
	var pdf []byte
	b.do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		pdf, _, err = page.PrintToPDF().WithPrintBackground(true).Do(ctx)
		return err
	}))
	if len(pdf) < 10_000 || !strings.HasPrefix(string(pdf[:5]), "%PDF-") {
		t.Errorf("a PDF of %d bytes", len(pdf))
	}
	b.do(emulation.SetEmulatedMedia().WithMedia("print"), chromedp.Evaluate(`dispatchEvent(new Event("beforeprint"))`, nil))
	b.settle()
	visible := func(selector string) bool {
		return eval[bool](b, fmt.Sprintf(`(e => e != null && e.getClientRects().length > 0)(document.querySelector(%q))`, selector))
	}
	if !visible(hook("paper")) || visible(hook("table")) || visible(hook("filter")) || !visible(class("regressed")) {
		t.Errorf("on paper: table for paper %v, table %v, filter %v, headline %v", visible(hook("paper")), visible(hook("table")), visible(hook("filter")), visible(class("regressed")))
	}
}

// Without scripts the page still says what regressed.
func TestWithoutScripts(t *testing.T) {
	s := sample{2000, two}
	url, _ := s.page(t)
	b := newTab(t, emulation.SetScriptExecutionDisabled(true))
	b.do(chromedp.Navigate(url), chromedp.WaitVisible("noscript table", chromedp.ByQuery))
	var text string
	b.do(chromedp.Text("body", &text, chromedp.ByQuery))
	for _, want := range []string{"Crater: beta 1.97", "regressed", "2,000 rows"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %.500s", want, text)
		}
	}
}

// What a page of many rows costs, and that its last row can be reached.
func TestManyRows(t *testing.T) {
	sizes := []struct {
		rows int
		most int64
	}{{100_000, 4 << 20}, {700_000, 25 << 20}}
	for _, c := range sizes {
		t.Run(fmt.Sprint(c.rows), func(t *testing.T) {
			if c.rows > 100_000 && testing.Short() {
				t.Skip("SKIPPED: 700,000 rows take some seconds")
			}
			s := sample{c.rows, two}
			start := time.Now()
			url, file := s.page(t)
			wrote := time.Since(start)
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > c.most {
				t.Errorf("the page has %d bytes, more than %d", info.Size(), c.most)
			}
			b := newTab(t)
			b.open(url)
			painted := eval[float64](b, `performance.getEntriesByName("cbuild:painted")[0].startTime`)
			heap := eval[float64](b, "performance.memory.usedJSHeapSize")
			if n := b.counted(); n != c.rows {
				t.Errorf("%d rows of %d", n, c.rows)
			}
			filtering := b.timed(typing("ser"))
			b.filter("")
			sorting := b.timed(`document.querySelector('[data-test=sort][data-column="key"]').click()`)
			b.do(chromedp.Focus(hook("table")), chromedp.KeyEvent(kb.End))
			last := ""
			for row := range s.rows() {
				last = max(last, row.Key)
			}
			b.until("the last row is there", fmt.Sprintf(`[...document.querySelectorAll("[data-test=row]")].some(e => e.dataset.key === %q)`, last))
			t.Logf("%d rows: made and written in %v, %.1f MB; painted after %.0f ms, filtered in %.0f, sorted in %.0f, heap %.0f MB",
				c.rows, wrote.Round(10*time.Millisecond), float64(info.Size())/1e6, painted, filtering, sorting, heap/1e6)
		})
	}
}

// timed returns how many milliseconds something takes until it is painted.
func (b *tab) timed(do string) float64 {
	b.t.Helper()
	b.do(chromedp.Evaluate(fmt.Sprintf(`{ window.took = 0; const start = performance.now(); %s; requestAnimationFrame(() => requestAnimationFrame(() => { window.took = performance.now() - start })) }`, do), nil))
	b.until("it is painted", "window.took")
	return eval[float64](b, "window.took")
}

// hostile are texts that want to be more than text.
var hostile = []string{
	`<script>window.pwned = 1</script>`, `</script><script>window.pwned = 2</script>`, `<img src=x onerror="window.pwned = 3">`, `</noscript><img src=x onerror="window.pwned = 4">`,
	`" onmouseover="window.pwned = 5`, `' autofocus onfocus='window.pwned = 6`, `javascript:window.pwned=7`, `<svg onload="window.pwned = 8">`, `{{constructor.constructor('window.pwned=9')()}}`,
	`__proto__`, `constructor`, `<!--`, `]]>`, "\x1b]0;x\x07\x1b[31mred", "a\u202eb", "line\nbreak", "日本語", "é\u0301", strings.Repeat("long ", 200), `'; rm -rf / #`, `$(reboot)`,
	"|x|`y`[z](javascript:alert(1))", "class:regressed", "a b\tc", "",
}

// Names, logs and errors from elsewhere are text wherever they stand, also on the clipboard.
func TestHostileTextIsText(t *testing.T) {
	h := &report.Head{
		Title: strings.Join(hostile[:9], " "), Compare: []string{hostile[0], hostile[9]}, Axes: []string{hostile[2]}, Columns: []string{hostile[2], hostile[5]}, Grouped: true,
		Summary: map[report.Class]int{report.Regressed: len(hostile)}, Count: len(hostile), Incomplete: map[string]int{"error": 1}, Trouble: hostile[2],
	}
	build := &report.Build{Lanes: 1, Targets: []report.Target{{Label: hostile[2], Name: hostile[2], Rule: hostile[0]}}, Spans: []report.Span{{Took: time.Second, Outcome: "fail"}}}
	url, _ := write(t, h, func(yield func(*report.Row, error) bool) {
		for _, s := range hostile {
			side := report.Side{Outcome: "fail", Ran: true, ExitCode: 1, Class: report.Regressed, Cause: s}
			side.Extra = report.Extra{Label: "//:try[" + s + "]", Trouble: s, Texts: []report.Excerpt{{Name: s, Text: report.Clean(s), Note: report.Clean(s)}}, Inputs: []string{s}}
			row := &report.Row{
				Key: s, Class: report.Regressed, Axes: []string{s}, Sides: []report.Side{side, side}, Group: s, Problems: []string{s, ""}, Columns: []engine.Value{s, engine.Artifact{Name: s}},
				Detail: &report.Detail{Error: s, Cause: report.Cause{Kind: report.CauseError, Text: s}, Diffs: []report.Excerpt{{Name: s, Text: "+" + report.Clean(s)}}},
			}
			if !yield(row, nil) {
				return
			}
		}
	}, build)
	b := newTab(t)
	b.open(url)
	b.do(chromedp.Evaluate(`navigator.clipboard.writeText = async (text) => { window.copied = text }`, nil))
	for i := range hostile {
		b.click(fmt.Sprintf(`[data-test=row][data-row="%d"]`, i))
		b.until("the pane is open", `document.querySelector("[data-test=detail]")`)
		b.settle()
	}
	b.click(hook("copy"))
	b.click(hook("copy-row"))
	b.click(hook("cause"))
	b.settle()
	b.click(hook("retry"))
	b.settle()
	if eval[bool](b, `"pwned" in window`) {
		t.Errorf("text was run: %v", eval[json.RawMessage](b, "window.pwned"))
	}
	if n := eval[int](b, `document.querySelectorAll("#app img, #app svg[onload], #app script, #app [onerror], #app [onmouseover], #app [onfocus]").length`); n > 0 {
		t.Errorf("%d elements came from the data", n)
	}
	if n := eval[int](b, `[...document.querySelectorAll("a[href]")].filter(a => /^\s*javascript:/i.test(a.getAttribute("href"))).length`); n > 0 {
		t.Errorf("%d links run scripts", n)
	}
}

// More than two sides are shown each with its class.
func TestManySides(t *testing.T) {
	s := sample{3000, []string{"1.95", "1.96", "1.97", "nightly"}}
	b := s.open(t)
	b.shoot("sides")
	about := b.text(hook("about"))
	for _, side := range s.sides {
		if !strings.Contains(about, side) {
			t.Errorf("%q does not name %s", about, side)
		}
	}
	b.filter("nightly:fail class:regressed")
	if n := b.counted(); n != s.counts()[report.Regressed] {
		t.Errorf("%d rows regressed on nightly", n)
	}
	b.click(hook("row"))
	b.until("the pane is open", `document.querySelector("[data-test=detail] pre")`)
	pane := eval[string](b, `document.querySelector("[data-test=detail]").innerText`)
	for _, side := range s.sides {
		if !strings.Contains(pane, side) {
			t.Errorf("the pane does not show %s", side)
		}
	}
	b.shoot("sides-detail")
}
