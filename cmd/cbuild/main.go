// Command cbuild builds the targets that BUILD.hcl files describe. It plugs the parts together and turns what became of a build
// into an exit status; everything else is decided elsewhere.
package main

import (
	"os"
	"syscall"

	"golang.org/x/term"

	"cbuild/internal/sandbox"
)

func main() {
	sandbox.Helper()
	os.Exit(Main())
}

// Main runs the command line of this process and returns the exit status.
func Main() int {
	umask := syscall.Umask(0o022) // files that actions make have the same modes everywhere
	tuneMemory()
	c := &cli{
		umask: umask,
		args:  os.Args[1:], stdout: &output{to: os.Stdout, terminal: term.IsTerminal(int(os.Stdout.Fd()))}, stderr: os.Stderr,
		env: os.LookupEnv,
	}
	c.toGitHub()
	return c.main()
}
