package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"cbuild/internal/buildfile"
)

// version is cbuild's own.
const version = "0.1.0"

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			line := "cbuild " + version
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
				line += " " + info.Main.Version
			}
			fmt.Fprintf(c.stdout, "%s %s/%s %s\n", line, runtime.GOOS, runtime.GOARCH, runtime.Version())
			return nil
		},
	}
}

func (c *cli) validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "validate", Short: "Check all files without building", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			w, err := c.load(nil)
			if err != nil {
				return err
			}
			if _, err := c.openLock(w, nil); err != nil {
				return err
			}
			fmt.Fprintf(c.stderr, "%d targets are valid\n", len(w.Targets))
			return nil
		},
	}
	cmd.Flags().StringVarP(&c.flags.file, "file", "f", "", "read this file instead of BUILD.hcl")
	return cmd
}

func (c *cli) listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list [PATTERN…]", Short: "List targets",
		RunE: func(_ *cobra.Command, args []string) error { return c.list(args, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

func (c *cli) list(patterns []string, asJSON bool) error {
	w, err := c.load(nil)
	if err != nil {
		return err
	}
	if len(patterns) == 0 {
		patterns = []string{"//..."}
	}
	targets, diags := w.Resolve(patterns)
	if err := c.report(diags); err != nil {
		return err
	}
	for _, t := range targets {
		info := w.Info(t)
		if asJSON {
			line, _ := json.Marshal(map[string]any{
				"label": t.Label.String(), "rule": info.Rule, "description": info.Description, "tags": info.Tags,
				"file": info.File, "line": info.Line,
			})
			fmt.Fprintf(c.stdout, "%s\n", line)
			continue
		}
		fmt.Fprintf(c.stdout, "%-28s %-10s %s\n", t.Label, info.Rule, info.Description)
	}
	return nil
}

func (c *cli) fmtCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use: "fmt [FILE…]", Short: "Format BUILD.hcl files in place",
		RunE: func(_ *cobra.Command, files []string) error { return c.format(files, check) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; exit 1 if a file is not formatted")
	return cmd
}

// format formats the files, or every BUILD.hcl of the workspace, and names those that changed.
func (c *cli) format(files []string, check bool) error {
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
			return &statusError{exitUsage, fmt.Errorf("%s: %w", f, err)}
		}
		if string(out) == string(src) {
			continue
		}
		changed = true
		fmt.Fprintln(c.stdout, filepath.ToSlash(f))
		if !check {
			if err := renameio.WriteFile(f, out, 0o644, renameio.WithExistingPermissions()); err != nil {
				return usagef("%w", err)
			}
		}
	}
	if check && changed {
		return &statusError{status: exitFailed}
	}
	return nil
}
