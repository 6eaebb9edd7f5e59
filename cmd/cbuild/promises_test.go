package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// testdata/promises.txt maps everything that users are promised to the stories that show it: what nobody tells of, nobody keeps working.
// What can be listed from the code (promised) must be in the table, and a story must speak of it. Lines "rule SECTION …" are the
// sentences of the specification that no code lists; their stories must exist.
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

// readPromises reads the table: lines "PROMISE: STORY…", where a story is the name of a script, of a test of this package, or of a test of
// another one as in internal/buildfile:TestFunctions.
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

// story returns the text of a script, or of a test.
func story(t *testing.T, name string) string {
	t.Helper()
	dir, test, other := strings.Cut(name, ":")
	switch {
	case other:
		dir = filepath.Join("..", "..", dir)
	case strings.HasPrefix(name, "Test"):
		dir, test = ".", name
	default:
		data, err := os.ReadFile(filepath.Join("testdata", "script", name+".txt"))
		if err != nil {
			t.Errorf("testdata/promises.txt: there is no story %s", name)
		}
		return string(data)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, text, ok := strings.Cut(string(data), "\nfunc "+test+"("); ok {
			body, _, _ := strings.Cut(text, "\n}\n")
			return body
		}
	}
	t.Errorf("testdata/promises.txt: there is no test %s", name)
	return ""
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
