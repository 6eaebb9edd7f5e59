package graph

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cbuild/engine"
)

// targetsOf makes targets from lines "NAME RULE: NEEDS".
func targetsOf(text string) (all []*engine.Target) {
	for line := range strings.Lines(text) {
		head, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
		f := strings.Fields(head)
		if len(f) < 2 {
			continue
		}
		t := &engine.Target{Label: engine.Label{Name: f[0]}, Rule: f[1], Repeated: strings.HasPrefix(f[0], "each")}
		for n := range strings.FieldsSeq(needs) {
			t.Needs = append(t.Needs, engine.Need{Label: engine.Label{Name: n}, Mode: engine.WholeMode})
		}
		all = append(all, t)
	}
	return all
}

const house = `
	report collate: each
	each   run:     unpack go lib
	unpack fetch:   list
	list   query:
	go     toolchain:
	lib    run:     go
	lone   run:`

var errUnknown = errors.New("unknown")

// world is a workspace whose patterns are names and ..., and whose targets have an attribute for each of their needs.
func world(targets []*engine.Target) World {
	return World{
		Targets: targets,
		Match: func(p string) (found []*engine.Target, err error) {
			for _, t := range targets {
				if p == "..." || p == t.Label.Name {
					found = append(found, t)
				}
			}
			if found == nil {
				err = fmt.Errorf("%q is %w", p, errUnknown)
			}
			return found, err
		},
		Written: func(t *engine.Target, attribute string) (string, bool, error) {
			for _, n := range t.Needs {
				if n.Label.Name == attribute {
					return `"` + attribute + ` of ` + t.Label.Name + `"`, true, nil
				}
			}
			if attribute == "nonsense" {
				return "", false, errUnknown
			}
			return "", false, nil
		},
	}
}

func TestSelect(t *testing.T) {
	for _, c := range []struct{ expression, want string }{
		{"lib", "lib"},
		{"(lib)", "lib"},
		{`"lib"`, "lib"},
		{"deps(each)", "each unpack list go lib"},
		{"deps(each, 1)", "each unpack go lib"},
		{"deps(each,0)", "each"},
		{"deps(lone)", "lone"},
		{"rdeps(go)", "report each go lib"},
		{"rdeps(go, 1)", "each go lib"},
		{"path(report, go)", "report each go lib"},
		{"path(go, report)", ""},
		{"path(go, go)", "go"},
		{"kind(run, ...)", "each lib lone"},
		{"kind('run|fetch', ...)", "each unpack lib lone"},
		{"kind(run|fetch, ...)", "each unpack lib lone"},
		{"kind(r.n, ...)", "each lib lone"},
		{"kind(ru, ...)", ""},
		{"attr(go, each, ...)", "each"},
		{`attr(go, "^.(go of )?", ...)`, "each lib"},
		{"... - deps(report)", "lone"},
		{"... except deps(report)", "lone"},
		{"lone + list", "list lone"},
		{"lone union list", "list lone"},
		{"deps(report) ^ kind(run, ...)", "each lib"},
		{"deps(report) intersect kind(run, ...)", "each lib"},
		{"deps(report) & kind(run, ...)", "each lib"},
		{"... - lib - lone ^ kind(run, ...)", "each"}, // from the left
		{"... - (lib + kind(collate, ...)) - lone", "each unpack list go"},
		{"kind(run,deps(path(report , lib)))", "each lib"},
		{" deps (lib) ", "go lib"},
		{"rdeps(list) ^ deps(each + lone)", "each unpack list"},
	} {
		found, err := Select(c.expression, world(targetsOf(house)))
		var names []string
		for _, t := range found {
			names = append(names, t.Label.Name)
		}
		want := strings.Fields(c.want)
		all := targetsOf(house)
		inOrder := make([]string, 0, len(want))
		for _, t := range all {
			for _, w := range want {
				if w == t.Label.Name {
					inOrder = append(inOrder, w)
				}
			}
		}
		if got := strings.Join(names, " "); err != nil || got != strings.Join(inOrder, " ") {
			t.Errorf("%s: %s, %v, want %s", c.expression, got, err, c.want)
		}
	}
}

func TestSelectSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ expression, want string }{
		{"", "a pattern, a function or a parenthesis is expected here\n  \n  ^"},
		{"deps(lib", "a comma or a closing parenthesis is expected here\n  deps(lib\n          ^"},
		{"deps(lib))", "an operator (+, -, ^) or the end is expected here\n  deps(lib))\n           ^"},
		{"(lib", "a closing parenthesis is expected here\n  (lib\n      ^"},
		{"lib go", "an operator (+, -, ^) or the end is expected here\n  lib go\n      ^"},
		{"lib +", "a pattern, a function or a parenthesis is expected here\n  lib +\n       ^"},
		{"+ lib", "a pattern, a function or a parenthesis is expected here\n  + lib\n  ^"},
		{"dep(lib)", "There is no function dep. Did you mean \"deps\"?\n  dep(lib)\n  ^"},
		{"somepath(a, b)", "There is no function somepath; there are deps, rdeps, path, kind, attr.\n  somepath(a, b)\n  ^"},
		{"deps()", "a pattern, a function or a parenthesis is expected here\n  deps()\n       ^"},
		{"deps(lib, x)", "DEPTH in deps(X) or deps(X, DEPTH) is a number\n  deps(lib, x)\n            ^"},
		{"deps(lib, -1)", "DEPTH in deps(X) or deps(X, DEPTH) is a number\n  deps(lib, -1)\n            ^"},
		{"deps(lib, 1, 2)", "too many arguments: it is deps(X) or deps(X, DEPTH)\n  deps(lib, 1, 2)\n               ^"},
		{"path(lib)", "an argument is missing: it is path(X, Y)\n  path(lib)\n  ^"},
		{"kind('(', lib)", "error parsing regexp: missing closing ): `(`\n  kind('(', lib)\n       ^"},
		{"kind(deps(lib), lib)", "the first of kind(REGEXP, X) are words\n  kind(deps(lib), lib)\n       ^"},
		{"lib + 'é", "the quote does not end\n  lib + 'é\n        ^"},
		{"é + 'x", "the quote does not end\n  é + 'x\n      ^"},
		{strings.Repeat("(", 600) + "lib", "parentheses are nested more than 500 deep"},
	} {
		_, err := Select(c.expression, world(targetsOf(house)))
		if syntax := new(SyntaxError); !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", c.expression, err, c.want)
		}
	}
	for _, expression := range []string{"deps(nobody)", "lib + nobody", "attr(nonsense, x, ...)"} {
		if _, err := Select(expression, world(targetsOf(house))); !errors.Is(err, errUnknown) {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

func TestIsExpression(t *testing.T) {
	for s, want := range map[string]bool{
		"lib": false, "//dir/...": false, "tag:slow": false, "@failed": false, "@./my list.txt": false, "check[a (b)][c, d]": false, "": false,
		"deps(lib)": true, "a + b": true, "(a)": true, "'a'": true, "(": true, "@failed + (a)": true, "@failed - lib": true, "@my list.txt": false, "@my - list/x.txt": true, "check[a] - b": true,
	} {
		if got := IsExpression(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestPath(t *testing.T) {
	all := targetsOf(house)
	g := New(all)
	for _, c := range []struct {
		from, to int
		want     string
	}{
		{0, 4, "report each; each go"},
		{0, 3, "report each; each unpack; unpack list"},
		{4, 0, ""},
		{0, 0, ""},
	} {
		var steps []string
		for _, e := range g.Path(all[c.from], all[c.to]) {
			steps = append(steps, e.From.Label.Name+" "+e.To.Label.Name)
		}
		if got := strings.Join(steps, "; "); got != c.want {
			t.Errorf("%d to %d: %s, want %s", c.from, c.to, got, c.want)
		}
	}
	if !g.Edges(all[0])[0].Barrier() || g.Edges(all[1])[0].Barrier() {
		t.Error("the barrier is where a whole collection is awaited")
	}
}

// FuzzSelect checks that no text makes the parser panic, and that what it takes is the same with spaces around it.
func FuzzSelect(f *testing.F) {
	for _, s := range []string{"deps(lib, 1) + kind('run|x', ...) - (a ^ b)", "attr(go, \"(\", x[a,b])", "((", "a union"} {
		f.Add(s)
	}
	w := world(targetsOf(house))
	f.Fuzz(func(t *testing.T, s string) {
		found, err := Select(s, w)
		if syntax := new(SyntaxError); errors.As(err, &syntax) {
			_ = err.Error()
			return
		}
		again, againErr := Select(" ( "+s+"\n)", w)
		if fmt.Sprint(found, err) != fmt.Sprint(again, againErr) {
			t.Errorf("%q: %v %v, then %v %v", s, found, err, again, againErr)
		}
	})
}
