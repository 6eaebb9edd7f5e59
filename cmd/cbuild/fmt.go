package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"cbuild/internal/buildfile"
)

func (c *cli) fmtCommand() *cobra.Command {
	var how formatting
	cmd := &cobra.Command{
		Use: "fmt [FILE…]", Short: "Format BUILD.hcl files in place",
		Long:    "fmt formats the files, or the BUILD.hcl of this directory, and names those that it changes.",
		Example: "  cbuild fmt\n  cbuild fmt --check --diff */BUILD.hcl",
		RunE:    func(_ *cobra.Command, files []string) error { return c.format(files, how) },
	}
	cmd.Flags().BoolVar(&how.check, "check", false, "change nothing; exit 1 if a file is not formatted")
	cmd.Flags().BoolVar(&how.diff, "diff", false, "print what would change, and change nothing")
	return cmd
}

// formatting says what fmt does with files that are not formatted.
type formatting struct{ check, diff bool }

// format formats the files, or the BUILD.hcl of this directory.
func (c *cli) format(files []string, how formatting) error {
	if len(files) == 0 {
		files = []string{buildfile.FileName}
	}
	changed := false
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			return usagef("%w", err)
		}
		out, err := buildfile.Format(src)
		if err != nil {
			return usagef("%s: %w", f, err)
		}
		if bytes.Equal(out, src) {
			continue
		}
		changed = true
		if err := c.formatted(f, src, out, how); err != nil {
			return err
		}
	}
	if how.check && changed {
		return &statusError{status: exitFailed}
	}
	return nil
}

// formatted writes or shows what a file looks like when it is formatted.
func (c *cli) formatted(file string, src, out []byte, how formatting) error {
	name := filepath.ToSlash(file)
	if how.diff {
		_, err := c.stdout.Write(diff.Diff(name+" (as it is)", src, name+" (formatted)", out))
		return err
	}
	fmt.Fprintln(c.stdout, name)
	if how.check {
		return nil
	}
	if err := renameio.WriteFile(file, out, 0o644, renameio.WithExistingPermissions()); err != nil {
		return usagef("%w", err)
	}
	return nil
}
