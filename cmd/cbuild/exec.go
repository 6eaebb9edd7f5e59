package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"cbuild/internal/buildfile"
	"cbuild/internal/checkout"
	"cbuild/internal/sandbox"
)

func (c *cli) cleanCommand() *cobra.Command {
	return &cobra.Command{
		Use: "clean", Short: "Remove cbuild-out", Args: cobra.NoArgs,
		Example: "  cbuild clean",
		Long:    "clean removes what was published. The store keeps the results: the next build publishes them again and runs nothing.",
		RunE: func(*cobra.Command, []string) error {
			root, ok := buildfile.FindRoot(".", "")
			if !ok {
				return usagef("there is no %s here or above", buildfile.FileName)
			}
			if err := checkout.Remove(filepath.Join(root, outName)); err != nil {
				return &statusError{exitTrouble, err}
			}
			return nil
		},
	}
}

func (c *cli) execCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "exec TARGET [-- ARG…]", Short: "Build a program and run it here",
		Long: `exec builds a target that has one output, a program, and becomes that program. It runs here, with the current directory and environment:
nothing of that is a build. Flags of cbuild stand before TARGET.`,
		Example: "  cbuild exec tool -- --help\n  cbuild exec 'link[hello]'",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: c.completeLabels,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 && args[1] == "--" {
				args = append(args[:1], args[2:]...)
			}
			return c.exec(args[0], args[1:])
		},
	}
	c.buildFlags(cmd)
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// exec builds the target and becomes the program that is its only output.
func (c *cli) exec(target string, args []string) error {
	if c.flags.dryRun || c.flags.question {
		return c.dry([]string{target})
	}
	stdout := c.stdout
	c.stdout = &output{to: io.Discard} // it belongs to the program
	r, err := c.buildRun([]string{target})
	c.stdout = stdout
	if err != nil {
		return err
	}
	if r == nil || len(r.paths) != 1 {
		return usagef("%s has no output that can be executed", target)
	}
	program, err := filepath.Abs(r.paths[0])
	if err != nil {
		return usagef("%w", err)
	}
	program = soleFile(program)
	if info, err := os.Stat(program); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return usagef("%s has no single output that can be executed", target)
	}
	sandbox.Leave()
	syscall.Umask(c.umask)
	return usagef("%s: %w", program, syscall.Exec(program, append([]string{program}, args...), os.Environ()))
}

// soleFile returns the only file at or below path, where an instance has folders named by its keys around it; "" if there is not one alone.
func soleFile(path string) (file string) {
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if file != "" {
				return fs.ErrExist
			}
			file = p
		}
		return err
	})
	if err != nil {
		return ""
	}
	return file
}
