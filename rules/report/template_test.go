package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"testing"

	"cbuild/engine"
)

func templateRows() (*Head, []*Row) {
	h := &Head{
		Title: "Try", Compare: []string{"before", "after"}, Axes: []string{"os"}, Columns: []string{"n", "text", "list"}, Grouped: true,
		Summary: map[Class]int{Regressed: 1, Fixed: 1}, Count: 2, Incomplete: map[string]int{EndedEarly: 1},
	}
	sides := func(a, b engine.Class, c Class) []Side {
		return []Side{{Outcome: a}, {Outcome: b, Class: c, ExitCode: 3, Cause: "why"}}
	}
	return h, []*Row{
		{Key: "a", Class: Regressed, Group: "g", Axes: []string{"linux"}, Sides: sides("pass", "fail", Regressed), Columns: []engine.Value{int64(7), "x<y", []engine.Value{"1", int64(2)}}},
		{Key: "b", Class: Fixed, Axes: []string{"mac"}, Sides: sides("fail", "pass", Fixed), Columns: []engine.Value{1.5, nil, nil}},
	}
}

func expand(t *testing.T, name, text string) (string, error) {
	t.Helper()
	parsed, err := ParseTemplate(name, text)
	if err != nil {
		return "", err
	}
	h, rows := templateRows()
	var out bytes.Buffer
	err = Render(h, each(rows), parsed.To(&out, goesOn))
	return out.String(), err
}

func TestTemplate(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"x.md", "nothing", "nothing"},
		{"x.md", "", ""},
		{"x.md", "{{.Title}} {{.Count}} {{join .Compare}}", ""},
		{"x.md", `{{.Title}} {{.Count}} {{index .Compare 1}} {{range .Classes}}{{.Count}} {{.Name}}, {{end}}{{index .Summary "gone"}} {{.Incomplete}}`, "Try 2 after 1 regressed, 0 inconclusive, 1 fixed, 0 the rows ended early"},
		{"x.md", "<{{range .Rows}}{{.Key}} {{.Class}} {{.Group}} {{index .Axes 0}};{{end}}>", "<a regressed g linux;b fixed  mac;>"},
		{"x.md", `{{range .Rows}}{{range .Sides}}{{.Key}}={{.Outcome}} {{.Class}} {{.ExitCode}} {{.Cause}};{{end}}{{end}}`, "before=pass  0 ;after=fail regressed 3 why;before=fail  0 ;after=pass fixed 3 why;"},
		{"x.md", `{{range .Rows}}{{.Columns.n}} {{with .Columns.text}}{{markdown .}}{{else}}none{{end}} {{.Columns.list}};{{end}}`, "7 x&lt;y [\"1\",2];1.5 none ;"},
		{"x.md", `{{range .Rows}}{{if eq .Class "fixed"}}{{.Key}}{{end}}{{end}}`, "b"},
		{"x.md", `{{range .Rows}}{{break}}{{end}} done`, " done"},
		{"x.md", `{{range .Rows}}{{json .Columns.text}}{{end}}`, `"x\u003cy"""`},
		{"x.html", `{{range .Rows}}<p title="{{.Columns.text}}">{{.Columns.text}}</p>{{end}}`, `<p title="x&lt;y">x&lt;y</p><p title=""></p>`},
		{"x.html", `<script>var x = {{.Title}};</script>`, `<script>var x = "Try";</script>`},
	} {
		got, err := expand(t, c.name, c.text)
		if strings.Contains(c.text, "join") {
			if err == nil {
				t.Errorf("%s: there is no such function", c.text)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.text, got, err, c.want)
		}
	}
}

func TestTemplateSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"{{", "template: x.md:1: unclosed action"},
		{"{{.Tilte}}", "can't evaluate field Tilte"},
		{"{{range .Rows}}{{.Keey}}{{end}}", "can't evaluate field Keey"},
		{"{{range .Rows}}{{.Columns.m}}{{end}}", `map has no entry for key "m"`},
		{"{{range .Rows}}{{end}}{{range .Rows}}{{end}}", "the rows pass by once"},
		{"{{range .Rows}}{{index .Axes 5}}{{end}}", "out of range"},
	} {
		if _, err := expand(t, "x.md", c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
}

// However rendering ends, nothing of a template goes on.
func TestTemplateEndsWithItsReport(t *testing.T) {
	broken := errors.New("broken")
	before := runtime.NumGoroutine()
	for range 20 {
		parsed, err := ParseTemplate("x.md", "{{range .Rows}}{{.Key}}{{end}}")
		if err != nil {
			t.Fatal(err)
		}
		h, rows := templateRows()
		var out bytes.Buffer
		var ended iter.Seq2[*Row, error] = func(yield func(*Row, error) bool) { _ = yield(rows[0], nil) && yield(nil, broken) }
		if err := Render(h, ended, parsed.To(&out, goesOn), parsed.To(&out, goesOn)); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if err := Render(h, each(rows), parsed.To(failing{}, goesOn), parsed.To(&out, goesOn)); !errors.Is(err, errFailing) {
			t.Fatal(err)
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, before %d", after, before)
	}
}

var errFailing = errors.New("the disk is full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFailing }

// A page of a user's own shows hostile names as text, too.
func TestTemplateEscapesHostileNames(t *testing.T) {
	parsed, err := ParseTemplate("x.html", `<h1>{{.Title}}</h1>{{range .Rows}}<p id="{{.Key}}" title={{.Key}}>{{.Key}}{{range $k, $v := .Columns}}{{$k}}{{$v}}{{end}}</p>{{end}}`)
	if err != nil {
		t.Fatal(err)
	}
	h, rows := hostileRows()
	var out bytes.Buffer
	if err := Render(h, each(rows), parsed.To(&out, goesOn)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<img", "<b>", `" onmouseover`, "' autofocus"} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("%s stands in the page", bad)
		}
	}
	if n := strings.Count(out.String(), "<p id="); n != len(rows) {
		t.Error(fmt.Sprint(n, " rows, want ", len(rows)))
	}
}

func goesOn() error { return nil }

// TestTemplatesCanBeEnded has templates that would go on for years.
func TestTemplatesCanBeEnded(t *testing.T) {
	stop := errors.New("stop")
	long := "{{range 1000000000}}{{range 1000000000}}"
	for _, text := range []string{
		long + "{{end}}{{end}}",
		"{{range .Rows}}" + long + "{{end}}{{end}}{{end}}",
		"{{range .Rows}}{{end}}{{if .Title}}{{with .Title}}" + long + "x{{end}}{{end}}{{end}}{{end}}",
		"{{define `x`}}{{range .}}{{template `x` .}}{{template `x` .}}{{end}}{{end}}{{template `x` 1000000000}}",
	} {
		for _, name := range []string{"x.txt", "x.html"} {
			parsed, err := ParseTemplate(name, text)
			if err != nil {
				t.Fatal(err)
			}
			h, rows := templateRows()
			turns := 0
			ended := func() error {
				if turns++; turns > 1000 {
					return stop
				}
				return nil
			}
			if err := Render(h, each(rows), parsed.To(io.Discard, ended)); !errors.Is(err, stop) || errors.As(err, new(*TemplateError)) {
				t.Errorf("%s %s: %v", name, text, err)
			}
		}
	}
}
