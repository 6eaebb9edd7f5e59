package main_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cbuild/engine"
	"cbuild/rules"
	"cbuild/rules/report"
)

// testdata/promises.txt maps everything that users are promised to the stories that show it. What can be listed from the code must
// be in the table: attributes, what can be read, verbs, flags, outcomes, classes, exit codes. The stories must exist and speak of it.
func TestEveryPromiseHasItsStory(t *testing.T) {
	table := readPromises(t)
	for _, p := range promised(t) {
		stories, ok := table[p.name]
		delete(table, p.name)
		switch {
		case !ok:
			t.Errorf("testdata/promises.txt has no line for %q; stories that speak of it: %s", p.name, strings.Join(speaking(t, p), " "))
		case !slices.ContainsFunc(stories, func(s string) bool { return p.word.MatchString(story(t, s)) }):
			t.Errorf("%s: none of %v has %v; stories that do: %s", p.name, stories, p.word, strings.Join(speaking(t, p), " "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		if kind, _, _ := strings.Cut(name, " "); kind != "rule" {
			t.Errorf("testdata/promises.txt: nothing like %q is promised", name)
		}
		for _, s := range table[name] {
			story(t, s)
		}
	}
}

// A promise is something that the code can list, and the word by which a story speaks of it.
type promise struct {
	name string
	word *regexp.Regexp
}

// promised lists everything that can be listed.
func promised(t *testing.T) (all []promise) {
	add := func(name, word string) { all = append(all, promise{name, regexp.MustCompile("(?m)" + word)}) }
	common := map[string]bool{"for_each": true, "matrix": true, "where": true, "description": true, "tags": true, "private": true}
	shared := attributeNames(reflect.TypeFor[rules.Common]())
	read := map[string]bool{}
	for _, k := range rules.Kinds() {
		for _, name := range attributeNames(reflect.TypeOf(k.New()).Elem()) {
			if slices.Contains(shared, name) {
				common[name] = true
				continue
			}
			add("attribute "+k.Name+"."+name, `^`+k.Name+` "[^\n]*\{\n(?:[^}\n][^\n]*\n|\n)*?\s+`+name+`\s*=`)
		}
		for _, name := range k.Reads {
			read[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(common)) {
		add("attribute "+name, `^\s+`+name+`\s*=`)
	}
	for _, name := range slices.Sorted(maps.Keys(read)) {
		add("read "+name, `\.`+name+`\b`)
	}
	for _, c := range []engine.Class{
		engine.ClassPass, "fail", "crash", "timeout", "oom", engine.ClassUnavailable, engine.ClassError, engine.ClassInvalid, engine.ClassSkipped, engine.ClassCancelled,
	} {
		add("outcome "+string(c), `\b`+string(c)+`\b`)
	}
	for _, c := range report.Classes(true) {
		add("class "+string(c), `\b`+string(c)+`\b`)
	}
	for _, code := range []int{0, 1, 2, 3, 70, 130, 143} {
		word := fmt.Sprintf(`^exits %d cbuild`, code)
		if code == 0 {
			word = `^exec cbuild`
		}
		add(fmt.Sprintf("exit %d", code), word)
	}
	return append(all, commandLine(t)...)
}

// attributeNames lists the attributes of a struct of them.
func attributeNames(t reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(t) {
		if tag, ok := f.Tag.Lookup("hcl"); ok {
			names = append(names, strings.Split(tag, ",")[0])
		}
	}
	return names
}

// commandLine lists the verbs and flags in docs/cli.md, which is written from the commands.
func commandLine(t *testing.T) (all []promise) {
	data, err := os.ReadFile(filepath.Join(sourceDir, "..", "..", "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^## (cbuild .+)$|^- .(?:(-\w), )?(--[a-z-]+)`).FindAllStringSubmatch(string(data), -1) {
		verb, short, flag := m[1], m[2], m[3]
		name, word := "verb "+verb, `\b`+verb+`\b`
		if verb == "" {
			name, word = "flag "+flag, `\s`+flag+`\b`
			if short != "" {
				word += `|cbuild .*\s` + short
			}
		}
		if !seen[name] {
			seen[name] = true
			all = append(all, promise{name, regexp.MustCompile("(?m)" + word)})
		}
	}
	return all
}

// readPromises reads the table: lines "PROMISE: STORY…", where a story is the name of a script, or of a test of this package.
func readPromises(t *testing.T) map[string][]string {
	data, err := os.ReadFile("testdata/promises.txt")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string][]string{}
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, ": ")
		if at < 0 || len(strings.Fields(line[at+1:])) == 0 {
			t.Fatalf("testdata/promises.txt:%d: want PROMISE: STORY…", i+1)
		}
		if _, ok := table[line[:at]]; ok {
			t.Errorf("testdata/promises.txt:%d: %q is there twice", i+1, line[:at])
		}
		table[line[:at]] = strings.Fields(line[at+1:])
	}
	return table
}

// story returns the text of a script, or of the test file that holds a test.
func story(t *testing.T, name string) string {
	t.Helper()
	if !strings.HasPrefix(name, "Test") {
		data, err := os.ReadFile(filepath.Join("testdata", "script", name+".txt"))
		if err != nil {
			t.Errorf("testdata/promises.txt: there is no story %s", name)
		}
		return string(data)
	}
	for _, file := range testFiles(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, text, ok := strings.Cut(string(data), "\nfunc "+name+"("); ok {
			body, _, _ := strings.Cut(text, "\n}\n")
			return body
		}
	}
	t.Errorf("testdata/promises.txt: there is no test %s", name)
	return ""
}

func testFiles(t *testing.T) []string {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// speaking lists the scripts that speak of p, for whoever looks for a story.
func speaking(t *testing.T, p promise) (names []string) {
	files, err := filepath.Glob("testdata/script/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if p.word.MatchString(story(t, name)) && len(names) < 6 {
			names = append(names, name)
		}
	}
	return names
}
