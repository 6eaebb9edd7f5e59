package main_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"cbuild/rules"
)

// block is a block of a build file in a story, with its type and its attributes.
var block = regexp.MustCompile(`(?m)^([a-z]+)(?: "[^"\n]*")? \{\n((?:[^}].*\n|\n)*)\}`)

// attribute is an attribute of such a block.
var attribute = regexp.MustCompile(`(?m)^  ([a-z_0-9]+) +=|^  ([a-z_0-9]+)=`)

// words are what the language has beside attributes: each is told in some story, as this expression finds it. The outcome cancelled is for
// the tests of signals.
var words = map[string]string{
	"each.key": `each\.key`, "each.value": `each\.value\.`, "the element of an element": `each\.value\.value`, "matrix": `matrix\.[a-z]`, "axis": `axis\.[a-z]`,
	"page": `page\.json`, "page.status": `page\.status`, "page.key": `page\.key`, "page.index": `page\.index`, "page.headers": `page\.headers`, "page.url": `page\.url`,
	"page.text": `page\.text`,
	"self.name": `self\.name`, "self.out": `self\.out`, "path.package": `path\.package`, "path.work": `path\.work`, "host.os": `host\.os`, "host.arch": `host\.arch`,
	"var": `var\.[a-z]`, "local": `local\.[a-z]`,
	"text": `\.text\b`, "json": `\.json\.`, "ok": `\.ok\b`, "outcome": `\.outcome\b`, "exit_code": `\.exit_code\b`, "log": `\.log\b`, "partial": `\.partial\b`,
	"key": `\]\.key\b|value\.key\b|\.[a-z]+\.key\b`, "matrix of an instance": `\.matrix\b`, "sha256": `\.sha256\b`, "blake3": `\.blake3\b`, "size": `\.size\b`,
	"summary": `\.summary\.`, "count": `\.count\b`, "rows": `report\.rows|collate\.[a-z]+\.rows`, "version": `toolchain\.[a-z]+\.version`, "bin": `toolchain\.[a-z]+\.bin`,
	"optional out": `optional\(`, "a dropped instance": `dropped by where`, "JSON": `BUILD\.hcl\.json`,
	"pass": `\bpass\b`, "fail": `outcome=fail`, "crash": `crash`, "timeout": `timed out|timeout,|=timeout`, "unavailable": `unavailable`, "error": `outcome=error`,
	"invalid": `outcome=invalid|^stderr .*invalid`, "skipped": `outcome=skipped`,
	"same-pass": `same-pass`, "same-fail": `same-fail`, "regressed": `regressed`, "fixed": `\bfixed\b`, "changed": `changed`, "new": `\bnew\b`, "gone": `\bgone\b`,
	"inconclusive": `inconclusive`,
}

// untold are attributes without a story, and why.
var untold = map[string]string{
	"disk":   "it only schedules, and this version has nothing to schedule by it",
	"memory": "the sandbox of this version can't limit memory; the unit tests of rules do",
}

// TestLanguageHasStories fails if an attribute, a reference, an outcome or a class of the language is in no story.
func TestLanguageHasStories(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txt")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d stories: %v", len(files), err)
	}
	told := make(map[string]bool)
	var all strings.Builder
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
		for _, b := range block.FindAllStringSubmatch(string(data), -1) {
			for _, a := range attribute.FindAllStringSubmatch(b[2], -1) {
				told[b[1]+"."+a[1]+a[2]] = true
				told[a[1]+a[2]] = true
			}
		}
	}
	var names []string
	for _, k := range rules.Kinds() {
		for f := range reflect.TypeOf(k.New()).Elem().Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("hcl"), ","); name != "" {
				names = append(names, k.Name+"."+name)
			}
		}
	}
	for f := range reflect.TypeFor[rules.Common]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("hcl"), ",")
		names = append(names, name)
	}
	names = append(names, "for_each", "matrix", "where", "description", "tags", "private", "cbuild.requires", "cbuild.default", "cbuild.ignore",
		"variable.type", "variable.default", "variable.env", "variable.description", "variable.allowed", "variable.check", "variable.message", "query.where")
	for _, name := range names {
		if !told[name] && untold[name] == "" {
			t.Errorf("no story has the attribute %s", name)
		}
	}
	for name, pattern := range words {
		if !regexp.MustCompile("(?m)" + pattern).MatchString(all.String()) {
			t.Errorf("no story has %s", name)
		}
	}
}
