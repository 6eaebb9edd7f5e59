package buildfile

import (
	"strings"
	"testing"
)

// TestSourcesThatAreNotThere finds the mistakes in all literals of inputs and with when the files are loaded.
func TestSourcesThatAreNotThere(t *testing.T) {
	const text = `
locals { list = ["src/c.c", "src/main.c"] }
run "object" {
  command = ["cc"]
  out     = "main.o"
}
run "good" {
  inputs  = ["src/main.c", "src", null, "//lib.txt", "//sub.txt"]
  with    = glob("src/*.h")
  command = ["cc"]
}
run "each" {
  for_each = ["main"]
  inputs   = ["src/${each.key}.c", "src/mian.c"]
  command  = ["cc", "src/not-an-input"]
}
run "both" {
  for_each = ["main", "mian"]
  inputs   = concat(["src/${each.key}.c"], ["srcs"])
  command  = ["cc"]
}
run "some" {
  for_each = ["main", "mian"]
  where    = each.key == "main"
  inputs   = ["src/${each.key}.c"]
  command  = ["cc"]
}
run "many" {
  inputs  = { a = "scr/main.c", b = [["../x"], "sub/a.c"], c = "/etc/passwd" }
  with    = local.list
  command = ["cc"]
}
run "out" {
  inputs  = ["main.o", true ? "unsure" : "x", "quite-another"]
  command = ["cc"]
}
run "labels" {
  inputs  = [":good", "//:object", "//sub:x", "//sub:none"]
  command = ["cc"]
}
run "reader" { command = ["cc", run.x.out] }
`
	_, diags := Load(testOptions(write(t, map[string]string{
		FileName: text, "src/main.c": "", "src/a.h": "", "lib.txt": "", "sub.txt": "", "sub/BUILD.hcl": "run \"x\" {\n command = [\"y\"]\n with = [\"//lib.txt\"]\n}\n", "sub/a.c": "",
	})))
	var got []string
	for _, d := range diags.All() {
		got = append(got, d.Where()+" "+d.Summary+": "+d.Detail)
	}
	want(t, "mistakes", strings.Join(got, "\n"), strings.Join([]string{
		`BUILD.hcl:14 Input file does not exist: run.each lists "src/mian.c", but there is no such file in its package. Did you mean "src/main.c"?`,
		`BUILD.hcl:19 Input file does not exist: run.both["mian"] lists "src/mian.c", but there is no such file in its package. Did you mean "src/main.c"?`,
		`BUILD.hcl:19 Input file does not exist: run.both lists "srcs", but there is no such file in its package. Did you mean "src"?`,
		`BUILD.hcl:29 Input file does not exist: run.many lists "scr/main.c", but there is no such file in its package. Did you mean "src/main.c"?`,
		`BUILD.hcl:29 Invalid input: "../x" leaves its package: write //DIR/FILE from the workspace's root.`,
		`BUILD.hcl:29 Input of another package: "sub/a.c" belongs to the package //sub, whose targets alone may name it. Move the file, or the target.`,
		`BUILD.hcl:29 Invalid input: "/etc/passwd" is not a path inside the workspace.`,
		`BUILD.hcl:30 Input file does not exist: run.many lists "src/c.c", but there is no such file in its package. A path from the workspace's root is written //DIR/FILE.`,
		`BUILD.hcl:34 Input file does not exist: run.out lists "unsure", but there is no such file in its package. A path from the workspace's root is written //DIR/FILE.`,
		`BUILD.hcl:34 Input file does not exist: "main.o" is an out of run.object, not a file of the package. Write run.object.out.`,
		`BUILD.hcl:34 Input file does not exist: run.out lists "quite-another", but there is no such file in its package. A path from the workspace's root is written //DIR/FILE.`,
		`BUILD.hcl:38 Input file does not exist: ":good" is a target, not a file of the package. Write run.good.out.`,
		`BUILD.hcl:38 Input file does not exist: "//:object" is a target, not a file of the package. Write run.object.out.`,
		`BUILD.hcl:38 Input file does not exist: "//sub:x" is a target, not a file of the package. Import its package: import "lib" { from = "//sub" }, and write import.lib.x.`,
		`BUILD.hcl:38 Input file does not exist: run.labels lists "//sub:none", but there is no such file in its package. A path from the workspace's root is written //DIR/FILE.`,
		`BUILD.hcl:41 Unknown target run.x: It is a target of //sub. Import its package: import "lib" { from = "//sub" }, and write import.lib.x.`,
	}, "\n"))
}
