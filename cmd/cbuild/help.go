package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cbuild/internal/buildfile"
)

// helpCommand shows the help of a command, or a chapter on the language or on the command line: what docs/cli.md and docs/language.md hold.
func (c *cli) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND or TOPIC]",
		Short:   "Show the help of a command, or a chapter of the manual",
		Long:    "help shows the help of a command, or a chapter of the manual: on the language, or on the command line. The topics are:\n\n  " + strings.Join(c.topics(), " "),
		Example: "  cbuild help build\n  cbuild help run      # the rule run and its attributes\n  cbuild help functions\n  cbuild help settings # what configuration files may hold",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return c.helpNames(root), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error { return c.help(root, args) },
	}
}

func (c *cli) help(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return root.Help()
	}
	if cmd, rest, err := root.Find(args); err == nil && cmd != root && len(rest) == 0 {
		return cmd.Help()
	}
	name := strings.Join(args, " ")
	text, ok := buildfile.Doc(name)
	for _, t := range c.chapters() {
		if t.name == name {
			text, ok = "# "+t.title+"\n\n"+t.text, true
		}
	}
	if !ok {
		return usagef("there is no command and no topic %q. %s", name, didYouMean(name, c.helpNames(root), "The topics are "+strings.Join(c.topics(), ", ")+"."))
	}
	_, err := fmt.Fprintln(c.stdout, strings.TrimRight(text, "\n"))
	return err
}

// topicsText holds the chapters on the command line, each begun by a line "@topic NAME TITLE". A line "@settings" stands for the table of
// settings.
//
//go:embed topics.md
var topicsText string

// A chapter is one of them.
type chapter struct{ name, title, text string }

func (c *cli) chapters() (all []chapter) {
	for part := range strings.SplitSeq("\n"+topicsText, "\n@topic ") {
		head, body, _ := strings.Cut(part, "\n")
		if name, title, ok := strings.Cut(head, " "); ok {
			all = append(all, chapter{name, title, strings.Replace(strings.TrimSpace(body)+"\n", "@settings\n", c.settingsTable(), 1)})
		}
	}
	return all
}

// topics lists the names of all chapters, on the language and on the command line.
func (c *cli) topics() []string {
	names := slices.Clone(buildfile.Topics())
	for _, t := range c.chapters() {
		names = append(names, t.name)
	}
	return names
}

// helpNames lists what there is help for.
func (c *cli) helpNames(root *cobra.Command) []string {
	names := c.topics()
	for _, cmd := range root.Commands() {
		if !cmd.Hidden {
			names = append(names, cmd.Name())
		}
	}
	return names
}
