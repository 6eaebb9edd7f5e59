package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cbuild/engine"
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
	fmt.Fprintf(w, "\n## %s\n\n%s.\n\n```\n%s\n```\n", path, cmd.Short, usage(cmd, path))
	if cmd.Long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(cmd.Long))
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\n```\n%s\n```\n", cmd.Example)
	}
	first := true
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if first {
			fmt.Fprintln(w)
			first = false
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value, text := pflag.UnquoteUsage(f)
		if value != "" && value != "count" {
			name += " " + value
		}
		fmt.Fprintf(w, "- `%s` %s\n", name, text)
	})
	for _, sub := range cmd.Commands() {
		if !sub.Hidden && sub.Name() != "completion" {
			document(w, sub, path+" "+sub.Name())
		}
	}
}

func usage(cmd *cobra.Command, path string) string {
	if !cmd.HasParent() {
		return cmd.Use
	}
	return path[:len(path)-len(cmd.Name())] + cmd.Use
}

// TestEveryCommandHasAnExample looks for one in the help of each.
func TestEveryCommandHasAnExample(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.Name() != "completion" {
				if visit(sub); sub.Example == "" {
					t.Errorf("the help of %s has no example", sub.CommandPath())
				}
			}
		}
	}
	visit((&cli{stdout: &output{to: io.Discard}, stderr: io.Discard, env: os.LookupEnv}).root())
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
