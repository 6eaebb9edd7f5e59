package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"cbuild/internal/buildfile"
	"cbuild/internal/manual"
)

// helpCommand shows the help of a command, or a chapter on the language or on the command line: what docs/cli.md and docs/language.md hold.
func (c *cli) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND or TOPIC]",
		Short:   "Show the help of a command, or a chapter of the manual",
		Long:    "help shows the help of a command, or a chapter of the manual: on the language, or on the command line. Lines are as long as the terminal's, at most 100 columns; elsewhere they have 80. The topics are:\n\n" + strings.Join(c.topics(), " "),
		Example: "  cbuild help build\n  cbuild help run      # the rule run and its attributes\n  cbuild help functions\n  cbuild help settings # what configuration files may hold",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return c.helpNames(root), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error { return c.help(root, args) },
	}
}

func (c *cli) help(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.showManual(c.commandHelp(root))
	}
	if cmd, rest, err := root.Find(args); err == nil && cmd != root && len(rest) == 0 {
		return c.showManual(c.commandHelp(cmd))
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
	return c.showManual(text)
}

// showManual prints Markdown as wide as the terminal, within reason.
func (c *cli) showManual(markdown string) error {
	width := 80
	if f, ok := c.stdout.to.(interface{ Fd() uintptr }); ok && c.stdout.terminal {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			width = min(w, 100)
		}
	}
	_, err := fmt.Fprint(c.stdout, manual.Text(markdown, width))
	return err
}

// groups are those of the commands, by what somebody is about to do.
var groups = []struct {
	title string
	verbs []string
}{
	{"Build", []string{"build", "watch", "exec", "repro"}},
	{"Look", []string{"list", "show", "graph", "why", "explain", "log", "history", "diff", "serve", "eval"}},
	{"Change", []string{"init", "fmt", "validate", "update", "clean"}},
	{"Store", []string{"cas"}},
	{"Machine", []string{"doctor", "completion", "man", "version", "help"}},
}

// commandHelp is what help says of a command, as Markdown.
func (c *cli) commandHelp(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "```\n%s\n```\n\n%s", synopsis(cmd), description(cmd))
	section(&b, "Examples", examples(cmd))
	if !cmd.HasParent() {
		section(&b, "", groupedCommands(cmd, "# "))
		section(&b, "Topics", strings.Join(c.topics(), " "))
		section(&b, "Flags of all commands", flagList(cmd.PersistentFlags()))
		section(&b, "", "`cbuild help COMMAND` and `cbuild help TOPIC` say more; the flags of a build stand in `cbuild help build`.\n")
		return b.String()
	}
	section(&b, "Commands", commandList(cmd.Commands()))
	section(&b, "Flags", flagList(cmd.LocalNonPersistentFlags()))
	section(&b, "Flags of all commands", flagList(cmd.InheritedFlags()))
	return b.String()
}

// section writes a section, if there is something in it.
func section(b *strings.Builder, title, text string) {
	if text == "" {
		return
	}
	b.WriteString("\n")
	if title != "" {
		b.WriteString("# " + title + "\n\n")
	}
	b.WriteString(strings.TrimRight(text, "\n") + "\n")
}

// groupedCommands lists the commands below cmd, each group under a heading of its own.
func groupedCommands(cmd *cobra.Command, level string) string {
	var b strings.Builder
	for _, g := range groups {
		var all []*cobra.Command
		for _, verb := range g.verbs {
			if sub, _, err := cmd.Find([]string{verb}); err == nil && sub != cmd {
				all = append(all, sub)
			}
		}
		fmt.Fprintf(&b, "%s%s\n\n%s\n", level, g.title, commandList(all))
	}
	return b.String()
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
