package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cbuild/internal/buildfile"
)

// completeTargets offers the targets of the workspace to the shell, and the variables of the current package.
func (c *cli) completeTargets(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	w, _ := c.quietLoad()
	names, directive := labelsLike(w, toComplete), cobra.ShellCompDirectiveNoFileComp
	if w == nil || toComplete == "" {
		return names, directive
	}
	for _, v := range w.Variables() {
		if v.Dir == w.Package && strings.HasPrefix(v.Name, toComplete) {
			names = append(names, v.Name+"=\t"+v.Description)
			directive |= cobra.ShellCompDirectiveNoSpace
		}
	}
	return names, directive
}

// completeLabels offers the targets of the workspace to the shell.
func (c *cli) completeLabels(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	w, _ := c.quietLoad()
	return labelsLike(w, toComplete), cobra.ShellCompDirectiveNoFileComp
}

// labelsLike lists the targets whose labels begin so, as one would write them in the current directory.
func labelsLike(w *buildfile.Workspace, prefix string) (names []string) {
	if w == nil {
		return nil
	}
	for _, t := range w.Targets {
		name := t.Label.String()
		if t.Label.Dir == w.Package && !strings.HasPrefix(prefix, "/") {
			name = t.Label.Name
		}
		if strings.HasPrefix(name, prefix) {
			names = append(names, name+"\t"+t.Rule)
		}
	}
	return names
}

// completeChoice offers the words that a flag takes.
func completeChoice(f *pflag.Flag) cobra.CompletionFunc {
	return cobra.FixedCompletions(strings.Split(f.Value.Type(), "|"), cobra.ShellCompDirectiveNoFileComp)
}
