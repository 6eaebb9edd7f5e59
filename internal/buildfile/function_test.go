package buildfile

import (
	"strings"
	"testing"
)

// TestFunctionsAsDocumented calls functions as the documentation says.
func TestFunctionsAsDocumented(t *testing.T) {
	w, diags := Load(testOptions(write(t, map[string]string{FileName: "", "a.txt": "x\n\n y \n", "d/b.txt": "12"})))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for expr, text := range map[string]string{
		`hasindex({ a = 1 }, "a") && !hasindex({ a = 1 }, "b") && hasindex([1], 0) && !hasindex([1], 1)`: "true",
		`index({ a = [2] }, "a")[0] + index([1, 2], 1)`:                                                  "4",
		`jsonencode(tomldecode("d = 2024-01-02\nt = 10:20:30\nl = 2024-01-02T10:20:30"))`:                `{"d":"2024-01-02","l":"2024-01-02T10:20:30","t":"10:20:30"}`,
		`tomldecode("x = 2024-01-02T10:20:30+01:00").x`:                                                  "2024-01-02T10:20:30+01:00",
		`formatdate("YYYY-MM-DD", timeadd("2024-12-31T23:00:00Z", "1h"))`:                                "2025-01-01",
		`jsonencode(lines(file("a.txt")))`:                                                               `["x","y"]`,
		`jsonencode(glob("**/*.txt", "d/**"))`:                                                           `["a.txt"]`,
		`filesize("d/b.txt")`:                                                                            "2",
		`exists("d/b.txt") && !exists("d/c.txt")`:                                                        "true",
		`basename("a/b.c") == "b.c" && dirname("a/b.c") == "a" && dirname("a") == "."`:                   "true",
		`semver_max(["1.9.0", "v1.10.0", "1.10.0-rc.1"])`:                                                "v1.10.0",
		`jsonencode(sort([for v in ["1.10.0", "1.9.0", "1.9.0-rc.2", "1.9.0-rc.10"] : semver_key(v)])[0]) == jsonencode(semver_key("1.9.0-rc.2"))`: "true",
		`semver_match("1.5.0", ">= 1.2, < 2") && !semver_match("2.0.0", "~1.2")`:                                                                   "true",
		`gomod_escape("github.com/Azure/x")`: "github.com/!azure/x",
		`shellquote(["a b", "it's"])`:        `'a b' 'it'\''s'`,
		`urlencode("a b&c/d")`:               "a+b%26c%2Fd",
		`regression("pass", "fail")`:         "regressed",
		`jsonencode([regression("fail", "pass"), regression("pass", "timeout"), regression("crash", "fail")])`: `["fixed","error","same-fail"]`,
		`length(sample(range(100), 0.1, 1))`:                                                        "10",
		`jsonencode(sample({ a = 1, b = 2 }, 5, "x"))`:                                              `{"a":1,"b":2}`,
		`jsonencode(sample(range(50), 3, 1)) == jsonencode(sample(range(50), 3, 1))`:                "true",
		`hash({ a = [1] }) == hash({ a = [1] }) && hash("x") != hash("y") && strlen(hash(1)) == 32`: "true",
		`jsonencode(csvdecode("a,b\n1,x\n"))`:                                                       `[{"a":"1","b":"x"}]`,
		`yamldecode("a: {b: [1, true]}").a.b[1]`:                                                    "true",
		`try(jsondecode("{"), "no JSON")`:                                                           "no JSON",
		`can(regex("(", "x")) ? "a" : "b"`:                                                          "b",
		`length({ a = 1 }) + length([1, 2]) + length(toset(["x"]))`:                                 "4",
		`true ? 1 : "a"`:          "1",
		`false || true && !false`: "true",
		`"%{ for x in [1, 2] }<${x}>%{ endfor }%{ if true }y%{ else }n%{ endif }"`: "<1><2>y",
	} {
		e, diags := w.Eval(expr)
		if diags.HasErrors() {
			t.Errorf("%s: %v", expr, diags)
			continue
		}
		want(t, expr, e.Text(), text)
	}
	for expr, text := range map[string]string{
		`1 / 0`:                       "something is divided by zero",
		`host`:                        "host has arch, os.",
		`length("abc")`:               "use strlen()",
		`hasindex("abc", 0)`:          `not the string "abc"`,
		`file("../x")`:                `leaves its package`,
		`file("d")`:                   "is a directory",
		`glob("../*")`:                "leaves its package",
		`semver_match("1", "what")`:   `is not a range of versions`,
		`timestamp()`:                 "Expressions are pure",
		`env("HOME")`:                 "pass_env",
		`try()`:                       "Write try(",
		`"x${null}"`:                  "null",
		`[for x in [1] : x if "yes"]`: "bool",
		`upper("a", "b")`:             "Too many function arguments",
	} {
		if _, diags := w.Eval(expr); !diags.HasErrors() || !containsFold(diags.Error(), text) {
			t.Errorf("%s: %v, want %s", expr, diags.Error(), text)
		}
	}
}

func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}
