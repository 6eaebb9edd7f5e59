package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"cbuild/engine"
)

// allClasses makes a report in which the first class has one row, the second two, and so on.
func allClasses(compared bool) (*Head, []*Row) {
	h := &Head{Title: "all", Columns: []string{}, Summary: make(map[Class]int)}
	if compared {
		h.Compare = []string{"a", "b"}
	}
	var rows []*Row
	for i, class := range Classes(compared) {
		for n := range i + 1 {
			key := fmt.Sprintf("%s-%d", class, n)
			row := &Row{Key: key, Class: class}
			switch {
			case compared:
				row.Sides = []Side{{Outcome: "pass", Extra: Extra{Label: "//:t[" + key + "][a]"}}, {Outcome: "fail", Class: class, Extra: Extra{Label: "//:t[" + key + "][b]"}}}
			case class != Item:
				row.Sides = []Side{{Outcome: engine.Class(class), Extra: Extra{Label: "//:t[" + key + "]"}}}
			}
			rows = append(rows, row)
			h.Summary[class]++
			h.Count++
		}
	}
	return h, rows
}

// Every class is in every format, with the same number, and the numbers add up to all rows.
func TestEveryClassAddsUpInEveryFormat(t *testing.T) {
	for _, compared := range []bool{true, false} {
		h, rows := allClasses(compared)
		var html, js, md, table, packed, junit, retry bytes.Buffer
		err := Render(h, each(rows), NewHTML(&html, PageOptions{}), NewJSON(&js), NewMarkdown(&md), NewCSV(&table), NewNDJSON(&packed), NewJUnit(&junit), NewRetry(&retry))
		if err != nil {
			t.Fatal(err)
		}
		p := readPage(t, html.String())
		p.check()
		onPage := make(map[Class]int)
		for _, c := range p.numbers("class") {
			onPage[Class(p.header.Classes[int(c)])]++
		}
		headline := make(map[Class]int)
		for c, n := range p.header.Summary {
			headline[Class(c)] = n
		}
		var parsed struct {
			Count   int
			Summary map[Class]int
			Rows    []struct{ Class Class }
		}
		if err := json.Unmarshal(js.Bytes(), &parsed); err != nil {
			t.Fatal(err)
		}
		inRows := make(map[Class]int)
		for _, r := range parsed.Rows {
			inRows[r.Class]++
		}
		for name, counts := range map[string]map[Class]int{
			"the page": onPage, "its headline": headline, "results.json": inRows, "its summary": parsed.Summary,
			"results.csv": inTable(t, table.String()), "results.ndjson.zst": inLines(t, packed.Bytes()), "junit.xml": inCases(t, junit.Bytes(), h),
		} {
			sum := 0
			for class, n := range h.Summary {
				if counts[class] != n {
					t.Errorf("compared %v: %s has %d %s, want %d", compared, name, counts[class], class, n)
				}
				sum += counts[class]
			}
			if sum != h.Count || len(counts) != len(h.Summary) {
				t.Errorf("compared %v: the classes of %s add up to %d of %d: %v", compared, name, sum, h.Count, counts)
			}
		}
		for class, n := range h.Summary {
			if text := fmt.Sprintf("**%d** %s", n, class); !strings.Contains(md.String(), text) {
				t.Errorf("summary.md has no %q", text)
			}
			if text := fmt.Sprintf("<li>%d %s</li>", n, class); !strings.Contains(html.String(), text) {
				t.Errorf("without scripts the page has no %q", text)
			}
			listed := strings.Count(md.String(), "\n| "+EscapeMarkdown(string(class))+"-") - strings.Count(md.String(), "\n| "+EscapeMarkdown(string(class))+"-pass")
			if want := map[bool]int{true: 0, false: n}[class.Quiet()]; class != SamePass && class != SameFail && listed != want {
				t.Errorf("summary.md lists %d rows of %s, want %d", listed, class, want)
			}
		}
		if lines := strings.Fields(retry.String()); len(lines) == 0 || !strings.HasPrefix(lines[0], "//:t[") {
			t.Errorf("the retry list: %q", lines)
		}
	}
}

func inTable(t *testing.T, text string) map[Class]int {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[Class]int)
	for _, r := range records[1:] {
		counts[Class(r[1])]++
	}
	return counts
}

func inLines(t *testing.T, data []byte) map[Class]int {
	t.Helper()
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := z.DecodeAll(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[Class]int)
	for line := range bytes.Lines(text) {
		var row struct{ Class Class }
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		counts[row.Class]++
	}
	return counts
}

// inCases counts test cases. A case that passed has no word for its class: those that are not quiet are told by theirs, and the others by
// their names.
func inCases(t *testing.T, data []byte, h *Head) map[Class]int {
	t.Helper()
	type verdict struct {
		Type string `xml:"type,attr"`
	}
	var suites struct {
		Suite struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Errors   int `xml:"errors,attr"`
			Skipped  int `xml:"skipped,attr"`
			Cases    []struct {
				Name    string   `xml:"name,attr"`
				Failure *verdict `xml:"failure"`
				Error   *verdict `xml:"error"`
				Skipped *verdict `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(data, &suites); err != nil {
		t.Fatal(err)
	}
	counts := make(map[Class]int)
	failures, errs, skipped := 0, 0, 0
	for _, c := range suites.Suite.Cases {
		class := Class(c.Name[:strings.LastIndexByte(c.Name, '-')])
		for n, v := range map[*int]*verdict{&failures: c.Failure, &errs: c.Error, &skipped: c.Skipped} {
			if v != nil {
				*n++
				if class != Class(v.Type) {
					t.Errorf("junit.xml calls %s %s", c.Name, v.Type)
				}
			}
		}
		counts[class]++
	}
	if s := suites.Suite; s.Tests != h.Count || s.Failures != failures || s.Errors != errs || s.Skipped != skipped || failures == 0 || errs == 0 {
		t.Errorf("junit.xml says %d tests, %d failures, %d errors, %d skipped, and has %d, %d, %d", s.Tests, s.Failures, s.Errors, s.Skipped, failures, errs, skipped)
	}
	return counts
}
