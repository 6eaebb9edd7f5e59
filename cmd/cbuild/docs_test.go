package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
	b.WriteString(`
## Exit codes

0 done; 1 a requested target, or one of its instances, is not a pass, or ` + "`--fail-on`" + ` holds, or ` + "`-q`" + ` and out of date; 2 usage, BUILD.hcl or lock; 3
trouble: the same command resumes; 70 a bug in cbuild; 130 and 143 signals. By precedence: signal, 70, 2, 3, 1.
`)
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
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value := f.Value.Type()
		if value == "bool" || value == "count" {
			value = ""
		} else {
			value = " " + value
		}
		fmt.Fprintf(w, "- `%s%s` %s\n", name, value, f.Usage)
	})
	for _, sub := range cmd.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" {
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
