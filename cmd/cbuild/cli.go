package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cbuild/internal/buildfile"
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
	args   []string
	stdout *output
	stderr io.Writer
	env    func(string) (string, bool)
	flags  flags
}

// flags are those of all verbs and of build.
type flags struct {
	jobs        int
	dir         string
	file        string
	cas         string
	events      string
	eventsLevel string
	progress    string
	color       string
	verbose     int
	vars        []string
	exclude     []string
	stopFirst   bool
	keepGoing   bool
	silent      bool
	again       bool
	locked      bool
	offline     bool
	frozen      bool
	out         string
	dryRun      bool
	question    bool
	failOn      string
	limit       int
	sample      int
	window      int
	diskAhead   int64
	connections int
}

func (c *cli) main() (status int) {
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(c.stderr, "Error: cbuild has a bug: %v\n%s", v, debug.Stack())
			status = exitBug
		}
	}()
	args, err := splitJobs(c.args)
	if err == nil {
		root := c.root()
		root.SetArgs(args)
		err = root.Execute()
	}
	if werr := c.stdout.failed(); werr != nil && slices.Index(precedence, statusOf(err)) > slices.Index(precedence, exitTrouble) {
		err = &statusError{exitTrouble, fmt.Errorf("standard output could not be written: %w", werr)}
	}
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

// splitJobs rewrites -j, which takes the next argument only if that is a number: as in make, "-j report" means as many jobs as
// there are processors.
func splitJobs(args []string) ([]string, error) {
	var out []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return append(out, args[i:]...), nil
		}
		if a != "-j" && a != "--jobs" {
			out = append(out, a)
			continue
		}
		n := strconv.Itoa(runtime.NumCPU())
		if i+1 < len(args) {
			if _, err := strconv.Atoi(args[i+1]); err == nil {
				i++
				n = args[i]
			}
		}
		out = append(out, "--jobs="+n)
	}
	return out, nil
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "cbuild [build] [TARGET…] [NAME=VALUE…]",
		Short: "Build targets described in BUILD.hcl",
		Long: `cbuild builds targets described in BUILD.hcl: it downloads, runs, and collates, does each thing once, and never again
unless something that it depends on changed. Without TARGET it builds the default targets.`,
		Args:              cobra.ArbitraryArgs,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return c.chdir() },
		RunE:              func(_ *cobra.Command, args []string) error { return c.build(args) },
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	f := root.PersistentFlags()
	f.StringVarP(&c.flags.dir, "directory", "C", "", "change to this directory first")
	f.StringVar(&c.flags.cas, "cas", "", "directory of the store")
	f.StringVar(&c.flags.events, "events", "", "write what happens to this file, as NDJSON; - is standard output")
	f.StringVar(&c.flags.eventsLevel, "events-level", "all", "all, or run: without what was cached")
	f.StringVar(&c.flags.progress, "progress", "auto", "auto, tty, plain, json or none")
	f.StringVar(&c.flags.color, "color", "auto", "auto, always or never")
	f.CountVarP(&c.flags.verbose, "verbose", "v", "show each start; -vv keys, too")
	c.buildFlags(root)
	build := &cobra.Command{
		Use:   "build [TARGET…] [NAME=VALUE…]",
		Short: "Build targets (the default verb)",
		RunE:  func(_ *cobra.Command, args []string) error { return c.build(args) },
	}
	c.buildFlags(build)
	root.AddCommand(build, c.listCommand(), c.logCommand(), c.explainCommand(), c.showCommand(), c.graphCommand(), c.whyCommand(), c.historyCommand(), c.diffCommand(), c.execCommand(), c.initCommand(), c.cleanCommand(), c.casCommand(), c.updateCommand(), c.fmtCommand(), c.validateCommand(), c.versionCommand())
	root.ValidArgsFunction, build.ValidArgsFunction = c.completeLabels, c.completeLabels
	return root
}

// buildFlags adds the flags of build.
func (c *cli) buildFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVarP(&c.flags.jobs, "jobs", "j", runtime.NumCPU(), "how many actions run at a time")
	f.StringVarP(&c.flags.file, "file", "f", "", "read this file instead of BUILD.hcl")
	f.BoolVarP(&c.flags.stopFirst, "stop", "S", false, "stop at the first failure")
	f.BoolVarP(&c.flags.keepGoing, "keep-going", "k", false, "keep going after failures (the default)")
	f.StringArrayVar(&c.flags.exclude, "exclude", nil, "leave out what this pattern names")
	f.BoolVarP(&c.flags.silent, "silent", "s", false, "show no progress")
	f.BoolVarP(&c.flags.dryRun, "dry-run", "n", false, "print for each target what is cached and what would run")
	f.BoolVarP(&c.flags.question, "question", "q", false, "print nothing; exit 1 if something would run")
	f.StringVar(&c.flags.failOn, "fail-on", "", "exit 1 if a report has such rows, as in regressed,inconclusive:1%")
	f.IntVar(&c.flags.limit, "limit", 0, "take only the first N items of each query")
	f.IntVar(&c.flags.sample, "sample", 0, "take only N items of each query, always the same")
	f.BoolVarP(&c.flags.again, "always-make", "B", false, "run everything again")
	f.StringArrayVar(&c.flags.vars, "var", nil, "set a variable, as NAME=VALUE")
	f.BoolVar(&c.flags.locked, "locked", false, "fail if the lock file would change")
	f.BoolVar(&c.flags.offline, "offline", false, "do not use the network")
	f.BoolVar(&c.flags.frozen, "frozen", false, "both --locked and --offline")
	f.StringVarP(&c.flags.out, "out", "o", "", "publish outputs in this directory instead of cbuild-out")
	f.IntVar(&c.flags.window, "window", 0, "how far targets may run ahead of those that read them")
	f.Int64Var(&c.flags.diskAhead, "disk-ahead", 4<<30, "how many bytes may lie downloaded and unread")
	f.IntVar(&c.flags.connections, "connections", 16, "how many connections are open at a time")
	for _, hidden := range []string{"window", "disk-ahead", "connections"} {
		f.MarkHidden(hidden)
	}
}

// chdir checks the flags of all verbs, and goes where -C says.
func (c *cli) chdir() error {
	for _, f := range []struct {
		name, value string
		allowed     []string
	}{
		{"events-level", c.flags.eventsLevel, []string{"all", "run"}},
		{"progress", c.flags.progress, []string{"auto", "tty", "plain", "json", "none"}},
		{"color", c.flags.color, []string{"auto", "always", "never"}},
	} {
		if !slices.Contains(f.allowed, f.value) {
			return usagef("--%s=%s: want %s", f.name, f.value, strings.Join(f.allowed, ", "))
		}
	}
	if c.flags.jobs < 1 {
		return usagef("-j %d: want at least 1", c.flags.jobs)
	}
	if c.flags.dir == "" {
		return nil
	}
	if err := os.Chdir(c.flags.dir); err != nil {
		return usagef("-C: %w", err)
	}
	return nil
}

// splitVars separates NAME=VALUE from targets.
func splitVars(args []string) (targets []string, vars []buildfile.VarAssignment) {
	for _, a := range args {
		if v, ok := buildfile.ParseVar(a); ok && !strings.HasPrefix(a, "tag:") {
			vars = append(vars, v)
		} else {
			targets = append(targets, a)
		}
	}
	return targets, vars
}
