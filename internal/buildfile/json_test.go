package buildfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules"
)

const nativeText = `
cbuild { default = [run.use] }
variable "side" {
  type    = list(string)
  default = ["a", "b"]
}
variable "n" { default = 3 }
locals { names = { for s in var.side : s => upper(s) } }
query "q" { registry = "go" }
function "known" {
  params   = [items]
  variadic = others
  result   = { for k, v in items : k => v if v.url != null }
}
import "me" { from = "//" }
rule "twice" {
  description = "Two of each."
  param "p" {
    type    = list(string)
    default = ["d"]
  }
  locals { names = { for p in param.p : p => "${p}!" } }
  run "w" {
    for_each = local.names
    command  = [each.key, each.value, rule.name]
  }
  output "o" { value = run.w }
}
twice "call" { p = ["x"] }
twice "preset" {}
fetch "src" {
  for_each = known(query.q)
  url      = each.value.url
  unpack   = true
}
run "reader" {
  for_each = twice.call.o
  command  = [each.value.outcome, import.me.preset.o["d"].outcome]
}
run "use" {
  for_each    = fetch.src
  matrix      = { side = local.names, n = [1, 2] }
  command     = ["x", "\"${each.key}\"", "${axis.side}-${matrix.side}", "$${literal}", each.value.out]
  env         = { "N_${axis.n}" = var.n, plain = null }
  network     = true
  description = "say \"hi\""
}
`

const jsonText = `{
  "cbuild": { "default": ["${run.use}"] },
  "variable": {
    "side": { "type": "list(string)", "default": ["a", "b"] },
    "n": { "default": 3 }
  },
  "locals": { "names": "${{ for s in var.side : s => upper(s) }}" },
  "query": { "q": { "registry": "go" } },
  "function": { "known": { "params": ["items"], "variadic": "others", "result": "${{ for k, v in items : k => v if v.url != null }}" } },
  "import": { "me": { "from": "//" } },
  "rule": {
    "twice": {
      "description": "Two of each.",
      "param": { "p": { "type": "list(string)", "default": ["d"] } },
      "locals": { "names": "${{ for p in param.p : p => \"${p}!\" }}" },
      "run": { "w": { "for_each": "${local.names}", "command": ["${each.key}", "${each.value}", "${rule.name}"] } },
      "output": { "o": { "value": "${run.w}" } }
    }
  },
  "twice": { "call": { "p": ["x"] }, "preset": {} },
  "fetch": {
    "src": {
      "//": "a comment",
      "for_each": "${known(query.q)}",
      "url": "${each.value.url}",
      "unpack": true
    }
  },
  "run": [{
    "reader": { "for_each": "${twice.call.o}", "command": ["${each.value.outcome}", "${import.me.preset.o[\"d\"].outcome}"] },
    "use": {
      "for_each": "${fetch.src}",
      "matrix": { "side": "${local.names}", "n": [1, 2] },
      "command": ["x", "\"${each.key}\"", "${axis.side}-${matrix.side}", "$${literal}", "${each.value.out}"],
      "env": { "N_${axis.n}": "${var.n}", "plain": null },
      "network": true,
      "description": "say \"hi\""
    }
  }]
}`

// TestJSONMeansTheSame compares targets and evaluated attributes of one workspace in both syntaxes.
func TestJSONMeansTheSame(t *testing.T) {
	describe := func(name, text string) string {
		t.Helper()
		f := load(t, testOptions(write(t, map[string]string{name: text})))
		f.rows["q"] = []*engine.Row{{Target: f.named(t, "q"), Key: "k", Value: engine.Object{"url": "https://a.example/x.zip"}}}
		f.finish(t, "src")
		var b strings.Builder
		for _, e := range f.w.Targets {
			fmt.Fprintf(&b, "%v %s %v %v\n", e.Label, e.Rule, e.Repeated, e.Axes)
			for _, n := range e.Needs {
				fmt.Fprintf(&b, "  %v %v %s\n", n.Label, n.Mode, n.Attribute)
			}
		}
		for _, i := range f.instances(t, "use") {
			spec, err := f.spec(t, i)
			if err != nil {
				t.Fatal(err)
			}
			r := spec.(*rules.Run)
			fmt.Fprintf(&b, "%s: %q %v %v\n", i.Name(), renderAll(r.Command), r.Env, r.Network)
		}
		targets, _ := f.w.Resolve(nil)
		fmt.Fprint(&b, labels(targets), f.w.Info(f.named(t, "use")).Description)
		return b.String()
	}
	hcl, json := describe(FileName, nativeText), describe(JSONName, jsonText)
	if hcl != json || !strings.Contains(hcl, `run.use["k"]["b"]["2"]: `) {
		t.Errorf("HCL:\n%s\nJSON:\n%s", hcl, json)
	}
}

func TestJSONWorkspaces(t *testing.T) {
	files := map[string]string{
		"BUILD.hcl.json":       `{"cbuild": {"ignore": ["skip"]}}`,
		"a/BUILD.hcl":          "run \"a\" { command = [\"x\"] }\n",
		"a/b/BUILD.hcl.json":   `{"run": {"b": {"command": ["x"]}}}`,
		"skip/BUILD.hcl.json":  `{`,
		"other/BUILD.hcl.json": `{"cbuild": {}, "run": {"z": {"command": ["x"]}}}`,
	}
	dir := write(t, files)
	f := load(t, testOptions(filepath.Join(dir, "a", "b")))
	targets, diags := f.w.Resolve([]string{"//..."})
	want(t, "targets", labels(targets), "[//a:a //a/b:b]")
	if f.w.Root != dir || f.w.Package != "a/b" || diags.HasErrors() {
		t.Errorf("root %s, package %s, %v", f.w.Root, f.w.Package, diags)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "BUILD.hcl.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, diags := Load(testOptions(dir)); !strings.Contains(diags.Error(), "Two build files in //a") {
		t.Error(diags.Error())
	}
	if err := os.Remove(filepath.Join(dir, "a", "BUILD.hcl.json")); err != nil {
		t.Fatal(err)
	}
	opts := testOptions(filepath.Join(dir, "a", "b"))
	opts.File = JSONName
	load(t, opts)
}

func TestHostileJSON(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "ends too early"},
		"byte order mark":  {"\xef\xbb\xbf{}", ""},
		"CRLF":             {"{\r\n\"locals\": {\r\n\"x\": 1\r\n}\r\n}\r\n", ""},
		"a list":           {"[]", "Invalid build file"},
		"two documents":    {"{} {}", "Something follows"},
		"arrays":           {`{"locals": {"x": ` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + "}}", "nested more than"},
		"objects":          {strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000), "nested more than"},
		"a template":       {`{"locals": {"x": "` + strings.Repeat("${(", 10000) + `"}}`, "Too deeply nested"},
		"reserved":         {`{"locals": {"x": "\ufdd0work\ufdd1"}}`, "Reserved character"},
		"a reserved name":  {`{"locals": {"x": {"\ufdd0": 1}}}`, "Reserved character"},
		"half a surrogate": {`{"locals": {"x": "\ud800"}}`, ""},
		"a huge number":    {`{"locals": {"x": 1e999999999}}`, "Invalid number"},
		"a NUL":            {"{\x00}", "Invalid JSON"},
		"a name":           {`{"run": {"-rf": {"command": ["x"]}}}`, "Invalid name"},
		"twice":            {`{"locals": {"x": 1}, "locals": {"x": 2}}`, "Duplicate local"},
	} {
		t.Run(name, func(t *testing.T) {
			_, diags := Load(testOptions(write(t, map[string]string{JSONName: c.text})))
			got := diags.Error()
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %.300q, want %q", got, c.want)
			}
		})
	}
}

func FuzzLoadJSON(f *testing.F) {
	f.Add([]byte(jsonText))
	files, _ := filepath.Glob("testdata/diag/*.json")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, JSONName), data, 0o644); err != nil {
			t.Fatal(err)
		}
		w, diags := Load(testOptions(dir))
		_ = diags.Error()
		if w != nil && !diags.HasErrors() {
			w.Validate()
		}
	})
}
