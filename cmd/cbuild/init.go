package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// templates holds a directory for each starter.
//
//go:embed all:templates
var templates embed.FS

func (c *cli) initCommand() *cobra.Command {
	var template string
	cmd := &cobra.Command{
		Use: "init", Short: "Write starter files into this directory; nothing is overwritten", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.init(template) },
	}
	cmd.Flags().StringVar(&template, "template", "c", strings.Join(templateNames(), " or "))
	return cmd
}

func templateNames() []string {
	entries, _ := templates.ReadDir("templates") // embedded
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (c *cli) init(template string) error {
	if !slices.Contains(templateNames(), template) {
		return usagef("--template=%s: want %s", template, strings.Join(templateNames(), " or "))
	}
	root, err := fs.Sub(templates, "templates/"+template)
	if err != nil {
		return err
	}
	return fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		name := filepath.FromSlash(strings.TrimSuffix(path, ".txt"))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return usagef("%s exists already", name)
		}
		if err != nil {
			return usagef("%w", err)
		}
		_, err = f.Write(data)
		if err := errors.Join(err, f.Close()); err != nil {
			return usagef("%w", err)
		}
		fmt.Fprintln(c.stdout, name)
		return nil
	})
}
