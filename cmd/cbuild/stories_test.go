package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestEveryVerbAndFlagHasAStory looks for each verb and each flag that the commands have, hidden ones too, in the stories about them: what
// nobody tells of, nobody keeps working. And everything has an example in its help.
func TestEveryVerbAndFlagHasAStory(t *testing.T) {
	var calls []string
	files, err := filepath.Glob("testdata/script/*.txt")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d stories, %v", len(files), err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if _, call, ok := strings.Cut(line, "cbuild "); ok && !strings.HasPrefix(line, "#") {
				calls = append(calls, " "+call)
			}
		}
	}
	told := func(pattern string) bool { return slices.ContainsFunc(calls, regexp.MustCompile(pattern).MatchString) }
	root := (&cli{stdout: &output{to: os.Stdout}, env: os.LookupEnv}).root()
	var visit func(cmd *cobra.Command, words string)
	visit = func(cmd *cobra.Command, words string) {
		if words != "" && !told(` `+words+`\b`) {
			t.Errorf("no story calls cbuild %s", words)
		}
		if cmd.Example == "" && !strings.HasPrefix(words, "completion") {
			t.Errorf("the help of cbuild %s has no example", words)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			pattern := ` ` + words + `\b.* --` + f.Name + `\b`
			if words == "" || words == "build" || words == "exec" { // they have the same flags
				pattern = ` --` + f.Name + `\b`
			}
			if f.Shorthand != "" {
				pattern += strings.Replace(`|`+pattern, `--`+f.Name+`\b`, `-[a-zA-Z]*`+f.Shorthand, 1)
			}
			if f.Name != "help" && !told(pattern) {
				t.Errorf("no story calls cbuild %s with --%s", words, f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			if slices.Contains(laterVerbs, sub.Name()) {
				continue
			}
			visit(sub, strings.TrimSpace(words+" "+sub.Name()))
		}
	}
	visit(root, "")
}
