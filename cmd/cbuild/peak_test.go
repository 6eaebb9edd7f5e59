package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// peakFile is a variable of the environment. With it, the binary of these tests runs no test: it runs the program that its arguments name, and writes the
// most memory which that took, in KiB, to the file that the variable names. A process shares the memory of the one that starts it until it executes
// its program, and that counts as its own: the tests have taken any amount by then, depending on what ran before, and a process that has only just
// begun has taken little.
const peakFile = "CBUILD_TEST_PEAK"

func init() {
	if file := os.Getenv(peakFile); file != "" {
		os.Exit(runMeasured(file, os.Args[1:]))
	}
}

func runMeasured(file string, argv []string) int {
	_ = os.Unsetenv(peakFile)
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // whoever started us waits
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if err := os.WriteFile(file, []byte(strconv.FormatInt(usage.Maxrss, 10)), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	return cmd.ProcessState.ExitCode()
}
