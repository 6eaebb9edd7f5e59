package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is cbuild's own.
const version = "0.1.0"

// versionDate is when this version was begun, for man pages: they are equal wherever they are written.
const versionDate = "2026-11-26"

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  cbuild version", Args: cobra.NoArgs,
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
		Use: "validate [NAME=VALUE…]", Short: "Check all files without building",
		Long:    "validate reads all packages of the workspace and the lock file and shows every mistake at once. It ends with status 2 if there is one.",
		Example: "  cbuild validate\n  cbuild -C sub validate",
		RunE: func(_ *cobra.Command, args []string) error {
			rest, vars := splitVars(args)
			if len(rest) > 0 {
				return usagef("validate checks all targets: it takes none, but %q", rest[0])
			}
			w, err := c.load(vars)
			if err != nil {
				return err
			}
			if err := c.report(w.Validate()); err != nil {
				return err
			}
			if _, err := c.openLock(w, nil); err != nil {
				return err
			}
			fmt.Fprintf(c.stderr, "%d targets are valid\n", len(w.Targets))
			return nil
		},
	}
	c.loadFlags(cmd)
	return cmd
}
