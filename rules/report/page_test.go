package report

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"cbuild/engine"
)

// A page is what a browser reads of one.
type page struct {
	t      *testing.T
	data   []byte // after the header
	header struct {
		Title, Incomplete, Sandbox string
		Count                      int
		Columns                    []struct{ Name, Kind string }
		Classes, Outcomes          []string
		Summary                    map[string]int
		Build                      struct {
			Took, Jobs, Lanes int
			Targets           []struct {
				Label                       string
				Done, Total, Cached, Failed int
				Counts                      map[string]int
			}
		}
		Causes []struct {
			Text, Kind string
			Rows       int
		}
		Chunks   []int
		Sections map[string]struct {
			Form, Codes string
			At, Words   [2]int
		}
	}
	details []detail
}

type detail struct {
	Side  int
	Error string
	Diffs [][3]string
	Sides []struct {
		Key, Why string
		Texts    [][3]string
		Inputs   []string
	}
	Problems []string
}

// readPage reads the data of a page as its script does.
func readPage(t *testing.T, html string) *page {
	t.Helper()
	p := &page{t: t}
	for _, m := range regexp.MustCompile(`<script type="text/plain" (class="detail"|id="pack")>([^<]*)</script>`).FindAllStringSubmatch(html, -1) {
		packed, err := base64.StdEncoding.DecodeString(m[2])
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		if m[1] != `id="pack"` {
			var chunk []detail
			if err := json.Unmarshal(data, &chunk); err != nil {
				t.Fatalf("%v: %s", err, data)
			}
			p.details = append(p.details, chunk...)
			continue
		}
		n := 8 + int(binary.LittleEndian.Uint32(data[4:]))
		if string(data[:4]) != "cbp1" || n%8 != 0 {
			t.Fatalf("magic %q, header of %d bytes", data[:4], n)
		}
		if err := json.Unmarshal(data[8:n], &p.header); err != nil {
			t.Fatalf("%v: %s", err, data[8:n])
		}
		p.data = data[n:]
	}
	if p.data == nil {
		t.Fatal("the page has no data")
	}
	return p
}

func (p *page) at(where [2]int) []byte { return p.data[where[0] : where[0]+where[1]] }

// numbers returns a section; nil for one that is not there.
func (p *page) numbers(name string) []float64 {
	s, ok := p.header.Sections[name]
	if !ok {
		return nil
	}
	return numbersOf(s.Form, p.at(s.At))
}

func numbersOf(form string, data []byte) (list []float64) {
	for len(data) > 0 {
		switch form {
		case "u8":
			list, data = append(list, float64(data[0])), data[1:]
		case "u16":
			list, data = append(list, float64(binary.LittleEndian.Uint16(data))), data[2:]
		case "u32":
			list, data = append(list, float64(binary.LittleEndian.Uint32(data))), data[4:]
		case "f64":
			list, data = append(list, math.Float64frombits(binary.LittleEndian.Uint64(data))), data[8:]
		default:
			panic(form)
		}
	}
	return list
}

func (p *page) words(name string) []string {
	s, ok := p.header.Sections[name]
	switch {
	case !ok:
		return nil
	case s.Form == "text":
		return strings.Split(string(p.at(s.At)), "\n")
	}
	words := strings.Split(string(p.at(s.Words)), "\n")
	var list []string
	for _, c := range numbersOf(s.Codes, p.at(s.At)) {
		list = append(list, words[int(c)])
	}
	return list
}

// check looks for sections that have not a value for each row, or stand where typed arrays can't.
func (p *page) check() {
	p.t.Helper()
	for name, s := range p.header.Sections {
		if s.At[0]%8 != 0 {
			p.t.Errorf("%s begins at %d", name, s.At[0])
		}
		n := 0
		if s.Form == "text" || s.Form == "dict" {
			n = len(p.words(name))
		} else {
			n = len(p.numbers(name))
		}
		if n != p.header.Count && !strings.HasPrefix(name, "span.") {
			p.t.Errorf("%s has %d values for %d rows", name, n, p.header.Count)
		}
	}
	sum := 0
	for _, n := range p.header.Summary {
		sum += n
	}
	if sum != p.header.Count {
		p.t.Errorf("the classes add up to %d of %d", sum, p.header.Count)
	}
}

func htmlOf(t *testing.T, h *Head, rows []*Row, build *Build) string {
	t.Helper()
	var b bytes.Buffer
	if err := Render(h, each(rows), NewHTML(&b, PageOptions{Build: func() *Build { return build }})); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What rows, columns, sides and the build say comes out of the page again.
func TestPageHoldsTheRows(t *testing.T) {
	h := &Head{
		Title: "x", Compare: []string{"a", "b"}, Axes: []string{"os"}, Columns: []string{"size", "mixed", "file"},
		Summary: map[Class]int{Regressed: 2, Inconclusive: 1, SamePass: 997}, Count: 1000,
	}
	var rows []*Row
	for i := range 1000 {
		key := fmt.Sprintf("package-%d", i)
		r := &Row{
			Key: key, Class: SamePass, Axes: []string{"linux"}, Columns: []engine.Value{int64(i), nil, engine.Artifact{Name: "o.txt"}},
			Sides: []Side{{Outcome: "pass", Ran: true}, {Outcome: "pass", Ran: true, Class: SamePass}},
		}
		for j := range r.Sides {
			r.Sides[j].Extra = Extra{Label: "//:try[" + key + "][" + h.Compare[j] + "]", Took: time.Duration(i*70) * time.Millisecond, Cached: engine.CachedLocal}
		}
		switch i {
		case 0, 1:
			r.Class, r.Sides[1].Class, r.Sides[1].Outcome, r.Sides[1].ExitCode = Regressed, Regressed, "fail", 2
			r.Columns[1] = "word"
			r.Detail = &Detail{Error: "x.go:3: undefined: y", Cause: Cause{CauseError, "undefined: y"}, Diffs: []Excerpt{{Name: "log", Text: "-a\n+b\n"}}}
			r.Sides[1].Extra.Texts = []Excerpt{{Name: "log", Text: strings.Repeat("text\n", 60_000)}}
			r.Sides[1].Extra.Inputs = []string{"src b3:12"}
		case 2:
			r.Class, r.Sides[1].Class, r.Sides[1].Outcome = Inconclusive, Inconclusive, "timeout"
			r.Detail = &Detail{Cause: Cause{CauseLimit, "timed out"}}
		}
		rows = append(rows, r)
	}
	p := readPage(t, htmlOf(t, h, rows, &Build{
		Jobs: 2, Lanes: 1, Took: time.Minute, Spans: []Span{{Start: time.Second, Took: 2 * time.Second, Outcome: "fail"}},
		Targets: []Target{{Label: "//:try", Done: 5, Total: 6, Cached: 1, Counts: map[engine.Class]int{"pass": 3, "fail": 1, "skipped": 1}}},
	}))
	p.check()
	if got := p.words("key"); got[999] != "package-999" {
		t.Errorf("the last key is %q", got[999])
	}
	if got := p.numbers("class"); p.header.Classes[int(got[0])] != "regressed" || p.header.Classes[int(got[2])] != "inconclusive" || p.header.Classes[int(got[3])] != "same-pass" {
		t.Errorf("classes %v", got[:4])
	}
	if got := p.words("side.1.label"); got[5] != "//:try[\x01][b]" || p.header.Sections["side.1.label"].Form != "dict" {
		t.Errorf("label %q", got[5])
	}
	if got := p.numbers("side.0.took"); got[999] != 69930 || p.header.Sections["side.0.took"].Form != "u32" {
		t.Errorf("took %v", got[999])
	}
	if got := p.numbers("side.1.exit"); got[0] != 2 || got[5] != 0 || p.header.Sections["side.0.exit"].Form != "" {
		t.Errorf("exit codes %v", got[:3])
	}
	if got := p.numbers("side.0.class"); got[0] != noClass {
		t.Errorf("the base has class %v", got[0])
	}
	if got := p.numbers("column.0"); got[7] != 7 || p.header.Columns[0].Kind != "number" {
		t.Errorf("size %v, %v", got[7], p.header.Columns)
	}
	if got := p.words("column.1"); got[0] != "word" || got[5] != "" || p.header.Columns[1].Kind != "text" || p.header.Columns[2].Kind != "artifact" {
		t.Errorf("mixed %q, %v", got[0], p.header.Columns)
	}
	if c := p.header.Causes; len(c) != 2 || c[0].Text != "undefined: y" || c[0].Rows != 2 || c[1].Kind != "limit" {
		t.Errorf("causes %v", c)
	}
	if got := p.numbers("cause"); got[0] != 1 || got[2] != 2 || got[3] != 0 {
		t.Errorf("causes %v", got[:4])
	}
	// The texts of the first fill a chunk.
	if got := p.numbers("detail"); got[1] != 2 || got[2] != 3 || got[3] != 0 || len(p.header.Chunks) != 3 || p.header.Chunks[2] != 2 {
		t.Errorf("details %v in chunks %v", got[:4], p.header.Chunks)
	}
	if d := p.details[1]; d.Side != 1 || d.Error != "x.go:3: undefined: y" || d.Diffs[0][1] != "-a\n+b\n" || len(d.Sides[1].Texts[0][1]) != 300_000 || d.Sides[1].Inputs[0] != "src b3:12" {
		t.Errorf("detail %.300v", d)
	}
	b := p.header.Build
	if b.Jobs != 2 || b.Took != 60_000 || b.Targets[0].Failed != 1 || b.Targets[0].Counts["skipped"] != 1 || p.numbers("span.start")[0] != 1000 || p.header.Outcomes[int(p.numbers("span.outcome")[0])] != "fail" {
		t.Errorf("build %+v", b)
	}
}

// What a server takes out of a page is what a live page would have been told.
func TestPageIsReadAgain(t *testing.T) {
	h, rows := hostileRows()
	var page bytes.Buffer
	snapshot := NewSnapshot(PageOptions{})
	if err := Render(h, each(rows), NewHTML(&page, PageOptions{}), snapshot); err != nil {
		t.Fatal(err)
	}
	read, err := ReadPage(page.Bytes())
	if err != nil || !bytes.Equal(read.Pack, snapshot.Pack) || len(read.Chunks) != 1 || !bytes.Equal(read.Chunks[0], snapshot.Chunks[0]) {
		t.Errorf("%v: a pack of %d bytes, want %d", err, len(read.Pack), len(snapshot.Pack))
	}
	for _, bad := range []string{"", "<html>", page.String()[:strings.Index(page.String(), packAttribute)+100], dataStart + packAttribute + ">!" + dataEnd} {
		if _, err := ReadPage([]byte(bad)); !errors.Is(err, ErrNoPage) {
			t.Errorf("%.50q: %v", bad, err)
		}
	}
}

// A timeline of many executions keeps to what can be told apart, and counts all.
func TestTimelineIsBounded(t *testing.T) {
	b := &Build{}
	for i := range 400_000 {
		s := Span{Lane: i % 2, Start: time.Duration(i/2) * time.Millisecond, Took: time.Millisecond, Outcome: "pass"}
		if i == 200_001 {
			s.Outcome = "crash"
		}
		b.Spans = append(b.Spans, s)
	}
	spans, runs, crashed := b.spans(), 0, 0
	for _, s := range spans {
		runs += max(s.Runs, 1)
		if s.Outcome == "crash" {
			crashed++
		}
	}
	if len(spans) > 2*spanPixels+10 || runs != 400_000 || crashed == 0 {
		t.Errorf("%d spans for %d executions, %d crashed", len(spans), runs, crashed)
	}
}

func TestFirstError(t *testing.T) {
	for log, want := range map[string]string{
		"": "",
		"   Compiling a v1\nwarning: unused\nerror[E0308]: mismatched types\n --> src/lib.rs:3:4\nerror: could not compile `a`\n": "error[E0308]: mismatched types",
		"# pkg\n./a.go:3:4: undefined: x\nFAIL\tpkg [build failed]\n":                                                             "./a.go:3:4: undefined: x",
		"--- FAIL: TestX (0.01s)\n    x_test.go:7: got 3, want 4\nFAIL\nexit status 1\n":                                          "x_test.go:7: got 3, want 4",
		"panic: boom\n\ngoroutine 1 [running]:\n":                                                                                 "panic: boom",
		"Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nValueError: bad thing\n":                       "ValueError: bad thing",
		"npm ERR! code ELIFECYCLE\nnpm ERR! Missing script: \"test\"\n":                                                           "npm ERR! Missing script: \"test\"",
		"a.c: In function 'main':\na.c:3:5: error: expected ';'\nmake: *** [all] Error 1\n":                                       "a.c:3:5: error: expected ';'",
		"one\ntwo\n":              "two",
		strings.Repeat("x", 1000): strings.Repeat("x", 300) + "…",
	} {
		if got := FirstError(log); got != want {
			t.Errorf("of %.100q: %q, want %q", log, got, want)
		}
	}
}

func TestCommon(t *testing.T) {
	for in, want := range map[string]string{
		"./a.go:3:4: undefined: x":                                     "undefined: x",
		"/build/src/deep/x.c:12: error: expected 3 arguments, have 4":  "error: expected N arguments, have N",
		"error[E0308]: mismatched types: expected `a::B`, found `u32`": "error[E0308]: mismatched types: expected `a::B`, found `u32`",
		"cannot open /tmp/x/y.txt at 0xdeadbeef":                       "cannot open y.txt at 0x…",
		`fetch.source["a/b@v1.2.3"] is unavailable`:                    "fetch.source[…] is unavailable",
		"digest 0123456789abcdef0123456789abcdef differs":              "digest … differs",
		"GET https://example.com/a/b: 503 after 6 attempts":            "GET https://example.com/a/b: N after N attempts",
	} {
		if got := Common(in); got != want {
			t.Errorf("of %q: %q, want %q", in, got, want)
		}
	}
}

func TestDeciding(t *testing.T) {
	side := func(outcome engine.Class, class Class) Side { return Side{Outcome: outcome, Class: class} }
	for _, c := range []struct {
		class Class
		sides []Side
		want  int
	}{
		{Regressed, []Side{side("pass", ""), side("pass", SamePass), side("fail", Regressed)}, 2},
		{Fixed, []Side{side("fail", ""), side("pass", Fixed)}, 0},
		{Inconclusive, []Side{side("timeout", ""), side("pass", Inconclusive)}, 0},
		{Inconclusive, []Side{side("timeout", ""), side("oom", Inconclusive)}, 1},
		{Inconclusive, []Side{side("pass", ""), side("fail", Inconclusive)}, 1}, // it could use the network
		{Skipped, []Side{side("unavailable", ""), side("pass", Skipped)}, 0},
		{Gone, []Side{side("pass", ""), side("", Gone)}, 0},
		{New, []Side{side("", ""), side("fail", New)}, 1},
		{"fail", []Side{side("fail", "")}, 0},
		{Item, nil, -1},
	} {
		if got := (&Row{Class: c.class, Sides: c.sides}).Deciding(); got != c.want {
			t.Errorf("%s of %v: %d, want %d", c.class, c.sides, got, c.want)
		}
	}
}
