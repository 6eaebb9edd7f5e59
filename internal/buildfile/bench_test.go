package buildfile

import (
	"fmt"
	"strings"
	"testing"

	"cbuild/engine"
)

const benchBody = `
variable "edition" { default = "2024" }
query "crates" { registry = "go" }
run "check" {
  for_each = query.crates

  command       = ["cargo", "check", "--offline", "--edition", var.edition]
  env           = { NAME = each.value.module, VERSION = "${each.key}" }
  inputs        = ["src-${each.key}.txt"]
  out           = "target/"
  stdout        = "log"
  timeout       = "10m"
  allow_failure = true
  tools         = ["cc", "ld"]
}
`

func benchInstance(f *fakeBuild, b *testing.B) (*target, engine.Instance) {
	b.Helper()
	t := f.w.byLabel[engine.Label{Name: "check"}]
	item := engine.Object{"downloads": int64(12345), "yanked": false}
	for _, name := range []string{"module", "version", "url", "h1", "time", "retracted"} {
		item[name] = "some text of " + name
	}
	return t, engine.Instance{Target: t.engine, Key: "serde-1.0.210", Value: item}
}

// BenchmarkInstance evaluates a body of 8 attributes, 2 of which differ between instances.
func BenchmarkInstance(b *testing.B) {
	f := loadText(b, benchBody)
	t, i := benchInstance(f, b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.spec(b.Context(), f, i); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWhere evaluates a filter that reads two fields of eight.
func BenchmarkWhere(b *testing.B) {
	f := loadText(b, strings.Replace(benchBody, `query "crates" { registry = "go" }`, `query "crates" { registry = "go" }
run "w" {
  for_each = query.crates
  where    = each.value.version != "x" && !startswith(each.key, "y")
  command  = ["x"]
}`, 1))
	_, i := benchInstance(f, b)
	w := f.w.byLabel[engine.Label{Name: "w"}]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.wanted(b.Context(), f, i); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad reads files of many targets, each of which needs the one before.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var s strings.Builder
			for i := range n {
				fmt.Fprintf(&s, "run \"t%d\" {\n  command = [\"x\", \"y%d\"]\n  out     = \"o\"\n", i, i)
				if i > 0 {
					fmt.Fprintf(&s, "  inputs  = [\"f.txt\", run.t%d.out]\n", i-1)
				}
				s.WriteString("}\n")
			}
			opts := testOptions(write(b, map[string]string{FileName: s.String(), "f.txt": ""}))
			b.ReportAllocs()
			for b.Loop() {
				if _, diags := Load(opts); diags.HasErrors() {
					b.Fatal(diags)
				}
			}
		})
	}
}

// BenchmarkLoadPackages reads 200 packages of 5 targets.
func BenchmarkLoadPackages(b *testing.B) {
	files := map[string]string{FileName: ""}
	for i := range 200 {
		var s strings.Builder
		for j := range 5 {
			fmt.Fprintf(&s, "run \"t%d\" {\n  command = [\"x\"]\n  inputs  = [\"f.txt\"]\n  out     = \"o\"\n}\n", j)
		}
		files[fmt.Sprintf("p%d/%s", i, FileName)], files[fmt.Sprintf("p%d/f.txt", i)] = s.String(), ""
	}
	opts := testOptions(write(b, files))
	for b.Loop() {
		if _, diags := Load(opts); diags.HasErrors() {
			b.Fatal(diags)
		}
	}
}

// BenchmarkStream filters 1,000 items of a query in a `for` that reads two fields of eight, one by one.
func BenchmarkStream(b *testing.B) {
	f := loadText(b, strings.Replace(benchBody, `query "crates" { registry = "go" }`, `query "crates" { registry = "go" }
run "w" {
  for_each = { for k, c in query.crates : k => c if c.version != "x" && !startswith(k, "y") }
  command  = ["x"]
}`, 1))
	_, i := benchInstance(f, b)
	q := f.w.byLabel[engine.Label{Name: "crates"}].engine
	for n := range 1000 {
		f.rows["crates"] = append(f.rows["crates"], &engine.Row{Target: q, Key: fmt.Sprint(n), Value: i.Value})
	}
	w := f.w.byLabel[engine.Label{Name: "w"}].engine
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range w.Items(b.Context(), f) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkBarrier puts the outs of 1,000 instances into one command.
func BenchmarkBarrier(b *testing.B) {
	f := loadText(b, "run \"part\" {\n  for_each = [\"x\"]\n  command  = [\"x\"]\n  out      = \"o\"\n}\nrun \"all\" {\n  command = concat([\"ld\"], [for r in run.part : r.out if r.ok])\n}\n")
	part := f.w.byLabel[engine.Label{Name: "part"}].engine
	for n := range 1000 {
		o := &engine.Outcome{Shape: engine.OutSpec{Path: "o"}, Result: &engine.Result{Outs: []engine.Output{{Path: "o", Artifact: engine.Artifact{Name: fmt.Sprint(n)}}}}}
		f.rows["part"] = append(f.rows["part"], &engine.Row{Target: part, Key: fmt.Sprint(n), Cells: []*engine.Outcome{o}})
	}
	t := f.w.byLabel[engine.Label{Name: "all"}]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.spec(b.Context(), f, engine.Instance{Target: t.engine}); err != nil {
			b.Fatal(err)
		}
	}
}
