package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cbuild/engine"
)

// The exit statuses, in the order of LANGUAGE.md: 0 done; 1 something asked for is not a pass; 2 usage, BUILD.hcl or lock; 3 trouble,
// the same command resumes; 70 a bug; 130 and 143 signals.
const (
	exitDone      = 0
	exitFailed    = 1
	exitUsage     = 2
	exitTrouble   = 3
	exitBug       = 70
	exitInterrupt = 130
	exitTerminate = 143
)

// A statusError ends the command with a status. Its text, if any, is shown as an error.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}
func (e *statusError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &statusError{exitUsage, fmt.Errorf(format, args...)}
}

// cli is one call of the command.
type cli struct {
	args       []string
	stdout     *output
	stderr     io.Writer
	env        func(string) (string, bool)
	flags      flags
	machine    *pflag.FlagSet // those flags that configuration files and the environment may set
	configured bool
	umask      int            // of who called us
	github     *github        // nil elsewhere
	caught     chan os.Signal // of watch, whose signals are those of each of its builds; else nil
	builds     int            // that began to write events
}

func (c *cli) main() int {
	defer c.bug()
	root := c.root()
	root.SetArgs(joinJobs(c.args))
	return c.say(c.written(root.Execute()))
}

// say shows an error, unless its text was shown already, and returns the status that it stands for.
func (c *cli) say(err error) int {
	var s *statusError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &s):
	default:
		s = &statusError{exitUsage, err} // what cobra finds wrong with the words
	}
	if text := s.Error(); text != "" {
		fmt.Fprintf(c.stderr, "Error: %s\n", strings.TrimSuffix(text, "\n"))
	}
	return s.status
}

// bug, deferred at the end of a goroutine, ends the process with its own status if there was a panic: the runtime's is that of a mistake
// in BUILD.hcl. What was stored so far is whole, and commands end with the process.
func (c *cli) bug() {
	if v := recover(); v != nil {
		fmt.Fprintf(c.stderr, "Error: this is a bug in cbuild, please report it: %v\n%s", v, debug.Stack())
		os.Exit(exitBug)
	}
}

// A guarded observer is called from goroutines of the engine, whose panics are ours.
type guarded struct {
	engine.Observer
	cli *cli
}

// Observe is engine.Observer's.
func (g *guarded) Observe(e engine.Event) {
	defer g.cli.bug()
	g.Observer.Observe(e)
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "cbuild [build] [TARGET…] [NAME=VALUE…]",
		Short: "Build targets described in BUILD.hcl",
		Long: `cbuild builds targets described in BUILD.hcl: it downloads, runs, and collates, does each thing once, and never again
unless something that it depends on changed. Without TARGET it builds the default targets.`,
		Example: `  cbuild                              what nobody else needs
  cbuild report -j8                   one target, eight actions at a time
  cbuild 'check[serde-*][before]'     some instances
  cbuild -n report edition=2024       what would run, and why
  cbuild report --fail-on=regressed   for CI`,
		Args:              cobra.ArbitraryArgs,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return c.chdir() },
		RunE:              func(_ *cobra.Command, args []string) error { return c.build(args) },
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	c.globalFlags(root)
	c.buildFlags(root)
	build := &cobra.Command{
		Use:   "build [TARGET…] [NAME=VALUE…]",
		Short: "Build targets (the default verb)",
		Long:  "build evaluates targets and what they need, publishes them in cbuild-out, and prints where. It is what cbuild does without a verb.",
		Example: `  cbuild build //... --exclude tag:slow
  cbuild build report --offline
  cbuild build -q report || echo out of date`,
		RunE: func(_ *cobra.Command, args []string) error { return c.build(args) },
	}
	c.buildFlags(build)
	root.ValidArgsFunction, build.ValidArgsFunction = c.completeTargets, c.completeTargets
	root.AddCommand(
		build, c.watchCommand(), c.listCommand(), c.logCommand(), c.explainCommand(), c.showCommand(), c.graphCommand(), c.whyCommand(), c.historyCommand(), c.diffCommand(), c.serveCommand(),
		c.execCommand(), c.reproCommand(),
		c.initCommand(), c.cleanCommand(), c.casCommand(), c.doctorCommand(), c.manCommand(root), c.updateCommand(), c.fmtCommand(), c.validateCommand(), c.evalCommand(), c.versionCommand(),
	)
	root.InitDefaultCompletionCmd()
	c.completionScripts(root)
	for _, cmd := range root.Commands() {
		if cmd.HasSubCommands() {
			cmd.Args, cmd.RunE = cobra.ArbitraryArgs, subcommand
		}
	}
	root.SetHelpCommand(c.helpCommand(root))
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { _ = c.showManual(c.commandHelp(cmd)) }) // main looks at what was written
	c.completions(root)
	root.SetFlagErrorFunc(flagError)
	tellUsage(root)
	return root
}

// tellUsage makes commands say how they are called to those who give them too few words or too many.
func tellUsage(cmd *cobra.Command) {
	if wrong := cmd.Args; wrong != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := wrong(cmd, args); err == nil {
				return nil
			}
			return usagef("it is called as %s; for more: cbuild help %s", strings.TrimSuffix(cmd.UseLine(), " [flags]"), strings.TrimPrefix(cmd.CommandPath(), "cbuild "))
		}
	}
	for _, sub := range cmd.Commands() {
		tellUsage(sub)
	}
}

// subcommand is what a command does that has others below it and is called without one of them.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return usagef("%s has no command %q. %s", cmd.CommandPath(), args[0], didYouMean(args[0], names, "It has "+strings.Join(names, ", ")+"."))
}

// chdir goes where -C says, once.
func (c *cli) chdir() error {
	if c.flags.dir == "" {
		return nil
	}
	if err := os.Chdir(c.flags.dir); err != nil {
		return usagef("-C: %w", err)
	}
	c.flags.dir = ""
	return nil
}
