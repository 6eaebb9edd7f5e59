package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/manual"
)

var update = flag.Bool("update", false, "write docs/cli.md")

// TestCommandLineDocumentation compares docs/cli.md with the commands, so that it can't lie.
func TestCommandLineDocumentation(t *testing.T) {
	const path = "../../docs/cli.md"
	c := &cli{stdout: &output{to: io.Discard}, stderr: io.Discard, env: os.LookupEnv}
	var b bytes.Buffer
	b.WriteString("# The command line\n\nWritten from the commands by `go test ./cmd/cbuild -run Documentation -update`; `cbuild help COMMAND` says the same.\n")
	root := c.root()
	document(&b, root, "cbuild")
	for _, t := range c.chapters() {
		fmt.Fprintf(&b, "\n## %s\n\n%s", t.title, t.text)
	}
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Error("docs/cli.md is not what the commands say: run this test with -update")
	}
}

// document writes cmd and the commands below it.
func document(w io.Writer, cmd *cobra.Command, path string) {
	fmt.Fprintf(w, "\n## %s\n\n%s.\n\n```\n%s\n```\n", path, cmd.Short, synopsis(cmd))
	if cmd.Long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(cmd.Long))
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\n%s", examples(cmd))
	}
	if list := flagList(cmd.LocalFlags()); list != "" {
		fmt.Fprintf(w, "\n%s", list)
	}
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			document(w, sub, path+" "+sub.Name())
		}
	}
}

// everyCommand calls f for each command that help shows, and for cbuild itself.
func everyCommand(f func(c *cli, cmd *cobra.Command)) {
	c := &cli{stdout: &output{to: io.Discard}, stderr: io.Discard, env: os.LookupEnv}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		f(c, cmd)
		for _, sub := range visible(cmd.Commands()) {
			visit(sub)
		}
	}
	visit(c.root())
}

// The help of every command has an example, and every command is in one group.
func TestHelpIsComplete(t *testing.T) {
	grouped := map[string]int{}
	for _, g := range groups {
		for _, verb := range g.verbs {
			grouped[verb]++
		}
	}
	everyCommand(func(_ *cli, cmd *cobra.Command) {
		if cmd.Example == "" {
			t.Errorf("the help of %s has no example", cmd.CommandPath())
		}
		if cmd.HasParent() && !cmd.Parent().HasParent() && grouped[cmd.Name()] != 1 {
			t.Errorf("%s is in %d groups, want 1", cmd.Name(), grouped[cmd.Name()])
		}
	})
}

// Without a terminal help has 80 columns. Chapters may hold longer examples of code.
func TestHelpFits(t *testing.T) {
	fits := func(what, markdown string, code int) {
		for line := range strings.Lines(manual.Text(markdown, 80)) {
			n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n"))
			if n > 80 && !(strings.HasPrefix(line, "  ") && n <= code) && strings.Contains(strings.TrimSpace(line), " ") {
				t.Errorf("the help of %s has a line of %d columns: %s", what, n, line)
			}
		}
	}
	everyCommand(func(c *cli, cmd *cobra.Command) { fits(cmd.CommandPath(), c.commandHelp(cmd), 80) })
	c := &cli{stdout: &output{to: io.Discard}, stderr: io.Discard, env: os.LookupEnv}
	for _, name := range buildfile.Topics() {
		text, ok := buildfile.Doc(name)
		if !ok {
			t.Errorf("there is no chapter %s", name)
		}
		fits(name, text, 100)
	}
	c.root() // the settings are its flags
	for _, chapter := range c.chapters() {
		fits(chapter.name, chapter.text, 80)
	}
}

// No two chapters have one name, and none has that of a command.
func TestTopicsAreDistinct(t *testing.T) {
	c := &cli{stdout: &output{to: io.Discard}, stderr: io.Discard, env: os.LookupEnv}
	names := c.helpNames(c.root())
	slices.Sort(names)
	for i := range names[1:] {
		if names[i] == names[i+1] {
			t.Errorf("help knows two things named %s", names[i])
		}
	}
}

// TestEventsAreDocumented looks for each type of event in the chapter on them.
func TestEventsAreDocumented(t *testing.T) {
	for _, e := range []engine.EventType{
		engine.EventBuildStarted, engine.EventTarget, engine.EventQueryPage, engine.EventStarted, engine.EventProgress, engine.EventFinished,
		engine.EventDiagnostic, engine.EventBuildFinished,
	} {
		if !strings.Contains(topicsText, "| `"+string(e)+"` |") {
			t.Errorf("topics.md does not tell of %s", e)
		}
	}
}
