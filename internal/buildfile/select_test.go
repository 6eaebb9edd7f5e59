package buildfile

import (
	"fmt"
	"strings"
	"testing"

	"cbuild/engine"
)

const selectable = `
query "q" { registry = "go" }
run "check" {
  for_each = query.q
  matrix   = { side = ["before", "after"], n = [1, 2] }
  command  = ["x"]
}
run "lit" {
  for_each = ["a", "b", "a.c"]
  command  = ["x"]
  tags     = ["t"]
}
run "axes" {
  matrix  = { go = ["1.20", "1.21"] }
  command = ["x"]
}
run "some" {
  for_each = ["a", "b"]
  where    = each.key != "b"
  command  = ["x"]
}
run "one" {
  command = ["x"]
  tags    = ["t"]
}
`

// candidates are instances by target, of which a selection takes some.
var candidates = map[string][]engine.Instance{
	"check": {
		{Key: "serde-1", Axes: []string{"before", "1"}},
		{Key: "serde-1", Axes: []string{"after", "2"}},
		{Key: "rand-1", Axes: []string{"after", "1"}},
		{Key: "x/serde-2", Axes: []string{"after", "1"}},
	},
	"lit":  {{Key: "a"}, {Key: "b"}, {Key: "a.c"}},
	"axes": {{Axes: []string{"1.20"}}, {Axes: []string{"1.21"}}},
	"some": {{Key: "a"}},
	"one":  {{}},
	"q":    {{Key: "serde-1"}, {Key: "rand-1"}},
}

func TestSelect(t *testing.T) {
	f := loadText(t, selectable)
	for _, c := range []struct {
		patterns, exclude string
		// want lists the selected instances; keys what the engine is asked for by key, and + if also by match.
		want, keys, err string
	}{
		{"lit", "", "lit[a] lit[b] lit[a.c]", "lit:all", ""},
		{"lit[a]", "", "lit[a]", "lit:a", ""},
		{"lit[a] lit[b] lit[a]", "", "lit[a] lit[b]", "lit:a,b", ""},
		{"lit[a*]", "", "lit[a] lit[a.c]", "lit:+", ""},
		{"lit[a*] lit[b]", "", "lit[a] lit[b] lit[a.c]", "lit:b+", ""},
		{`lit["a"]`, "", "lit[a]", "lit:a", ""},
		{":lit[?]", "", "lit[a] lit[b]", "lit:+", ""},
		{"//:lit[a] one", "", "lit[a] one", "lit:a one:all", ""},
		{"lit[a] lit", "", "lit[a] lit[b] lit[a.c]", "lit:all", ""},
		{"check[serde-*]", "", "check[serde-1 before 1] check[serde-1 after 2]", "check:+", ""},
		{"check[*serde-*][after]", "", "check[serde-1 after 2] check[x/serde-2 after 1]", "check:+", ""},
		{"check[*][after][1]", "", "check[rand-1 after 1] check[x/serde-2 after 1]", "check:+", ""},
		{"check[serde-1][b*]", "", "check[serde-1 before 1]", "check:serde-1", ""},
		{"axes[1.21]", "", "axes[ 1.21]", "axes:all", ""},
		{"q[serde-*]", "", "q[serde-1]", "q:+", ""},
		{"some[b]", "", "", "some:b", ""},
		{"lit", "lit[b]", "lit[a] lit[a.c]", "lit:+", ""},
		{"lit[a] lit[b]", "lit[b]", "lit[a]", "lit:a", ""},
		{"check", "check[*][before]", "check[serde-1 after 2] check[rand-1 after 1] check[x/serde-2 after 1]", "check:+", ""},
		{"tag:t", "one", "lit[a] lit[b] lit[a.c]", "lit:all", ""},
		{"//...", "tag:t check q axes", "some[a]", "some:all", ""},
		{"lit", "//...", "", "", "Everything that was asked for is excluded"},
		{"lit[a]", "lit[*]", "", "", "Everything that was asked for is excluded"},
		{"lit[aa]", "", "", "", `Did you mean "a"?`},
		{"lit[zzz*]", "", "", "", "there are a, a.c, b."},
		{"lit[a][b]", "", "", "", "have 1 key"},
		{"check[x][befor]", "", "", "", `Did you mean "before"?`},
		{"axes[2]", "", "", "", "there are 1.20, 1.21."},
		{"one[a]", "", "", "", "neither for_each nor matrix: write one"},
		{"tag:t[a]", "", "", "", "the pattern names several"},
		{"lit[", "", "", "", "written NAME[KEY]"},
		{"lit[]", "", "", "", "write [*] for all"},
		{`lit["a]`, "", "", "", "a quote that does not end"},
		{"lit]", "", "", "", "A ] without ["},
		{"lti[a]", "", "", "", `Did you mean "lit"?`},
		{"lit", "nope", "", "", "Unknown target nope"},
		{"../x", "", "", "", `never has ".."`},
		{"../x:y", "", "", "", `never has ".."`},
		{"-rf", "", "", "", "Unknown target -rf"},
		{"@changed", "", "", "", "Cannot tell what @changed is"},
	} {
		t.Run(c.patterns+" but "+c.exclude, func(t *testing.T) {
			list, diags := f.w.Select(strings.Fields(c.patterns), strings.Fields(c.exclude))
			if text := diags.Error(); (c.err == "") != (text == "") || !strings.Contains(text, c.err) {
				t.Fatalf("got %q, want %q", text, c.err)
			}
			if c.err != "" {
				return
			}
			var got, keys []string
			for _, s := range list {
				name := s.Target.Label.Name
				w := s.Want()
				asked := strings.Join(w.Keys, ",")
				if w.Match != nil {
					asked += "+"
				}
				if w.Keys == nil && w.Match == nil {
					asked = "all"
				}
				keys = append(keys, name+":"+asked)
				for _, i := range candidates[name] {
					if !s.Includes(i.Key, i.Axes) {
						continue
					}
					if id := strings.Join(append([]string{i.Key}, i.Axes...), " "); id != "" {
						name = fmt.Sprintf("%s[%s]", s.Target.Label.Name, id)
					}
					got = append(got, name)
					if asks := w.Keys == nil && w.Match == nil || w.Match != nil && w.Match(i.Key) || strings.Contains(","+strings.Join(w.Keys, ",")+",", ","+i.Key+","); !asks {
						t.Errorf("%s is selected, but the engine is not asked for it", name)
					}
				}
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("selected %s, want %s", g, c.want)
			}
			if k := strings.Join(keys, " "); k != c.keys {
				t.Errorf("asked for %s, want %s", k, c.keys)
			}
		})
	}
}

func TestGlobMatch(t *testing.T) {
	for _, c := range []struct {
		glob, text string
		want       bool
	}{
		{"*", "", true},
		{"*", "a/b", true},
		{"a*", "ba", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"?", "é", true},
		{"?", "", false},
		{"a?c", "abc", true},
		{"**a", "xa", true},
		{"", "", true},
		{"", "a", false},
		{strings.Repeat("*a", 50) + "b", strings.Repeat("a", 5000), false},
	} {
		if got := globMatch(c.glob, c.text); got != c.want {
			t.Errorf("%.20q on %.20q: %v", c.glob, c.text, got)
		}
	}
}

func TestPrivateTargets(t *testing.T) {
	files := map[string]string{
		"BUILD.hcl":     "cbuild {\n  default = [\"//lib:a\"]\n}\n",
		"lib/BUILD.hcl": "run \"a\" {\n  command = [\"x\"]\n  private = true\n}\nrun \"b\" { command = [run.a.log] }\n",
	}
	_, diags := Load(testOptions(write(t, files)))
	if text := diags.Error(); !strings.Contains(text, "Private target //lib:a") || !strings.Contains(text, "lib/BUILD.hcl:3") {
		t.Error(text)
	}
	files["BUILD.hcl"] = "cbuild {}\n"
	f := load(t, testOptions(write(t, files)))
	if _, diags := f.w.Select([]string{"//lib:a"}, nil); diags.HasErrors() {
		t.Errorf("on the command line: %v", diags)
	}
}
