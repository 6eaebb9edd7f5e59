package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cbuild/internal/buildfile"
)

// helpCommand shows the help of a command, or a chapter on the language: what docs/cli.md and docs/language.md hold.
func (c *cli) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND or TOPIC]",
		Short:   "Show the help of a command, or a chapter on the language",
		Long:    "help shows the help of a command, or a chapter on the language. The topics are:\n\n  " + strings.Join(topics(), " "),
		Example: "  cbuild help build\n  cbuild help run      # the rule run and its attributes\n  cbuild help functions\n  cbuild help settings # what configuration files may hold",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return helpNames(root), cobra.ShellCompDirectiveNoFileComp
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
	if name == settingsTopic {
		text, ok = "# Settings\n\n"+c.settingsTable(), true
	}
	if !ok {
		return usagef("there is no command and no topic %q. %s", name, didYouMean(name, helpNames(root), "The topics are "+strings.Join(topics(), ", ")+"."))
	}
	_, err := fmt.Fprintln(c.stdout, strings.TrimRight(text, "\n"))
	return err
}

// settingsTopic is the chapter on what configuration files may hold.
const settingsTopic = "settings"

// topics lists the chapters.
func topics() []string { return append(slices.Clone(buildfile.Topics()), settingsTopic) }

// helpNames lists what there is help for.
func helpNames(root *cobra.Command) []string {
	names := topics()
	for _, cmd := range root.Commands() {
		if !cmd.Hidden {
			names = append(names, cmd.Name())
		}
	}
	return names
}
