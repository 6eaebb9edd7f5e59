package main

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cbuild/internal/buildfile"
	"cbuild/internal/typo"
)

// flags are those of all verbs.
type flags struct {
	dir         string
	events      string
	eventsLevel string
	verbose     int

	file     string
	vars     []string
	varFiles []string

	exclude   []string
	stopFirst bool
	keepGoing bool
	silent    bool
	again     bool
	check     float64
	locked    bool
	offline   bool
	frozen    bool
	out       string
	dryRun    bool
	question  bool
	failOn    string
	limit     int
	sample    int
	profile   string

	// What belongs to the machine, and can be set elsewhere, too.
	jobs        int
	cas         string
	durability  string
	keep        int64
	window      int
	diskAhead   int64
	connections int
	sandbox     string
	progress    string
	color       string
}

// globalFlags adds the flags of all verbs.
func (c *cli) globalFlags(root *cobra.Command) {
	c.machineFlags()
	f := root.PersistentFlags()
	f.StringVarP(&c.flags.dir, "directory", "C", "", "change to this `DIR` first")
	f.StringVar(&c.flags.events, "events", "", "write what happens to this `FILE`, as NDJSON; - is standard output")
	c.flags.eventsLevel = "all"
	f.Var(oneOf(&c.flags.eventsLevel, "all", "run"), "events-level", "all, or run: without what was cached")
	f.CountVarP(&c.flags.verbose, "verbose", "v", "show each command; -vv keys, too")
	for _, name := range []string{"cas", "progress", "color", "durability", "keep"} {
		f.AddFlag(c.machine.Lookup(name))
	}
}

// machineFlags makes the flags that say something about the machine, and nothing about what is built: no key depends on them, so
// that configuration files may set them.
func (c *cli) machineFlags() {
	c.flags.jobs, c.flags.diskAhead, c.flags.connections = runtime.NumCPU(), 4<<30, 16
	c.flags.durability, c.flags.progress, c.flags.color = "group", "auto", "auto"
	c.flags.sandbox = "full"
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.StringVar(&c.flags.cas, "cas", "", "the store lies in this `DIR`")
	f.VarP(atLeast(&c.flags.jobs, 1), "jobs", "j", "how many actions run at a time; without N, as many as there are processors")
	f.Lookup("jobs").NoOptDefVal = strconv.Itoa(runtime.NumCPU())
	f.Var(oneOf(&c.flags.durability, "group", "none"), "durability", "group, or none: whether a power cut may cost finished work")
	f.Var(&size{&c.flags.keep}, "keep", "the `SIZE` that the store may have; a fifth of the disk, at most 50GB, by default")
	f.Var(atLeast(&c.flags.window, 1), "window", "how far targets may run ahead of those that read them")
	f.Var(&size{&c.flags.diskAhead}, "disk-ahead", "how many bytes may lie downloaded and unread")
	f.Var(atLeast(&c.flags.connections, 1), "connections", "how many requests are under way at a time, in all and to one host")
	f.Var(oneOf(&c.flags.progress, "auto", "tty", "plain", "json", "none"), "progress", "auto, tty, plain, json or none")
	f.Var(oneOf(&c.flags.sandbox, "full", "none", "require"), "sandbox", "full: a run sees only what it declared, if this machine can do that; require: or nothing is built; none")
	f.Var(oneOf(&c.flags.color, "auto", "always", "never"), "color", "auto, always or never")
	for _, hidden := range []string{"window", "disk-ahead", "connections", "durability", "keep"} {
		_ = f.MarkHidden(hidden)
	}
	c.machine = f
}

// loadFlags adds the flags of verbs that read BUILD.hcl.
func (c *cli) loadFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&c.flags.file, "file", "f", "", "read this `FILE` instead of BUILD.hcl")
	f.StringArrayVar(&c.flags.vars, "var", nil, "set a variable, as `NAME=VALUE`")
	f.StringArrayVar(&c.flags.varFiles, "var-file", nil, "set the variables that this `FILE` assigns, as NAME = VALUE")
}

// buildFlags adds the flags of build.
func (c *cli) buildFlags(cmd *cobra.Command) {
	c.loadFlags(cmd)
	f := cmd.Flags()
	for _, name := range []string{"jobs", "sandbox", "window", "disk-ahead", "connections"} {
		f.AddFlag(c.machine.Lookup(name))
	}
	f.BoolVarP(&c.flags.stopFirst, "stop", "S", false, "stop at the first failure")
	f.BoolVarP(&c.flags.keepGoing, "keep-going", "k", false, "keep going after failures (the default)")
	f.StringArrayVar(&c.flags.exclude, "exclude", nil, "leave out what this `PATTERN` names")
	f.BoolVarP(&c.flags.silent, "silent", "s", false, "show no progress")
	f.BoolVarP(&c.flags.dryRun, "dry-run", "n", false, "print for each target what is cached and what would run")
	f.BoolVarP(&c.flags.question, "question", "q", false, "print nothing; exit 1 if something would run")
	f.StringVar(&c.flags.failOn, "fail-on", "", "exit 1 if a report has rows of these `CLASSES`, as in regressed,inconclusive:1%")
	f.Var(atLeast(&c.flags.limit, 1), "limit", "take only the first N items of each query")
	f.Var(atLeast(&c.flags.sample, 1), "sample", "take only N items of each query, always the same")
	f.BoolVarP(&c.flags.again, "always-make", "B", false, "run everything again")
	f.Var((*percentage)(&c.flags.check), "check", "run what is cached once more, or PERCENT of it, and say what comes out otherwise")
	f.Lookup("check").NoOptDefVal = "100"
	f.BoolVar(&c.flags.locked, "locked", false, "fail if the lock file would change")
	f.BoolVar(&c.flags.offline, "offline", false, "do not use the network")
	f.BoolVar(&c.flags.frozen, "frozen", false, "both --locked and --offline")
	f.StringVarP(&c.flags.out, "out", "o", "", "publish outputs in this `DIR` instead of cbuild-out")
	f.StringVar(&c.flags.profile, "profile", "", "write what was executed, and when, to this `FILE`, for ui.perfetto.dev; compressed if it ends in .gz")
	addLaterFlags(f)
}

// A choice is the value of a flag that takes one of some words.
type choice struct {
	value *string
	words []string
}

func oneOf(value *string, words ...string) *choice { return &choice{value, words} }

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return strings.Join(c.words, "|") }

// Set is pflag.Value's.
func (c *choice) Set(s string) error {
	for _, w := range c.words {
		if w == s {
			*c.value = s
			return nil
		}
	}
	return errors.New(didYouMean(s, c.words, "want "+strings.Join(c.words, ", ")))
}

// A count is the value of a flag that takes a number, at least the least.
type count struct {
	value *int
	least int
}

func atLeast(value *int, least int) *count { return &count{value, least} }

func (n *count) String() string { return strconv.Itoa(*n.value) }
func (n *count) Type() string   { return "N" }

// Set is pflag.Value's.
func (n *count) Set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil || v < n.least {
		return fmt.Errorf("want a number, at least %d", n.least)
	}
	*n.value = v
	return nil
}

// A size is the value of a flag that takes a number of bytes.
type size struct{ value *int64 }

func (s *size) String() string { return strconv.FormatInt(*s.value, 10) }
func (s *size) Type() string   { return "SIZE" }

var (
	sizeForm  = regexp.MustCompile(`(?i)^([0-9]{1,18})(?:\.([0-9]))? ?(?:([KMGT])(i?)B?|B)?$`)
	sizeUnits = map[string]int64{"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
)

// Set is pflag.Value's. It takes 300GB, 1.5GiB or 1048576.
func (s *size) Set(text string) error {
	m := sizeForm.FindStringSubmatch(text)
	if m == nil {
		return errors.New("want a size such as 300GB or 4GiB")
	}
	base := int64(1000)
	if m[4] != "" {
		base = 1024
	}
	unit := int64(1)
	for range sizeUnits[strings.ToUpper(m[3])] {
		unit *= base
	}
	whole, _ := strconv.ParseInt(m[1], 10, 64) // digits
	tenths, _ := strconv.ParseInt("0"+m[2], 10, 64)
	const most = 1 << 62
	if whole > most/unit {
		return errors.New("that is more than any disk holds")
	}
	*s.value = whole*unit + tenths*unit/10
	return nil
}

// joinJobs writes -jN and -j N as -j=N. A bare -j takes the next argument only if that is a number, as in make: "-j report" means as many
// jobs as there are processors, and builds report. Other short flags may stand before the j.
func joinJobs(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return append(out, args[i:]...)
		}
		if m := jobsFlag.FindStringSubmatch(a); m != nil {
			if m[2] != "" {
				a = m[1] + "=" + m[2]
			} else if i+1 < len(args) && number.MatchString(args[i+1]) {
				i++
				a += "=" + args[i]
			}
		}
		out = append(out, a)
	}
	return out
}

var (
	jobsFlag = regexp.MustCompile(`^(-[kSsnqBv]*j|--jobs)(-?[0-9]*)$`)
	number   = regexp.MustCompile(`^-?[0-9]+$`)
)

// flagError says what is wrong with a flag, and which one was meant.
func flagError(cmd *cobra.Command, err error) error {
	var later *laterError
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &later):
		return &statusError{exitUsage, later}
	case errors.As(err, &invalid):
		name := "--" + invalid.GetFlag().Name
		if s := invalid.GetFlag().Shorthand; s != "" {
			name = "-" + s + ", " + name
		}
		return usagef("%s: %q: %w", name, invalid.GetValue(), errors.Unwrap(invalid))
	case errors.As(err, &unknown):
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, "--"+f.Name)
			}
		})
		given := unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			return usagef("%v: %s", err, "cbuild help "+strings.TrimPrefix(cmd.CommandPath(), "cbuild ")+" lists them")
		}
		return usagef("unknown flag --%s. %s", given, didYouMean("--"+given, names, "cbuild help lists them."))
	}
	return &statusError{exitUsage, err}
}

// didYouMean suggests the candidate that given was probably meant to be, or says otherwise.
func didYouMean(given string, candidates []string, otherwise string) string {
	best, least := "", max(2, len(given)/3)+1
	for _, c := range candidates {
		if d := typo.Distance(given, c); d < least && d < max(len(given), len(c)) {
			best, least = c, d
		}
	}
	if best == "" {
		return otherwise
	}
	return fmt.Sprintf("Did you mean %q?", best)
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

// A percentage is the value of a flag that takes more than 0 and at most 100, with or without a percent sign.
type percentage float64

func (p *percentage) Type() string { return "PERCENT" }

func (p *percentage) String() string {
	if *p == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*p), 'g', -1, 64)
}

// Set is pflag.Value's.
func (p *percentage) Set(s string) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || !(n > 0 && n <= 100) {
		return errors.New("want a number from 0 to 100, as in 10 or 0.5%")
	}
	*p = percentage(n)
	return nil
}
