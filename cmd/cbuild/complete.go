package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completeTargets offers the targets of the workspace to the shell, and the variables of the current package.
func (c *cli) completeTargets(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	names, directive := c.completeLabels(nil, nil, toComplete)
	w, _ := c.quietLoad()
	if w == nil {
		return names, directive
	}
	for _, v := range w.Variables() {
		if v.Dir == w.Package && toComplete != "" && strings.HasPrefix(v.Name, toComplete) {
			names = append(names, v.Name+"=\t"+v.Description)
			directive |= cobra.ShellCompDirectiveNoSpace
		}
	}
	return names, directive
}

// completeLabels offers the targets of the workspace to the shell.
func (c *cli) completeLabels(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	w, _ := c.quietLoad()
	if w == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, t := range w.Targets {
		name := t.Label.String()
		if t.Label.Dir == w.Package && !strings.HasPrefix(toComplete, "/") {
			name = t.Label.Name
		}
		if strings.HasPrefix(name, toComplete) {
			names = append(names, name+"\t"+t.Rule)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeChoice offers the words that a flag takes.
func completeChoice(f *pflag.Flag) cobra.CompletionFunc {
	return cobra.FixedCompletions(strings.Split(f.Value.Type(), "|"), cobra.ShellCompDirectiveNoFileComp)
}
