package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"cbuild/cas"
	"cbuild/engine"
)

// randomReport makes a report as a collate could, of anything that a column may hold.
func randomReport(rnd *rand.Rand, n int) (*Head, []*Row) {
	pick := func(list []string) string { return list[rnd.IntN(len(list))] }
	keys := append([]string{"a", "try", "][", "//:try", "\x01", "\\x01", "a\tb", "a\nb", "\"", "x][x", strings.Repeat("long", 200), "é", "\u2028", "\xff"}, hostile...)
	value := func(kind int) engine.Value {
		switch kind {
		case 0:
			return int64(rnd.IntN(2000) - 1000)
		case 1:
			return rnd.NormFloat64() * 1e6
		case 2:
			return int64(rnd.Uint64())
		case 3:
			return pick(keys)
		case 4:
			return rnd.IntN(2) == 0
		case 5:
			return engine.Artifact{Name: pick(keys), Digest: cas.Of([]byte(pick(keys)))}
		case 6:
			return engine.Object{pick(keys): []engine.Value{int64(1), nil, pick(keys)}}
		}
		return nil
	}
	h := &Head{Title: pick(keys), Grouped: rnd.IntN(2) == 0, Summary: map[Class]int{}, Count: n}
	for i := range rnd.IntN(4) + 1 {
		if i > 0 {
			h.Compare = append(h.Compare, fmt.Sprint("side", i))
		}
	}
	if len(h.Compare) == 1 {
		h.Compare = append(h.Compare, "another")
	}
	h.Axes = [][]string{nil, {"os"}, {"os", "arch"}}[rnd.IntN(3)]
	kinds := make([][]int, rnd.IntN(5))
	for i := range kinds {
		h.Columns = append(h.Columns, fmt.Sprint("column ", i))
		kinds[i] = [][]int{{0, 7}, {1}, {0, 1, 7}, {2}, {3}, {3, 0}, {4}, {5, 7}, {5, 3}, {6}, {7}, {0, 2, 3}}[rnd.IntN(12)]
	}
	var rows []*Row
	for range n {
		r := &Row{Key: pick(keys) + pick(keys), Class: Classes(len(h.Compare) > 0)[rnd.IntN(9)], Group: pick(keys)}
		for range h.Axes {
			r.Axes = append(r.Axes, pick(keys))
		}
		for _, k := range kinds {
			r.Columns = append(r.Columns, value(k[rnd.IntN(len(k))]))
		}
		for i := range max(len(h.Compare), rnd.IntN(2)) {
			s := Side{Outcome: outcomes[rnd.IntN(len(outcomes))]}
			if len(h.Compare) > 0 && i > 0 && s.Outcome != "" {
				s.Class = order[rnd.IntN(len(order))]
			}
			if s.Outcome == "" && len(h.Compare) == 0 {
				s.Outcome = "pass"
			}
			if s.Ran = s.Outcome == "fail"; s.Ran {
				s.ExitCode = rnd.IntN(256)
			}
			s.Extra = Extra{Label: "//:try[" + r.Key + "][" + r.Key + "]", Took: time.Duration(rnd.Int64N(1e11))}
			if rnd.IntN(3) == 0 {
				s.Cause = pick(keys)
				s.Extra.Texts = []Excerpt{{Name: pick(keys), Text: Clean(pick(keys))}}
			}
			r.Sides = append(r.Sides, s)
		}
		h.Summary[r.Class]++
		rows = append(rows, r)
	}
	return h, rows
}

// A resultRow is a row of results.json.
type resultRow struct {
	Key, Class, Group string
	Axes              map[string]string
	Sides             map[string]*struct {
		Outcome, Class string
		ExitCode       int `json:"exit_code"`
	}
	Columns map[string]json.RawMessage
}

// What the page says of any report is what results.json says.
func TestPageSaysWhatTheResultsSay(t *testing.T) {
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		n := rnd.IntN(30)
		if seed == 0 {
			n = 20_000
		}
		h, rows := randomReport(rnd, n)
		html, js, _, _ := render(t, h, rows)
		p := readPage(t, html)
		if n > 0 {
			p.check()
		}
		var results struct {
			Title   string
			Count   int
			Summary map[string]int
			Rows    []resultRow
		}
		d := json.NewDecoder(strings.NewReader(js))
		if err := d.Decode(&results); err != nil {
			t.Fatal(err)
		}
		if p.header.Count != n || results.Count != n || len(results.Rows) != n || fmt.Sprint(p.header.Summary) != fmt.Sprint(results.Summary) || p.header.Title != Name(results.Title) {
			t.Fatalf("seed %d: heads %+v and %+v", seed, p.header, results)
		}
		c := comparing{page: p, h: h, columns: make(map[string]any)}
		for i := range results.Rows {
			if text := c.row(i, &results.Rows[i]); text != "" {
				t.Fatalf("seed %d: row %d of %d: %s", seed, i, n, text)
			}
		}
		c.details(t, rows)
	}
}

// comparing compares the rows of a page with others.
type comparing struct {
	*page
	h       *Head
	columns map[string]any
}

func (c *comparing) number(name string, i int) float64 {
	list, ok := c.columns[name].([]float64)
	if !ok {
		list = c.numbers(name)
		c.columns[name] = list
	}
	if list == nil {
		return 0
	}
	return list[i]
}

func (c *comparing) word(name string, i int) string {
	list, ok := c.columns[name].([]string)
	if !ok {
		list = c.words(name)
		c.columns[name] = list
	}
	if list == nil {
		return ""
	}
	return list[i]
}

// row says how the i-th row differs from r.
func (c *comparing) row(i int, r *resultRow) string {
	var b strings.Builder
	same := func(what string, page, results any) {
		if page != results {
			fmt.Fprintf(&b, "%s is %#v, want %#v; ", what, page, results)
		}
	}
	key := Name(r.Key)
	same("key", c.word("key", i), key)
	same("class", c.header.Classes[int(c.number("class", i))], r.Class)
	same("group", c.word("group", i), Name(r.Group))
	for j, a := range c.h.Axes {
		same(a, c.word(fmt.Sprintf("axis.%d", j), i), Name(r.Axes[a]))
	}
	for j := range max(len(c.h.Compare), 1) {
		name, side := fmt.Sprintf("side.%d.", j), "self"
		if len(c.h.Compare) > 0 {
			side = c.h.Compare[j]
		}
		s := r.Sides[side]
		outcome := c.header.Outcomes[int(c.number(name+"outcome", i))]
		if s == nil {
			same(side, outcome, "")
			continue
		}
		same(side, outcome, s.Outcome)
		same(side+".exit", int(c.number(name+"exit", i)), s.ExitCode)
		same(side+".label", strings.ReplaceAll(c.word(name+"label", i), keyMark, key), Name("//:try["+r.Key+"]["+r.Key+"]"))
		if class := c.number(name+"class", i); len(c.h.Compare) > 2 && j > 0 {
			same(side+".class", string(order[int(class)]), s.Class)
		}
	}
	for j, name := range c.h.Columns {
		if page, results := c.cell(fmt.Sprintf("column.%d", j), i), shownAs(r.Columns[name]); !sameNumber(page, r.Columns[name]) {
			same(name, page, results)
		}
	}
	return b.String()
}

// cell is what the page shows in a column of the user's.
func (c *comparing) cell(section string, i int) string {
	if c.header.Sections[section].Form != "f64" {
		return c.word(section, i)
	}
	v := c.number(section, i)
	if v != v {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// shownAs is how a page shows a value of results.json.
func shownAs(v json.RawMessage) string {
	var text string
	var artifact struct{ Artifact, Digest *string }
	switch {
	case string(v) == "null":
		return ""
	case json.Unmarshal(v, &text) == nil:
		return Name(text)
	case v[0] == '{' && json.Unmarshal(v, &artifact) == nil && artifact.Digest != nil:
		return Name(*artifact.Artifact) + "\t" + *artifact.Digest
	case v[0] == '{':
		return Name(string(v))
	}
	return string(v)
}

// sameNumber reports whether v is a number with a fraction or an exponent, and page another way to write it.
func sameNumber(page string, v json.RawMessage) bool {
	if v[0] == '"' || !bytes.ContainsAny(v, ".e") {
		return false
	}
	a, errA := strconv.ParseFloat(page, 64)
	b, errB := strconv.ParseFloat(string(v), 64)
	return errA == nil && errB == nil && a == b
}

// details looks for the texts of the rows where the page says that they are.
func (c *comparing) details(t *testing.T, rows []*Row) {
	t.Helper()
	for i, r := range rows {
		n := int(c.number("detail", i))
		if (n > 0) != r.detailed() {
			t.Fatalf("row %d has detail %d", i, n)
		}
		if n == 0 {
			continue
		}
		for j, s := range r.Sides {
			for k, x := range s.Extra.Texts {
				if got := c.page.details[n-1].Sides[j].Texts[k]; got[0] != Name(x.Name) || got[1] != x.Text {
					t.Fatalf("row %d: text %q, want %q", i, got, x)
				}
			}
		}
	}
}
