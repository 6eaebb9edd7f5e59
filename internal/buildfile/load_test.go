package buildfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules"
)

func labels(targets []*engine.Target) []string {
	var out []string
	for _, t := range targets {
		out = append(out, t.Label.String())
	}
	return out
}

var workspace = map[string]string{
	"BUILD.hcl":          "cbuild {\n  ignore = [\"testdata\"]\n}\nrun \"a\" {\n  command = [\"x\"]\n  out = \"o\"\n  tags = [\"slow\"]\n}\nrun \"b\" { command = [run.a.out] }\n",
	"lib/BUILD.hcl":      "run \"zlib\" { command = [path.package] }\n",
	"lib/sub/BUILD.hcl":  "run \"sub\" {\n  command = [\"x\"]\n  tags = [\"slow\"]\n}\n",
	"testdata/BUILD.hcl": "this is no package",
	".hidden/BUILD.hcl":  "nor this",
	"other/BUILD.hcl":    "cbuild {\n}\nand this is another workspace",
	"lib/deep/x.txt":     "",
}

func TestResolve(t *testing.T) {
	dir := write(t, workspace)
	for _, c := range []struct {
		from    string
		pattern []string
		want    string
		err     string
	}{
		{"", nil, "[//:b]", ""},
		{"", []string{"a"}, "[//:a]", ""},
		{"", []string{":a", "a"}, "[//:a]", ""},
		{"", []string{"lib:zlib"}, "[//lib:zlib]", ""},
		{"", []string{"//..."}, "[//:a //:b //lib:zlib //lib/sub:sub]", ""},
		{"", []string{"//lib/..."}, "[//lib:zlib //lib/sub:sub]", ""},
		{"", []string{"lib/..."}, "[//lib:zlib //lib/sub:sub]", ""},
		{"", []string{"tag:slow"}, "[//:a //lib/sub:sub]", ""},
		{"lib", nil, "[//lib:zlib]", ""},
		{"lib/deep", []string{"zlib"}, "[//lib:zlib]", ""},
		{"lib", []string{"//:a", "sub:sub"}, "[//:a //lib/sub:sub]", ""},
		{"", []string{"aa"}, "[]", `Did you mean "a"?`},
		{"", []string{"//lob:zlib"}, "[]", `Did you mean "//lib:zlib"?`},
		{"", []string{"run.a"}, "[]", `Did you mean "a"?`},
		{"", []string{"a[x]"}, "[]", "whole target"},
		{"", []string{"@failed"}, "[//:a //lib/sub:sub]", ""},
		{"", []string{"@chagned"}, "[]", `Did you mean "@changed"?`},
		{"", []string{"@changed"}, "[]", "Cannot tell what @changed is\nNobody knows."},
		{"", []string{"@faield"}, "[]", `Did you mean "@failed"?`},
		{"", []string{"tag:fast"}, "[]", "no target has the tag \"fast\". There are"},
		{"", []string{"tag:slwo"}, "[]", `Did you mean "tag:slow"?`},
		{"", []string{"zlib"}, "[]", `Did you mean "//lib:zlib"?`},
		{"", []string{"lib"}, "[]", "//lib is a package: write lib:NAME for a target, or lib/... for all."},
		{"", []string{"//lbi/..."}, "[]", `Did you mean "//lib/..."?`},
		{"", []string{"something"}, "[]", "The root package has a, b."},
	} {
		w, diags := Load(testOptions(filepath.Join(dir, c.from)))
		if diags.HasErrors() {
			t.Fatalf("Load: %v", diags.Error())
		}
		got, diags := w.Resolve(c.pattern)
		if l := labels(got); strings.Join(l, " ") != strings.Trim(c.want, "[]") {
			t.Errorf("%s %v: got %v, want %s", c.from, c.pattern, l, c.want)
		}
		if text := strings.ToLower(diags.Error()); (text == "") != (c.err == "") || !strings.Contains(text, strings.ToLower(c.err)) {
			t.Errorf("%s %v: got %q, want %q", c.from, c.pattern, text, c.err)
		}
	}
}

func TestInfo(t *testing.T) {
	f := loadText(t, "run \"a\" {\n  description = \"makes a\"\n  tags = [\"x\", \"y\"]\n  private = true\n  command = [\"x\"]\n}\n")
	info := f.w.Info(f.named(t, "a"))
	want(t, "info", info, Info{Rule: "run", Description: "makes a", Tags: []string{"x", "y"}, Private: true, File: "BUILD.hcl", Line: 1})
}

func TestVariables(t *testing.T) {
	const text = `
variable "text" { default = "d" }
variable "num" { default = 3 }
variable "flag" { default = false }
variable "list" { default = ["a"] }
variable "from_env" {
  env     = "SOME_NAME"
  default = "d"
}
variable "typed" {
  type    = list(number)
  default = []
}
run "r" {
  command = concat([var.text, var.num, var.flag, var.from_env], var.list, [for n in var.typed : n + 1])
}
`
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want string
		err  string
	}{
		"defaults":                      {nil, nil, "[d 3 false d a]", ""},
		"command line":                  {[]string{"text=x", "num=4", "flag=true", "list=p, q", "typed=[1,2]"}, nil, "[x 4 true d p q 2 3]", ""},
		"list as a literal":             {[]string{`list=["p,q"]`}, nil, "[d 3 false d p,q]", ""},
		"environment":                   {nil, map[string]string{"CBUILD_VAR_text": "e", "SOME_NAME": "f"}, "[e 3 false f a]", ""},
		"own name beats env":            {nil, map[string]string{"CBUILD_VAR_from_env": "e", "SOME_NAME": "f"}, "[d 3 false e a]", ""},
		"command line beats env":        {[]string{"text=x"}, map[string]string{"CBUILD_VAR_text": "e"}, "[x 3 false d a]", ""},
		"plain names are not taken":     {nil, map[string]string{"text": "e"}, "[d 3 false d a]", ""},
		"the last one counts":           {[]string{"text=x", "text=y"}, nil, "[y 3 false d a]", ""},
		"qualified":                     {[]string{"//:text=x"}, nil, "[x 3 false d a]", ""},
		"wrong type":                    {[]string{"num=many"}, nil, "", `gives "many", but it is a number, written like 3.`},
		"unknown":                       {[]string{"txt=x"}, nil, "", `Did you mean "text"?`},
		"unknown package":               {[]string{"//lib:text=x"}, nil, "", "Unknown package //lib"},
		"no noncharacters from outside": {[]string{"text=\uFDD0"}, nil, "", "noncharacter"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := testOptions(write(t, map[string]string{FileName: text}))
			for _, a := range c.args {
				v, ok := ParseVar(a)
				if !ok {
					t.Fatalf("ParseVar(%q)", a)
				}
				opts.Vars = append(opts.Vars, v)
			}
			opts.LookupEnv = func(n string) (string, bool) { v, ok := c.env[n]; return v, ok }
			w, diags := Load(opts)
			if c.err != "" {
				if !strings.Contains(diags.Error(), c.err) {
					t.Errorf("got %q, want %q", diags.Error(), c.err)
				}
				return
			}
			if diags.HasErrors() {
				t.Fatal(diags.Error())
			}
			f := &fakeBuild{w: w}
			want(t, "command", mustCommand(t, f, "r"), c.want)
		})
	}
}

func TestOtherFile(t *testing.T) {
	dir := write(t, map[string]string{"BUILD.hcl": "broken {", "my.hcl": "run \"mine\" { command = [\"x\"] }\n"})
	opts := testOptions(dir)
	opts.File = "my.hcl"
	f := load(t, opts)
	want(t, "targets", labels(f.w.Targets), []string{"//:mine"})
	opts.File = "none.hcl"
	if _, diags := Load(opts); !diags.HasErrors() {
		t.Error("a file that does not exist is no mistake")
	}
}

func TestNoBuildFile(t *testing.T) {
	if _, diags := Load(testOptions(t.TempDir())); !strings.Contains(diags.Error(), "No BUILD.hcl") {
		t.Errorf("got %q", diags.Error())
	}
}

func TestFileFunctions(t *testing.T) {
	dir := write(t, map[string]string{
		"BUILD.hcl": `cbuild {}
run "ok" {
  command = concat(glob("**/*.c", "b/**"), [trimspace(file("a.txt")), exists("nope") ? "yes" : "no", file("//sub/x.txt"), filesize("a.txt"), substr(filehash("a.txt"), 0, 3)], glob("*"))
}
run "up"      { command = [file("../x")] }
run "missing" { command = [file("a.tx")] }
run "link"    { command = [file("out.txt")] }
run "bytes"   { command = [file("bin")] }
`,
		"a.txt": "hello\n", "x.c": "", "d/y.c": "", "b/z.c": "", "sub/BUILD.hcl": "", "sub/s.c": "", "sub/x.txt": "X", "bin": "\xff",
		"BUILD.lock.hcl": "", "BUILD.lock.d/x.c": "", "cbuild-out/o.c": "", ".git/g.c": "",
	})
	secret := write(t, map[string]string{"secret": "s"})
	if err := os.Symlink(filepath.Join(secret, "secret"), filepath.Join(dir, "out.txt")); err != nil {
		t.Fatal(err)
	}
	f := load(t, testOptions(dir))
	want(t, "ok", mustCommand(t, f, "ok"), []string{"d/y.c", "x.c", "hello", "no", "X", "6", "b3:", "BUILD.hcl", "a.txt", "bin", "out.txt", "x.c"})
	for name, text := range map[string]string{
		"up": "leaves its package", "missing": `Did you mean "a.txt"?`, "link": "escapes", "bytes": "is not UTF-8",
	} {
		if _, err := command(t, f, name); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diags := f.w.Validate(); len(diags.All()) != 4 {
		t.Errorf("Validate found %d of 4 mistakes:\n%s", len(diags.All()), diags.Error())
	}
}

func TestFunctions(t *testing.T) {
	for call, wanted := range map[string]string{
		`lines(" a\n\n b \r\n")`:                           "[a b]",
		`[length({ a = 1 })]`:                              "[1]",
		`[length([1, 2]), length(toset(["a"]))]`:           "[2 1]",
		`[startswith("abc", "ab"), endswith("abc", "x")]`:  "[true false]",
		`[strcontains("abc", "b")]`:                        "[true]",
		`[semver_match("1.2.3", ">= 1.2, < 2")]`:           "[true]",
		`[semver_compare("1.10.0", "1.9.0")]`:              "[1]",
		`[semver_max(["1.9.0", "v1.10.0", "1.10.0-rc1"])]`: "[v1.10.0]",
		`sort([semver_key("1.10.0"), semver_key("1.9.0")]) == [semver_key("1.9.0"), semver_key("1.10.0")] ? ["y"] : ["n"]`: "[n]",
		`[semver_key("1.9.0") != semver_key("1.10.0")]`:                                                                    "[true]",
		`[gomod_escape("github.com/BurntSushi/toml")]`:                                                                     "[github.com/!burnt!sushi/toml]",
		`[urlencode("a b&c")]`:                                      "[a+b%26c]",
		`[shellquote("it's"), shellquote(["a", "b c"])]`:            `['it'\''s' 'a' 'b c']`,
		`[basename("a/b.c"), dirname("a/b.c")]`:                     "[b.c a]",
		`[jsondecode("{\"a\": [1]}").a[0]]`:                         "[1]",
		`[yamldecode("a: [x]").a[0]]`:                               "[x]",
		`[tomldecode("a = ['x']").a[0]]`:                            "[x]",
		`[csvdecode("a,b\n1,2")[0].b]`:                              "[2]",
		`[jsonencode({ b = 1, a = null })]`:                         `[{"a":null,"b":1}]`,
		`[regex("[0-9]+", "a12b"), regex_replace("aXb", "X", "-")]`: "[12 a-b]",
		`regexall("[0-9]", "1a2")`:                                  "[1 2]",
		`[hash("a") == hash("a"), hash("a") == hash(["a"])]`:        "[true false]",
		`[length(sample(range(100), 10, "s"))]`:                     "[10]",
		`[length(sample(range(100), 0.25, 1))]`:                     "[25]",
		`[sample(range(100), 10, 1) == sample(range(100), 10, 1), sample(range(100), 10, 1) == sample(range(100), 10, 2)]`:     "[true false]",
		`[regression("pass", "fail"), regression("fail", "pass"), regression("crash", "fail"), regression("pass", "timeout")]`: "[regressed fixed same-fail error]",
		`[try(tonumber("x"), "d"), can(tonumber("x"))]`:                                                                        "[d false]",
		`[host.os != "", path.package, self.name]`:                                                                             "[true  r]",
		`[coalesce(null, "x"), join("-", compact(["a", "", "b"]))]`:                                                            "[x a-b]",
	} {
		f := loadText(t, "run \"r\" { command = "+call+" }\n")
		want(t, call, mustCommand(t, f, "r"), wanted)
	}
}

func TestSemverKeySorts(t *testing.T) {
	ordered := []string{"0.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.10.0"}
	last := ""
	for _, v := range ordered {
		key, err := semverKey(v)
		if err != nil || key <= last {
			t.Errorf("%s: key %q is not behind %q (%v)", v, key, last, err)
		}
		last = key
	}
}

func TestShapes(t *testing.T) {
	f := loadText(t, `
run "r" {
  command = ["x"]
  out     = { bin = "bin/x", docs = ["a.txt", "d/"], maybe = optional("core") }
  memory  = "4GiB"
  retries = 0
  stdin   = null
}
`)
	spec, err := f.spec(t, f.instances(t, "r")[0])
	if err != nil {
		t.Fatal(err)
	}
	r := spec.(*rules.Run)
	want(t, "out", r.Out, engine.Object{
		"bin": engine.OutSpec{Path: "bin/x"}, "docs": []engine.Value{engine.OutSpec{Path: "a.txt"}, engine.OutSpec{Path: "d", Dir: true}},
		"maybe": engine.OutSpec{Path: "core", Optional: true},
	})
	want(t, "limits", []any{int64(r.Memory), *r.Retries, r.Stdin == nil}, []any{4 << 30, 0, true})
}

func TestFormat(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"", ""},
		{"run \"a\" {\ncommand=[\"x\"]\n  out = \"o\"\n}\n\n\n\n# about b\nrun \"b\" {\n}\nrun \"c\" {\n}", "run \"a\" {\n  command = [\"x\"]\n  out     = \"o\"\n}\n\n# about b\nrun \"b\" {\n}\n\nrun \"c\" {\n}\n"},
		{"\xef\xbb\xbfrun \"a\" {\r\n}\r\n", "run \"a\" {\n}\n"},
		{"locals {\n  x = <<EOT\na\n\n\nb\nEOT\n}\n# end\n", "locals {\n  x = <<EOT\na\n\n\nb\nEOT\n}\n\n# end\n"},
	} {
		got, err := Format([]byte(c.in))
		if err != nil || string(got) != c.out {
			t.Errorf("Format(%q):\n got %q %v\nwant %q", c.in, got, err, c.out)
		}
	}
	if _, err := Format([]byte("run {")); err == nil {
		t.Error("a broken file was formatted")
	}
	for _, sample := range []string{"hello", "gofmt"} {
		data, err := os.ReadFile(filepath.Join("testdata", sample, FileName))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Format(data)
		if err != nil || string(got) != string(data) {
			t.Errorf("the sample %s is not formatted: %v\n%s", sample, err, got)
		}
	}
}

func TestAtMostTwenty(t *testing.T) {
	var text strings.Builder
	for i := range 30 {
		text.WriteString("locals {\n  x" + itoa(i+1) + " = var.nope\n}\n")
	}
	_, diags := Load(testOptions(write(t, map[string]string{FileName: text.String()})))
	var out strings.Builder
	diags.Write(&out, true, 40)
	if n := strings.Count(out.String(), "Unknown variable"); n != 20 || !strings.Contains(out.String(), "10 more are not shown.") || !strings.Contains(out.String(), "\x1b[1;31mError:\x1b[0m Unknown") {
		t.Errorf("%d shown:\n%s", n, out.String())
	}
	for line := range strings.SplitSeq(out.String(), "\n") {
		if len(line) > 60 {
			t.Errorf("too wide: %q", line)
		}
	}
}

func TestLabelsAreNotVariables(t *testing.T) {
	for _, arg := range []string{"//:one", "//dir:one", ":one", "one", "//...", "//dir", "tag:slow", "1x=2", "=x"} {
		if v, ok := ParseVar(arg); ok {
			t.Errorf("ParseVar(%q) = %+v, want none", arg, v)
		}
	}
}
