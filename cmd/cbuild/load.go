package main

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/term"

	"cbuild/internal/buildfile"
	"cbuild/rules"
	"cbuild/rules/registry"
)

// load reads the workspace of the current directory and shows what is wrong with it. Assignments on the command line beat those of
// --var.
func (c *cli) load(vars []buildfile.VarAssignment) (*buildfile.Workspace, error) {
	if err := c.configure(); err != nil {
		return nil, err
	}
	w, diags, err := c.read(vars)
	if err != nil {
		return nil, err
	}
	if err := c.report(diags); err != nil {
		if w != nil {
			_ = w.Close() // it was only read
		}
		return nil, err
	}
	return w, nil
}

// read is load, but shows nothing.
func (c *cli) read(vars []buildfile.VarAssignment) (*buildfile.Workspace, *buildfile.Diagnostics, error) {
	var all []buildfile.VarAssignment
	for _, v := range c.flags.vars {
		a, ok := buildfile.ParseVar(v)
		if !ok {
			return nil, nil, usagef("--var %s: want NAME=VALUE", v)
		}
		all = append(all, a)
	}
	w, diags := buildfile.Load(buildfile.Options{
		Dir: ".", File: c.flags.file, Vars: append(all, vars...), VarFiles: c.flags.varFiles, LookupEnv: c.env, Output: secretOutput, Kinds: rules.Kinds(), Version: version,
		Sets: map[string]buildfile.Set{setFailed: c.lastFailed, setChanged: c.changed(vars)},
		Fields: func(name string) []string {
			if r := registry.All(registry.Options{})[name]; r != nil {
				return r.Fields()
			}
			return nil
		},
	})
	return w, diags, nil
}

// quietLoad is load, but shows nothing.
func (c *cli) quietLoad() (*buildfile.Workspace, error) {
	w, diags, err := c.read(nil)
	if err == nil && diags.HasErrors() {
		err = errors.New("the workspace has mistakes")
	}
	return w, err
}

// report shows diagnostics; errors among them end the command.
func (c *cli) report(diags *buildfile.Diagnostics) error {
	if diags == nil {
		return nil
	}
	diags.Codes = c.flags.verbose > 0
	diags.Write(c.stderr, c.color(), c.width())
	c.github.diagnostics(diags, c.flags.file)
	if diags.HasErrors() {
		return &statusError{status: exitUsage}
	}
	return nil
}

// color reports whether standard error is coloured: flag, then the environment, then whether it is a terminal.
func (c *cli) color() bool {
	switch c.flags.color {
	case "always":
		return true
	case "never":
		return false
	}
	if v, ok := c.env("NO_COLOR"); ok && v != "" {
		return false
	}
	for _, name := range []string{"CLICOLOR_FORCE", "FORCE_COLOR"} {
		if v, ok := c.env(name); ok && v != "" && v != "0" {
			return true
		}
	}
	return c.terminal()
}

// terminal reports whether standard error is one that can be painted on.
func (c *cli) terminal() bool {
	f, ok := c.stderr.(*os.File)
	name, _ := c.env("TERM")
	return ok && name != "dumb" && term.IsTerminal(int(f.Fd()))
}

// rewraps reports whether the terminal wraps lines anew when it gets narrower. Most do, and nothing asks them: these are those that cut
// them instead.
func (c *cli) rewraps() bool {
	for _, name := range []string{"XTERM_VERSION", "STY"} { // xterm, screen
		if v, ok := c.env(name); ok && v != "" {
			return false
		}
	}
	name, _ := c.env("TERM")
	return name != "linux" && !strings.HasPrefix(name, "rxvt")
}

// width returns the columns of the terminal; 0 if there is none.
func (c *cli) width() int {
	if !c.terminal() {
		return 0
	}
	w, _ := c.size()
	return w
}

func (c *cli) size() (columns, lines int) {
	if f, ok := c.stderr.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}
