package buildfile

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules"
)

// troubleFile reads an instance that ended in trouble in every way that could make data of it.
const troubleFile = `
run "part" {
  for_each = ["good", "bad"]
  matrix   = { v = ["x", "y"] }
  command  = ["make", each.key]
  out      = "o"
}
run "one" {
  command = ["make"]
  out     = "o"
}
run "r" {
  for_each = run.part
  command  = [EXPR]
}
`

// TestTroubleIsNoData fails each way in which an expression could swallow trouble, and keeps those that do not look at it.
func TestTroubleIsNoData(t *testing.T) {
	for name, c := range map[string]struct{ expr, want string }{
		"outcome":                {`each.value.x.outcome`, "skipped"},
		"ok":                     {`each.value.x.ok ? "a" : "b"`, "skipped"},
		"exit code":              {`"${coalesce(each.value.x.exit_code, 7)}"`, "skipped"},
		"try":                    {`try(each.value.x.out, "none")`, "skipped"},
		"can":                    {`can(each.value.x.out) ? "a" : "b"`, "skipped"},
		"try in try":             {`try(try(each.value.x.out), "none")`, "skipped"},
		"key":                    {`each.value.x.key`, "skipped"},
		"partial":                {`try(each.value.x.partial, "none")`, "skipped"},
		"as a whole":             {`jsonencode(keys(each.value.x))`, "skipped"},
		"in a comparison":        {`each.value.x.out == null ? "a" : "b"`, "skipped"},
		"by index":               {`try(run.part["bad"].y.out, "none")`, "skipped"},
		"a collection":           {`try(join("", [for k, p in run.part : k]), "none")`, "skipped"},
		"a target":               {`try(run.one.out, "none")`, "skipped"},
		"through a local":        {`local.swallow`, "skipped"},
		"selected":               {`each.key == "bad" ? try(each.value.x.out, "none") : "other"`, "skipped"},
		"and":                    {`each.key == "bad" && each.value.x.ok ? "a" : "b"`, "skipped"},
		"not selected":           {`each.key != "bad" ? each.value.x.out : "other"`, "other"},
		"not selected, whole":    {`each.key != "bad" ? jsonencode(each.value) : "other"`, "other"},
		"not selected, index":    {`true ? "other" : run.part["bad"].x.out`, "other"},
		"not selected, all":      {`true ? "other" : join("", run.part[*].x.outcome)`, "other"},
		"decided before":         {`each.key != "bad" && each.value.x.ok ? "a" : "b"`, "b"},
		"decided before, or":     {`each.key == "bad" || each.value.x.ok ? "a" : "b"`, "a"},
		"what it is made for":    {`each.value.x.value`, "bad"},
		"its axes":               {`each.value.x.matrix.v`, "x"},
		"the key of the element": {`each.key`, "bad"},
		"another instance":       {`run.part["good"].x.outcome`, "pass"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(troubleFile, "EXPR", c.expr, 1) + "locals {\n  swallow = try(each.value.x.out, \"none\")\n}\n"
			f := load(t, realOptions(write(t, map[string]string{FileName: text})))
			f.results = func(i engine.Instance) error {
				if i.Key == "bad" || i.Target.Label.Name == "one" {
					return errors.New("the disk is on fire")
				}
				return nil
			}
			f.finish(t, "part")
			f.finish(t, "one")
			bad := f.instances(t, "r")[1]
			got, err := commandOf(t, f, bad)
			if err != nil {
				got = string(engine.ClassOf(err))
				if !strings.Contains(err.Error(), "ended in an error") || !engine.Troubled(err) {
					t.Errorf("%v does not name the trouble", err)
				}
			}
			want(t, c.expr, got, c.want)
		})
	}
}

// commandOf evaluates the command of i and returns its only element.
func commandOf(t *testing.T, f *fakeBuild, i engine.Instance) (string, error) {
	t.Helper()
	spec, err := f.spec(t, i)
	if err != nil {
		return "", err
	}
	return renderAll(spec.(*rules.Run).Command)[0], nil
}

// TestWhatMayBeSwallowed keeps failures, mistakes and absences what they are: data, or to be caught.
func TestWhatMayBeSwallowed(t *testing.T) {
	for name, becomes := range map[string]error{
		"unavailable": &engine.UnavailableError{Err: errors.New("404")},
		"invalid":     &engine.InvalidError{Err: errors.New("no")},
		"skipped":     &engine.SkippedError{Cause: "x is unavailable"},
	} {
		f := load(t, realOptions(write(t, map[string]string{FileName: strings.Replace(troubleFile, "EXPR", `"${try(each.value.x.out, "none")} ${each.value.x.outcome} ${run.part["good"].x.ok}"`, 1)})))
		f.results = func(i engine.Instance) error {
			if i.Key == "bad" {
				return becomes
			}
			return nil
		}
		f.finish(t, "part")
		got, err := commandOf(t, f, f.instances(t, "r")[1])
		want(t, name, fmt.Sprint(got, err), "none "+name+" true<nil>")
	}
}

// TestRowsOfReportsSeeTrouble evaluates columns over trouble: there it is data.
func TestRowsOfReportsSeeTrouble(t *testing.T) {
	f := load(t, realOptions(write(t, map[string]string{FileName: troubleFile2})))
	f.results = func(i engine.Instance) error {
		if i.Key == "bad" {
			return errors.New("the disk is on fire")
		}
		return nil
	}
	f.finish(t, "part")
	spec, err := f.spec(t, f.instances(t, "report")[0])
	if err != nil {
		t.Fatal(err)
	}
	c := spec.(*rules.Collate)
	for item, err := range c.Rows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Columns[0].Value(t.Context(), item)
		want(t, item.Key, fmt.Sprint(v, err), map[string]string{"good": "pass<nil>", "bad": "error no out<nil>"}[item.Key])
	}
}

const troubleFile2 = `
run "part" {
  for_each = ["good", "bad"]
  command  = ["make", each.key]
  out      = "o"
}
collate "report" {
  rows    = run.part
  columns = { seen = each.value.outcome == "pass" ? "pass" : "${each.value.outcome} ${try(each.value.out, "no out")}" }
}
`

// TestLoopsOverTrouble repeats a target over a filter that can't tell of one element whether it is wanted: that element says so, and the
// others go on.
func TestLoopsOverTrouble(t *testing.T) {
	f := load(t, realOptions(write(t, map[string]string{FileName: troubleFile2 + `
run "r" {
  for_each = { for k, p in run.part : upper(k) => p if try(p.ok, false) }
  command  = [each.value.out]
}
run "named" {
  for_each = { for k, p in run.part : "${k}-${p.key}" => p.value }
  command  = [each.value]
}
run "listed" {
  for_each = [for k, p in run.part : "${k}${p.exit_code}"]
  command  = [each.key]
}
run "unread" {
  for_each = { for k, p in run.part : k => true ? p.value : p.out }
  command  = [each.value]
}
`})))
	f.results = func(i engine.Instance) error {
		if i.Key == "bad" {
			return errors.New("the disk is on fire")
		}
		return nil
	}
	f.finish(t, "part")
	for name, w := range map[string]string{
		"r": "GOOD: BAD:skipped", "named": "good-: bad:skipped", "listed": "good0: bad:skipped", "unread": "good: bad:",
	} {
		var got []string
		for item, err := range f.named(t, name).Items(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			class := ""
			if item.Err != nil {
				class = string(engine.ClassOf(item.Err))
			}
			got = append(got, item.Key+":"+class)
		}
		want(t, name, strings.Join(got, " "), w)
	}
}

// TestUnknownAxisKey tells a key that where dropped from one that there never was, also while the axes are not written in the file.
func TestUnknownAxisKey(t *testing.T) {
	f := load(t, realOptions(write(t, map[string]string{FileName: `
run "part" {
  for_each = ["a"]
  matrix   = { v = { for v in ["before", "after"] : v => v } }
  where    = axis.v != "after"
  command  = ["make", each.key]
  out      = "o"
}
run "r" {
  for_each = ["before", "after", "befor"]
  command  = [run.part["a"][each.key].out]
}
`})))
	f.finish(t, "part")
	instances := f.instances(t, "r")
	for i, w := range []string{"<nil>", `skipped: run.part["a"]["after"] was dropped by where`, `Did you mean "before"?`} {
		_, err := commandOf(t, f, instances[i])
		if !strings.Contains(fmt.Sprint(err), w) || i == 2 && engine.ClassOf(err) != engine.ClassInvalid {
			t.Errorf("%s: %v, want %s", instances[i].Key, err, w)
		}
	}
}

// TestTypesOfWhatIsNotSelected evaluates conditionals whose other branch reads an instance in every way: the type of the whole is the same
// as if that had been read, and nothing is read.
func TestTypesOfWhatIsNotSelected(t *testing.T) {
	for other, text := range map[string]string{
		`run.part["bad"].x.text`:                   `"1"`,
		`run.part["bad"].x.exit_code`:              `1`,
		`"${run.part["bad"].x.out}/a"`:             `"1"`,
		`upper(run.part["bad"].x.text)`:            `"1"`,
		`shellquote(["a", run.part["bad"].x.out])`: `1`,
		`join(",", run.part[*].x.text)`:            `"1"`,
		`length(run.part) + 1`:                     `1`,
		`file(run.part["bad"].x.out)`:              `"1"`,
		`try(run.part["bad"].x.text, "x")`:         `"1"`,
		`[for p in run.part : p.x.text][0]`:        `1`,
		`each.value.x.text`:                        `"1"`,
		`local.swallow`:                            `1`,
		`each.value.x.ok ? "a" : "b"`:              `"1"`,
		`1 / 0`:                                    `1`,
		`null`:                                     `1`,
	} {
		f := load(t, realOptions(write(t, map[string]string{FileName: strings.Replace(troubleFile, "EXPR", "jsonencode(true ? 1 : "+other+")", 1) + "locals {\n  swallow = try(each.value.x.out, \"none\")\n}\n"})))
		f.results = func(i engine.Instance) error {
			if i.Key == "bad" {
				return errors.New("the disk is on fire")
			}
			return nil
		}
		f.finish(t, "part")
		got, err := commandOf(t, f, f.instances(t, "r")[1])
		want(t, other, fmt.Sprint(got, err), text+"<nil>")
	}
}
