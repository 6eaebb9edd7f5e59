package buildfile

import (
	"strings"
	"testing"
)

// TestForeignTextInScripts warns of each way in which what a target is repeated for can write a part of a script, and of no other.
func TestForeignTextInScripts(t *testing.T) {
	for script, warns := range map[string]bool{
		`"echo ${each.key}"`:                                 true,
		`"echo ${upper(each.key)}"`:                          true,
		`"echo ${each.value.url}"`:                           true,
		`"echo ${each.key == "a" ? "x" : each.key}"`:         true,
		`"echo ${try(each.key, "x")}"`:                       true,
		`"echo ${local.name}"`:                               true,
		`each.key`:                                           true,
		`join(" ", ["echo", each.key])`:                      true,
		`"echo ${shellquote(each.key)}"`:                     false,
		`"echo ${each.key == "a" ? "x" : "y"}"`:              false,
		`"echo ${hash(each.key)} ${matrix.v} $KEY"`:          false,
		`"cat ${run.made[each.key].out}"`:                    false,
		`"echo ${[for x in ["a"] : each.key == x][0]}"`:      false,
		`"echo ${var.x} ${local.own} ${length(each.value)}"`: false,
	} {
		_, diags := Load(testOptions(write(t, map[string]string{FileName: `
variable "x" { default = "x" }
locals {
  name = "the ${each.key}"
  own  = "own"
}
query "q" { registry = "go" }
run "made" {
  for_each = query.q
  command  = ["make"]
  out      = "o"
}
run "r" {
  for_each = query.q
  matrix   = { v = ["a", "b"] }
  script   = ` + script + `
}
run "read" {
  for_each = run.made
  script   = "cat ${each.value.out} ${each.value.exit_code}"
}
run "fixed" {
  for_each = ["a", "b"]
  script   = "echo ${each.key}"
}
`})))
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if got := strings.Contains(diags.Error(), "A script with foreign text in it"); got != warns {
			t.Errorf("%s: warned %v, want %v: %v", script, got, warns, diags.Error())
		}
	}
}
