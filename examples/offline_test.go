package examples

import (
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// These examples need no network, only what every machine for building has.

// needs skips the test on a machine without the programs.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("SKIPPED: no %s", p)
		}
	}
}

// table reads a CSV file with plain line ends.
func (w *world) table(name string) string { return strings.ReplaceAll(w.read(name), "\r\n", "\n") }

// edit replaces a text in a file of the workspace, of which there must be one.
func (w *world) edit(name, from, to string) {
	w.t.Helper()
	text := w.read(name)
	if strings.Count(text, from) != 1 {
		w.t.Fatalf("%s holds %q %d times", name, from, strings.Count(text, from))
	}
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(strings.Replace(text, from, to, 1)), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// checkExecuted compares what was executed with the targets and instances that should have been, in any order.
func checkExecuted(t *testing.T, all []event, want ...string) {
	t.Helper()
	got := executed(all)
	slices.Sort(got)
	slices.Sort(want)
	for i, name := range got {
		got[i] = strings.TrimSpace(name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("executed %q, want %q", got, want)
	}
}

// Tables are joined and drawn. A second run executes nothing, and a number that is corrected redoes what depends on it.
func TestData(t *testing.T) {
	needs(t, "awk", "join", "sort", "tail")
	w := newWorld(t)
	w.copyAll("data")
	all, stdout := w.run(binary)
	if stdout != "cbuild-out/chart/chart.svg\ncbuild-out/report/index.html\n" || len(all) != 11 || len(executed(all)) != 8 { // files of the workspace are not downloaded
		t.Errorf("printed %q, executed %d of %d", stdout, len(executed(all)), len(all))
	}
	want := "key,class,harbour,meadow,pass\n2021,pass,10.7,8.8,2.8\n2022,pass,11.6,9.9,3.7\n2023,pass,12.1,10.2,4.2\n"
	if got := w.table("cbuild-out/report/results.csv"); got != want {
		t.Errorf("the means are\n%s", got)
	}
	checkChart(t, w.read("cbuild-out/chart/chart.svg"))
	if picture, err := os.ReadFile("../docs/chart.svg"); err != nil || w.read("cbuild-out/chart/chart.svg") != string(picture) {
		t.Errorf("docs/chart.svg is not what the example draws: %v", err)
	}
	if again, _ := w.run(binary, "--offline"); len(again) != 11 {
		t.Errorf("again: %d instances", len(again))
	} else {
		checkExecuted(t, again)
	}

	before := sum(w.read("years/2022.csv"))
	w.edit("years/2022.csv", "\n7,P3,", "\n7,P3,1")
	w.edit("years.csv", before, sum(w.read("years/2022.csv")))
	all, _ = w.run(binary, "--offline")
	checkExecuted(t, all, "//:joined 2022", "//:mean 2022", "//:chart", "//:report")
	if got := w.table("cbuild-out/report/results.csv"); got != strings.Replace(want, "9.9,3.7", "9.9,12", 1) {
		t.Errorf("then the means are\n%s", got)
	}
}

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// checkChart checks that a chart is XML with a curve of 36 points for each of three stations, all of them within the frame.
func checkChart(t *testing.T, svg string) {
	t.Helper()
	curves := 0
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "polyline" {
			continue
		}
		curves++
		for _, a := range start.Attr {
			if a.Name.Local != "points" {
				continue
			}
			points := strings.Fields(a.Value)
			for _, p := range points {
				var x, y float64
				if n, err := fmt.Sscanf(p, "%f,%f", &x, &y); n != 2 || err != nil || x < 46 || x > 766 || y < 40 || y > 320 {
					t.Errorf("point %q", p)
				}
			}
			if len(points) != 36 {
				t.Errorf("a curve has %d points", len(points))
			}
		}
	}
	if curves != 3 {
		t.Errorf("%d curves", curves)
	}
}

// Three packages share a library, which two of them import: its header redoes everything, a word of the dictionary only one program, and the
// library is compiled once.
func TestMonorepo(t *testing.T) {
	needs(t, "cc")
	w := newWorld(t)
	w.copyAll("monorepo")
	all, _ := w.run(binary, "//...")
	if len(all) != 9 || len(executed(all)) != 9 {
		t.Errorf("executed %d of %d", len(executed(all)), len(all))
	}
	for name, want := range map[string]string{"@count/sample/count.txt": "9 words\n", "@spell/sample/misspelt.txt": "quikc\ndgo\n"} {
		if got := w.read("cbuild-out/" + name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	again, _ := w.run(binary, "//...")
	checkExecuted(t, again)

	w.edit("spell/words.txt", "lazy\n", "lazy\nquikc\n")
	all, _ = w.run(binary, "//...")
	checkExecuted(t, all, "//spell:dictionary", "//spell:spell", "//spell:sample")
	if got := w.read("cbuild-out/@spell/sample/misspelt.txt"); got != "dgo\n" {
		t.Errorf("misspelt: %q", got)
	}
	w.edit("text/text.h", "at the end. */", "where in ends. */")
	all, _ = w.run(binary, "//...")
	checkExecuted(t, all, "//:library", "//:test_program", "//count:count", "//spell:spell")
	for _, program := range []string{"//count:count", "//spell:spell"} {
		if out := w.printed("why", program, "//:library"); !strings.Contains(out, "//:library") {
			t.Errorf("why %s needs the library: %q", program, out)
		}
	}
}

// A rule that is written in HCL makes two programs in two packages: what both compile alike is compiled once, and an edit redoes what it
// concerns, of the callers' files as of the rule.
func TestCC(t *testing.T) {
	needs(t, "cc")
	w := newWorld(t)
	w.copyAll("cc")
	all, _ := w.run(binary, "//...")
	if len(all) != 10 {
		t.Errorf("%d instances", len(all))
	}
	keys := map[string]int{}
	for _, e := range all {
		if strings.HasSuffix(e.Target, "/object") {
			keys[e.Key]++
		}
	}
	if len(keys) != 3 {
		t.Errorf("four objects, of which two are equal, have the keys %v", keys)
	}
	if got := w.read("cbuild-out/@greet/both/both.txt"); got != "Hello, world.\nGood day, everybody.\n" {
		t.Errorf("the programs say %q", got)
	}
	again, _ := w.run(binary, "//...")
	checkExecuted(t, again)

	w.edit("greet/greet.c", "Good day", "Good evening")
	all, _ = w.run(binary, "//...")
	checkExecuted(t, all, "//greet:greet/object greet.c", "//greet:greet/link", "//greet:both")
	w.edit("greet/BUILD.hcl", `["greet.c", "//say/say.c"]`, `concat(glob("*.c"), ["//say/say.c"])`)
	all, _ = w.run(binary, "//...")
	checkExecuted(t, all)
	w.edit("rules/cc/BUILD.hcl", `default = ["-O2"]`, `default = ["-O1", "-g"]`)
	all, stdout := w.run(binary, "//greet:greet")
	checkExecuted(t, all, "//greet:greet/object greet.c", "//greet:greet/object say/say.c", "//greet:greet/link")
	if stdout != "cbuild-out/@greet/greet/greet\n" {
		t.Errorf("printed %q", stdout)
	}
	all, _ = w.run(binary, "//hello:hello")
	checkExecuted(t, all, "//hello:hello/object hello.c", "//hello:hello/link") // what both compile is there
}

// Two axes with exclusions, compared side by side.
func TestMatrix(t *testing.T) {
	needs(t, "cc")
	w := newWorld(t)
	w.copyAll("matrix")
	all, stdout := w.run(binary)
	if want := 2*(4*3*2-2) + 1; stdout != "cbuild-out/report/index.html\n" || len(all) != want || len(executed(all)) != want {
		t.Errorf("printed %q, executed %d of %d, want %d", stdout, len(executed(all)), len(all), want)
	}
	var classes []string
	for line := range strings.Lines(w.table("cbuild-out/report/results.csv")) {
		fields := strings.Split(line, ",")
		classes = append(classes, fields[0]+" "+fields[1])
	}
	want := []string{
		"key class", "assert[c11] regressed", "assert[c90] regressed", "assert[c99] regressed", "macro[c11] changed", "macro[c90] changed",
		"macro[c99] changed", "sum[c11] same-pass", "sum[c90] same-pass", "sum[c99] same-pass", "vla[c11] same-pass", "vla[c99] same-pass",
	}
	if !slices.Equal(classes, want) {
		t.Errorf("the report says %q", classes)
	}
	again, _ := w.run(binary)
	checkExecuted(t, again)

	w.edit("BUILD.hcl", `without = { vla = ["c90"] }`, `without = { vla = ["c90"], sum = ["c99"] }`)
	all, _ = w.run(binary)
	checkExecuted(t, all, "//:report")
	if len(all) != 2*(4*3*2-4)+1 {
		t.Errorf("%d instances after another exclusion", len(all))
	}
}

// TestReadmeSample compares the sample in the README with the example that it is taken from.
func TestReadmeSample(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("data/BUILD.hcl")
	if err != nil {
		t.Fatal(err)
	}
	_, sample, found := strings.Cut(string(readme), "```hcl\n# examples/data: ")
	sample, _, closed := strings.Cut(sample, "\n```")
	if !found || !closed {
		t.Fatal("README.md has no sample of examples/data")
	}
	_, sample, _ = strings.Cut(sample, "\n")
	for block := range strings.SplitSeq(code(sample), "\n}\n") {
		if block = strings.TrimSpace(block); !strings.Contains(code(string(example)), block) {
			t.Errorf("examples/data has no\n%s", block)
		}
	}
}

// code returns the lines of HCL that are neither blank nor comments nor descriptions.
func code(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		words := strings.TrimSpace(line)
		if words != "" && !strings.HasPrefix(words, "#") && !strings.HasPrefix(words, "description") {
			b.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
	}
	return b.String()
}
