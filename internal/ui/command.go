package ui

import (
	"strings"

	"cbuild/engine"
)

// Command shows a command that is about to be executed, as a shell would take it. Where it runs is written as $PWD, its script as
// script.
func (c *Console) Command(cmd *engine.Command) {
	words := make([]string, len(cmd.Argv))
	for i, a := range cmd.Argv {
		words[i] = engine.Legible(a)
	}
	line := cmd.Name + ": " + ShellWords(words...)
	if cmd.Dir != "" {
		line += " (in " + cmd.Dir + ")"
	}
	script := strings.TrimRight(engine.Legible(cmd.Script), "\n")
	if script != "" {
		line += "\n  " + strings.ReplaceAll(script, "\n", "\n  ")
	}
	c.print(clean(line))
}
