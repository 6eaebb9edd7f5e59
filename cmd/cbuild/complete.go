package main

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/history"
	"cbuild/internal/ui"
	"cbuild/rules/report"
)

// What the shell is offered comes from the files of the workspace and from the history: nothing is run and nobody is asked. What is wrong
// with the files is not shown; then there is nothing to offer.

// A completion is one word that the shell completes.
type completion struct {
	cli       *cli
	workspace *buildfile.Workspace
	word      string
	found     []string
	directive cobra.ShellCompDirective
}

// completing reads the workspace for a word behind args. Nobody has gone where -C says yet.
func (c *cli) completing(args []string, word string) *completion {
	x := &completion{cli: c, word: word, directive: cobra.ShellCompDirectiveNoFileComp}
	if c.chdir() != nil {
		return x
	}
	_, vars := splitVars(args)
	w, diags, err := c.read(vars)
	switch {
	case err != nil || w == nil:
	case !diags.HasErrors():
		x.workspace = w
	default:
		x.missing(w)
	}
	return x
}

// missing offers the variables that need a value before anything else can be known.
func (x *completion) missing(w *buildfile.Workspace) {
	for _, v := range w.Variables() {
		if v.Dir == w.Package && v.Missing {
			x.assignment(v, v.Name)
		}
	}
}

// done returns what was found, for cobra.
func (x *completion) done() ([]string, cobra.ShellCompDirective) { return x.found, x.directive }

// add offers a word, if it begins like the one that is completed.
func (x *completion) add(word, about string) {
	if strings.HasPrefix(word, x.word) {
		x.found = append(x.found, word+"\t"+ui.Text(about))
	}
}

// completeTargets offers targets, instances, patterns and variables to the shell.
func (c *cli) completeTargets(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	x := c.completing(args, word)
	if x.workspace != nil {
		x.labels()
		x.patterns()
		x.variables()
	}
	return x.done()
}

// completeLabels offers targets and instances to the shell.
func (c *cli) completeLabels(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	x := c.completing(args, word)
	if x.workspace != nil {
		x.labels()
	}
	return x.done()
}

// labels offers the targets, as one would write them in the current directory, and behind a bracket the instances of one.
func (x *completion) labels() {
	target, keys, instance := strings.Cut(x.word, "[")
	for _, t := range x.workspace.Targets {
		info := x.workspace.Info(t)
		for _, name := range x.names(t.Label) {
			switch {
			case !instance:
				x.add(name, strings.TrimRight(t.Rule+"  "+info.Description, " "))
			case name == target:
				x.instances(t, name, keys)
			}
		}
	}
}

// names returns how a target may be written, given what of it is there.
func (x *completion) names(l engine.Label) []string {
	switch here := l.Dir == x.workspace.Package; {
	case strings.HasPrefix(x.word, "/") || !here:
		return []string{l.String()}
	case strings.HasPrefix(x.word, ":"):
		return []string{":" + l.Name}
	}
	return []string{l.Name}
}

// maxOffered is how many instances are offered: nobody reads more.
const maxOffered = 500

// instances offers the instances of t, whose name is written, that the files say or that were built lately; begun is what is there of
// the keys.
func (x *completion) instances(t *engine.Target, name, begun string) {
	known := x.workspace.KnownKeys(t)
	given := strings.Split(begun, "][") // the last one is that which is completed
	dim := len(given) - 1
	if dim >= len(known) {
		return
	}
	keys := known[dim]
	if keys == nil {
		keys = x.built(t, given[:dim], given[dim])
	}
	front := name + "[" + strings.Join(append(slices.Clone(given[:dim]), ""), "][")
	for _, k := range keys {
		x.add(front+buildfile.QuoteKey(k)+"]", "")
		if len(x.found) == maxOffered {
			break
		}
	}
	if dim+1 < len(known) {
		x.directive |= cobra.ShellCompDirectiveNoSpace // the key of an axis may follow
	}
}

// built returns the keys in the dimension behind given, of the instances that the last build with any of t had, as far as they begin
// with prefix.
func (x *completion) built(t *engine.Target, given []string, prefix string) (keys []string) {
	dir, err := x.cli.historyDir(x.workspace.Root)
	if err != nil {
		return nil
	}
	const builds, results = 5, 50_000 // what is looked at
	seen := make(map[string]bool)
	for _, b := range history.Recent(dir, builds) {
		n := 0
		_ = history.Read(dir, b.ID, func(r history.Result) bool { // what can't be read is not offered
			n++
			if r.Target == t.Label.String() && len(r.Instance) > len(given) && slices.Equal(quoted(r.Instance[:len(given)]), given) {
				if k := r.Instance[len(given)]; !seen[k] && strings.HasPrefix(buildfile.QuoteKey(k), prefix) {
					seen[k] = true
					keys = append(keys, k)
				}
			}
			return n < results && len(keys) < maxOffered
		})
		if len(keys) > 0 {
			break
		}
	}
	slices.Sort(keys)
	return keys
}

func quoted(keys []string) (all []string) {
	for _, k := range keys {
		all = append(all, buildfile.QuoteKey(k))
	}
	return all
}

// patterns offers what names several targets, once it is begun.
func (x *completion) patterns() {
	if x.word == "" {
		return
	}
	x.add(setFailed, "what was no pass in the last build")
	x.add(setChanged, "what is out of date")
	tags, dirs := map[string]int{}, map[string]int{}
	for _, t := range x.workspace.Targets {
		for _, tag := range x.workspace.Info(t).Tags {
			tags["tag:"+tag]++
		}
		if strings.HasPrefix(x.word, "/") {
			dirs["//..."]++
			for dir := t.Label.Dir; dir != ""; dir = dir[:max(0, strings.LastIndex(dir, "/"))] {
				dirs["//"+dir+"/..."]++
			}
		}
	}
	for _, several := range []map[string]int{tags, dirs} {
		for _, pattern := range slices.Sorted(maps.Keys(several)) {
			x.add(pattern, counted(several[pattern], "target"))
		}
	}
}

// variables offers NAME= once it is begun, and then the values that are allowed.
func (x *completion) variables() {
	if x.word == "" {
		return
	}
	for _, v := range x.workspace.Variables() {
		name := v.Name
		if v.Dir != x.workspace.Package || strings.HasPrefix(x.word, "/") {
			name = "//" + v.Dir + ":" + v.Name
		}
		x.assignment(v, name)
	}
}

func (x *completion) assignment(v buildfile.Variable, name string) {
	if !strings.HasPrefix(x.word, name+"=") {
		before := len(x.found)
		x.add(name+"=", v.Description)
		if len(x.found) > before {
			x.directive |= cobra.ShellCompDirectiveNoSpace
		}
		return
	}
	for _, value := range v.Allowed {
		x.add(name+"="+value, "")
	}
}

// completeAssignment offers what --var takes.
func (c *cli) completeAssignment(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	x := c.completing(args, word)
	if x.workspace == nil {
		return x.done()
	}
	for _, v := range x.workspace.Variables() {
		if v.Dir == x.workspace.Package {
			x.assignment(v, v.Name)
		}
	}
	return x.done()
}

// completeBuilds offers the last builds.
func (c *cli) completeBuilds(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	x := c.completing(nil, word)
	x.directive |= cobra.ShellCompDirectiveKeepOrder
	if x.workspace == nil {
		return x.done()
	}
	dir, err := c.historyDir(x.workspace.Root)
	if err != nil {
		return x.done()
	}
	const offered = 20
	for i, b := range history.Recent(dir, offered) {
		about := fmt.Sprintf("%s  cbuild %s", ui.Counts(b.Counts), ui.ShellWords(b.Args...))
		x.add("@"+strconv.Itoa(i+1), about)
		if x.word != "" {
			x.add(b.ID, about)
		}
	}
	return x.done()
}

// completeClasses offers what --fail-on takes: classes, and commas between them.
func completeClasses(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	x := &completion{word: word, directive: cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace}
	front := word[:strings.LastIndex(word, ",")+1]
	for _, class := range report.Classes(true) {
		x.add(front+string(class), "")
	}
	return x.done()
}

// completeChoice offers the words that a flag takes.
func completeChoice(f *pflag.Flag) cobra.CompletionFunc {
	return cobra.FixedCompletions(strings.Split(f.Value.Type(), "|"), cobra.ShellCompDirectiveNoFileComp)
}

// completions says what the flags of cmd and of the commands below it take, and that words which are no files are none.
func (c *cli) completions(cmd *cobra.Command) {
	dirs := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		var complete cobra.CompletionFunc
		switch name := f.Name; {
		case name == "directory" || name == "cas" || name == "out":
			complete = dirs
		case name == "exclude":
			complete = c.completeTargets
		case name == "var":
			complete = c.completeAssignment
		case name == "fail-on":
			complete = completeClasses
		case strings.Contains(f.Value.Type(), "|"):
			complete = completeChoice(f)
		case f.Value.Type() == "N" || f.Value.Type() == "SIZE" || f.Value.Type() == "PERCENT":
			complete = cobra.NoFileCompletions
		default:
			return // files, or what has no value
		}
		_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // unless it has one
	})
	files := slices.Contains([]string{"fmt", "import"}, cmd.Name())
	if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil && !files {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		c.completions(sub)
	}
}

// bashScript completes in bash. That of cobra needs the package bash-completion, and completes nothing behind a bracket or a quote.
//
//go:embed completion.bash
var bashScript string

// completionScripts makes `completion bash` print ours, and gives the help of each shell an example.
func (c *cli) completionScripts(root *cobra.Command) {
	for shell, example := range map[string]string{
		"bash": "source <(cbuild completion bash)", "zsh": "source <(cbuild completion zsh)", "fish": "cbuild completion fish | source",
		"powershell": "cbuild completion powershell | Out-String | Invoke-Expression",
	} {
		cmd, _, err := root.Find([]string{"completion", shell})
		if err != nil {
			continue // there are no completions
		}
		cmd.Short = "Print the completions of " + shell
		cmd.Long = "In a shell that runs, the example reads them; " + map[string]string{
			"bash":       "in each new one, the same line in ~/.bashrc, or the file\n~/.local/share/bash-completion/completions/cbuild if the package bash-completion is there.",
			"zsh":        "in each new one, the file _cbuild in a directory of $fpath, before compinit is called.",
			"fish":       "in each new one, the file ~/.config/fish/completions/cbuild.fish.",
			"powershell": "in each new one, the same line in the file that $PROFILE names.",
		}[shell]
		cmd.Example = "  " + example
		if shell == "bash" {
			cmd.RunE = c.printBashScript
		}
	}
	if cmd, _, err := root.Find([]string{"completion"}); err == nil {
		cmd.Short = "Print a script that makes a shell complete commands and targets"
		cmd.Long = "completion prints a script for a shell. With it, the shell offers commands, flags and what they take, and of the workspace as it is now: targets,\n" +
			"instances, tags, variables and the values that they may have, and past builds. Nothing is run for that, and nobody is asked."
		cmd.Example = "  source <(cbuild completion bash)"
	}
}

func (c *cli) printBashScript(cmd *cobra.Command, _ []string) error {
	request := cobra.ShellCompRequestCmd
	if without, err := cmd.Flags().GetBool("no-descriptions"); err == nil && without {
		request = cobra.ShellCompNoDescRequestCmd
	}
	_, err := fmt.Fprint(c.stdout, strings.Replace(bashScript, "COMPLETE", request, 1))
	return err
}
