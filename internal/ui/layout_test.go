package ui

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"cbuild/engine"
)

// progressOf is how far a target is.
func progressOf(rule, name string, done, total int, open bool, classes map[engine.Class]int, cached int) engine.Progress {
	t := &engine.Target{Label: engine.Label{Name: name}, Rule: rule, Repeated: true}
	if rule == "query" {
		t.Query = func(context.Context, engine.View) iter.Seq2[engine.Item, error] { return nil }
	}
	counts := engine.Counts{Total: done, Classes: map[engine.Class]int{engine.ClassPass: done}, Cached: map[engine.Cached]int{engine.CachedLocal: cached}}
	for class, n := range classes {
		counts.Classes[class] = n
		counts.Classes[engine.ClassPass] -= n
	}
	return engine.Progress{Target: t, Done: done, Total: total, Open: open, Counts: counts}
}

// busy is a build in which much happens.
func busy() picture {
	classes := func(pairs ...any) map[engine.Class]int {
		m := map[engine.Class]int{}
		for i := 0; i < len(pairs); i += 2 {
			m[engine.Class(pairs[i].(string))] = pairs[i+1].(int)
		}
		return m
	}
	return picture{
		took: 65 * time.Second, left: 205 * time.Second,
		targets: []engine.Progress{
			progressOf("toolchain", "go", 2, 2, false, nil, 2),
			progressOf("query", "modules", 1204, 1204, true, nil, 0),
			progressOf("fetch", "source", 310, 1204, true, classes("unavailable", 1, "error", 2), 120),
			progressOf("run", "gofmt", 87, 1204, true, classes("fail", 3, "timeout", 1, "skipped", 4), 0),
			progressOf("run", "日本語の目標", 0, 0, true, nil, 0),
			progressOf("run", "a-target-with-a-name-that-is-much-longer-than-others", 5, 7, false, classes("crash", 1), 0),
			progressOf("collate", "report", 0, 1, false, nil, 0),
		},
		running: []lasting{
			{`run.gofmt["github.com/google/uuid@v1.6.0"]["after"]`, 63200 * time.Millisecond},
			{`run.gofmt["日本語のとても長い名前がここにあります、端末の幅より広い名前です、まだ続きます"]["before"]`, 12 * time.Second},
			{`fetch.source["👍🏽👍🏽👍🏽 family 👨‍👩‍👧 flag 🇯🇵 ❤️"]`, 3400 * time.Millisecond},
			{"fetch.source[\"e\u0301te\u0301 z\u0351\u0352\u0353a\u0334lgo \x1b[2J \u202e\"]", 1200 * time.Millisecond},
			{`run.gofmt["` + strings.Repeat("long", 100) + `"]`, 300 * time.Millisecond},
			{`run.gofmt["last"]`, 0},
		},
		waiting: []string{"host proxy.example: paused 01:30, 12 downloads waiting", `waiting for host ci-3, process 17, 00:41: run.gofmt["x"]`, "waiting for another host, 00:02: 3 instances"},
	}
}

// The lines in place at many sizes, as golden screens. None is as wide as the terminal, and there is a line for the cursor.
func TestLayouts(t *testing.T) {
	var b strings.Builder
	for _, columns := range []int{20, 40, 80, 120, 200} {
		for _, rows := range []int{3, 6, 10, 24, 50} {
			p := busy()
			p.columns, p.rows = columns, rows
			l := layout{}
			lines := l.lines(p)
			fmt.Fprintf(&b, "%d columns, %d rows\n", columns, rows)
			for _, line := range lines {
				b.WriteString(line + "\n")
				if w := widthOfAll(line); w >= columns {
					t.Errorf("%d columns: this has %d: %q", columns, w, line)
				}
			}
			if len(lines) >= rows {
				t.Errorf("%d rows: %d lines", rows, len(lines))
			}
			b.WriteString("\n")
		}
	}
	Golden(t, "layouts.txt", b.String())
}

// However small a terminal is, the lines fit; in one that has no line to go back to there are none.
func TestLayoutsOfTinyTerminals(t *testing.T) {
	for columns := range 30 {
		for rows := range 9 {
			p := busy()
			p.columns, p.rows = columns, rows
			l := layout{color: true}
			lines := l.lines(p)
			if len(lines) > max(rows-1, 0) || columns > 1 && rows > 1 && len(lines) == 0 {
				t.Errorf("%d columns, %d rows: %d lines", columns, rows, len(lines))
			}
			for _, line := range lines {
				if w := widthOfAll(line); w >= columns {
					t.Errorf("%d columns: this has %d: %q", columns, w, line)
				}
			}
		}
	}
}

// While counts grow, a column moves to the right only, and the columns of all targets stand below each other.
func TestColumnsDoNotJump(t *testing.T) {
	l := layout{}
	last := 0
	for _, done := range []int{0, 7, 99, 1000, 99_999, 1_000_000, 5} {
		p := picture{columns: 100, rows: 24, targets: []engine.Progress{
			progressOf("run", "first", done, 1_000_000, done < 1000, nil, done), progressOf("run", "second", 0, 1, false, nil, 1),
		}}
		lines := l.lines(p)
		first, second := strings.Index(lines[0], " cached"), strings.Index(lines[1], " cached")
		at := ansi.StringWidth(lines[1][:second])
		if done > 0 && ansi.StringWidth(lines[0][:first])-len(Thousands(done)) != at-1 {
			t.Errorf("the columns do not stand below each other:\n%s\n%s", lines[0], lines[1])
		}
		if at < last {
			t.Errorf("the columns jump back at %d", done)
		}
		last = at
	}
}

// If there are more targets than lines, those in which something happens are shown, in their order, and how many are not.
func TestMoreTargetsThanLines(t *testing.T) {
	p := picture{columns: 60, rows: 12}
	for i := range 40 {
		done := 10
		if i == 7 || i == 30 {
			done = 5
		}
		if i > 30 {
			done = 0
		}
		p.targets = append(p.targets, progressOf("run", fmt.Sprintf("t%02d", i), done, 10, false, nil, 0))
	}
	p.targets[20].Counts.Classes = map[engine.Class]int{engine.ClassPass: 8, "fail": 2}
	l := layout{}
	want := ` t07   5/10
 t20  10/10  2 fail
 t30   5/10
 t31   0/10
 t32   0/10
 0.0s, 0 running, 35 more targets`
	if diff := cmp.Diff(want, strings.Join(l.lines(p), "\n")); diff != "" {
		t.Error(diff)
	}
}

// Colour marks what went wrong, and who is waited for; nothing else.
func TestColours(t *testing.T) {
	p := busy()
	p.columns, p.rows = 100, 50
	l, plain := layout{color: true}, layout{}
	for i, line := range l.lines(p) {
		if ansi.Strip(line) != plain.lines(p)[i] {
			t.Errorf("without its colours this is another line: %q", line)
		}
		coloured := strings.Contains(line, "\x1b[")
		if need := strings.Contains(line, "waiting") || len(bad(engine.Counts{Classes: classesIn(line)})) > 0; coloured != need {
			t.Errorf("coloured: %v, want %v: %q", coloured, need, line)
		}
	}
}

// widthOfAll is how wide a line is in the terminal that makes it the widest.
func widthOfAll(line string) int {
	sum := 0
	for _, r := range ansi.Strip(line) {
		if sum += ansi.StringWidthWc(string(r)); r == '\ufe0f' {
			sum++
		}
	}
	return max(sum, ansi.StringWidth(line))
}

// classesIn finds the words for classes in a line.
func classesIn(line string) map[engine.Class]int {
	found := make(map[engine.Class]int)
	for _, word := range strings.FieldsFunc(ansi.Strip(line), func(r rune) bool { return r == ' ' || r == ',' }) {
		found[engine.Class(word)] = 1
	}
	return found
}
