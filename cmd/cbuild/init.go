package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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

// starters are the templates, the first is that of cbuild init.
var starters = []struct{ name, about string }{
	{"c", "compile, link and run two programs of C with a header"},
	{"crater-go", "try two versions of Go on many modules, and report what differs; needs the network"},
	{"data", "join tables of years with one of stations, and draw a chart of them"},
}

func (c *cli) initCommand() *cobra.Command {
	var template string
	var about strings.Builder
	for _, s := range starters {
		fmt.Fprintf(&about, "- `%s` %s\n", s.name, s.about)
	}
	cmd := &cobra.Command{
		Use: "init", Short: "Write starter files into this directory; nothing is overwritten", Args: cobra.NoArgs,
		Long:    "init writes a small workspace that can be built at once. --template list names what there is to begin with:\n\n" + about.String(),
		Example: "  cbuild init && cbuild\n  cbuild init --template crater-go && cbuild -n\n  cbuild init --template list",
		RunE:    func(*cobra.Command, []string) error { return c.init(template) },
	}
	cmd.Flags().StringVar(&template, "template", starters[0].name, "`NAME` of what to begin with, or list")
	_ = cmd.RegisterFlagCompletionFunc("template", cobra.FixedCompletions(append(templateNames(), "list"), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func templateNames() (names []string) {
	for _, s := range starters {
		names = append(names, s.name)
	}
	return names
}

func (c *cli) init(template string) error {
	if template == "list" {
		for _, s := range starters {
			fmt.Fprintf(c.stdout, "%-10s %s\n", s.name, s.about)
		}
		return nil
	}
	if !slices.Contains(templateNames(), template) {
		return usagef("--template=%s: %s", template, didYouMean(template, templateNames(), "want "+strings.Join(templateNames(), ", ")))
	}
	files, err := templateFiles(template)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if exists(name) {
			return usagef("%s exists already", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeNew(name, files[name]); err != nil {
			return usagef("%w", err)
		}
		fmt.Fprintln(c.stdout, name)
	}
	return nil
}

// templateFiles returns the files of a template by their names.
func templateFiles(template string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	root := "templates/" + template
	err := fs.WalkDir(templates, root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(templates, path)
		files[filepath.FromSlash(strings.TrimSuffix(strings.TrimPrefix(path, root+"/"), ".txt"))] = data
		return err
	})
	return files, err
}

// writeNew writes a file that does not exist, and its directory.
func writeNew(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
