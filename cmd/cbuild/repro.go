package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/internal/clock"
	"cbuild/internal/sandbox"
	"cbuild/internal/ui"
)

func (c *cli) reproCommand() *cobra.Command {
	print := false
	cmd := &cobra.Command{
		Use: "repro TARGET[INSTANCE] [NAME=VALUE…]", Short: "Look around where a run runs: a shell with its inputs, sandbox and environment",
		Long: `repro builds what a run needs and opens a shell in exactly its directory, with its inputs, toolchains, environment, network and sandbox. It
says how the command is run there; nothing that is done there is stored, and it is gone when the shell ends, whose status is that of cbuild. The
shell is that of the run's script, else /bin/sh. Standard input may also be a file or a pipe with commands.`,
		Example: "  cbuild repro link\n  cbuild repro 'check[serde-1.0.210][before]'\n  echo 'ls -lR' | cbuild repro link\n  cbuild repro --print link",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: c.completeTargets,
		RunE: func(_ *cobra.Command, args []string) error { return c.repro(args, print) },
	}
	c.buildFlags(cmd)
	cmd.Flags().BoolVar(&print, "print", false, "print the command with its directory and environment, and run nothing but what it needs")
	return cmd
}

// repro prepares the instance that args name, and gives it to people.
func (c *cli) repro(args []string, print bool) error {
	if c.flags.dryRun || c.flags.question {
		return c.dry(args)
	}
	s, selected, err := c.choose(args)
	if err != nil {
		return err
	}
	defer s.close()
	if len(selected) != 1 || selected[0].Target.Rule != "run" {
		return usagef("repro is for one instance of a run")
	}
	t := selected[0].Target
	if selected[0].Match == nil && (t.Repeated || len(t.Axes) > 0) {
		return usagef("%s is repeated: say which instance, as in '%s[KEY]'. They are listed by cbuild show %[1]s", t.Label.Name, t.Label.Name)
	}
	p := &reproduction{run: &run{session: s, began: clock.System.Elapsed()}, selection: selected[0], print: print}
	closeEvents, err := p.observe()
	if err != nil {
		return err
	}
	defer closeEvents()
	defer p.close()
	if err := p.build(); err != nil {
		return err
	}
	if print {
		fmt.Fprint(c.stdout, sandbox.Listing(p.command, ui.ShellWords))
		return nil
	}
	return p.interact()
}

// A reproduction is a build that ends where a command would begin.
type reproduction struct {
	*run
	selection buildfile.Selection
	print     bool

	mu      sync.Mutex
	name    string          // guarded by mu; of the instance
	another string          // guarded by mu; one that was named, too
	command *engine.Command // guarded by mu
	stage   *sandbox.Stage  // guarded by mu; nil if it is only printed
}

// build builds what the command needs.
func (p *reproduction) build() error {
	t := *p.selection.Target
	t.Plan = p.plan(t.Plan)
	for i := range p.workspace.Targets {
		if p.workspace.Targets[i] == p.selection.Target {
			p.workspace.Targets[i] = &t
		}
	}
	p.selection.Target = &t
	p.selected = []buildfile.Selection{p.selection}
	p.runtime.Executor = &stagingExecutor{p.runtime.Executor, p}
	p.prepare()
	p.perform([]engine.Want{p.selection.Want()})
	p.keep()
	for _, problem := range p.problems {
		p.console.Note("error", problem.Error())
	}
	if p.another != "" {
		return usagef("repro is for one instance of a run: both %s and %s are named", min(p.name, p.another), max(p.name, p.another))
	}
	if p.command != nil {
		return nil
	}
	if err := p.status(); err != nil {
		return err
	}
	return &statusError{exitFailed, fmt.Errorf("%s has no such instance", t.InstanceName("", nil))}
}

// plan makes the instance that was asked for one whose result is stored under no key. The others of its row are of no interest.
func (p *reproduction) plan(plan func(context.Context, engine.View, engine.Instance) (*engine.Plan, error)) func(context.Context, engine.View, engine.Instance) (*engine.Plan, error) {
	return func(ctx context.Context, v engine.View, i engine.Instance) (*engine.Plan, error) {
		if !p.selection.Includes(i.Key, i.Axes) {
			return &engine.Plan{Action: nothing{}, Trivial: true}, nil
		}
		made, err := plan(ctx, v, i)
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.name != "" && p.name != i.Name() {
			p.another = i.Name()
			return &engine.Plan{Action: nothing{}, Trivial: true}, nil
		}
		p.name = i.Name()
		made.Action = unstored{made.Action}
		return made, nil
	}
}

// unstored is an action without a key.
type unstored struct{ engine.Action }

// Key is engine.Action's.
func (unstored) Key() engine.Key { return engine.Key{} }

// nothing is an action that does nothing.
type nothing struct{}

// Key is engine.Action's.
func (nothing) Key() engine.Key { return engine.Key{} }

// Preimage is engine.Action's.
func (nothing) Preimage() []byte { return nil }

// Do is engine.Action's.
func (nothing) Do(context.Context, func(engine.Event)) (*engine.Result, error) {
	return &engine.Result{}, nil
}

// A stagingExecutor prepares one command and does not run it.
type stagingExecutor struct {
	engine.Executor
	p *reproduction
}

// Execute is engine.Executor's. The result is that of a command that did what it should.
func (e *stagingExecutor) Execute(ctx context.Context, c *engine.Command) (*engine.Result, error) {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	if c.Name != e.p.name {
		return e.Executor.Execute(ctx, c)
	}
	if !e.p.print {
		var err error
		if e.p.stage, err = e.p.executor.Stage(ctx, c); err != nil {
			return nil, err
		}
	}
	e.p.command = c
	r := &engine.Result{}
	for _, o := range c.Outs {
		r.Outs = append(r.Outs, engine.Output{Path: o.Path})
	}
	return r, nil
}

func (p *reproduction) close() {
	if p.stage != nil {
		p.stage.Close()
	}
}

// interact opens a shell for who called us, and ends with its status.
func (p *reproduction) interact() error {
	dir, argv := p.stage.Place()
	shell := "/bin/sh"
	if p.command.Script != "" {
		shell = argv[0]
	}
	p.console.Note("", fmt.Sprintf("This is %s, in class %s, in %s. Its command:\n  %s\nNothing is stored. The shell is %s.",
		p.name, p.executor.Guarantees().Sandbox, dir, ui.ShellWords(argv...), shell))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	status, err := 0, error(nil)
	if in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd()); term.IsTerminal(in) && term.IsTerminal(out) {
		status, err = p.onTerminal(ctx, shell)
	} else {
		status, err = p.stage.Interact(ctx, []string{shell}, [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, false)
	}
	switch {
	case ctx.Err() != nil:
		return &statusError{status: exitInterrupt}
	case err != nil:
		return &statusError{exitTrouble, err}
	case status == 127 && p.command.System != engine.SystemHost:
		p.console.Note("", fmt.Sprintf("There may be no %s in the system of the run: another one can be named by shell, with a script.", shell))
	}
	if status == 0 {
		return nil
	}
	return &statusError{status: status}
}
