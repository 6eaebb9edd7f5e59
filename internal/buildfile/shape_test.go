package buildfile

import (
	"fmt"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules"
)

// TestSelfOut reads the promised paths as a command sees them.
func TestSelfOut(t *testing.T) {
	for name, c := range map[string]struct{ attrs, expr, want string }{
		"a path":          {`out = "o"`, `self.out`, "o"},
		"stdout":          {`stdout = "s"`, `self.out`, "s"},
		"both":            {"out = \"o\"\n stdout = \"s\"", `self.out`, "o"},
		"a list":          {`out = ["a", optional("b/")]`, `"${self.out[0]} ${self.out[1]}"`, "a b"},
		"an object":       {`out = { x = "a", y = { z = "b" } }`, `"${self.out.x} ${self.out.y.z}"`, "a b"},
		"in dir":          {"dir = \"src/x\"\n out = { a = \"o\", b = \"src/x/p\", c = \"src/q\" }", `"${self.out.a} ${self.out.b} ${self.out.c}"`, "../../o p ../../src/q"},
		"of the instance": {`out = "${each.key}.o"`, `self.out`, "k.o"},
		"in dir of each":  {"dir = each.key\n out = \"k/o\"", `self.out`, "o"},
	} {
		t.Run(name, func(t *testing.T) {
			f := loadText(t, "run \"r\" {\n for_each = [\"k\"]\n command = ["+c.expr+"]\n "+c.attrs+"\n}\n")
			want(t, "command", mustCommand(t, f, "r"), []string{c.want})
		})
	}
}

// TestMatrixShapes repeats a target over every kind of thing that an axis can be.
func TestMatrixShapes(t *testing.T) {
	for name, c := range map[string]struct{ matrix, want string }{
		"lists":          {`{ a = ["x", "y"], b = [1, true] }`, "x,1=x,1 x,true=x,true y,1=y,1 y,true=y,true"},
		"an object":      {`{ a = { p = 1, q = [2] } }`, "p=1 q=[2]"},
		"written order":  {`{ b = ["x"], a = ["y"] }`, "x,y=x,y"},
		"a set":          {`{ a = toset(["y", "x"]) }`, "x=x y=y"},
		"a for":          {`{ a = { for k, r in run.part : upper(k) => r.exit_code } }`, "M=0 N=0"},
		"a list of keys": {`{ a = [for k, r in run.part : "${k}${r.exit_code}"] }`, "m0=m0 n0=n0"},
		"a collection":   {`{ a = run.part }`, "m=m n=n"},
		"a local":        {`{ a = local.parts }`, "m=m n=n"},
		"a query":        {`{ a = query.q }`, "i=V"},
		"a matrix":       {`{ a = run.wide }`, "u= v="},
		"mixed members":  {`{ a = { one = run.part["m"], two = "text" } }`, "one=m two=text"},
		"computed":       {`merge({ b = [1] }, { a = ["x", "y"] })`, "x,1=x,1 y,1=y,1"},
		"from a local":   {`local.axes`, "1,2=1,2"},
		"null":           {`null`, "="},
	} {
		t.Run(name, func(t *testing.T) {
			f := loadText(t, `
locals {
  parts = run.part
  axes  = { for a in ["q", "p"] : a => [a == "p" ? 1 : 2] }
}
query "q" { registry = "go" }
run "part" {
  for_each = ["m", "n"]
  command  = ["make"]
  out      = "o"
}
run "wide" {
  matrix  = { w = ["u", "v"] }
  command = ["make"]
}
run "r" {
  command = ["x"]
  matrix  = `+c.matrix+`
}
`)
			f.finish(t, "part")
			f.finish(t, "wide")
			f.rows["q"] = []*engine.Row{{Target: f.named(t, "q"), Key: "i", Value: "V"}}
			var got []string
			for _, i := range f.instances(t, "r") {
				var vals []string
				for _, v := range i.Values {
					vals = append(vals, describeValue(v))
				}
				got = append(got, strings.Join(i.Axes, ",")+"="+strings.Join(vals, ","))
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("got %s, want %s", g, c.want)
			}
		})
	}
}

func describeValue(v engine.Value) string {
	switch v := v.(type) {
	case *engine.Row:
		return v.Key
	case string:
		return v
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ""), "<>")
}

// TestAbsentAttributes writes null for what is optional.
func TestAbsentAttributes(t *testing.T) {
	f := load(t, testOptions(write(t, map[string]string{"a": "", FileName: `
run "r" {
  for_each = ["a"]
  where    = null
  matrix   = null
  command  = ["x"]
  script   = null
  timeout  = null
  inputs   = [null, "a", [null]]
  env      = { A = null, B = "b" }
  out      = null
}
`})))
	spec, err := f.spec(t, f.instances(t, "r")[0])
	if err != nil {
		t.Fatal(err)
	}
	r := spec.(*rules.Run)
	if r.Script != nil || r.Timeout != 0 || len(r.Inputs) != 1 || len(r.Env) != 1 || r.Out != nil || f.named(t, "r").Where != nil {
		t.Errorf("%+v", r)
	}
}
