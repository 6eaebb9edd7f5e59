package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"cbuild/internal/buildfile"
)

func (c *cli) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look at this machine for what could go wrong, with advice", Args: cobra.NoArgs,
		Long: "doctor tries what builds need of this machine: the store and its disk, the sandbox and control groups, the network as far as this workspace uses\n" +
			"it, and its toolchains. Each line says ok, warn or fail; advice stands below. It ends with status 1 if something fails. Hosts of registries are\n" +
			"shown here, and nowhere else.",
		Example: "  cbuild doctor\n  cbuild doctor --offline   # leaves out the network\n  cbuild doctor --json | jq -r 'select(.status != \"ok\").text'",
		RunE:    func(*cobra.Command, []string) error { return c.doctor(asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.Flags().BoolVar(&c.flags.offline, "offline", false, "ask nobody")
	c.loadFlags(cmd)
	return cmd
}

// A finding is what doctor says of one thing.
type finding struct {
	Status string `json:"status"`
	What   string `json:"what"`
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"`
}

// An examination collects findings, each shown at once: the next may take seconds.
type examination struct {
	*cli
	asJSON bool
	failed bool
}

func (x *examination) ok(what, format string, args ...any) {
	x.say(finding{Status: "ok", What: what, Text: fmt.Sprintf(format, args...)})
}

func (x *examination) warn(what, advice, format string, args ...any) {
	x.say(finding{"warn", what, fmt.Sprintf(format, args...), advice})
}

func (x *examination) fail(what, advice, format string, args ...any) {
	x.failed = true
	x.say(finding{"fail", what, fmt.Sprintf(format, args...), advice})
}

func (x *examination) say(f finding) {
	if x.asJSON {
		_ = json.NewEncoder(x.stdout).Encode(f) // if it can't be written, that is told at the end
		return
	}
	fmt.Fprintf(x.stdout, "%-4s %s: %s\n", f.Status, f.What, f.Text)
	if f.Advice != "" {
		fmt.Fprintf(x.stdout, "     %s\n", f.Advice)
	}
}

func (c *cli) doctor(asJSON bool) error {
	if err := c.configure(); err != nil {
		return err
	}
	x := &examination{cli: c, asJSON: asJSON}
	ctx := context.Background()
	x.ok("cbuild", "%s, %s/%s, %d processors", version, runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	x.openFiles()
	x.disk()
	w := x.findWorkspace()
	x.proxies()
	if w == nil {
		// Without one there is still a machine to look at.
		w = &buildfile.Workspace{Root: os.TempDir()}
	}
	s, err := c.open(w)
	if err != nil {
		x.fail("store", "Take another one with --cas, or remove what is in the way.", "%v", err)
		return x.verdict()
	}
	defer s.close()
	x.store(s)
	x.sandbox(ctx, s)
	if w.Targets != nil {
		x.network(ctx, s)
		x.toolchains(ctx, s)
	}
	return x.verdict()
}

func (x *examination) verdict() error {
	if x.failed {
		return &statusError{status: exitFailed}
	}
	return nil
}

// findWorkspace loads the workspace, if the directory is in one.
func (x *examination) findWorkspace() *buildfile.Workspace {
	if !inWorkspace() {
		x.warn("workspace", "Go to one, or make one with cbuild init, to have its registries and toolchains looked at.", "there is none here")
		return nil
	}
	stderr := x.stderr
	x.cli.stderr = io.Discard
	w, err := x.load(nil)
	x.cli.stderr = stderr
	if err != nil {
		x.fail("workspace", "cbuild validate shows what.", "there are mistakes in its files")
		return nil
	}
	x.ok("workspace", "%s, %d targets", w.Root, len(w.Targets))
	return w
}

// inWorkspace reports whether a build file is here or above.
func inWorkspace() bool {
	dir, err := os.Getwd()
	for err == nil {
		for _, name := range []string{"BUILD.hcl", "BUILD.hcl.json"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				return true
			}
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return false
}
