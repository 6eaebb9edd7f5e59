package buildfile

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"cbuild/engine"
)

// doubling returns locals of which each is twice the one before, as write says.
func doubling(n int, first, write string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "locals {\n  x0 = %s\n", first)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "  x%d = %s\n", i, strings.ReplaceAll(write, "PREV", fmt.Sprintf("local.x%d", i-1)))
	}
	return b.String() + "}\n" + fmt.Sprintf("run \"r\" {\n  command = [jsonencode(local.x%d)]\n}\n", n)
}

// nestedRules returns a call of n rules, each in the one before, that pass on what write makes of their parameter and of the output within.
func nestedRules(n int, write string) string {
	twice := func(of string) string { return `"` + strings.ReplaceAll(write, "PREV", of) + `"` }
	b := "rule \"r0\" {\n  param \"p\" { type = any }\n  output \"o\" { value = param.p }\n}\n"
	for i := 1; i <= n; i++ {
		b += fmt.Sprintf("rule \"r%d\" {\n  param \"p\" { type = any }\n  r%d \"in\" { p = %s }\n  output \"o\" { value = %s }\n}\n", i, i-1, twice("param.p"), twice(fmt.Sprintf("r%d.in.o", i-1)))
	}
	return b + fmt.Sprintf("run \"x\" {\n  command = [\"x\"]\n}\nr%d \"c\" { p = run.x.text }\nrun \"s\" {\n  for_each = run.x.json\n  script   = r%d.c.o\n}\n", n, n)
}

// TestExponentialValues writes in a few lines what would fill every memory: an error says what is too large.
func TestExponentialValues(t *testing.T) {
	bytes, elems := maxBytes, maxElems
	maxBytes, maxElems = 16<<20, 256<<10 // the sizes that matter are the same, but in less time
	defer func() { maxBytes, maxElems = bytes, elems }()
	const loud = `"0123456789abcdef"`
	ten := strings.Repeat("PREV, ", 10)
	calls := func(n int, write string) string {
		b := "function \"f0\" {\n  params = [x]\n  result = x\n}\n"
		for i := 1; i <= n; i++ {
			b += fmt.Sprintf("function \"f%d\" {\n  params = [x]\n  result = %s\n}\n", i, strings.ReplaceAll(write, "PREV", fmt.Sprintf("f%d", i-1)))
		}
		return b + fmt.Sprintf("run \"r\" {\n  command = [jsonencode(f%d(\"0123456789abcdef\"))]\n}\nrun \"s\" {\n  command = [jsonencode(f%d(run.r.outcome)), jsonencode(f%d(run.r).outcome)]\n}\n", n, n, n)
	}
	laughs := "a0: &a0 [x, x]\n"
	for i := 1; i < 40; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"strings":          {doubling(80, loud, `"${PREV}${PREV}"`), "too large"},
		"strings by join":  {doubling(40, loud, `join("", [`+ten+`])`), "too large"},
		"format":           {doubling(40, loud, `format("%s%s%s%s%s%s%s%s%s%s", `+ten+`)`), "too large"},
		"a width":          {doubling(1, loud, `format("%999999999d", 1)`), "too large"},
		"formatlist":       {doubling(40, loud, `join("", formatlist("%s%s", PREV, range(1000)))`), "too large"},
		"replace":          {doubling(40, loud, `replace(PREV, "0", PREV)`), "too large"},
		"replace, nothing": {doubling(40, loud, `replace(PREV, "", PREV)`), "too large"},
		"regex_replace":    {doubling(40, loud, `regex_replace(PREV, "[0-9]", "$0$0$0$0")`), "too large"},
		"indent":           {doubling(1, loud, `indent(999999999, "a\nb")`), "too large"},
		"lists":            {doubling(80, `["x"]`, `[PREV, PREV]`), "too large"},
		"flat lists":       {doubling(80, `["x"]`, `concat(PREV, PREV)`), "too large"},
		"objects":          {doubling(80, `{ a = 1 }`, `{ a = PREV, b = PREV }`), "too large"},
		"setproduct":       {doubling(10, `range(100)`, `setproduct(PREV, range(100))`), "too large"},
		"loops":            {doubling(10, `range(1000)`, `flatten([for x in PREV : local.x0])`), "too"},
		"a template's for": {doubling(10, loud, `"%{ for i in range(1000) }${PREV}%{ endfor }"`), "too"},
		"many in one":      {doubling(18, loud, `"${PREV}${PREV}"`) + "locals {\n  y = \"" + strings.Repeat("${local.x18}", 1000) + "\"\n}\nrun \"s\" {\n  command = [local.y]\n}\n", "too large"},
		"numbers":          {doubling(40, `jsondecode("1e300")`, `PREV * PREV`), "digits"},
		"a number":         {doubling(1, `jsondecode("1e999999999")`, `"${PREV}"`), "digits"},
		"yaml":             {"locals {\n  x = yamldecode(<<-EOT\n" + laughs + "EOT\n  )\n}\nrun \"r\" {\n  command = [jsonencode(local.x)]\n}\n", "too"},
		"try":              {"run \"r\" {\n  command = [" + strings.Repeat("try(", 400) + `"x"` + strings.Repeat(")", 400) + "]\n}\n", ""},
		"can":              {"run \"r\" {\n  command = [" + strings.Repeat("can(", 400) + "1" + strings.Repeat(")", 400) + "]\n}\n", ""},
		"conditionals":     {"run \"r\" {\n  command = [" + strings.Repeat("true ? \"a\" : (", 400) + `"x"` + strings.Repeat(")", 400) + "]\n}\n", ""},
		"functions":        {"run \"r\" {\n  command = [" + strings.Repeat("upper(", 400) + `"x"` + strings.Repeat(")", 400) + "]\n}\n", ""},
		"calls, texts":     {calls(60, `"${PREV(x)}${PREV(x)}"`), "too large"},
		"calls of calls":   {calls(60, `PREV(PREV(x))`), "too"},
		"calls, lists":     {calls(60, `[PREV(x), PREV(x)][0]`), "too"},
		"calls, nothing":   {calls(60, `PREV(x) == PREV(x) ? x : x`), "too"},
		"calls that fail":  {calls(60, `try(PREV(jsondecode(x)), PREV(jsondecode(x)), x)`), "too"},
		"calls in a chain": {calls(10_000, `PREV(x)`), ""},
		"texts of a run":   {doubling(80, `run.x.text`, `"${PREV}${PREV}"`) + "run \"x\" {\n  command = [\"x\"]\n}\nrun \"s\" {\n  for_each = run.x.json\n  script   = local.x80\n}\n", ""},
		"rules in rules":   {nestedRules(30, "${PREV}${PREV}"), ""},
		"streams of calls": {"function \"f\" {\n  params = [x]\n  result = { for k, v in x : k => x[k] }\n}\nrun \"x\" {\n  for_each = [\"a\"]\n  command  = [\"x\"]\n}\nrun \"s\" {\n  for_each = " + strings.Repeat("f(", 60) + "run.x" + strings.Repeat(")", 60) + "\n  command  = [\"x\"]\n}\n", ""},
		"enough":           {doubling(18, loud, `"${PREV}${PREV}"`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := loadOnly(t, c.text)
			runtime.ReadMemStats(&after)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %.300q, want %q", got, c.want)
			}
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 4096 {
				t.Errorf("allocated %d MiB", used)
			}
		})
	}
}

// TestLargeRing finds a circle of ten thousand targets, and says so on a few lines.
func TestLargeRing(t *testing.T) {
	const n = 10_000
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "run \"t%d\" {\n  command = [run.t%d.outcome]\n}\n", i, (i+1)%n)
	}
	got := loadOnly(t, b.String())
	if !strings.Contains(got, "Dependency cycle") || !strings.Contains(got, "10000 targets wait for one another") || !strings.Contains(got, "… 9990 more …") || strings.Count(got, "\n") > 20 {
		t.Errorf("%d lines: %.2000s", strings.Count(got, "\n"), got)
	}
}

// TestLongChain loads ten thousand targets that wait for one another in a row.
func TestLongChain(t *testing.T) {
	const n = 10_000
	var b strings.Builder
	b.WriteString("run \"t0\" {\n  command = [\"x\"]\n}\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "run \"t%d\" {\n  command = [run.t%d.outcome]\n}\n", i, i-1)
	}
	f := loadText(t, b.String())
	want(t, "targets", len(f.w.Targets), n)
	engine.New(engine.Options{Targets: f.w.Targets}) // which computes how far each is from the bottom
}

// TestLargeFiles refuses what is larger than any build file, without reading it.
func TestLargeFiles(t *testing.T) {
	for _, c := range []struct {
		text string
		want string
	}{
		{"# " + strings.Repeat("x", 100<<20) + "\n", "larger than 16 MiB"},
		{"locals {\n  x = \"" + strings.Repeat("x", 10<<20) + "\"\n}\n", ""},
		{strings.Repeat("locals {}\n", 100_000), ""},
	} {
		if got := loadOnly(t, c.text); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("got %.300q, want %q", got, c.want)
		}
	}
}
