package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cbuild/internal/buildfile"
	"cbuild/internal/manual"
)

func (c *cli) manCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual as man pages", Args: cobra.ExactArgs(1),
		Long: "man writes cbuild.1, a page for each command such as cbuild-watch.1, and cbuild-language.7, all chapters on BUILD.hcl. Packages and\n" +
			"administrators put them where man looks for pages; elsewhere `man -l FILE` shows one.",
		Example: "  cbuild man ~/.local/share/man/man1\n  cbuild man . && man -l cbuild-watch.1",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(_ *cobra.Command, args []string) error { return c.man(root, args[0]) },
	}
}

// man writes all pages to dir.
func (c *cli) man(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usagef("%w", err)
	}
	pages := map[string]string{"cbuild-language.7": manual.Page(c.head("cbuild-language", 7, "what BUILD.hcl files say"), languagePage())}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		pages[name+".1"] = manual.Page(c.head(name, 1, lowerFirst(cmd.Short)), c.manPage(cmd))
		for _, sub := range visible(cmd.Commands()) {
			visit(sub)
		}
	}
	visit(root)
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(pages[name]), 0o644); err != nil {
			return &statusError{exitTrouble, err}
		}
		fmt.Fprintln(c.stdout, path)
	}
	return nil
}

func (c *cli) head(name string, section int, about string) manual.Head {
	return manual.Head{Name: name, Section: section, Date: versionDate, Version: "cbuild " + version, Manual: "The manual of cbuild", About: about}
}

// manPage is the page of a command, as Markdown.
func (c *cli) manPage(cmd *cobra.Command) string {
	var b strings.Builder
	section(&b, "Synopsis", "`"+synopsis(cmd)+"`")
	section(&b, "Description", description(cmd))
	if cmd.HasParent() {
		section(&b, "Commands", commandList(cmd.Commands()))
	} else {
		section(&b, "Commands", commandList(visible(cmd.Commands())))
	}
	section(&b, "Options", flagList(cmd.LocalNonPersistentFlags())+flagList(cmd.PersistentFlags())+flagList(cmd.InheritedFlags()))
	section(&b, "Examples", examples(cmd))
	for _, t := range c.chapters() {
		if inEveryPage := slices.Contains([]string{"exit-codes", "environment", "places"}, t.name); inEveryPage || !cmd.HasParent() {
			section(&b, t.title, t.text)
		}
	}
	also := "`cbuild`(1), `cbuild-language`(7)"
	if !cmd.HasParent() {
		also = "`cbuild-language`(7)"
	}
	for _, sub := range visible(cmd.Commands()) {
		also += ", `" + strings.ReplaceAll(sub.CommandPath(), " ", "-") + "`(1)"
	}
	section(&b, "See also", also)
	return b.String()
}

// languagePage is all chapters on the language, as Markdown.
func languagePage() string {
	var b strings.Builder
	for _, name := range buildfile.Topics() {
		text, _ := buildfile.Doc(name) // it is one of the topics
		b.WriteString("\n" + text)
	}
	return b.String()
}

// synopsis is how cmd is called.
func synopsis(cmd *cobra.Command) string {
	use := strings.TrimSuffix(cmd.UseLine(), " [flags]")
	if cmd.HasSubCommands() && cmd.HasParent() {
		use += " COMMAND"
	}
	return use
}

// description is what cmd does.
func description(cmd *cobra.Command) string {
	text := cmd.Short + ".\n"
	if cmd.Long != "" {
		text += "\n" + strings.TrimSpace(cmd.Long) + "\n"
	}
	return text
}

func examples(cmd *cobra.Command) string {
	if cmd.Example == "" {
		return ""
	}
	var b strings.Builder
	for line := range strings.SplitSeq(cmd.Example, "\n") {
		b.WriteString(strings.TrimPrefix(line, "  ") + "\n")
	}
	return "```\n" + b.String() + "```\n"
}

// visible returns those of commands that help shows.
func visible(commands []*cobra.Command) (all []*cobra.Command) {
	for _, cmd := range commands {
		if !cmd.Hidden {
			all = append(all, cmd)
		}
	}
	return all
}

func commandList(commands []*cobra.Command) string {
	var b strings.Builder
	for _, cmd := range visible(commands) {
		fmt.Fprintf(&b, "- `%s` %s\n", cmd.Name(), lowerFirst(cmd.Short))
	}
	return b.String()
}

func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }

// flagList lists flags, and what they mean.
func flagList(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value, text := pflag.UnquoteUsage(f)
		if value != "" && value != "count" {
			name += " " + value
		}
		if strings.Contains(value, "|") {
			text += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(&b, "- `%s` %s\n", name, text)
	})
	return b.String()
}
