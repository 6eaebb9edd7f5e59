package buildfile

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cbuild/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestDiagnostics compares everything that is said about files with mistakes: all at once, with place, reason, and what to do.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/diag/*.[hj]*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, name := range files {
		as := FileName
		if filepath.Ext(name) == ".json" {
			as = JSONName
		}
		t.Run(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), func(t *testing.T) {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, diags := Load(testOptions(write(t, map[string]string{as: string(src)})))
			var got strings.Builder
			for _, d := range diags.All() {
				got.WriteString(severity(d.Warning, "["+d.Code()+"]", false) + d.text(0) + "\n\n")
			}
			golden := strings.TrimSuffix(name, filepath.Ext(name)) + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
			}
		})
	}
}

// TestDocumentation compares docs/language.md with the code, so that it can't lie.
func TestDocumentation(t *testing.T) {
	const path = "../../docs/language.md"
	text := Documentation()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Error("docs/language.md is not what the code says: run this test with -update")
	}
	for _, name := range functionNames() {
		if functionDocs[name].meaning == "" || !strings.HasPrefix(functionDocs[name].call, name+"(") {
			t.Errorf("the function %s is not documented", name)
		}
	}
	for name, d := range functionDocs {
		if !slices.Contains(functionNames(), name) || !strings.Contains(text, "`"+d.call+"`") {
			t.Errorf("there is no function %s, or it is in no group", name)
		}
	}
	for name, k := range newKinds() {
		doc, ok := Doc(name)
		for _, f := range k.fields {
			if f.doc == "" || len(f.index) == 1 && !strings.Contains(doc, "`"+f.name+"`") {
				t.Errorf("%s.%s is not documented", name, f.name)
			}
		}
		if !ok || !slices.Contains(Topics(), name) {
			t.Errorf("no topic %s", name)
		}
	}
	for _, class := range []string{"pass", "fail", "crash", "timeout", "oom", "unavailable", "error", "invalid", "skipped", "cancelled"} {
		if doc, _ := Doc("outcomes"); !strings.Contains(doc, "`"+class+"`") {
			t.Errorf("outcome %s is not documented", class)
		}
	}
	if doc, ok := Doc("e201"); !ok || !strings.Contains(doc, "# E201\n\n") {
		t.Errorf("E201: %q", doc)
	}
	if _, ok := Doc("nothing"); ok {
		t.Error("a topic that is not there")
	}
}

func newKinds() map[string]*kind {
	kinds := make(map[string]*kind)
	for _, k := range rules.Kinds() {
		kinds[k.Name] = newKind(k)
	}
	return kinds
}

// TestClip shortens lines around the place of the mistake.
func TestClip(t *testing.T) {
	long := strings.Repeat("0123456789", 10)
	for _, c := range []struct {
		column int
		want   string
	}{
		{1, "01234567890123456789012345678…"},
		{50, "…9012345678901234567890123456…"},
		{100, "…12345678901234567890123456789"},
	} {
		got := clip(long, c.column, 30, true)
		if got != c.want || len([]rune(got)) != 30 || c.column > 20 && !strings.ContainsRune(got, rune(long[c.column-1])) {
			t.Errorf("column %d: %q, want %q", c.column, got, c.want)
		}
	}
	if got := clip(long, 50, 30, false); got != long {
		t.Errorf("without a limit: %q", got)
	}
}
